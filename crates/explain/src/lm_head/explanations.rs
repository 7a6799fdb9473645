//! Explanations of features by the tokens they write and read.

use nissl_core::features::{Annotation, Features};
use nissl_core::{Column, Result, Table};

use super::{Decoded, Families, LmHead};

/// The name of this method in `explanations.parquet`.
pub const FAMILY_METHOD: &str = "lm_head";

/// Families named of a feature.
const NAMED: usize = 3;
/// Share of the first family's probability from which another is named beside it.
const BESIDE: f32 = 0.25;

/// Writes a row of `explanations.parquet` for each decoded sign and part of `features`: the words of
/// a specialised vector, with the probability of the first as its score. Explanations of other
/// methods are kept.
///
/// # Errors
/// Explanations on disk with other columns, or a failed file operation.
pub fn explain(
    features: &Features,
    decoded: &[Decoded],
    families: &Families<'_>,
    settings: &LmHead,
) -> Result<()> {
    let rows = decoded.len();
    let (mut text, mut score) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    for one in decoded {
        let merged = families.merged(&one.tokens, &one.probabilities);
        let first = merged.first().map_or(0.0, |(_, probability)| *probability);
        let verb = if one.part.reads() { "reads" } else { "writes" };
        text.push(if settings.is_special(one.probability(), one.z) {
            let words: Vec<&str> = merged
                .iter()
                .take(NAMED)
                .filter(|(_, probability)| *probability >= BESIDE * first)
                .map(|(word, _)| word.as_str())
                .collect();
            format!("{verb} {}", words.join(", "))
        } else {
            format!("{verb} no token clearly")
        });
        score.push(first);
    }
    let created = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut table = Table::new()
        .with("feature", Column::U32(decoded.iter().map(|one| one.unit).collect()))
        .with("method", Column::Text(vec![FAMILY_METHOD.to_owned(); rows]))
        .with("text", Column::Text(text))
        .with("sign", Column::Text(decoded.iter().map(|o| o.sign.symbol().to_owned()).collect()))
        .with("source", Column::Text(vec!["nissl, from the head".to_owned(); rows]))
        .with("created", Column::Text(vec![created; rows]))
        .with("score", Column::F32(score))
        .with("precision", Column::F32(vec![f32::NAN; rows]))
        .with("lift", Column::F32(vec![f32::NAN; rows]));
    if let Some(before) = features.annotation(Annotation::Explanations)? {
        let methods = before.texts("method")?;
        let others: Vec<usize> =
            (0..methods.len()).filter(|&row| methods[row] != FAMILY_METHOD).collect();
        let mut merged = before.take(&others);
        merged.append(table)?;
        table = merged;
    }
    features.set_annotation(Annotation::Explanations, &table)
}
