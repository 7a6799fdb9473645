//! Names for features by rule, without a language model.
//!
//! A pattern (which tokens, what form of token, what stands before) is drawn from every other one of
//! a feature's strong examples and judged on the rest: with coverage `c` there and chance `b` over
//! all samples its score is `(c − b) / (1 − b)`. A pattern is believed when that is at least one half
//! and so many hits by chance have a probability below 10⁻⁴ (binomial). A feature without one is
//! named by the tokens it pushes when these stand out, and else said to show no pattern.
//!
//! Memory: the counts of distinct tokens.

mod background;
mod pattern;

use nissl_core::features::{Annotation, Features};
use nissl_core::{Column, Result, Table};

pub use self::background::{Background, plain};
pub use self::pattern::{Form, Pattern};
use crate::examples::Example;
use crate::logit_lens::{Effects, Pushed};

/// Score from which a pattern is believed.
const BELIEVED: f64 = 0.5;
/// Probability of as many hits by chance below which a pattern is believed.
const CHANCE: f64 = 1e-4;
/// How much better a less simple pattern must be.
const SIMPLER: f64 = 0.05;
/// Tokens named of a push.
const PUSHED: usize = 6;

/// What a feature is called.
#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    /// In words, for people.
    pub text: String,
    /// The pattern of its examples, when it shows one.
    pub pattern: Option<Pattern>,
    /// How far the pattern covers, beyond chance, examples that it was not drawn from: 0 (none) to 1.
    pub score: f64,
    /// The share of all active samples (as drawn) that show the pattern; NaN without one.
    pub precision: f64,
    /// How many times as often as by chance the strong examples show it; NaN without one.
    pub lift: f64,
}

/// What a feature pushes, and how tokens are shown.
#[derive(Clone, Copy)]
pub struct Pushes<'a> {
    /// Both signs.
    pub effects: &'a Effects,
    /// The number of tokens of the network.
    pub vocabulary: usize,
    /// The text of a token.
    pub token: &'a dyn Fn(u32) -> String,
}

impl Pushes<'_> {
    /// The tokens that stand out, in words.
    fn text(&self) -> Option<String> {
        let Effects { plus, minus } = self.effects;
        let tokens = |pushed| pushed_text(pushed, self.token);
        if plus.stands_out(self.vocabulary) {
            Some(format!("pushes {}", tokens(plus)))
        } else if minus.stands_out(self.vocabulary) {
            Some(format!("holds back {}", tokens(minus)))
        } else {
            None
        }
    }
}

/// Names a feature from its examples and what it pushes.
pub fn name(examples: &[Example], pushes: Option<Pushes<'_>>, background: &Background) -> Name {
    // The draw from the strongest part widens the view beyond the very peak.
    let mut strong: Vec<&Example> = examples.iter().filter(|e| e.quantile <= 1).collect();
    strong.sort_by_key(|example| (example.quantile, example.rank));
    let mut seen = std::collections::BTreeSet::new();
    strong.retain(|example| seen.insert(example.sample));
    let drawn_from: Vec<&Example> = strong.iter().step_by(2).copied().collect();
    let judged_on: Vec<&Example> = strong.iter().skip(1).step_by(2).copied().collect();
    let mut best: Option<(Pattern, f64, f64)> = None;
    for pattern in Pattern::candidates(&drawn_from) {
        let chance = pattern.chance(background);
        let hits = judged_on.iter().filter(|example| pattern.matches(example)).count();
        let coverage = hits as f64 / judged_on.len().max(1) as f64;
        let score = ((coverage - chance) / (1.0 - chance)).max(0.0);
        let believed = score >= BELIEVED && tail(judged_on.len(), hits, chance) < CHANCE;
        if believed && best.as_ref().is_none_or(|(_, before, _)| score > before + SIMPLER) {
            best = Some((pattern, score, coverage / chance));
        }
    }
    if let Some((pattern, score, lift)) = best {
        // The score stays that of the narrower list, which was judged.
        let pattern = pattern.widened(&strong);
        let active: Vec<&Example> = examples.iter().filter(|e| e.quantile >= 1).collect();
        let hits = active.iter().filter(|example| pattern.matches(example)).count();
        let precision = hits as f64 / active.len() as f64;
        return Name { text: pattern.text(), pattern: Some(pattern), score, precision, lift };
    }
    let text = match pushes.and_then(|pushes| pushes.text()) {
        _ if examples.is_empty() => "never active".to_owned(),
        Some(text) => format!("no pattern in its examples; {text}"),
        None => "no pattern found".to_owned(),
    };
    Name { text, pattern: None, score: 0.0, precision: f64::NAN, lift: f64::NAN }
}

/// The probability of `hits` or more of `trials` at `chance` each.
pub(crate) fn tail(trials: usize, hits: usize, chance: f64) -> f64 {
    if chance <= 0.0 {
        return if hits == 0 { 1.0 } else { 0.0 };
    }
    let mut term = (1.0 - chance).powi(trials as i32);
    let mut below = 0.0;
    for k in 0..hits {
        below += term;
        term *= (trials - k) as f64 / (k + 1) as f64 * chance / (1.0 - chance);
    }
    (1.0 - below).max(0.0)
}

/// The tokens of a push, for people.
pub fn pushed_text(pushed: &Pushed, text: &dyn Fn(u32) -> String) -> String {
    let shown = pushed.tokens.iter().take(PUSHED).map(|&(id, _)| text(id).trim().to_owned());
    shown.collect::<Vec<_>>().join(", ")
}

/// Writes `explanations.parquet`: by `examples`, and by `logit-lens` for either sign; with the
/// columns of the format, `score`, `precision` and `lift`. Explanations of other methods are kept.
///
/// # Errors
/// Explanations on disk with other columns, or a failed file operation.
pub fn write(
    features: &Features,
    names: &[Name],
    effects: Option<&[Effects]>,
    token: &dyn Fn(u32) -> String,
) -> Result<()> {
    fn column<T>(rows: &[Row], of: impl Fn(&Row) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    let mut rows: Vec<Row> = Vec::new();
    for (feature, name) in (0..).zip(names) {
        rows.push(Row {
            feature,
            method: EXAMPLES,
            text: name.text.clone(),
            sign: "+",
            figures: [name.score, name.precision, name.lift],
        });
        if let Some(effects) = effects.and_then(|effects| effects.get(feature as usize)) {
            for (sign, pushed) in [("+", &effects.plus), ("-", &effects.minus)] {
                if !pushed.tokens.is_empty() {
                    rows.push(Row {
                        feature,
                        method: LENS,
                        text: pushed_text(pushed, token),
                        sign,
                        figures: [f64::NAN; 3],
                    });
                }
            }
        }
    }
    let created = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut table = Table::new()
        .with("feature", Column::U32(column(&rows, |row| row.feature)))
        .with("method", Column::Text(column(&rows, |row| row.method.to_owned())))
        .with("text", Column::Text(column(&rows, |row| row.text.clone())))
        .with("sign", Column::Text(column(&rows, |row| row.sign.to_owned())))
        .with("source", Column::Text(vec!["nissl, by rule".to_owned(); rows.len()]))
        .with("created", Column::Text(vec![created; rows.len()]));
    for (place, figure) in ["score", "precision", "lift"].into_iter().enumerate() {
        table = table.with(figure, Column::F32(column(&rows, |row| row.figures[place] as f32)));
    }
    if let Some(before) = features.annotation(Annotation::Explanations)? {
        let methods = before.texts("method")?;
        let others: Vec<usize> = (0..methods.len())
            .filter(|&row| ![EXAMPLES, LENS].contains(&methods[row].as_str()))
            .collect();
        let mut merged = before.take(&others);
        merged.append(table)?;
        table = merged;
    }
    features.set_annotation(Annotation::Explanations, &table)
}

struct Row {
    feature: u32,
    method: &'static str,
    text: String,
    sign: &'static str,
    figures: [f64; 3],
}

const EXAMPLES: &str = "examples";
const LENS: &str = "logit-lens";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binomial_tail_has_its_closed_form() {
        assert!((tail(3, 2, 0.5) - 0.5).abs() < 1e-12);
        assert!((tail(10, 10, 0.1) - 1e-10).abs() < 1e-12);
        assert!((tail(10, 1, 0.1) - (1.0 - 0.9f64.powi(10))).abs() < 1e-12);
        assert!((tail(5, 0, 0.0) - 1.0).abs() < 1e-12);
        assert!(tail(5, 1, 0.0).abs() < 1e-12);
    }
}
