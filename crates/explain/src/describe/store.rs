//! Descriptions in `explanations.parquet`, methods `input` and `output`.

use nissl_core::features::{Annotation, Features};
use nissl_core::{Column, Result, Table};

use super::{Description, NO_LINK, Side, Sign};

/// Writes descriptions; those of the same features and sides are replaced, all others are kept.
///
/// # Errors
/// Explanations on disk with other columns, or a failed file operation.
pub fn write(features: &Features, descriptions: &[Description]) -> Result<()> {
    fn column<T>(rows: &[Description], of: impl Fn(&Description) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    let created = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let rows = descriptions;
    let text = |row: &Description| row.text.clone().unwrap_or_else(|| NO_LINK.to_owned());
    let mut table = Table::new()
        .with("feature", Column::U32(column(rows, |row| row.feature)))
        .with("method", Column::Text(column(rows, |row| row.side.method().to_owned())))
        .with("text", Column::Text(column(rows, text)))
        .with("sign", Column::Text(column(rows, |row| row.sign.symbol().to_owned())))
        .with("source", Column::Text(column(rows, |row| row.source.clone())))
        .with("created", Column::Text(vec![created; rows.len()]))
        .with("score", Column::F32(column(rows, |row| row.score as f32)));
    for figure in ["precision", "lift"] {
        table = table.with(figure, Column::F32(vec![f32::NAN; rows.len()]));
    }
    if let Some(before) = features.annotation(Annotation::Explanations)? {
        let (numbers, methods) = (before.u32s("feature")?, before.texts("method")?);
        let replaced: std::collections::BTreeSet<(u32, &str)> =
            rows.iter().map(|row| (row.feature, row.side.method())).collect();
        let others: Vec<usize> = (0..methods.len())
            .filter(|&row| !replaced.contains(&(numbers[row], methods[row].as_str())))
            .collect();
        let mut merged = before.take(&others);
        merged.append(table)?;
        table = merged;
    }
    features.set_annotation(Annotation::Explanations, &table)
}

/// The descriptions that were written, by feature, the input side first.
///
/// # Errors
/// Explanations without the columns of the format.
pub fn read(features: &Features) -> Result<Vec<Description>> {
    let Some(table) = features.annotation(Annotation::Explanations)? else { return Ok(Vec::new()) };
    let (numbers, methods) = (table.u32s("feature")?, table.texts("method")?);
    let (texts, signs) = (table.texts("text")?, table.texts("sign")?);
    let sources = table.texts("source")?;
    let scores = table.f32s("score").ok();
    let mut found = Vec::new();
    for row in 0..table.rows() {
        let side = match methods[row].as_str() {
            "input" => Side::Input,
            "output" => Side::Output,
            _ => continue,
        };
        let text = &texts[row];
        found.push(Description {
            feature: numbers[row],
            side,
            sign: if signs[row] == "-" { Sign::Minus } else { Sign::Plus },
            text: (text != NO_LINK).then(|| text.clone()),
            source: sources[row].clone(),
            score: scores.map_or(f64::NAN, |scores| f64::from(scores[row])),
        });
    }
    found.sort_by_key(|one| (one.feature, one.side, one.sign));
    Ok(found)
}
