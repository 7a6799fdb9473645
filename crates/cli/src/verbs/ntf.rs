//! `nissl decompose ntf RECORDING… -o DIR`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::components::pair_at;
use nissl_core::{Error, IoContext, Recording, Result, SiteGlob};
use nissl_decompose::ntf::{Factorisation, Window, Written, atlas};

use crate::Context;

/// `nissl decompose ntf`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ntf {
    /// Recordings of the animals, or of the seeds of an artificial network
    #[arg(required = true, value_name = "RECORDING")]
    recordings: Vec<PathBuf>,
    #[command(flatten)]
    settings: Factorisation,
    /// Take only the units of these sites, when several were recorded
    #[arg(long, value_name = "GLOB")]
    site: Option<SiteGlob>,
    /// Stimuli as CSV: name,start_s,end_s and, for one animal alone, animal; seconds from its first sample
    #[arg(long, value_name = "FILE")]
    stimuli: Option<PathBuf>,
    /// The folder of the new features
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Pairs named beside each component.
const PAIRS: usize = 3;

pub(crate) fn run(args: &Ntf, context: &Context<'_>) -> Result<ExitCode> {
    let settings = args.settings.clone().seeded(context.global.seed);
    settings.validate()?;
    let recordings = args
        .recordings
        .iter()
        .map(|path| {
            let recording = Recording::open(path)?;
            args.site.as_ref().map_or(Ok(recording.clone()), |site| recording.only(site))
        })
        .collect::<Result<Vec<_>>>()?;
    let stimuli = args.stimuli.as_deref().map_or(Ok(Vec::new()), read_stimuli)?;
    let existing = context.global.existing();
    let written =
        settings.decompose(&recordings, &stimuli, &args.out, existing, context.progress)?;
    show(args, &written, context)?;
    Ok(ExitCode::SUCCESS)
}

fn show(args: &Ntf, written: &Written, context: &Context<'_>) -> Result<()> {
    let Written { features, components, scan } = written;
    let detail = &features.manifest().detail;
    for warning in &detail.warnings {
        context.printer.note(&format!("warning: {warning}"));
    }
    let rows = atlas(components);
    if context.printer.is_json() {
        return context.printer.json(&serde_json::json!({
            "path": args.out, "rank": scan.rank, "reason": scan.reason, "ranks": scan.rows,
            "levels_off": scan.levels_off, "error": scan.chosen.best.error,
            "stability": scan.chosen.stability, "failed": scan.chosen.failed,
            "lambda": components.lambda, "neurons": components.units.len(),
            "animals": components.animal_names, "bins": components.seconds.len(),
            "explained_variance": features.explained_variance(), "warnings": detail.warnings,
            "atlas": rows.iter().map(|row| serde_json::json!({
                "component": row.component, "stimulus": row.stimulus, "fraction": row.fraction,
                "expected": row.expected, "z": row.z,
            })).collect::<Vec<_>>(),
        }));
    }
    let figure = |value: f64| if value.is_nan() { "–".to_owned() } else { format!("{value:.3}") };
    if scan.rows.len() > 1 {
        let headers = [
            ">components",
            ">error",
            ">stability",
            ">nuclear norm",
            ">core consistency",
            ">failed",
        ];
        let curves: Vec<Vec<String>> = scan
            .rows
            .iter()
            .map(|row| {
                vec![
                    row.rank.to_string(),
                    figure(row.error),
                    figure(row.stability),
                    figure(row.smoothed_nuclear_norm),
                    format!("{:.1}", row.core_consistency),
                    row.failed.to_string(),
                ]
            })
            .collect();
        context.printer.table(&headers, &curves);
        context.printer.note(&format!("{} components: {}", scan.rank, scan.reason));
    }
    let headers = [">component", ">λ", ">stability", "strongest pairs", "animals", "stimulus"];
    let told: Vec<Vec<String>> = (0..components.rank())
        .map(|number| {
            let stimulus = rows
                .iter()
                .filter(|row| row.component == number && row.z.is_finite())
                .max_by(|a, b| a.z.total_cmp(&b.z))
                .map_or_else(String::new, |row| {
                    format!("{} ({:.0} %, z {:.1})", row.stimulus, 100.0 * row.fraction, row.z)
                });
            let stability = scan.chosen.component_stability.get(number).copied();
            vec![
                number.to_string(),
                format!("{:.3}", components.lambda[number]),
                figure(stability.unwrap_or(f64::NAN)),
                strongest_pairs(components, number),
                animals(components, number),
                stimulus,
            ]
        })
        .collect();
    context.printer.table(&headers, &told);
    let path = args.out.display();
    context.printer.note(&format!(
        "{path}: {} components of {} pairs of {} neurons · relative error {:.3} · next: nissl trace atlas {path} -o atlas",
        scan.rank,
        features.units(),
        components.units.len(),
        scan.chosen.best.error,
    ));
    Ok(())
}

type Components = nissl_core::components::TensorComponents;

fn strongest_pairs(components: &Components, number: usize) -> String {
    let loadings = components.pairs.column(number);
    let mut order: Vec<usize> = (0..loadings.len()).collect();
    order.sort_by(|&a, &b| loadings[b].total_cmp(&loadings[a]));
    let units = components.units.len();
    let names = order.iter().take(PAIRS).map(|&pair| {
        let [a, b] = pair_at(pair, units);
        format!("{}–{}", components.units[a], components.units[b])
    });
    names.collect::<Vec<_>>().join(", ")
}

/// How many animals have at least half of the strongest one's loading.
fn animals(components: &Components, number: usize) -> String {
    let loadings = components.animals.column(number);
    let most = loadings.iter().copied().fold(0.0, f32::max);
    let strong = loadings.iter().filter(|&&x| x > 0.5 * most).count();
    format!("{strong} of {}", loadings.len())
}

/// The stimuli of a CSV file.
fn read_stimuli(path: &Path) -> Result<Vec<(Option<String>, Window)>> {
    let text = std::fs::read_to_string(path).at(path, "read")?;
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header: Vec<&str> =
        lines.next().map(|(_, line)| line.split(',').map(str::trim).collect()).unwrap_or_default();
    let column = |name: &str| header.iter().position(|column| *column == name);
    let needed = |name: &str| {
        column(name).ok_or_else(|| {
            let found = format!("columns {}", header.join(", "));
            Error::file(path, "header", found, "name, start_s, end_s and perhaps animal")
        })
    };
    let [name, start, end] = [needed("name")?, needed("start_s")?, needed("end_s")?];
    let animal = column("animal");
    let mut stimuli = Vec::new();
    for (number, line) in lines {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let cell = |place: usize| cells.get(place).copied().unwrap_or("");
        let seconds = |place: usize| {
            cell(place).parse::<f64>().ok().filter(|time| time.is_finite()).ok_or_else(|| {
                let field = format!("line {}", number + 1);
                Error::file(path, field, format!("`{}`", cell(place)), "seconds")
            })
        };
        let window =
            Window { name: cell(name).to_owned(), start: seconds(start)?, end: seconds(end)? };
        let of = animal.map(|place| cell(place).to_owned()).filter(|of| !of.is_empty());
        stimuli.push((of, window));
    }
    Ok(stimuli)
}
