//! `nissl explain lm-head MODEL|FEATURES|MATRIX`: decode, search, or compare.

mod inputs;
mod shown;

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::features::Features;
use nissl_core::network::ResidualWeights;
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Error, IoContext, Result};
use nissl_explain::lm_head::{
    Compare, Families, HeadMap, LmHead, Search, Split, compare, coverage, decode_to, explain,
    search, search_map,
};

use self::inputs::Source;
use crate::Context;

/// `nissl explain lm-head`
#[derive(Clone, Debug, clap::Args)]
#[command(override_usage = "nissl explain lm-head <MODEL> [--out <FOLDER>] [OPTIONS]\n       \
                      nissl explain lm-head <MODEL> --search <WORD>,... [OPTIONS]\n       \
                      nissl explain lm-head <MODEL> --against <MODEL> [OPTIONS]\n       \
                      nissl explain lm-head <FEATURES> --model <MODEL> [OPTIONS]\n       \
                      nissl explain lm-head <MATRIX> --head-file <FILE> [OPTIONS]")]
#[command(group(clap::ArgGroup::new("wanted").args(["words", "regex", "token"]).multiple(true)))]
pub(super) struct LmHeadArgs {
    /// A checkpoint or hub:owner/name, a folder of features, or a matrix whose rows are units
    input: String,
    /// The network whose head features are read through
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// A head that is no language model's: a matrix with a row for each class
    #[arg(long, value_name = "FILE")]
    head_file: Option<PathBuf>,
    /// Names of that head's rows, one a line
    #[arg(long, value_name = "FILE", requires = "head_file")]
    labels: Option<PathBuf>,
    /// The folder of the new map, with a row for each unit
    #[arg(short, long, value_name = "FOLDER", conflicts_with_all = ["wanted", "against"])]
    out: Option<PathBuf>,
    /// Write the map as lines of JSON as well
    #[arg(long, value_name = "FILE", conflicts_with_all = ["wanted", "against"])]
    jsonl: Option<PathBuf>,
    /// List the units that favour these words, in all their forms, most
    #[arg(long = "search", value_delimiter = ',', value_name = "WORD", help_heading = "Search")]
    words: Vec<String>,
    /// List the units that favour the tokens whose text matches
    #[arg(long, value_name = "REGEX", help_heading = "Search")]
    regex: Option<String>,
    /// List the units that favour these tokens, by number
    #[arg(long, value_delimiter = ',', value_name = "ID", help_heading = "Search")]
    token: Vec<u32>,
    /// What stands for a word that is several tokens
    #[arg(long, value_enum, default_value_t = Split::Refuse, help_heading = "Search")]
    split: Split,
    /// Words that are one, such as translations: a line each, separated by commas
    #[arg(long, value_name = "FILE", help_heading = "Search")]
    variants: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Search")]
    search: Search,
    /// A map made before, which knows the probabilities' normalisers and the settings
    #[arg(long, value_name = "FOLDER", requires = "wanted", help_heading = "Search")]
    map: Option<PathBuf>,
    /// Compare with another checkpoint of the same architecture
    #[arg(long, value_name = "MODEL", conflicts_with = "wanted", help_heading = "Comparison")]
    against: Option<String>,
    #[command(flatten, next_help_heading = "Comparison")]
    compare: Compare,
    /// Specialised units listed, the surest first
    #[arg(long, default_value_t = 20, help_heading = "Output")]
    limit: usize,
    #[command(flatten, next_help_heading = "Decoding")]
    settings: LmHead,
}

pub(super) fn run(args: &LmHeadArgs, context: &Context<'_>) -> Result<ExitCode> {
    let mut settings = LmHead { seed: context.global.seed, ..args.settings.clone() };
    let source = Source::open(args, context)?;
    source.with(|weights, features| {
        if features.is_some() && settings.parts == LmHead::default().parts {
            settings.parts = weights.parts().to_vec();
        }
        settings.validate()?;
        if args.is_search() {
            return find(args, weights, &settings, context);
        }
        match &args.against {
            Some(other) => against(args, other, weights, &settings, context),
            None => decode(args, &source, weights, features, &settings, context),
        }
    })
}

impl LmHeadArgs {
    fn is_search(&self) -> bool {
        !self.words.is_empty() || self.regex.is_some() || !self.token.is_empty()
    }

    /// The user's families of words.
    fn variants(&self) -> Result<Vec<Vec<String>>> {
        let Some(path) = &self.variants else { return Ok(Vec::new()) };
        let text = std::fs::read_to_string(path).at(path, "read")?;
        let words = |line: &str| line.split(',').map(|word| word.trim().to_owned()).collect();
        Ok(text.lines().filter(|line| !line.trim().is_empty()).map(words).collect())
    }
}

fn find(
    args: &LmHeadArgs,
    weights: &dyn ResidualWeights,
    settings: &LmHead,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let mut tokens = args.token.clone();
    if !args.words.is_empty() || args.regex.is_some() {
        let tokenizer = weights.tokenizer().map_err(|error| match error {
            Error::Setting { .. } => Error::setting(
                "tokenizer",
                "absent",
                "one in the checkpoint; search for tokens by number with --token",
            ),
            other => other,
        })?;
        let families = Families::of(tokenizer, weights.vocabulary(), &args.variants()?);
        for word in &args.words {
            let found = families.word(word, args.split)?;
            shown::meant(&found, &families, context);
            tokens.extend(found.tokens);
        }
        if let Some(regex) = &args.regex {
            let found = families.matching(regex)?;
            shown::meant(&found, &families, context);
            tokens.extend(found.tokens);
        }
    }
    let hits = match &args.map {
        Some(map) => {
            let map = HeadMap::open(map)?;
            search_map(weights, &map, &tokens, &args.search, context.progress)?
        }
        None => search(weights, settings, &tokens, &args.search, context.progress)?,
    };
    shown::hits(&hits, weights, context)?;
    Ok(ExitCode::SUCCESS)
}

fn against(
    args: &LmHeadArgs,
    other: &str,
    weights: &dyn ResidualWeights,
    settings: &LmHead,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let other = inputs::checkpoint(other, context)?;
    let found = compare(weights, &other, settings, &args.compare, context.progress)?;
    shown::comparison(&found, weights, context)?;
    Ok(ExitCode::SUCCESS)
}

fn decode(
    args: &LmHeadArgs,
    source: &Source,
    weights: &dyn ResidualWeights,
    features: Option<&Features>,
    settings: &LmHead,
    context: &Context<'_>,
) -> Result<ExitCode> {
    // Without an output folder the map lives as long as this command.
    let scratch = match &args.out {
        Some(_) => None,
        None => Some(tempfile::tempdir().at("a temporary folder", "make")?),
    };
    let target = match (&args.out, &scratch) {
        (Some(out), _) => (out.clone(), context.global.existing()),
        (None, Some(scratch)) => (scratch.path().join("map"), Existing::Refuse),
        (None, None) => (PathBuf::from("map"), Existing::Refuse),
    };
    let mut provenance = Provenance::here(settings, settings.seed, "cpu");
    for input in source.files() {
        provenance = provenance.with_input(&input)?;
    }
    let target = (target.0.as_path(), target.1);
    let map: HeadMap = decode_to(weights, settings, target, provenance, context.progress)?;
    let detail = &map.manifest().detail;
    let found = coverage(map.units()?, detail.tokens, settings)?;
    if let Some(features) = features {
        let mut decoded = Vec::new();
        for group in map.units()? {
            decoded.extend(group?);
        }
        let lists = args.variants()?;
        let families = Families::of(weights.tokenizer()?, weights.vocabulary(), &lists);
        explain(features, &decoded, &families, settings)?;
    }
    if let Some(path) = &args.jsonl {
        map.write_jsonl(path)?;
    }
    shown::map(&map, &found, args.limit, weights, context)?;
    if let Some(out) = &args.out {
        context.printer.note(&format!("{}: {} rows", out.display(), detail.rows));
    }
    if let Some(features) = features {
        let path = features.path().display();
        context.printer.note(&format!("explanations of method lm_head written beside {path}"));
    }
    Ok(ExitCode::SUCCESS)
}
