//! What `nissl probe dictionary` prints.

use nissl_core::Result;
use nissl_core::network::Tokenizer;
use nissl_core::progress::significant;
use nissl_probe::dictionary::{Effect, TaskCurve, Units};

use super::Report;
use crate::Context;
use crate::verbs::probe::figure;

/// Features that fire on fewer tokens than this cannot be told from dead ones.
const FEW_TOKENS: usize = 10_000;

pub(super) fn evaluated(reports: &[Report], context: &Context<'_>) -> Result<()> {
    if context.printer.is_json() {
        return context.printer.json(&reports);
    }
    let share = |value: f64| format!("{:.1} %", 100.0 * value);
    let mut rows = Vec::new();
    for report in reports {
        let found = &report.found;
        for (place, (path, one)) in report.paths.iter().zip(&found.dictionaries).enumerate() {
            let first = place == 0;
            let of_all = |text: String| if first { text } else { String::new() };
            rows.push(vec![
                path.display().to_string(),
                one.output.clone(),
                significant(one.active),
                figure(one.fvu, 4),
                of_all(figure(found.replaced, 4)),
                of_all(figure(100.0 * found.recovered, 1)),
                share(one.dead),
                share(one.live),
            ]);
        }
        for row in &report.baselines {
            rows.push(vec![
                row.baseline.name().to_owned(),
                String::new(),
                row.parts.to_string(),
                figure(row.fvu, 4),
                figure(row.replaced, 4),
                figure(100.0 * row.recovered, 1),
                String::new(),
                String::new(),
            ]);
        }
    }
    let headers = ["dictionary", "site", ">L0", ">FVU", ">loss", ">% recovered", ">dead", ">live"];
    context.printer.table(&headers, &rows);
    for report in reports {
        let found = &report.found;
        let name = if reports.len() == 1 {
            String::new()
        } else {
            format!("{}: ", report.paths[0].display())
        };
        context.printer.note(&format!(
            "{name}loss {:.4} as it is, {:.4} with the site at 0 · {} tokens",
            found.full, found.zero, found.tokens
        ));
    }
    if let [report] = reports
        && let [one] = report.found.dictionaries.as_slice()
    {
        let bins: Vec<String> = one
            .histogram
            .iter()
            .filter(|bin| bin.features > 0)
            .map(|bin| format!("{:.1} to {:.1}: {}", bin.from, bin.to, bin.features))
            .collect();
        context.printer.note(&format!("features by log₁₀ frequency: {}", bins.join(" · ")));
    }
    if reports.iter().any(|report| report.found.tokens < FEW_TOKENS) {
        context.printer.note(&format!(
            "fewer than {FEW_TOKENS} tokens: features that fire more rarely count as dead"
        ));
    }
    Ok(())
}

pub(super) fn task(found: &TaskCurve, context: &Context<'_>) -> Result<()> {
    if context.printer.is_json() {
        return context.printer.json(found);
    }
    let of = |units: Units, count: usize| {
        let point = found.points.iter().find(|point| point.0 == units && point.1 == count);
        point.map_or_else(String::new, |point| figure(point.2, 4))
    };
    let mut counts: Vec<usize> = found.points.iter().map(|point| point.1).collect();
    counts.sort_unstable();
    counts.dedup();
    let rows: Vec<Vec<String>> = counts
        .into_iter()
        .map(|count| vec![count.to_string(), of(Units::Features, count), of(Units::Neurons, count)])
        .collect();
    context.printer.table(&[">kept", ">features", ">neurons"], &rows);
    context.printer.note(&format!(
        "probability of good less bad answers over {} prompts: {:.4} as it is, {:.4} with the \
         dictionary, {:.4} with its site at 0",
        found.prompts, found.full, found.replaced, found.zero
    ));
    Ok(())
}

pub(super) fn effect(
    found: &Effect,
    tokenizer: &dyn Tokenizer,
    context: &Context<'_>,
) -> Result<()> {
    let name = |token: u32| tokenizer.token(token).unwrap_or_else(|| token.to_string());
    if context.printer.is_json() {
        let side = |side: &[nissl_probe::dictionary::TokenChange]| -> Vec<serde_json::Value> {
            let told = |one: &nissl_probe::dictionary::TokenChange| {
                serde_json::json!({
                    "token": one.token, "text": name(one.token), "change": one.change,
                })
            };
            side.iter().map(told).collect()
        };
        return context.printer.json(&serde_json::json!({
            "tokens": found.tokens, "before": found.before, "after": found.after,
            "raised": side(&found.raised), "lowered": side(&found.lowered),
        }));
    }
    let rows: Vec<Vec<String>> = found
        .raised
        .iter()
        .chain(found.lowered.iter().rev())
        .map(|one| vec![name(one.token), format!("{:+.4}", one.change)])
        .collect();
    context.printer.table(&["token", ">change of log-probability"], &rows);
    context.printer.note(&format!(
        "loss {:.4} → {:.4} ({:+.4}) over {} tokens",
        found.before,
        found.after,
        found.after - found.before,
        found.tokens
    ));
    Ok(())
}
