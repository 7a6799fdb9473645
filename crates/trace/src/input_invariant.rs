//! Connections that hold on every input, from weights alone, and how well they tell those on real inputs.
//!
//! For a direction `v` of the residual stream, such as what a feature reads: the pullback `W_dec v` says
//! which earlier features would drive it, the de-embedding `W_E v` which tokens; through a head both read
//! `W_V W_O v`. `‖W_V W_O v‖` says which heads could. Importance on inputs is the mean over tokens where
//! the feature is high of `z_i (w_dec,i · v)`.
//!
//! Source: Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944, §4.1 and appendix.
//! Differs: `v` is what a feature reads with the gain and the centring of its norm; the denominator, which
//! depends on the input, is left out. Left out: biases.
//! Memory: the pullback of one layer; a block of the vocabulary; for importance, the active features at
//! each token where the feature is active.

use ndarray::{Array1, Array2, ArrayView1};
use nissl_core::features::product;
use nissl_core::network::{Half, TokenTable};
use nissl_core::{Error, Progress, Result};
use serde::Serialize;

use crate::frozen::{FrozenRun, Reads, Wiring};

/// Tokens read from the vocabulary at once.
const BLOCK: usize = 4096;

/// The direction of the residual stream that a feature reads `[residual]`, its norm's denominator left
/// out.
///
/// # Errors
/// A layer without a dictionary, or a feature that it has not.
pub fn read_direction(wiring: &Wiring<'_>, layer: usize, feature: usize) -> Result<Array1<f64>> {
    let (row, _) = wiring.reading(layer, feature)?;
    Ok(match wiring.replaced(layer).map(|one| one.reads) {
        Some(Reads::Stream) => row,
        _ => wiring.layer(layer).norm(Half::Mlp).back(row, 1.0),
    })
}

/// The direction by which a head would move `v` `[residual]`: `W_V W_O v` before the head's norm.
///
/// # Errors
/// A layer or head that is not there.
pub fn through_head(
    wiring: &Wiring<'_>,
    layer: usize,
    head: usize,
    v: ArrayView1<'_, f64>,
) -> Result<Array1<f64>> {
    let read = wiring.through_head(layer, head, v)?;
    Ok(wiring.layer(layer).norm(Half::Attention).back(read, 1.0))
}

/// `W_dec v` `[feature]`: how much each feature of a layer would move `v` when it is 1.
///
/// # Errors
/// A layer without a dictionary.
pub fn pullback(wiring: &Wiring<'_>, layer: usize, v: ArrayView1<'_, f64>) -> Result<Vec<f64>> {
    // The lookup tells a layer without a dictionary.
    wiring.reading(layer, 0)?;
    let Some(dictionary) = wiring.dictionary(layer) else { return Ok(Vec::new()) };
    let v = v.mapv(|value| value as f32);
    let column = v.view().insert_axis(ndarray::Axis(1));
    Ok(product(dictionary.written(), column).iter().map(|&value| f64::from(value)).collect())
}

/// `‖W_V W_O v‖` of every head before the MLP of a layer, `[layer, head]`.
///
/// # Errors
/// When the user wants to stop.
pub fn head_norms(
    wiring: &Wiring<'_>,
    layer: usize,
    v: ArrayView1<'_, f64>,
    progress: &Progress,
) -> Result<Array2<f64>> {
    let heads = wiring.form().heads.heads;
    let layers = (layer + usize::from(!wiring.form().parallel)).min(wiring.layers());
    let mut norms = Array2::zeros((layers, heads));
    for ((layer, head), norm) in norms.indexed_iter_mut() {
        progress.check(|| format!("{layer} of {layers} layers"))?;
        let moved = through_head(wiring, layer, head, v)?;
        *norm = moved.dot(&moved).sqrt();
    }
    Ok(norms)
}

/// What each token of a table gives along `v` `[token]`: with the embedding its de-embedding, with the
/// head the logits that `v` raises, final norm left out.
///
/// # Errors
/// A file that cannot be read, or when the user wants to stop.
pub fn along_tokens(
    wiring: &Wiring<'_>,
    table: TokenTable,
    v: ArrayView1<'_, f64>,
    progress: &Progress,
) -> Result<Vec<f64>> {
    let weights = wiring.weights();
    let (vocabulary, width) = (weights.vocabulary(), wiring.width());
    let scale = if table == TokenTable::Embed { wiring.embedding_scale } else { 1.0 };
    let v = v.mapv(|value| (value * scale) as f32);
    let column = v.view().insert_axis(ndarray::Axis(1));
    let mut found = Vec::with_capacity(vocabulary);
    let mut rows = Array2::zeros((BLOCK.min(vocabulary), width));
    for from in (0..vocabulary).step_by(BLOCK) {
        progress.check(|| format!("{from} of {vocabulary} tokens"))?;
        let count = BLOCK.min(vocabulary - from);
        let mut block = rows.slice_mut(ndarray::s![..count, ..]);
        if let Some(block) = block.as_slice_mut() {
            weights.read_tokens(table, from..from + count, block)?;
        }
        found.extend(product(block.view(), column).iter().map(|&value| f64::from(value)));
    }
    Ok(found)
}

/// The logits `[token]` that a feature raises: what it writes, with the gain and centring of the final norm
/// but not its denominator, along the head.
///
/// # Errors
/// As [`read_direction`] and [`along_tokens`].
pub fn logit_effects(
    wiring: &Wiring<'_>,
    layer: usize,
    feature: usize,
    progress: &Progress,
) -> Result<Vec<f64>> {
    let written = wiring.writing(layer, feature)?;
    let seen = wiring.final_norm.gained(wiring.final_norm.unit(written.view(), 1.0));
    along_tokens(wiring, TokenTable::Head, seen.view(), progress)
}

/// The `k` largest of some values with their places, the largest first; of equal ones the first.
pub fn largest(values: &[f64], k: usize) -> Vec<(usize, f64)> {
    let mut order: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    order.truncate(k);
    order
}

/// The share of the `k` largest of `a` that are among the `k` largest of `b`, 0 to 1.
///
/// # Errors
/// Other lengths, or a `k` of 0 or beyond them.
pub fn overlap_at(a: &[f64], b: &[f64], k: usize) -> Result<f64> {
    if a.len() != b.len() {
        return Err(Error::setting("importance", b.len(), format!("{} values", a.len())));
    }
    if k == 0 || k > a.len() {
        return Err(Error::setting("k", k, format!("1 to {}", a.len())));
    }
    let other: std::collections::BTreeSet<usize> =
        largest(b, k).into_iter().map(|(place, _)| place).collect();
    let both = largest(a, k).into_iter().filter(|(place, _)| other.contains(place)).count();
    Ok(both as f64 / k as f64)
}

/// The mean importance of a layer's features for one later feature, over real inputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Importance {
    /// The layer of the sources.
    pub from: usize,
    /// The layer of the feature.
    pub layer: usize,
    /// The feature.
    pub feature: u32,
    /// By token where the feature is active: its activation, and what each active source gives.
    seen: Vec<(f32, Vec<(u32, f64)>)>,
}

impl Importance {
    /// Nothing seen yet.
    ///
    /// # Errors
    /// A source layer that does not come before the feature's.
    pub fn new(from: usize, layer: usize, feature: u32) -> Result<Self> {
        if from >= layer {
            return Err(Error::setting("from", from, format!("a layer below {layer}")));
        }
        Ok(Self { from, layer, feature, seen: Vec::new() })
    }

    /// Adds a prompt's tokens, without its first.
    ///
    /// # Errors
    /// A layer without a dictionary, or a feature that it has not.
    pub fn add(&mut self, run: &FrozenRun<'_>) -> Result<()> {
        run.wiring().reading(self.from, 0)?;
        for position in 1..run.tokens().len() {
            let activation = run.activation(self.layer, position, self.feature);
            if activation > 0.0 {
                let target = run.feature(self.layer, position, self.feature as usize)?;
                let mut found = run.contributions(std::slice::from_ref(&target));
                let terms = found.swap_remove(0).features.swap_remove(self.from);
                self.seen.push((activation, terms));
            }
        }
        Ok(())
    }

    /// How many tokens made the feature active.
    pub fn tokens(&self) -> usize {
        self.seen.len()
    }

    /// The mean importance `[feature]` of the `features` sources over the tokens where the feature is above
    /// the quantile `above` of its activations, 0 to 1 (the paper's 0.2).
    ///
    /// # Errors
    /// A quantile outside its range, or a feature that was never active.
    pub fn mean(&self, features: usize, above: f64) -> Result<Vec<f64>> {
        if !(0.0..1.0).contains(&above) {
            return Err(Error::setting("quantile", above, "0 to below 1"));
        }
        let mut activations: Vec<f32> =
            self.seen.iter().map(|(activation, _)| *activation).collect();
        activations.sort_by(f32::total_cmp);
        let Some(&least) = activations.get((above * activations.len() as f64) as usize) else {
            let what = format!("the tokens with feature {} of layer {}", self.feature, self.layer);
            let expected = "at least one on which it is active".to_owned();
            return Err(Error::Empty { what, expected });
        };
        let mut sums = vec![0.0; features];
        let chosen = self.seen.iter().filter(|(activation, _)| *activation >= least);
        let mut count = 0.0;
        for (_, terms) in chosen {
            count += 1.0;
            for &(feature, term) in terms {
                if let Some(sum) = sums.get_mut(feature as usize) {
                    *sum += term;
                }
            }
        }
        Ok(sums.into_iter().map(|sum| sum / count).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_counts_what_both_rank_high() {
        let (a, b) = ([4.0, 3.0, 2.0, 1.0], [4.0, 1.0, 3.0, 2.0]);
        for (k, truth) in [(1, 1.0), (2, 0.5), (3, 2.0 / 3.0), (4, 1.0)] {
            assert!((overlap_at(&a, &b, k).expect("fits") - truth).abs() < 1e-12);
        }
        assert!(overlap_at(&a, &b, 0).is_err() && overlap_at(&a, &b[..3], 1).is_err());
        assert!(overlap_at(&a, &b, 5).is_err());
    }

    #[test]
    fn importance_is_a_mean_over_high_activations() {
        let mut importance = Importance::new(0, 1, 3).expect("below");
        importance.seen = vec![
            (0.1, vec![(0, 100.0)]),
            (1.0, vec![(0, 2.0), (1, 1.0)]),
            (2.0, vec![(0, 4.0)]),
            (3.0, vec![(2, 8.0)]),
            (4.0, vec![(0, 2.0)]),
        ];
        // The 20th percentile of five is the second: the lowest is left out.
        let mean = importance.mean(3, 0.2).expect("active");
        for (found, truth) in mean.iter().zip([2.0, 0.25, 2.0]) {
            assert!((found - truth).abs() < 1e-12, "{mean:?}");
        }
        assert!(importance.mean(3, 1.0).is_err() && Importance::new(1, 1, 0).is_err());
        assert!(Importance::new(0, 1, 0).expect("below").mean(3, 0.2).is_err());
    }
}
