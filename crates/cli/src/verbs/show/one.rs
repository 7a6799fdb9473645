//! One feature as text.

use std::fmt::Write;

use nissl_core::Result;
use nissl_core::features::Features;
use nissl_core::progress::significant;
use nissl_explain::shown::{Push, Shown, Unit, site_names};

/// Tokens and units in a line.
const IN_LINE: usize = 12;

/// What is known of a feature, with at most `contexts` token contexts.
pub(super) fn text(features: &Features, shown: &Shown, contexts: usize) -> String {
    let mut out = String::new();
    let name = match shown.name() {
        "" => "without a name",
        name => name,
    };
    let mut line = |text: String| {
        // Writing to a string cannot fail.
        writeln!(out, "{text}").ok();
    };
    line(format!("feature {} · {name}", shown.feature));
    line(format!(
        "{} of {} · active on {} % of {} samples · mean {} · largest {}{}",
        features.method(),
        features.path().display(),
        figure(100.0 * shown.density),
        features.samples(),
        figure(shown.mean),
        figure(shown.max),
        if shown.dead { " · dead: never active" } else { "" }
    ));
    line(sides(&shown.reads, &shown.writes));
    for warning in &features.manifest().detail.warnings {
        line(format!("warning: {warning}"));
    }
    if !shown.explanations.is_empty() {
        line("\ncalled".to_owned());
    }
    for it in &shown.explanations {
        let score = if it.score.is_nan() {
            String::new()
        } else {
            format!(" · score {}", figure(it.score))
        };
        line(format!("  {} {:<12} {}{score}", it.sign, it.method, it.text));
    }
    if !shown.contexts.is_empty() {
        line("\ncoefficient  context".to_owned());
    }
    for it in shown.contexts.iter().take(contexts) {
        line(format!("{:>11}  {}", figure(it.coefficient), it.marked("«", "»").trim()));
    }
    for (words, pushes) in [("towards", &shown.towards), ("away from", &shown.away)] {
        if !pushes.is_empty() {
            line(format!("\npushes the next token {words}\n  {}", pushed(pushes)));
        }
    }
    let sides: Vec<(&str, usize, &[Unit])> = if shown.reads == shown.writes {
        vec![("made of", shown.units_in_all, shown.units.as_slice())]
    } else {
        vec![
            ("reads", shown.units_in_all, shown.units.as_slice()),
            ("writes", shown.written_units_in_all, shown.written_units.as_slice()),
        ]
    };
    for (verb, all, units) in sides {
        line(format!("\n{verb} {all} units"));
        for unit in units.iter().take(IN_LINE) {
            line(format!(
                "  {:<24} {:>8}  {:>5} %",
                unit.name,
                format!("{:+.3}", unit.weight),
                format!("{:.1}", 100.0 * unit.share)
            ));
        }
    }
    if !shown.scores.is_empty() {
        line("\nscores".to_owned());
    }
    for it in &shown.scores {
        let interval = if it.low.is_nan() {
            String::new()
        } else {
            format!(" ({} to {})", significant(it.low), significant(it.high))
        };
        let baseline = if it.baseline.is_nan() {
            String::new()
        } else {
            format!(" · chance or control {}", significant(it.baseline))
        };
        line(format!("  {:<16} {}{interval}{baseline}", it.scorer, significant(it.score)));
    }
    out.trim_end().to_owned()
}

/// The sites that features read and write.
pub(super) fn sites(features: &Features) -> Result<String> {
    Ok(sides(&site_names(features.unit_table())?, &site_names(features.output_unit_table())?))
}

fn sides(reads: &[String], writes: &[String]) -> String {
    if reads == writes {
        return format!("reads and writes {}", reads.join(", "));
    }
    format!("reads {} · writes {}", reads.join(", "), writes.join(", "))
}

fn figure(value: f32) -> String {
    significant(f64::from(value))
}

fn pushed(pushes: &[Push]) -> String {
    let some = pushes.iter().take(IN_LINE);
    some.map(|it| format!("{} {}", it.token.trim(), figure(it.logit)))
        .collect::<Vec<_>>()
        .join(", ")
}
