//! All that is known of one feature, gathered from the tables beside it for a person to read.
//!
//! Memory: one row group of each table, and the feature's own rows.

use ndarray::ArrayView1;
use nissl_core::features::{Annotation, Features};
use nissl_core::{Column, Error, Result, Table};
use serde::Serialize;

use crate::composition;

/// What is known of one feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Shown {
    /// Its number.
    pub feature: usize,
    /// Its label, of methods that are given labels; else empty.
    pub label: String,
    /// The share of samples on which it is active, 0 to 1.
    pub density: f32,
    /// Its mean activation over all samples.
    pub mean: f32,
    /// Its largest activation.
    pub max: f32,
    /// Whether it is never active.
    pub dead: bool,
    /// What it is called, by its inputs and by its outputs.
    pub explanations: Vec<Explanation>,
    /// Samples that switch it on, the strongest first, then draws from its range.
    pub contexts: Vec<Context>,
    /// Tokens it pushes the next token towards, strongest first.
    pub towards: Vec<Push>,
    /// Tokens it pushes the next token away from, strongest first.
    pub away: Vec<Push>,
    /// The sites whose units it reads.
    pub reads: Vec<String>,
    /// The sites whose units it writes; of most features the same.
    pub writes: Vec<String>,
    /// Its strongest units; of a transcoder those that it reads.
    pub units: Vec<Unit>,
    /// How many units it has in all; of a transcoder those that it reads.
    pub units_in_all: usize,
    /// The strongest units that a transcoder's feature writes; empty for others.
    pub written_units: Vec<Unit>,
    /// How many units a transcoder's feature writes in all.
    pub written_units_in_all: usize,
    /// How well it does.
    pub scores: Vec<Score>,
    /// Tables that nobody has made yet.
    pub missing: Vec<Missing>,
}

/// A description in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// How it was found, such as `examples` or `logit-lens`.
    pub method: String,
    /// The sign of the feature it is about: `+` or `-`.
    pub sign: String,
    /// The words.
    pub text: String,
    /// How far it covers what it was not drawn from; NaN where that was not measured.
    pub score: f32,
}

/// A sample that switches the feature on, in its text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Context {
    /// 0 for the strongest samples; 1, 2, … for draws from the parts of its range.
    pub quantile: u32,
    /// The sample's number in the recording.
    pub sample: u64,
    /// The feature's coefficient there.
    pub coefficient: f32,
    /// The tokens around it, with the blanks between them.
    pub tokens: Vec<String>,
    /// The feature's coefficient at each of them.
    pub coefficients: Vec<f32>,
    /// The place of the sample among them.
    pub focus: usize,
}

/// A token and the logit that the feature gives it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Push {
    /// The token.
    pub token: String,
    /// Its logit.
    pub logit: f32,
}

/// A unit of the feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unit {
    /// Its site and its index there.
    pub name: String,
    /// Its signed weight.
    pub weight: f32,
    /// Its share of the squared length of the direction, 0 to 1.
    pub share: f32,
}

/// A score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// What was measured.
    pub scorer: String,
    /// The figure.
    pub score: f64,
    /// The lower end of its 95 % interval; NaN where there is none.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The figure of chance or of the control; NaN where there is none.
    pub baseline: f64,
}

/// A table that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// What it would tell.
    pub what: &'static str,
    /// The command that makes it.
    pub command: String,
}

impl Context {
    /// The text around the sample, with its token between the marks.
    pub fn marked(&self, before: &str, after: &str) -> String {
        let mut text = String::new();
        for (place, token) in self.tokens.iter().enumerate() {
            if place == self.focus {
                let word = token.trim_start();
                text += &token[..token.len() - word.len()];
                text += before;
                text += word;
                text += after;
            } else {
                text += token;
            }
        }
        text.replace(['\n', '\r', '\t'], " ")
    }
}

impl Shown {
    /// Gathers what is known of feature `feature`.
    ///
    /// # Errors
    /// No such feature, or a table that is damaged or lacks a column.
    pub fn of(features: &Features, feature: usize) -> Result<Self> {
        if feature >= features.features() {
            let expected = format!("0 to {}", features.features() - 1);
            return Err(Error::setting("feature", feature, expected));
        }
        let table = features.table();
        let label = match table.get("label") {
            Some(Column::Text(labels)) => labels[feature].clone(),
            _ => String::new(),
        };
        let mut shown = Self {
            feature,
            label,
            density: table.f32s("density")?[feature],
            mean: table.f32s("mean")?[feature],
            max: table.f32s("max")?[feature],
            dead: table.bools("dead")?[feature],
            reads: site_names(features.unit_table())?,
            writes: site_names(features.output_unit_table())?,
            ..Self::default()
        };
        let folder = features.path().display();
        let all = format!("nissl explain all {folder}");
        let rows = |which: Annotation| rows_of(features, which, feature);
        let mut missing = |what, command: &str| {
            shown.missing.push(Missing { what, command: command.to_owned() });
        };
        let explanations = rows(Annotation::Explanations)?;
        let examples = rows(Annotation::Examples)?;
        let effects = rows(Annotation::Effects)?;
        let scores = rows(Annotation::Scores)?;
        if explanations.is_none() {
            missing("explanations", &all);
        }
        if examples.is_none() {
            missing("token contexts", &all);
        }
        if effects.is_none() {
            missing("output tokens", &format!("{all} --model MODEL"));
        }
        if scores.is_none() {
            missing("scores", &format!("nissl probe truth {folder}"));
        }
        shown.explanations = explanations.map(explained).transpose()?.unwrap_or_default();
        shown.contexts = examples.map(contexts).transpose()?.unwrap_or_default();
        if let Some(effects) = effects {
            (shown.towards, shown.away) = (pushes(&effects, "+")?, pushes(&effects, "-")?);
        }
        shown.scores = scores.map(scored).transpose()?.unwrap_or_default();
        for (side, directions, table) in composition::sides(features) {
            let direction = directions.row(feature);
            let all = direction.iter().filter(|weight| **weight != 0.0).count();
            let units = strongest(direction, table)?;
            if side == composition::UnitSide::Written {
                (shown.written_units, shown.written_units_in_all) = (units, all);
            } else {
                (shown.units, shown.units_in_all) = (units, all);
            }
        }
        Ok(shown)
    }

    /// What it is called: its label, or the first explanation of its inputs, or nothing.
    pub fn name(&self) -> &str {
        let inputs = self.explanations.iter().find(|it| it.method != "logit-lens");
        let text = inputs.or(self.explanations.first()).map_or("", |it| it.text.as_str());
        if self.label.is_empty() { text } else { &self.label }
    }
}

/// Units listed of a feature.
const UNITS: usize = 20;

/// The sites of a table of units, each once, in their order.
///
/// # Errors
/// A table without `site`.
pub fn site_names(table: &Table) -> Result<Vec<String>> {
    let mut sites = table.texts("site")?.to_vec();
    sites.dedup();
    Ok(sites)
}

/// The strongest units of a direction `[unit]` over the units of `table`.
fn strongest(direction: ArrayView1<'_, f32>, table: &Table) -> Result<Vec<Unit>> {
    let (sites, indices) = (table.texts("site")?, table.u32s("index")?);
    let unit = |part: composition::Part| Unit {
        name: format!("{}:{}", sites[part.unit], indices[part.unit]),
        weight: part.weight,
        share: part.share,
    };
    Ok(composition::composition(direction, UNITS).into_iter().map(unit).collect())
}

/// What each feature is called `[feature]`: its label, or the first explanation of its inputs; empty
/// where nobody has named it.
///
/// # Errors
/// Tables that are damaged.
pub fn names(features: &Features) -> Result<Vec<String>> {
    if let Some(Column::Text(labels)) = features.table().get("label") {
        return Ok(labels.clone());
    }
    let mut names = vec![String::new(); features.features()];
    if let Some(table) = features.annotation(Annotation::Explanations)? {
        let texts = table.texts("text")?.iter().zip(table.texts("method")?);
        for (&feature, (text, method)) in table.u32s("feature")?.iter().zip(texts) {
            let name = &mut names[feature as usize];
            if name.is_empty() && method != "logit-lens" {
                name.clone_from(text);
            }
        }
    }
    Ok(names)
}

/// The rows of one feature, when the table is there.
fn rows_of(features: &Features, which: Annotation, feature: usize) -> Result<Option<Table>> {
    let path = features.path().join(format!("{}.parquet", which.name()));
    if !path.exists() {
        return Ok(None);
    }
    let mut own = Table::new();
    for group in Table::read_groups(&path, None)? {
        let group = group?;
        let numbers = group.u32s("feature")?;
        let rows: Vec<usize> =
            (0..numbers.len()).filter(|&row| numbers[row] as usize == feature).collect();
        if !rows.is_empty() || own.names().next().is_none() {
            own.append(group.take(&rows))?;
        }
    }
    Ok(Some(own))
}

fn explained(table: Table) -> Result<Vec<Explanation>> {
    if table.rows() == 0 {
        return Ok(Vec::new());
    }
    let (methods, texts, signs) =
        (table.texts("method")?, table.texts("text")?, table.texts("sign")?);
    let scores = table.f32s("score").unwrap_or_default();
    let explanation = |row: usize| Explanation {
        method: methods[row].clone(),
        sign: signs[row].clone(),
        text: texts[row].clone(),
        score: scores.get(row).copied().unwrap_or(f32::NAN),
    };
    Ok((0..table.rows()).map(explanation).collect())
}

fn contexts(table: Table) -> Result<Vec<Context>> {
    if table.rows() == 0 {
        return Ok(Vec::new());
    }
    let (quantiles, focuses) = (table.u32s("quantile")?, table.u32s("focus")?);
    let (samples, activation) = (table.u64s("sample")?, table.f32s("activation")?);
    let (tokens, activations) = (table.text_lists("tokens")?, table.number_lists("activations")?);
    let context = |row: usize| Context {
        quantile: quantiles[row],
        sample: samples[row],
        coefficient: activation[row],
        tokens: spaced(&tokens[row]),
        coefficients: activations[row].clone(),
        focus: focuses[row] as usize,
    };
    Ok((0..table.rows()).map(context).collect())
}

fn pushes(table: &Table, sign: &str) -> Result<Vec<Push>> {
    if table.rows() == 0 {
        return Ok(Vec::new());
    }
    let (kinds, signs) = (table.texts("kind")?, table.texts("sign")?);
    let (tokens, values) = (table.texts("token")?, table.f32s("value")?);
    let own = (0..table.rows()).filter(|&row| kinds[row] == "direct" && signs[row] == sign);
    Ok(own.map(|row| Push { token: tokens[row].clone(), logit: values[row] }).collect())
}

fn scored(table: Table) -> Result<Vec<Score>> {
    if table.rows() == 0 {
        return Ok(Vec::new());
    }
    let scorers = table.texts("scorer")?;
    let column = |name: &str| table.f64s(name);
    let (score, low, high, baseline) =
        (column("score")?, column("low")?, column("high")?, column("baseline")?);
    let one = |row: usize| Score {
        scorer: scorers[row].clone(),
        score: score[row],
        low: low[row],
        high: high[row],
        baseline: baseline[row],
    };
    Ok((0..table.rows()).map(one).collect())
}

/// Tokens with the blanks between them, for tokenizers that keep none.
pub fn spaced(tokens: &[String]) -> Vec<String> {
    let keeps_blanks = tokens.iter().any(|token| token.starts_with(' '));
    let mut open = true;
    tokens
        .iter()
        .map(|token| {
            let closing = token.chars().all(|c| ".,;:!?\"'".contains(c));
            let text = if keeps_blanks || open || closing || token.starts_with("##") {
                token.trim_start_matches("##").to_owned()
            } else {
                format!(" {token}")
            };
            open = false;
            text
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split('|').map(str::to_owned).collect()
    }

    #[test]
    fn words_stand_apart_and_stops_do_not() {
        assert_eq!(spaced(&words("the|dog|.|she")).concat(), "the dog. she");
        assert_eq!(spaced(&words("The| dog|gy")).concat(), "The doggy");
        assert_eq!(spaced(&words("un|##do|it")).concat(), "undo it");
    }

    #[test]
    fn the_token_of_a_context_is_marked_without_its_blank() {
        let context = Context {
            quantile: 0,
            sample: 3,
            coefficient: 1.5,
            tokens: words("The| dog|\nran"),
            coefficients: vec![0.0, 1.5, 0.0],
            focus: 1,
        };
        assert_eq!(context.marked("«", "»"), "The «dog» ran");
    }
}
