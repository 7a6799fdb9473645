//! What decoding, searching and comparing print.

use nissl_core::Result;
use nissl_core::network::ResidualWeights;
use nissl_explain::lm_head::{
    Comparison, Coverage, Decoded, Families, HeadMap, Hit, Likeness, Sign, WordSet,
};

use crate::Context;

/// Tokens shown of a unit.
const SHOWN: usize = 6;

fn text(weights: &dyn ResidualWeights, token: u32) -> String {
    let tokenizer = weights.tokenizer().ok();
    let text = tokenizer.and_then(|tokenizer| tokenizer.token(token));
    text.map_or_else(|| format!("#{token}"), |text| format!("{text:?}"))
}

/// The tokens that a search is for.
pub(super) fn meant(found: &WordSet, families: &Families<'_>, context: &Context<'_>) {
    let shown: Vec<String> =
        found.tokens.iter().take(12).map(|&token| format!("{:?}", families.text(token))).collect();
    let more = found.tokens.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    context.printer.note(&format!("{}: {}{more}", found.word, shown.join(" ")));
}

/// Prints what a search found.
pub(super) fn hits(
    hits: &[Hit],
    weights: &dyn ResidualWeights,
    context: &Context<'_>,
) -> Result<()> {
    if context.printer.is_json() {
        return context.printer.json(&hits);
    }
    let signs = hits.iter().any(|hit| hit.sign == Sign::Minus);
    let mut headers = vec![">layer", "part", ">unit", ">z", "token"];
    let probable = hits.iter().any(|hit| hit.probability.is_some());
    if signs {
        headers.insert(3, "sign");
    }
    if probable {
        headers.push(">probability");
    }
    let rows: Vec<Vec<String>> = hits
        .iter()
        .map(|hit| {
            let mut row = vec![
                hit.layer.to_string(),
                hit.part.name().to_owned(),
                hit.unit.to_string(),
                format!("{:.2}", hit.z),
                text(weights, hit.token),
            ];
            if signs {
                row.insert(3, hit.sign.symbol().to_owned());
            }
            if let Some(probability) = hit.probability {
                row.push(format!("{probability:.3}"));
            }
            row
        })
        .collect();
    context.printer.table(&headers, &rows);
    Ok(())
}

/// The share of units whose first token stays, in the paper.
const PAPER: f64 = 0.754;

/// Prints a comparison.
pub(super) fn comparison(
    found: &Comparison,
    weights: &dyn ResidualWeights,
    context: &Context<'_>,
) -> Result<()> {
    if context.printer.is_json() {
        return context.printer.json(found);
    }
    let row = |name: [String; 2], units: u64, likenesses: [Likeness; 3]| {
        let [observed, permuted, noise] = likenesses;
        let mut row = name.to_vec();
        row.push(units.to_string());
        for likeness in [observed, permuted, noise] {
            row.push(format!("{:.1} %", likeness.same_first * 100.0));
        }
        row.push(format!("{:.3}", observed.jaccard));
        row.push(format!("{:.4}", observed.divergence));
        row.push(format!("{:.4}", noise.divergence));
        row
    };
    let mut rows: Vec<Vec<String>> = found
        .layers
        .iter()
        .map(|layer| {
            let name = [layer.layer.to_string(), layer.part.name().to_owned()];
            row(name, layer.units, [layer.observed, layer.permuted, layer.noise])
        })
        .collect();
    let all = [found.observed, found.permuted, found.noise];
    rows.push(row(["all".to_owned(), String::new()], found.units, all));
    let headers = [
        ">layer",
        "part",
        ">units",
        ">same first token",
        ">others'",
        ">with noise",
        ">Jaccard of 5",
        ">divergence",
        ">with noise",
    ];
    context.printer.table(&headers, &rows);
    if !found.changed.is_empty() {
        context.printer.text("");
        let rows: Vec<Vec<String>> = found
            .changed
            .iter()
            .map(|unit| {
                vec![
                    unit.layer.to_string(),
                    unit.part.name().to_owned(),
                    unit.unit.to_string(),
                    text(weights, unit.before),
                    text(weights, unit.after),
                    format!("{:.4}", unit.divergence),
                ]
            })
            .collect();
        context.printer.table(
            &[">layer", "part", ">unit", "first token before", "after", ">divergence"],
            &rows,
        );
    }
    context.printer.note(&format!(
        "{:.1} % of units keep their first token (other units {:.1} %, noise of the same size \
         {:.1} %) · paper {:.1} % (Llama-3.1-8B to Instruct) · {} units changed · divergence is \
         Jensen-Shannon, in nats",
        found.observed.same_first * 100.0,
        found.permuted.same_first * 100.0,
        found.noise.same_first * 100.0,
        PAPER * 100.0,
        found.changed_units,
    ));
    if found.not_finite > 0 {
        let units = found.not_finite;
        context.printer.note(&format!("warning: {units} units hold NaN and were left out"));
    }
    Ok(())
}

/// The surest of the specialised units, at most `limit`.
fn surest(map: &HeadMap, limit: usize) -> Result<Vec<Decoded>> {
    let settings = map.settings();
    let mut best: Vec<Decoded> = Vec::new();
    let score = |one: &Decoded| if settings.least_z.is_some() { one.z } else { one.probability() };
    for group in map.units()? {
        let group = group?;
        let special = |one: &Decoded| settings.is_special(one.probability(), one.z);
        best.extend(group.into_iter().filter(special));
        // Units come in order, and the sort keeps it among equals.
        best.sort_by(|a, b| score(b).total_cmp(&score(a)));
        best.truncate(limit);
    }
    Ok(best)
}

/// Prints a decoded map.
pub(super) fn map(
    map: &HeadMap,
    found: &Coverage,
    limit: usize,
    weights: &dyn ResidualWeights,
    context: &Context<'_>,
) -> Result<()> {
    let (detail, best) = (&map.manifest().detail, surest(map, limit)?);
    if context.printer.is_json() {
        return document(map, found, &best, weights, context);
    }
    coverage_table(found, context);
    if !best.is_empty() {
        context.printer.text("");
        unit_table(&best, weights, context);
    }
    let rule = match map.settings().least_z {
        Some(z) => format!("z ≥ {z}"),
        None => format!("probability ≥ {}", map.settings().threshold),
    };
    context.printer.note(&format!(
        "{} of {} vectors are specialised ({rule}) · {} tokens took part",
        detail.special, detail.rows, detail.tokens
    ));
    let common: Vec<String> = found
        .common
        .iter()
        .take(5)
        .map(|token| {
            format!(
                "{} {} (longer than {:.0} % of tokens)",
                text(weights, token.token),
                percent(token.share),
                token.length_percentile * 100.0
            )
        })
        .collect();
    context.printer.note(&format!("most common first tokens: {}", common.join(" · ")));
    if !found.classes.is_empty() {
        let classes: Vec<String> = found
            .classes
            .iter()
            .map(|(class, count)| format!("{} {count}", class.name()))
            .collect();
        context.printer.note(&format!("neurons: {}", classes.join(" · ")));
    }
    for warning in &detail.warnings {
        context.printer.note(&format!("warning: {warning}"));
    }
    Ok(())
}

/// A share as percent.
fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// All of it as JSON.
fn document(
    map: &HeadMap,
    found: &Coverage,
    best: &[Decoded],
    weights: &dyn ResidualWeights,
    context: &Context<'_>,
) -> Result<()> {
    let detail = &map.manifest().detail;
    let tokenizer = weights.tokenizer().ok();
    let word = |token: u32| tokenizer.and_then(|t| t.token(token)).unwrap_or_default();
    let mut special = Vec::new();
    for one in best {
        let mut value = serde_json::to_value(one)
            .map_err(|error| nissl_core::Error::setting("unit", error, "JSON"))?;
        value["texts"] = one.tokens.iter().map(|&(token, _)| word(token)).collect();
        special.push(value);
    }
    context.printer.json(&serde_json::json!({
        "network": detail.network,
        "rows": detail.rows,
        "special": detail.special,
        "coverage": found,
        "units": special,
        "warnings": detail.warnings,
    }))
}

/// How many units of each layer and part are specialised.
fn coverage_table(found: &Coverage, context: &Context<'_>) {
    let signs = found.layers.iter().any(|layer| layer.sign == Sign::Minus);
    let rows: Vec<Vec<String>> = found
        .layers
        .iter()
        .map(|layer| {
            let mut row = vec![
                layer.layer.to_string(),
                layer.part.name().to_owned(),
                layer.units.to_string(),
                layer.special.to_string(),
                percent(layer.shares[0]),
                percent(layer.shares[1]),
                percent(layer.shares[2]),
                layer.distinct.to_string(),
            ];
            if signs {
                row.insert(2, layer.sign.symbol().to_owned());
            }
            row
        })
        .collect();
    let mut headers = vec![
        ">layer",
        "part",
        ">units",
        ">specialised",
        ">p ≥ 0.1",
        ">p ≥ 0.5",
        ">p ≥ 0.9",
        ">first tokens",
    ];
    if signs {
        headers.insert(2, "sign");
    }
    context.printer.table(&headers, &rows);
}

/// Units with their tokens.
fn unit_table(best: &[Decoded], weights: &dyn ResidualWeights, context: &Context<'_>) {
    let rows: Vec<Vec<String>> = best
        .iter()
        .map(|one| {
            let words: Vec<String> =
                one.tokens.iter().take(SHOWN).map(|&(token, _)| text(weights, token)).collect();
            vec![
                one.layer.to_string(),
                format!("{}{}", one.part.name(), if one.sign == Sign::Minus { " −" } else { "" }),
                one.unit.to_string(),
                format!("{:.3}", one.probability()),
                format!("{:.1}", one.z),
                one.class.map_or_else(String::new, |class| class.name().to_owned()),
                words.join(" "),
            ]
        })
        .collect();
    let headers = [">layer", "part", ">unit", ">probability", ">z", "class", "tokens"];
    context.printer.table(&headers, &rows);
}
