//! Logits and losses of a network's runs, on the host.

use burn::tensor::Tensor;
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::stats::information::log_sum_exp;
use nissl_core::taps::Taps;
use nissl_core::{Error, Result};
use rayon::prelude::*;

/// The logits `[sequence, position, token]` of a run.
pub(crate) fn logits(
    network: &dyn LanguageNetwork,
    batch: &TokenBatch,
    taps: &mut Taps<'_>,
) -> Result<Tensor<3>> {
    network
        .forward(batch, taps)?
        .ok_or_else(|| Error::setting("network", network.id(), "a network that predicts tokens"))
}

/// The values of a tensor, in order.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor
        .into_data()
        .convert::<f32>()
        .try_to_vec()
        .map_err(|error| Error::setting("tensor", format!("{error:?}"), "f32 values"))
}

/// The loss of each position that has a next token, in nats: `[sequence][position]`, one shorter
/// than each sequence.
pub(crate) fn losses(
    network: &dyn LanguageNetwork,
    sequences: &[&[u32]],
    taps: &mut Taps<'_>,
) -> Result<Vec<Vec<f64>>> {
    let batch = TokenBatch::new(sequences)?;
    let logits = logits(network, &batch, taps)?;
    let [_, positions, tokens] = logits.dims();
    let logits = values(logits)?;
    Ok(sequences
        .par_iter()
        .enumerate()
        .map(|(sequence, words)| {
            (1..words.len())
                .map(|next| {
                    let start = (sequence * positions + next - 1) * tokens;
                    let row = &logits[start..start + tokens];
                    log_sum_exp(row) - f64::from(row[words[next] as usize])
                })
                .collect()
        })
        .collect())
}

/// Sequences whose logits fit into 256 MiB, at least one.
pub(crate) fn sequences_at_once(network: &dyn LanguageNetwork, longest: usize) -> usize {
    ((64 << 20) / (longest.max(1) * network.vocabulary().max(1))).clamp(1, 32)
}
