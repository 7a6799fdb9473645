//! `nissl show FEATURES[:NUMBER,…]`

mod one;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::features::Features;
use nissl_core::progress::significant;
use nissl_core::{Error, Result};
use nissl_explain::shown::{Shown, names};

use crate::Context;

/// `nissl show`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Show {
    /// A folder of features, or some of them: FOLDER:12 or FOLDER:3,7,12
    #[arg(value_name = "FEATURES")]
    features: String,
    /// Write a page about the features into this file
    #[arg(long, value_name = "FILE", conflicts_with = "tree")]
    html: Option<PathBuf>,
    /// Token contexts shown of a feature
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    contexts: usize,
    #[command(flatten)]
    tree: tree::TreeFlags,
}

pub(crate) fn run(args: &Show, context: &Context<'_>) -> Result<ExitCode> {
    let (folder, numbers) = parse(&args.features)?;
    if args.tree.tree {
        return tree::run(&folder, &numbers, &args.tree, context);
    }
    let features = Features::open(&folder)?;
    let chosen = match (&args.html, numbers.is_empty()) {
        (None, true) => return list(&features, context),
        (Some(_), true) => (0..features.features()).collect(),
        _ => numbers,
    };
    let shown =
        chosen.iter().map(|&number| Shown::of(&features, number)).collect::<Result<Vec<_>>>()?;
    if let Some(file) = &args.html {
        nissl_studies::feature_page::page(&features, &shown).write(file)?;
        context.printer.note(&format!("{}: {} features", file.display(), shown.len()));
    }
    if context.printer.is_json() {
        context.printer.json(&shown)?;
    } else if args.html.is_none() {
        let texts: Vec<String> =
            shown.iter().map(|one| one::text(&features, one, args.contexts)).collect();
        context.printer.text(&texts.join("\n\n"));
    }
    let mut told: Vec<&str> = Vec::new();
    for missing in shown.iter().flat_map(|one| &one.missing) {
        if !told.contains(&missing.what) {
            told.push(missing.what);
            context
                .printer
                .note(&format!("no {} yet · make them: {}", missing.what, missing.command));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder and the numbers in `FOLDER:3,7`; a folder of that very name comes first.
pub(crate) fn parse(text: &str) -> Result<(PathBuf, Vec<usize>)> {
    if Path::new(text).exists() {
        return Ok((PathBuf::from(text), Vec::new()));
    }
    let Some((folder, numbers)) = text.rsplit_once(':') else {
        return Ok((PathBuf::from(text), Vec::new()));
    };
    let wrong = |_not_a_number| {
        let expected = "FOLDER:NUMBER, or FOLDER:NUMBER,NUMBER";
        Error::setting("features", format!("`{text}`"), expected)
    };
    let numbers: Vec<usize> =
        numbers.split(',').map(|number| number.parse().map_err(wrong)).collect::<Result<_>>()?;
    Ok((PathBuf::from(folder), numbers))
}

/// All features, a row each.
fn list(features: &Features, context: &Context<'_>) -> Result<ExitCode> {
    let names = names(features)?;
    let table = features.table();
    let (density, max) = (table.f32s("density")?, table.f32s("max")?);
    let dead = table.bools("dead")?;
    if context.printer.is_json() {
        let all: Vec<serde_json::Value> = (0..features.features())
            .map(|at| {
                serde_json::json!({
                    "feature": at, "name": names[at], "density": density[at], "max": max[at],
                    "dead": dead[at],
                })
            })
            .collect();
        context.printer.json(&all)?;
    } else {
        let rows: Vec<Vec<String>> = (0..features.features())
            .map(|at| {
                vec![
                    at.to_string(),
                    significant(100.0 * f64::from(density[at])),
                    significant(f64::from(max[at])),
                    if dead[at] { "dead" } else { "" }.to_owned(),
                    names[at].clone(),
                ]
            })
            .collect();
        context.printer.table(&[">feature", ">active %", ">max", "", "name"], &rows);
    }
    let path = features.path().display();
    context.printer.note(&one::sites(features)?);
    if names.iter().all(String::is_empty) {
        context.printer.note(&format!("no names yet · make them: nissl explain all {path}"));
    }
    context.printer.note(&format!("one of them: nissl show {path}:0"));
    Ok(ExitCode::SUCCESS)
}
