//! `nissl probe dictionary FEATURES… --model MODEL --text FILE…`

mod shown;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use nissl_core::features::Features;
use nissl_core::network::LanguageNetwork;
use nissl_core::store;
use nissl_core::{Error, Result, Site};
use nissl_networks::language::Language;
use nissl_probe::dictionary::{
    Comparison, ErrorTerm, Evaluate, Evaluated, FeatureChange, FeatureEdit, Kept, Replacement,
    Sites, Task, compare, effect, evaluate, greater_than, read_prompts, require_fit, sites_of,
    task,
};

use crate::Context;
use crate::verbs::record;
use crate::verbs::texts::{Texts, sequences};

/// `nissl probe dictionary`
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "nissl probe dictionary <FEATURES>... --model <MODEL> --text <FILE>... [OPTIONS]\n       \
                      nissl probe dictionary <FEATURES> --model <MODEL> --text <FILE>... --ablate <FEATURE>...\n       \
                      nissl probe dictionary <FEATURES> --model <MODEL> --task <FILE>|--greater-than"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Dictionary {
    /// Autoencoders or transcoders: folders of features, or of a sweep
    #[arg(required = true)]
    features: Vec<PathBuf>,
    /// The network they were trained on: a folder with a checkpoint, or hub:owner/name[@revision]
    #[arg(long)]
    model: String,
    #[command(flatten)]
    texts: Texts,
    /// Tokens that are read
    #[arg(long, default_value_t = 16_384, value_name = "TOKENS")]
    tokens: usize,
    /// Tokens the network sees at once; 0 is as many as it can, at most 128 [default: 0]
    #[arg(long, value_name = "TOKENS", default_value_t = 0, hide_default_value = true)]
    context: usize,
    #[command(flatten)]
    settings: Evaluate,
    /// The site that the dictionary reads [default: as its table of units says]
    #[arg(long = "at", value_name = "SITE")]
    input: Option<String>,
    /// The site that a transcoder writes to [default: as its table of output units says]
    #[arg(long, value_name = "SITE", requires = "input")]
    target: Option<String>,
    /// Go on with a dictionary that rebuilds its site worse than the site's mean does
    #[arg(long)]
    force: bool,
    /// Replace the sites of all the dictionaries at once, in place of one after the other
    #[arg(long)]
    together: bool,
    /// Add what a dictionary does not explain to what it says
    #[arg(long)]
    error_added_back: bool,
    /// Keep only these features; the others are 0
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    only: Vec<usize>,
    /// Set these features to 0
    #[arg(long, value_name = "FEATURE", value_delimiter = ',', help_heading = "Interventions")]
    ablate: Vec<usize>,
    /// Multiply features, such as 3=2.0
    #[arg(
        long,
        value_name = "FEATURE=FACTOR",
        value_delimiter = ',',
        help_heading = "Interventions"
    )]
    scale: Vec<Strength>,
    /// Hold features at a value, such as 3=10
    #[arg(
        long,
        value_name = "FEATURE=VALUE",
        value_delimiter = ',',
        help_heading = "Interventions"
    )]
    set: Vec<Strength>,
    /// Add to features everywhere, also where they are silent, such as 3=+5
    #[arg(
        long,
        value_name = "FEATURE=AMOUNT",
        value_delimiter = ',',
        allow_hyphen_values = true,
        help_heading = "Interventions"
    )]
    steer: Vec<Strength>,
    /// Tokens that are named on each side of a change
    #[arg(long, default_value_t = 10, value_name = "COUNT", help_heading = "Interventions")]
    most: usize,
    /// Prompts with right and wrong answers: lines of {"prompt": …, "good": […], "bad": […]}
    #[arg(long, value_name = "FILE", help_heading = "Task")]
    task: Option<PathBuf>,
    /// The greater-than task: "The war lasted from 17YY to 17"
    #[arg(long, conflicts_with = "task", help_heading = "Task")]
    greater_than: bool,
    #[command(flatten, next_help_heading = "Task")]
    curves: Task,
    /// Write what was found to this file, as JSON
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A feature and a number, as `3=2.5`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Strength {
    feature: usize,
    value: f32,
}

impl FromStr for Strength {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let both = text.split_once('=');
        both.and_then(|(feature, value)| {
            Some(Self { feature: feature.trim().parse().ok()?, value: value.trim().parse().ok()? })
        })
        .ok_or_else(|| Error::setting("feature", format!("`{text}`"), "FEATURE=NUMBER, as 3=2.5"))
    }
}

/// What was evaluated: the folders that stood together, their figures, and the baselines.
#[derive(Debug, serde::Serialize)]
struct Report {
    /// Folders of features.
    paths: Vec<PathBuf>,
    /// Their figures.
    #[serde(flatten)]
    found: Evaluated,
    /// As many neurons or components, for a single dictionary.
    baselines: Vec<Comparison>,
}

pub(crate) fn run(args: &Dictionary, context: &Context<'_>) -> Result<ExitCode> {
    let mut opened = Vec::new();
    for folder in &args.features {
        for path in features_in(folder) {
            opened.push(Features::open(&path)?);
        }
    }
    let network = record::open(&args.model, context.global)?;
    let edits = args.edits();
    let has_task = args.task.is_some() || args.greater_than;
    if (has_task || !edits.is_empty() || !args.only.is_empty() || args.input.is_some())
        && opened.len() != 1
    {
        let expected = "one dictionary, to which the features or sites belong";
        return Err(Error::setting("features", format!("{} folders", opened.len()), expected));
    }
    let error = if args.error_added_back { ErrorTerm::AddedBack } else { ErrorTerm::LeftOut };
    let settings = Evaluate { error, ..args.settings.clone() };
    let mut placed = Vec::with_capacity(opened.len());
    for features in &opened {
        let kept = if args.only.is_empty() { Kept::All } else { Kept::These(args.only.clone()) };
        let one = Replacement::at(features.dictionary(), args.sites(features)?, &network)?;
        let one = Replacement { error, kept, edits: edits.clone(), ..one };
        one.check()?;
        placed.push(one);
    }
    let text = if args.texts.are_given() || !has_task {
        sequences(&network, args.texts.stream()?, args.context, args.tokens)?
    } else {
        Vec::new()
    };
    if settings.first == 0 {
        context.printer.note(
            "warning: the first position of each text counts, whose activity is huge in many networks \
             (the beginning-of-text token); --first 1 leaves it as it is",
        );
    }
    if !args.force && !text.is_empty() {
        for (features, one) in opened.iter().zip(&placed) {
            require_fit(&network, one.dictionary, &one.sites, &text, settings.first)
                .map_err(|error| named(error, features.path()))?;
        }
    }
    if has_task {
        return run_task(args, &network, &placed[0], context);
    }
    if !edits.is_empty() {
        let progress = context.progress;
        let found = effect(&network, &placed, &text, settings.first, args.most, progress)?;
        write(args, &found)?;
        shown::effect(&found, network.tokenizer()?, context)?;
        return Ok(ExitCode::SUCCESS);
    }
    evaluated(args, &network, (&opened, placed), &text, &settings, context)
}

impl Dictionary {
    /// The changes of features, in the order of the flags' list.
    fn edits(&self) -> Vec<FeatureEdit> {
        let mut edits: Vec<FeatureEdit> = self
            .ablate
            .iter()
            .map(|&feature| FeatureEdit { feature, change: FeatureChange::Ablate })
            .collect();
        let mut add = |all: &[Strength], change: fn(f32) -> FeatureChange| {
            edits.extend(
                all.iter()
                    .map(|one| FeatureEdit { feature: one.feature, change: change(one.value) }),
            );
        };
        add(&self.scale, FeatureChange::Scale);
        add(&self.set, FeatureChange::Set);
        add(&self.steer, FeatureChange::Steer);
        edits
    }

    /// Where a dictionary stands: as the user says, or as its tables of units say.
    fn sites(&self, features: &Features) -> Result<Sites> {
        let Some(input) = &self.input else { return sites_of(features) };
        let input = Site::new(input);
        match (&self.target, features.dictionary().output_decoder.is_some()) {
            (Some(target), _) => Ok(Sites { input, output: Site::new(target) }),
            (None, false) => Ok(Sites::both(&input)),
            (None, true) => {
                Err(Error::setting("target", "absent", "the site that the transcoder writes to"))
            }
        }
    }
}

/// The folders of features in `folder`, such as those of a sweep; itself where it is one.
fn features_in(folder: &Path) -> Vec<PathBuf> {
    let found = inside(folder);
    // What is no folder of features gives an error where it is opened.
    if found.is_empty() { vec![folder.to_owned()] } else { found }
}

fn inside(folder: &Path) -> Vec<PathBuf> {
    if folder.join("dictionary.safetensors").exists() {
        return vec![folder.to_owned()];
    }
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut inner: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    inner.sort();
    inner.iter().flat_map(|path| inside(path)).collect()
}

/// The same error with the folder it is about.
fn named(error: Error, path: &Path) -> Error {
    match error {
        Error::Setting { field, found, expected, .. } => Error::file(path, field, found, expected),
        other => other,
    }
}

fn run_task(
    args: &Dictionary,
    network: &Language,
    placed: &Replacement<'_>,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let tokenizer = network.tokenizer()?;
    let prompts = match &args.task {
        Some(file) => read_prompts(file, tokenizer)?,
        None => greater_than(tokenizer, "war", 17)?,
    };
    let found = task(network, placed, &prompts, &args.curves, context.progress)?;
    write(args, &found)?;
    shown::task(&found, context)?;
    Ok(ExitCode::SUCCESS)
}

fn evaluated(
    args: &Dictionary,
    network: &Language,
    (opened, placed): (&[Features], Vec<Replacement<'_>>),
    text: &[Vec<u32>],
    settings: &Evaluate,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let paths: Vec<PathBuf> = opened.iter().map(|one| one.path().to_owned()).collect();
    let single = placed.len() == 1;
    let sets: Vec<Vec<Replacement<'_>>> = if args.together {
        vec![placed]
    } else {
        placed.into_iter().map(|one| vec![one]).collect()
    };
    let groups: Vec<Vec<PathBuf>> =
        if args.together { vec![paths] } else { paths.into_iter().map(|one| vec![one]).collect() };
    let found = evaluate(network, &sets, text, settings, context.progress)?;
    let mut reports: Vec<Report> = groups
        .into_iter()
        .zip(found)
        .map(|(paths, found)| Report { paths, found, baselines: Vec::new() })
        .collect();
    if single {
        let one = &mut reports[0];
        // The baselines have no error to add back: it would make them whole.
        let settings = Evaluate { error: ErrorTerm::LeftOut, ..settings.clone() };
        let sites = &sets[0][0].sites;
        one.baselines = compare(network, sites, &one.found, text, &settings, context.progress)?;
    }
    write(args, &reports)?;
    shown::evaluated(&reports, context)?;
    Ok(ExitCode::SUCCESS)
}

fn write(args: &Dictionary, found: &impl serde::Serialize) -> Result<()> {
    let Some(out) = &args.out else { return Ok(()) };
    let bytes = serde_json::to_vec_pretty(found)
        .map_err(|error| Error::setting("result", error, "what JSON can hold"))?;
    store::write_bytes(out, &bytes)
}
