//! Codes from samples: products a tile at a time, of which only candidates stay.

use rayon::prelude::*;

use super::{
    Select, SparseCode,
    engine::{Engine, FEATURES, PANEL},
    select::{Kept, Panel, Rule},
};

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
    encode_on(Engine::fitting(x, units), x, encoder, bias, units, select)
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
    let rule = Rule::new(select, features, rows);
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
                engine.products(x, part, units, range, scratch, |products| {
                    let rows = products.row..products.row + products.rows;
                    let (kept, least) = (&mut kept[rows.clone()], &mut least[rows]);
                    panels[products.feature / PANEL].take(&rule, products, kept, least);
                });
            },
        );
        rule.settle(&mut kept, &mut least);
    }
    rule.finish(&mut kept);
    let mut starts = Vec::with_capacity(rows + 1);
    starts.push(0);
    let mut total = 0;
    for row in &kept {
        total += row.values.len();
        starts.push(total);
    }
    let mut code = SparseCode {
        features,
        starts,
        indices: Vec::with_capacity(total),
        values: Vec::with_capacity(total),
    };
    for row in kept.drain(..) {
        code.indices.extend(row.indices);
        code.values.extend(row.values);
    }
    code
}
