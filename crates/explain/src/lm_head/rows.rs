//! Decoded units as rows of a table, and back.

use nissl_core::network::Part;
use nissl_core::{Column, Error, Result, Table};

use super::{Class, Decoded, LmHead, Sign};

/// A row for each of `decoded`; `text` shows a token.
pub(super) fn to_table(
    decoded: &[Decoded],
    settings: &LmHead,
    text: &dyn Fn(u32) -> String,
) -> Table {
    fn column<T>(decoded: &[Decoded], of: impl Fn(&Decoded) -> T) -> Vec<T> {
        decoded.iter().map(of).collect()
    }
    let numbers = |of: &dyn Fn(&Decoded) -> f32| Column::F32(column(decoded, of));
    let lists = |of: &dyn Fn(&(u32, f32)) -> f32| {
        Column::Numbers(column(decoded, |one| one.tokens.iter().map(of).collect()))
    };
    let words = |one: &Decoded| one.tokens.iter().map(|&(token, _)| text(token)).collect();
    let class = |one: &Decoded| one.class.map_or_else(String::new, |class| class.name().to_owned());
    Table::new()
        .with("layer", Column::U32(column(decoded, |one| one.layer)))
        .with("part", Column::Text(column(decoded, |one| one.part.name().to_owned())))
        .with("unit", Column::U32(column(decoded, |one| one.unit)))
        .with("sign", Column::Text(column(decoded, |one| one.sign.symbol().to_owned())))
        .with("tokens", Column::Texts(column(decoded, words)))
        .with("token_ids", lists(&|&(token, _)| token as f32))
        .with("logits", lists(&|&(_, logit)| logit))
        .with("probabilities", Column::Numbers(column(decoded, |one| one.probabilities.clone())))
        .with("probability", numbers(&Decoded::probability))
        .with("probability_low", numbers(&|one| one.bounds.0))
        .with("probability_high", numbers(&|one| one.bounds.1))
        .with("log_sum_exp", Column::F64(column(decoded, |one| one.log_sum_exp)))
        .with("entropy", numbers(&|one| one.entropy))
        .with("z", numbers(&|one| one.z))
        .with("margin", numbers(&|one| one.margin))
        .with("kurtosis", numbers(&|one| one.kurtosis))
        .with("cosine", numbers(&|one| one.cosine))
        .with("percentile", numbers(&|one| one.percentile))
        .with("length", numbers(&|one| one.length))
        .with("length_percentile", numbers(&|one| one.length_percentile))
        .with(
            "special",
            Column::Bool(column(decoded, |one| settings.is_special(one.probability(), one.z))),
        )
        .with("class", Column::Text(column(decoded, class)))
        .with("overlap", numbers(&|one| one.overlap))
}

/// The units of a table's rows.
///
/// # Errors
/// A column that is missing, or a value that no unit has.
pub(super) fn from_table(table: &Table) -> Result<Vec<Decoded>> {
    let (layers, units) = (table.u32s("layer")?, table.u32s("unit")?);
    let (parts, signs, classes) =
        (table.texts("part")?, table.texts("sign")?, table.texts("class")?);
    let (ids, logits) = (table.number_lists("token_ids")?, table.number_lists("logits")?);
    let probabilities = table.number_lists("probabilities")?;
    let log_sum_exp = table.f64s("log_sum_exp")?;
    let names = [
        "probability_low",
        "probability_high",
        "entropy",
        "z",
        "margin",
        "kurtosis",
        "cosine",
        "percentile",
        "length",
        "length_percentile",
        "overlap",
    ];
    let mut figures = Vec::with_capacity(names.len());
    for name in names {
        figures.push(table.f32s(name)?);
    }
    (0..table.rows())
        .map(|row| {
            let sign = match signs[row].as_str() {
                "+" => Sign::Plus,
                "-" => Sign::Minus,
                other => return Err(Error::setting("sign", other, "+ or -")),
            };
            let figure = |at: usize| figures[at][row];
            Ok(Decoded {
                layer: layers[row],
                part: part(&parts[row])?,
                unit: units[row],
                sign,
                tokens: ids[row].iter().zip(&logits[row]).map(|(&id, &l)| (id as u32, l)).collect(),
                probabilities: probabilities[row].clone(),
                bounds: (figure(0), figure(1)),
                log_sum_exp: log_sum_exp[row],
                entropy: figure(2),
                z: figure(3),
                margin: figure(4),
                kurtosis: figure(5),
                cosine: figure(6),
                percentile: figure(7),
                length: figure(8),
                length_percentile: figure(9),
                class: Class::parse(&classes[row]),
                overlap: figure(10),
            })
        })
        .collect()
}

fn part(name: &str) -> Result<Part> {
    let value = serde_json::Value::from(name);
    serde_json::from_value(value).map_err(|error| Error::setting("part", name, error.to_string()))
}
