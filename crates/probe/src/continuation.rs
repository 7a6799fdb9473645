//! Several continuations of one prompt at a time, each with its own stream of random numbers.

use nissl_core::Result;
use nissl_core::network::{KeyValueCache, LanguageNetwork, Sampling, TokenBatch};
use nissl_core::seed::rng;
use nissl_core::taps::Taps;
use rand::RngExt;

use crate::likelihood::values;

/// `count` continuations of `prompt`: `[sample][token]`; taps work at every step.
///
/// Sample `n` draws from stream `n` of the seed, so that the same seed with other taps differs only
/// by what the taps change.
///
/// # Errors
/// A sampling setting outside its range, or a run that the network refuses.
pub fn continue_prompt(
    network: &dyn LanguageNetwork,
    prompt: &[u32],
    count: usize,
    sampling: &Sampling,
    taps: &mut Taps<'_>,
) -> Result<Vec<Vec<u32>>> {
    sampling.validate()?;
    let mut streams: Vec<_> = (0..count).map(|n| rng(sampling.seed, n as u64)).collect();
    let mut texts = vec![Vec::with_capacity(sampling.tokens); count];
    let mut ended = vec![false; count];
    let mut cache = KeyValueCache::default();
    let room = network.context().saturating_sub(prompt.len());
    let mut next: Vec<Vec<u32>> = vec![prompt.to_vec(); count];
    for _ in 0..sampling.tokens.min(room) {
        let rows: Vec<&[u32]> = next.iter().map(Vec::as_slice).collect();
        let logits = network.forward_cached(&TokenBatch::new(&rows)?, &mut cache, taps)?;
        let [batch, positions, tokens] = logits.dims();
        let last = values(logits.slice([0..batch, positions - 1..positions, 0..tokens]))?;
        for (n, row) in last.chunks(tokens).enumerate() {
            let token = sampling.draw(row, streams[n].random());
            ended[n] |= sampling.stop == Some(token);
            if !ended[n] {
                texts[n].push(token);
            }
            next[n] = vec![token];
        }
        if ended.iter().all(|&ended| ended) {
            break;
        }
    }
    Ok(texts)
}
