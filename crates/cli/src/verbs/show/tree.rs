//! `nissl show FEATURES --tree`: what coarse features are made of.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use nissl_core::progress::significant;
use nissl_core::{Error, Result};
use nissl_decompose::hierarchy::{Branch, Levels, Tree, trees};
use nissl_explain::shown::names;
use serde_json::{Value, json};

use crate::Context;
use crate::verbs::explain::recording_of;

/// Flags of the tree.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Tree")]
pub(super) struct TreeFlags {
    /// Show the tree of a hierarchy: coarse features, and the finer ones they are made of
    #[arg(long)]
    pub(super) tree: bool,
    /// Only the tree below this feature; level 1 is the finest
    #[arg(long, value_name = "LEVEL:FEATURE", requires = "tree")]
    root: Option<String>,
    /// Least share of the strongest for a child or a token, above 0 and below 1
    #[arg(long, value_name = "SHARE", requires = "tree", default_value_t = Tree::default().threshold)]
    threshold: f64,
    /// Children shown of a feature at most, at least 2
    #[arg(long, value_name = "COUNT", requires = "tree", default_value_t = Tree::default().children)]
    children: usize,
}

pub(super) fn run(
    folder: &Path,
    numbers: &[usize],
    flags: &TreeFlags,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let &TreeFlags { threshold, children, .. } = flags;
    let levels = Levels::open(folder)?;
    let coarsest = levels.depth();
    let roots: Vec<(usize, usize)> = match &flags.root {
        Some(root) => vec![parse(root)?],
        None if numbers.is_empty() => {
            (0..levels.features[coarsest - 1].features()).map(|root| (coarsest, root)).collect()
        }
        None => numbers.iter().map(|&number| (coarsest, number)).collect(),
    };
    let recording = recording_of(&levels.features[0], None);
    if recording.is_err() {
        context.printer.note("the recording is not where it was: tokens are told by sample");
    }
    let settings = Tree { threshold, children, ..Tree::default() };
    let found = trees(&levels, &roots, recording.as_ref().ok(), &settings, context.progress)?;
    let names = levels.features.iter().map(names).collect::<Result<Vec<_>>>()?;
    if context.printer.is_json() {
        let all: Vec<Value> = found.iter().map(|branch| told(branch, &names)).collect();
        context.printer.json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for branch in &found {
        draw(branch, &names, "", "", &mut text);
    }
    context.printer.text(text.trim_end());
    if names.iter().flatten().all(String::is_empty) {
        let path = folder.display();
        context.printer.note(&format!(
            "no names yet · make them: nissl explain all {path}, and {path}/levels/2"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(text: &str) -> Result<(usize, usize)> {
    let parts = text.split_once(':');
    parts
        .and_then(|(level, feature)| Some((level.parse().ok()?, feature.parse().ok()?)))
        .ok_or_else(|| Error::setting("root", format!("`{text}`"), "LEVEL:FEATURE, such as 2:13"))
}

/// A branch for programs.
fn told(branch: &Branch, names: &[Vec<String>]) -> Value {
    let children: Vec<Value> = branch.children.iter().map(|child| told(child, names)).collect();
    json!({
        "level": branch.level, "feature": branch.feature, "weight": branch.weight,
        "name": names[branch.level - 1][branch.feature], "tokens": branch.tokens,
        "children": children,
    })
}

/// A branch and what is below it, a line each.
fn draw(branch: &Branch, names: &[Vec<String>], lead: &str, below: &str, out: &mut String) {
    let name = &names[branch.level - 1][branch.feature];
    let mut parts = vec![format!("{}:{}", branch.level, branch.feature)];
    if let Some(weight) = branch.weight {
        parts.push(format!("weight {}", significant(f64::from(weight))));
    }
    if !name.is_empty() {
        parts.push(name.clone());
    }
    let tokens: Vec<String> = branch
        .tokens
        .iter()
        .map(|it| if it.token.is_empty() { format!("#{}", it.sample) } else { it.token.clone() })
        .collect();
    parts.push(if tokens.is_empty() { "no tokens".to_owned() } else { tokens.join(" ") });
    // Writing to a string cannot fail.
    writeln!(out, "{lead}{}", parts.join(" · ")).ok();
    for (place, child) in branch.children.iter().enumerate() {
        let last = place + 1 == branch.children.len();
        let (mark, rest) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw(child, names, &format!("{below}{mark}"), &format!("{below}{rest}"), out);
    }
}
