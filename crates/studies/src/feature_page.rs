//! A page about some features: what they are called, their token contexts with coefficients, the
//! tokens they push, and what they are made of.

use nissl_core::features::Features;
use nissl_explain::shown::{Context, Push, Shown};

use crate::report::{
    self, Cell, FeatureCard, FeatureCards, Report, Section, Table, TokenActivity, TokenEffect,
    UnitWeight,
};

/// Tokens and units drawn on a card.
const DRAWN: usize = 8;
/// Examples drawn on a card.
const EXAMPLES: usize = 6;

/// The page about `shown` features of `features`.
pub fn page(features: &Features, shown: &[Shown]) -> Report {
    let title = match shown {
        [one] => format!("Feature {}", one.feature),
        several => format!("{} features", several.len()),
    };
    let lede = format!(
        "Of the {} features that `{}` found in {} units over {} samples.",
        features.features(),
        features.method(),
        features.units(),
        features.samples()
    );
    shown.iter().fold(Report::new(title, lede), |report, one| {
        let title = match one.name() {
            "" => format!("Feature {}", one.feature),
            name => format!("Feature {}: {name}", one.feature),
        };
        let card = FeatureCards { caption: String::new(), cards: vec![card(one)] };
        let section = Section::new(title).with(card).with(descriptions(one)).with(contexts(one));
        let section = section.with(scores(one));
        report.with_section(one.missing.iter().fold(section, |section, missing| {
            section.says(format!("No {} yet: `{}` makes them.", missing.what, missing.command))
        }))
    })
}

fn card(shown: &Shown) -> FeatureCard {
    let effects = |pushes: &[Push], sign: f32| -> Vec<TokenEffect> {
        let shown = pushes.iter().take(DRAWN);
        shown.map(|it| TokenEffect { text: it.token.clone(), effect: sign * it.logit }).collect()
    };
    let unit = |unit: &nissl_explain::shown::Unit| UnitWeight {
        unit: unit.name.clone(),
        weight: unit.weight,
    };
    // A transcoder's feature has two sides.
    let of_read = if shown.written_units.is_empty() { DRAWN } else { DRAWN / 2 };
    let read = shown.units.iter().take(of_read);
    FeatureCard {
        feature: shown.feature,
        name: shown.name().to_owned(),
        density: Some(f64::from(shown.density)),
        examples: shown.contexts.iter().take(EXAMPLES).map(example).collect(),
        up: effects(&shown.towards, 1.0),
        down: effects(&shown.away, -1.0),
        units: read.chain(shown.written_units.iter().take(DRAWN / 2)).map(unit).collect(),
        units_in_all: shown.units_in_all + shown.written_units_in_all,
        ..FeatureCard::default()
    }
}

fn example(context: &Context) -> report::Example {
    let tokens = context.tokens.iter().zip(&context.coefficients);
    report::Example {
        from: drawn(context.quantile),
        tokens: tokens
            .map(|(text, &activity)| TokenActivity { text: text.clone(), activity })
            .collect(),
    }
}

/// How a sample was chosen.
fn drawn(quantile: u32) -> String {
    if quantile == 0 { "top".to_owned() } else { format!("part {quantile}") }
}

fn descriptions(shown: &Shown) -> Table {
    let table = Table::new("What it is called", ["sign", "by", "description", "score"]);
    shown.explanations.iter().fold(table, |table, it| {
        let score = if it.score.is_nan() { Cell::Empty } else { Cell::Number(f64::from(it.score)) };
        let text = |text: &str| Cell::Text(text.to_owned());
        table.with_row([text(&it.sign), text(&it.method), text(&it.text), score])
    })
}

fn contexts(shown: &Shown) -> Table {
    let table = Table::new("Its tokens in context", ["from", "coefficient", "token", "context"]);
    shown.contexts.iter().fold(table, |table, it| {
        let token = it.tokens.get(it.focus).map_or("", |token| token.trim());
        table.with_row([
            Cell::Text(drawn(it.quantile)),
            Cell::Number(f64::from(it.coefficient)),
            Cell::Token(token.to_owned()),
            Cell::Text(it.marked("«", "»")),
        ])
    })
}

fn scores(shown: &Shown) -> Table {
    let table = Table::new("How well it does", ["score", "figure", "low", "high", "baseline"]);
    shown.scores.iter().fold(table, |table, it| {
        let number = |value: f64| if value.is_nan() { Cell::Empty } else { Cell::Number(value) };
        table.with_row([
            Cell::Text(it.scorer.clone()),
            number(it.score),
            number(it.low),
            number(it.high),
            number(it.baseline),
        ])
    })
}
