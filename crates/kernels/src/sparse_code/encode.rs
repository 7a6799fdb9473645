//! Codes from samples: products a tile at a time, of which only candidates stay.

use rayon::prelude::*;

use super::{
    Select, SparseCode,
    columns::Columns,
    engine::{Engine, FEATURES, PANEL},
    rough::Bounds,
    select::{Kept, Panel, Rule},
};
use crate::simd::sparse;

/// Numbers of samples that stay in the second cache.
const ROWS_AT_ONCE: usize = 3 << 17;

/// The code of each row of `x` `[row, unit]` over an `encoder` `[feature, unit]` with a `bias`
/// `[feature]`.
///
/// # Panics
///
/// When `units` is zero, `x` or `encoder` do not consist of whole rows, or the bias or thresholds are not
/// one for each feature.
pub fn encode(
    x: &[f32],
    encoder: &[f32],
    bias: Option<&[f32]>,
    units: usize,
    select: Select<'_>,
) -> SparseCode {
    assert!(units > 0, "samples of at least one unit");
    encode_on(Engine::fitting(x, units, select), x, encoder, bias, units, select)
}

/// As [`encode`], with an engine that was chosen.
pub(super) fn encode_on(
    mut engine: Engine,
    x: &[f32],
    encoder: &[f32],
    bias: Option<&[f32]>,
    units: usize,
    select: Select<'_>,
) -> SparseCode {
    let (rows, features) = (x.len() / units, encoder.len() / units);
    assert_eq!(x.len(), rows * units, "whole samples of {units} units");
    assert_eq!(encoder.len(), features * units, "whole rows of an encoder of {units} units");
    assert!(u32::try_from(features).is_ok(), "feature numbers within 32 bits");
    assert!(
        bias.is_none_or(|bias| bias.len() == features),
        "a bias for each of {features} features"
    );
    let rule = match select {
        Select::TopK(k) if engine.is_rough() => {
            Rule::Likely { k: k.min(features), bounds: Bounds::new(x, encoder, units) }
        }
        _ => Rule::new(select, features, rows),
    };
    let mut kept: Vec<Kept> = (0..rows).map(|_| Kept::new(&rule)).collect();
    let mut least = vec![rule.least(); rows];
    let task = engine.task(rows);
    for (number, part) in encoder.chunks(FEATURES * units).enumerate() {
        engine.load(part, units);
        let panels: Vec<Panel> = (0..part.len() / units)
            .step_by(PANEL)
            .map(|place| rule.panel(number * FEATURES + place, features, bias))
            .collect();
        let engine = &engine;
        kept.par_chunks_mut(task).zip(least.par_chunks_mut(task)).enumerate().for_each_init(
            Vec::new,
            |scratch, (place, (kept, least))| {
                let range = place * task..place * task + kept.len();
                engine.products(x, part, units, range.clone(), scratch, |products| {
                    let first = products.first - range.start;
                    let rows = first..first + products.rows;
                    let (kept, least) = (&mut kept[rows.clone()], &mut least[rows]);
                    panels[products.feature / PANEL].take(&rule, products, kept, least);
                });
            },
        );
        rule.settle(&mut kept, &mut least);
    }
    rule.finish(&mut kept);
    if let Rule::Likely { k, .. } = rule {
        let block = (ROWS_AT_ONCE / units).max(32);
        kept.par_chunks_mut(block).zip(x.par_chunks(block * units)).for_each(|(kept, x)| {
            let candidates = joined(features, kept.to_vec());
            let values = exact(&candidates, x, encoder, bias, units);
            let mut rest = values.as_slice();
            for row in kept {
                let (own, after) = rest.split_at(row.values.len());
                row.settle(k, own);
                rest = after;
            }
        });
    }
    joined(features, kept)
}

/// The pre-activations `[entry]` of the entries of a code of `x` `[row, unit]` over an `encoder`
/// `[feature, unit]` with a `bias` `[feature]`, summed in single precision whatever found them.
///
/// # Panics
///
/// When the code is not one of so many rows over so many features, or the bias is not one for each feature.
pub fn values(
    code: &SparseCode,
    x: &[f32],
    encoder: &[f32],
    bias: Option<&[f32]>,
    units: usize,
) -> Vec<f32> {
    code.check();
    assert!(units > 0, "samples of at least one unit");
    assert_eq!(x.len(), code.rows() * units, "{} samples of {units} units", code.rows());
    assert_eq!(encoder.len(), code.features * units, "a row of {units} for each feature");
    assert!(bias.is_none_or(|bias| bias.len() == code.features), "a bias for each feature");
    let block = (ROWS_AT_ONCE / units).max(32);
    let firsts: Vec<usize> = (0..code.rows()).step_by(block).collect();
    let parts: Vec<Vec<f32>> = firsts
        .into_par_iter()
        .map(|first| {
            let last = (first + block).min(code.rows());
            let entries = code.starts[first]..code.starts[last];
            let part = SparseCode {
                features: code.features,
                starts: code.starts[first..=last].iter().map(|at| at - entries.start).collect(),
                indices: code.indices[entries.clone()].to_vec(),
                values: code.values[entries].to_vec(),
            };
            exact(&part, &x[first * units..last * units], encoder, bias, units)
        })
        .collect();
    parts.concat()
}

/// The pre-activations of candidates of some rows of `x`, row after row.
fn exact(
    candidates: &SparseCode,
    x: &[f32],
    encoder: &[f32],
    bias: Option<&[f32]>,
    units: usize,
) -> Vec<f32> {
    // Feature after feature: the rows stay in the second cache, and the encoder is read once, in order.
    let columns = Columns::of(candidates);
    let mut found = vec![0.0; candidates.values.len()];
    for (feature, own) in encoder.chunks(units).enumerate() {
        let places = columns.starts[feature]..columns.starts[feature + 1];
        if places.is_empty() {
            continue;
        }
        let found = &mut found[places.clone()];
        sparse::dots(x, &columns.rows[places], own, found);
        if let Some(bias) = bias {
            for value in found {
                *value += bias[feature];
            }
        }
    }
    columns.scatter(&found)
}

/// The code that rows make.
fn joined(features: usize, kept: Vec<Kept>) -> SparseCode {
    let total = kept.iter().map(|row| row.values.len()).sum();
    let mut code = SparseCode {
        features,
        starts: Vec::with_capacity(kept.len() + 1),
        indices: Vec::with_capacity(total),
        values: Vec::with_capacity(total),
    };
    code.starts.push(0);
    for row in kept {
        code.indices.extend(row.indices);
        code.values.extend(row.values);
        code.starts.push(code.values.len());
    }
    code
}
