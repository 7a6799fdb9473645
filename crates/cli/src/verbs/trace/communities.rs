//! `nissl trace communities GRAPH|FEATURES [--method METHOD] [-o GRAPH]`

mod input;
mod output;
mod told;

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::{Error, Result};
use nissl_trace::communities::{BlockModel, Communities, Detector, Method, Threshold};

use crate::Context;
use input::{Input, Subject};

/// `nissl trace communities`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CommunitiesArgs {
    /// A graph, such as a connectome of `nissl import`, or features of `nissl decompose ntf`
    #[arg(value_name = "GRAPH|FEATURES")]
    input: PathBuf,
    /// Types of edges that count, separated by commas [default: all]
    #[arg(long, value_name = "TYPE,...", value_delimiter = ',')]
    edge_type: Vec<String>,
    /// Take the size of each weight, so that edges below 0 count as well
    #[arg(long)]
    absolute: bool,
    /// Components of features, separated by commas, from 0 [default: all]
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    component: Vec<usize>,
    /// Which pairs of a component are edges: otsu, shifted, none (all), or the strongest fraction
    #[arg(long, default_value = "otsu", value_name = "CUT")]
    threshold: Threshold,
    #[command(flatten)]
    detector: Detector,
    /// Find communities by all methods and set them side by side
    #[arg(long)]
    compare: bool,
    /// A column of the nodes with known communities, to which what is found is compared
    #[arg(long, value_name = "COLUMN")]
    truth: Option<String>,
    /// Members named for each group
    #[arg(long, default_value_t = 8)]
    limit: usize,
    /// Keep the graph with its communities, and communities.parquet, in this folder
    #[arg(short, long, value_name = "GRAPH")]
    output: Option<PathBuf>,
}

/// One graph with what was found in it.
struct Found {
    subject: Subject,
    communities: Communities,
    compared: Vec<Compared>,
}

/// What another method finds.
struct Compared {
    method: Method,
    found: Result<(Communities, f64)>,
}

pub(super) fn run(args: &CommunitiesArgs, context: &Context<'_>) -> Result<ExitCode> {
    let block = BlockModel { seed: context.global.seed, ..args.detector.block.clone() };
    let detector = Detector { block, ..args.detector.clone() };
    detector.validate()?;
    let Input { base, subjects, warnings } = input::open(args)?;
    for warning in &warnings {
        context.printer.note(&format!("warning: {warning}"));
    }
    let mut all = Vec::with_capacity(subjects.len());
    for subject in subjects {
        let about = |error: Error| match (subject.component, error) {
            (Some(number), Error::Setting { field, found, expected, help }) => {
                let found = format!("{found} in component {number}");
                Error::Setting { field, found, expected, help }
            }
            (_, error) => error,
        };
        let communities = detector.find(&subject.graph, context.progress).map_err(about)?;
        let compared = if args.compare {
            compare(&detector, &subject, &communities, context)?
        } else {
            Vec::new()
        };
        all.push(Found { subject, communities, compared });
    }
    if let Some(folder) = &args.output {
        output::save(folder, args, &detector, (&base, &all), context)?;
    }
    told::tell(args, &detector, &all, context)?;
    Ok(ExitCode::SUCCESS)
}

/// What every method finds, the chosen one first; a method that cannot take the graph says why.
fn compare(
    detector: &Detector,
    subject: &Subject,
    chosen: &Communities,
    context: &Context<'_>,
) -> Result<Vec<Compared>> {
    let others = Method::ALL.into_iter().filter(|method| *method != detector.method);
    std::iter::once(detector.method)
        .chain(others)
        .map(|method| {
            let measured = |found: Communities| {
                let length = detector.description_length(&subject.graph, &found)?;
                Ok((found, length))
            };
            let found = if method == detector.method {
                measured(chosen.clone())
            } else {
                let other = Detector { method, samples: 0, ..detector.clone() };
                other.find(&subject.graph, context.progress).and_then(measured)
            };
            match found {
                Err(error @ Error::Interrupted { .. }) => Err(error),
                found => Ok(Compared { method, found }),
            }
        })
        .collect()
}
