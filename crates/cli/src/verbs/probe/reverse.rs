//! `nissl probe reverse MODEL --words WORD… --text FILE… -o FOLDER`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::network::{LanguageNetwork, Part, ResidualWeights, Tokenizer};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Error, Result, device};
use nissl_explain::lm_head::{Families, Split};
use nissl_networks::edit::{
    Aligned, Reverse, Reversed, concept_direction, random_like, write_reversed,
};
use nissl_networks::language::Language;
use nissl_networks::weights::CheckpointWeights;
use nissl_probe::reversal::{ConceptLikelihood, concept_likelihood};
use nissl_record::{Documents, documents};
use serde::Serialize;

use crate::Context;
use crate::verbs::record::{folder_of, open};

/// `nissl probe reverse`
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "nissl probe reverse <MODEL> --words <WORD>... --text <FILE>... --out <FOLDER> [OPTIONS]"
)]
#[command(group(clap::ArgGroup::new("concept").args(["words", "tokens"]).required(true).multiple(true)))]
pub(crate) struct ReverseRows {
    /// A folder with a checkpoint, or hub:owner/name[@revision]
    model: String,
    /// The words to take out; the forms of a word that are one token count as it
    #[arg(long, num_args = 1.., value_name = "WORD")]
    words: Vec<String>,
    /// Tokens to take out, by number
    #[arg(long, num_args = 1.., value_name = "TOKEN")]
    tokens: Vec<u32>,
    /// What stands for a word that is several tokens
    #[arg(long, value_enum, default_value_t = Split::Refuse)]
    split: Split,
    /// Texts that judge the edit: .txt, .json, .jsonl, .csv, .parquet; several may follow
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    text: Vec<PathBuf>,
    /// The field of .json, .jsonl, .csv and .parquet that holds the text
    #[arg(long, default_value = "text", value_name = "NAME")]
    column: String,
    #[command(flatten)]
    settings: Reverse,
    /// Judge beside it an edit of as many random vectors of the same parts
    ///
    /// It is written beside the output folder and removed again.
    #[arg(long, value_enum, default_value_t = Control::Random)]
    control: Control,
    /// The folder of the edited checkpoint
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

/// What the edit is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Control {
    /// As many random vectors of the same layers and parts
    Random,
    /// Nothing
    None,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Report<'a> {
    path: &'a Path,
    words: &'a [String],
    tokens: &'a [u32],
    threshold: f64,
    reversed: &'a [Aligned],
    before: ConceptLikelihood,
    after: ConceptLikelihood,
    control: Option<ConceptLikelihood>,
}

pub(crate) fn run(args: ReverseRows, context: &Context<'_>) -> Result<ExitCode> {
    args.settings.validate()?;
    let folder = folder_of(&args.model, context.global)?;
    let weights = CheckpointWeights::open(&folder)?;
    let tokens = tokens_of(&args, &weights)?;
    let network = open(&args.model, context.global)?;
    let texts = texts_of(&args, network.tokenizer()?)?;
    let before = concept_likelihood(&network, &tokens, &texts, context.progress)?;
    drop(network);
    if before.positions == 0 {
        let what = "positions of the text where the concept comes next".to_owned();
        return Err(Error::Empty { what, expected: "texts in which its words stand".to_owned() });
    }
    let direction = concept_direction(&weights, &tokens)?;
    let reversed = args.settings.find(&weights, &direction, context.progress)?;
    if reversed.is_empty() {
        return Err(Error::setting(
            "threshold",
            args.settings.threshold,
            "a smaller one: no vector is so much along the concept",
        ));
    }
    let mut provenance =
        Provenance::here(&args.settings, context.global.seed, &context.global.device);
    for input in std::iter::once(&folder).chain(&args.text) {
        provenance = provenance.with_input(input)?;
    }
    let edit =
        |reversed: &[Aligned], out: &Path, existing: Existing| -> Result<ConceptLikelihood> {
            let detail = Reversed {
                base: args.model.clone(),
                tokens: tokens.clone(),
                reversed: reversed.to_vec(),
            };
            write_reversed(&weights, detail, provenance.clone(), out, existing, context.progress)?;
            let network = Language::load(
                out,
                &out.display().to_string(),
                &device::parse(&context.global.device)?,
            )?;
            concept_likelihood(&network, &tokens, &texts, context.progress)
        };
    let after = edit(&reversed, &args.out, context.global.existing())?;
    let control = match args.control {
        Control::None => None,
        Control::Random => {
            let drawn = random_like(&weights, &direction, &reversed, context.global.seed)?;
            let beside = beside(&args.out);
            let judged = edit(&drawn, &beside, Existing::Overwrite);
            std::fs::remove_dir_all(&beside).ok();
            Some(judged?)
        }
    };
    if context.printer.is_json() {
        context.printer.json(&Report {
            path: &args.out,
            words: &args.words,
            tokens: &tokens,
            threshold: args.settings.threshold,
            reversed: &reversed,
            before,
            after,
            control,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&args, context, &reversed, [Some(before), Some(after), control]);
    Ok(ExitCode::SUCCESS)
}

fn print(
    args: &ReverseRows,
    context: &Context<'_>,
    reversed: &[Aligned],
    figures: [Option<ConceptLikelihood>; 3],
) {
    let names = ["before", "after", "control"];
    let rows: Vec<Vec<String>> = names
        .iter()
        .zip(figures)
        .filter_map(|(name, figures)| {
            let one = figures?;
            Some(vec![
                (*name).to_owned(),
                format!("{:.4}", one.probability),
                format!("{:.3}", one.log_probability),
                format!("{:.5}", one.probability_elsewhere),
                format!("{:.3}", one.perplexity_elsewhere),
            ])
        })
        .collect();
    let headers =
        ["weights", ">p where it is next", ">ln p there", ">p elsewhere", ">perplexity elsewhere"];
    context.printer.table(&headers, &rows);
    let mut parts: Vec<(Part, usize)> = Vec::new();
    for one in reversed {
        match parts.iter_mut().find(|(part, _)| *part == one.part) {
            Some((_, count)) => *count += 1,
            None => parts.push((one.part, 1)),
        }
    }
    let counts: Vec<_> =
        parts.iter().map(|(part, count)| format!("{count} {}", part.name())).collect();
    let positions = figures[0].map_or(0, |before| before.positions);
    context.printer.note(&format!(
        "{}: {} vectors reversed ({}), judged on {positions} positions of the concept",
        args.out.display(),
        reversed.len(),
        counts.join(", "),
    ));
}

/// The tokens of the words, and those that are given by number.
fn tokens_of(args: &ReverseRows, weights: &CheckpointWeights) -> Result<Vec<u32>> {
    let mut tokens = args.tokens.clone();
    if !args.words.is_empty() {
        let families = Families::of(weights.tokenizer()?, weights.tokens_known(), &[]);
        for word in &args.words {
            tokens.extend(families.word(word, args.split)?.tokens);
        }
    }
    tokens.sort_unstable();
    tokens.dedup();
    if let Some(&beyond) = tokens.iter().find(|&&token| token as usize >= weights.vocabulary()) {
        let expected = format!("0 to {}", weights.vocabulary() - 1);
        return Err(Error::setting("tokens", beyond, expected));
    }
    Ok(tokens)
}

fn texts_of(args: &ReverseRows, tokenizer: &dyn Tokenizer) -> Result<Vec<Vec<u32>>> {
    documents(&args.text, &args.column, Documents::default())?
        .map(|document| {
            let spans = tokenizer.encode(&document?.text)?;
            Ok(spans.iter().map(|span| span.id).collect())
        })
        .collect()
}

/// A folder beside `out` for what is looked at and removed.
fn beside(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    out.with_file_name(format!(".{name}.control"))
}
