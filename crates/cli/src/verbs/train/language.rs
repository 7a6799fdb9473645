//! `nissl train language --world DIR|--text FILE… [--from MODEL] --layers 4 --width 256 … -o DIR`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::network::Tokenizer;
use nissl_core::progress::significant;
use nissl_core::store::Provenance;
use nissl_core::{Error, Result, Table, device};
use nissl_networks::language::TextTokenizer;
use nissl_networks::language::training::{
    Base, Baselines, Packed, TrainLanguage, Trained, TrainingData,
};
use nissl_record::{Documents, documents};
use nissl_worlds::language::{split_words, word_level_tokenizer};

use crate::Context;
use crate::verbs::record::folder_of;

/// `nissl train language`
#[derive(Debug, clap::Args)]
pub(crate) struct Language {
    // First: clap takes the values of later fields away as it reads them.
    #[command(flatten)]
    shape: GivenShape,
    #[command(flatten)]
    settings: TrainLanguage,
    #[command(flatten)]
    inputs: Inputs,
}

/// What it is trained on, and where it goes.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("texts").args(["world", "text"]).required(true)))]
struct Inputs {
    /// A folder that `nissl world language` wrote
    #[arg(long, value_name = "FOLDER")]
    world: Option<PathBuf>,
    /// Texts to learn from: .txt, .jsonl, .csv, .parquet; several may follow
    #[arg(long, value_name = "FILE", num_args = 1..)]
    text: Vec<PathBuf>,
    /// The column of .jsonl, .csv and .parquet that holds the text
    #[arg(long, default_value = "text", value_name = "NAME")]
    column: String,
    /// A GPT-2 to begin from (fine-tuning): its shape and tokenizer are taken over
    #[arg(long, value_name = "MODEL")]
    from: Option<String>,
    /// A tokenizer.json for the texts; without it one of whole words is made
    #[arg(long, value_name = "FILE", conflicts_with_all = ["world", "from"])]
    tokenizer: Option<PathBuf>,
    /// Words at most of a tokenizer that is made from the texts
    #[arg(long, default_value_t = 8192, value_name = "WORDS")]
    vocabulary: usize,
    /// Share of the documents that is held out to measure the loss on
    #[arg(long, default_value_t = 0.02, value_name = "SHARE")]
    held_out: f64,
    /// The folder of the new network
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

/// The settings of the architecture, by name.
const SHAPE: [&str; 4] = ["layers", "width", "heads", "context"];

/// Which of them the command line gave: those left out are taken from the network to begin from.
#[derive(Clone, Debug, Default)]
struct GivenShape(Vec<&'static str>);

impl clap::FromArgMatches for GivenShape {
    fn from_arg_matches(matches: &clap::ArgMatches) -> std::result::Result<Self, clap::Error> {
        let given = |name: &&str| {
            matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine)
        };
        Ok(Self(SHAPE.into_iter().filter(given).collect()))
    }

    fn update_from_arg_matches(
        &mut self,
        matches: &clap::ArgMatches,
    ) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for GivenShape {
    fn augment_args(command: clap::Command) -> clap::Command {
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        command
    }
}

impl GivenShape {
    /// `settings` with what was not given taken from `base`.
    fn complete(&self, settings: &TrainLanguage, base: &Base) -> TrainLanguage {
        let mut shaped = base.shaped(settings.clone());
        for name in &self.0 {
            match *name {
                "layers" => shaped.layers = settings.layers,
                "width" => shaped.width = settings.width,
                "heads" => shaped.heads = settings.heads,
                _ => shaped.context = settings.context,
            }
        }
        shaped
    }
}

/// Token sequences to learn from and to be judged on.
struct Texts {
    tokenizer: TextTokenizer,
    training: Vec<u32>,
    held_out: Vec<u32>,
    lower_bound: Option<f64>,
}

pub(crate) fn run(args: Language, context: &Context<'_>) -> Result<ExitCode> {
    let Language { shape, settings, inputs } = args;
    let mut settings = TrainLanguage { seed: context.global.seed, ..settings };
    let device = device::parse(&context.global.device)?;
    let base = match &inputs.from {
        Some(model) => Some(Base::open(&folder_of(model, context.global)?, &device)?),
        None => None,
    };
    if let Some(base) = &base {
        settings = shape.complete(&settings, base);
        base.check(&settings)?;
    }
    settings.validate()?;
    if !(inputs.held_out > 0.0 && inputs.held_out < 1.0) {
        return Err(Error::setting("held_out", inputs.held_out, "above 0 and below 1"));
    }
    let texts = match &inputs.world {
        Some(world) => of_world(world, inputs.held_out, base.as_ref())?,
        None => of_texts(&inputs, base.as_ref())?,
    };
    let mut provenance = Provenance::here(&settings, settings.seed, &context.global.device);
    for input in inputs.text.iter().chain(&inputs.world) {
        provenance = provenance.with_input(input)?;
    }
    context.printer.note("measuring the unigram and the 5-gram");
    let baselines = Baselines::measure(
        &texts.training,
        &texts.held_out,
        texts.tokenizer.size(),
        texts.lower_bound,
    )?;
    let corpus = Packed::new(texts.training, settings.seed);
    let data = TrainingData {
        corpus: &corpus,
        held_out: &texts.held_out,
        tokenizer: &texts.tokenizer,
        baselines,
        provenance,
    };
    let (out, existing) = (inputs.out.as_path(), context.global.existing());
    let trained = match &base {
        Some(base) => settings.fine_tune(base, &data, out, existing, context.progress)?,
        None => settings.fit(&data, out, existing, &device, context.progress)?,
    };
    show(&trained, &inputs.out, context)?;
    Ok(ExitCode::SUCCESS)
}

fn show(trained: &Trained, out: &Path, context: &Context<'_>) -> Result<()> {
    if context.printer.is_json() {
        context.printer.json(trained)?;
    } else {
        let rows: Vec<Vec<String>> = trained
            .curve
            .iter()
            .map(|point| {
                vec![
                    point.step.to_string(),
                    point.tokens.to_string(),
                    format!("{:.3}", point.train),
                    format!("{:.3}", point.held_out),
                ]
            })
            .collect();
        context.printer.table(&[">step", ">tokens", ">training loss", ">held-out loss"], &rows);
    }
    let told = |name: &str, loss: Option<f64>| {
        loss.map_or_else(String::new, |loss| format!(" · {name} {}", significant(loss)))
    };
    let baselines = &trained.baselines;
    context.printer.note(&format!(
        "{}: {} parameters{}{}{}{}{}",
        out.display(),
        trained.parameters,
        told("held-out loss before", trained.held_out_before.map(f64::from)),
        told("held-out loss", trained.held_out.map(f64::from)),
        told("unigram", baselines.unigram),
        told("5-gram", baselines.five_gram),
        told("lower bound", baselines.lower_bound),
    ));
    Ok(())
}

/// The tokens of a world's stories; the last ones are held out.
fn of_world(folder: &Path, held_out: f64, base: Option<&Base>) -> Result<Texts> {
    let tokenizer = TextTokenizer::read(folder, None)?.ending_with("<end>");
    if base.is_some_and(|base| base.tokenizer().json() != tokenizer.json()) {
        let path = folder.join("tokenizer.json");
        return Err(Error::file(
            path,
            "content",
            "another tokenizer",
            "that of the `from` network",
        )
        .with_help("give the world's stories as texts: --text WORLD/text.txt"));
    }
    let table =
        Table::read(&folder.join("samples.parquet"), Some(&["sequence", "token_id", "entropy"]))?;
    let (stories, tokens) = (table.u32s("sequence")?, table.u32s("token_id")?);
    let entropy = table.f32s("entropy")?;
    let all = stories.last().map_or(0, |last| last + 1);
    let first_held_out = all - ((f64::from(all) * held_out).ceil() as u32).clamp(1, all.max(1));
    let cut = stories.partition_point(|&story| story < first_held_out);
    let bound = entropy[cut..].iter().map(|&nats| f64::from(nats)).sum::<f64>();
    Ok(Texts {
        tokenizer,
        training: tokens[..cut].to_vec(),
        held_out: tokens[cut..].to_vec(),
        lower_bound: Some(bound / (tokens.len() - cut).max(1) as f64),
    })
}

/// The tokens of texts; every so many-th document is held out.
fn of_texts(inputs: &Inputs, base: Option<&Base>) -> Result<Texts> {
    let read = || documents(&inputs.text, &inputs.column, Documents::Paragraph);
    let tokenizer = if let Some(base) = base {
        base.tokenizer().clone()
    } else if let Some(file) = &inputs.tokenizer {
        let json = std::fs::read(file).map_err(|error| Error::io(file, "read", error))?;
        TextTokenizer::parse(file, json, None)?
    } else {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for document in read()? {
            for word in split_words(&document?.text) {
                *counts.entry(word.to_owned()).or_default() += 1;
            }
        }
        let mut words: Vec<(String, u64)> = counts.into_iter().collect();
        words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let kept = words.into_iter().take(inputs.vocabulary).map(|(word, _)| word);
        let words: Vec<String> =
            ["<unknown>".to_owned(), "<end>".to_owned()].into_iter().chain(kept).collect();
        let json = word_level_tokenizer(&words).into_bytes();
        TextTokenizer::parse("the tokenizer of these texts", json, None)?
    }
    .ending_with("<end>");
    let every = (1.0 / inputs.held_out).round().max(2.0) as usize;
    let (mut training, mut held_out) = (Vec::new(), Vec::new());
    for (number, document) in read()?.enumerate() {
        let side = if number % every == every - 1 { &mut held_out } else { &mut training };
        side.extend(tokenizer.encode(&document?.text)?.iter().map(|span| span.id));
        side.extend(tokenizer.end());
    }
    Ok(Texts { tokenizer, training, held_out, lower_bound: None })
}
