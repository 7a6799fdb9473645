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
            let token = draw(row, sampling, streams[n].random());
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

/// The token at `uniform` in [0, 1) of the distribution after temperature, `top_k` and `top_p`.
fn draw(logits: &[f32], sampling: &Sampling, uniform: f64) -> u32 {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let descending = |a: &u32, b: &u32| {
        logits[*b as usize].total_cmp(&logits[*a as usize]).then_with(|| a.cmp(b))
    };
    let kept = match sampling.top_k {
        0 => order.len(),
        top_k => top_k.min(order.len()),
    };
    if kept < order.len() {
        order.select_nth_unstable_by(kept, descending);
        order.truncate(kept);
    }
    order.sort_unstable_by(descending);
    if sampling.temperature == 0.0 {
        return order[0];
    }
    let temperature = f64::from(sampling.temperature);
    let top = f64::from(logits[order[0] as usize]);
    let mut weights: Vec<f64> = order
        .iter()
        .map(|&token| ((f64::from(logits[token as usize]) - top) / temperature).exp())
        .collect();
    let total: f64 = weights.iter().sum();
    let mut held = 0.0;
    let nucleus = weights
        .iter()
        .position(|weight| {
            held += weight / total;
            held >= f64::from(sampling.top_p)
        })
        .map_or(weights.len(), |last| last + 1);
    weights.truncate(nucleus);
    let mut left = uniform * weights.iter().sum::<f64>();
    for (token, weight) in order.iter().zip(&weights) {
        left -= weight;
        if left < 0.0 {
            return *token;
        }
    }
    order[nucleus - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(sampling: &Sampling) -> Vec<usize> {
        // Probabilities ½, ¼, ⅛, ⅛.
        let logits = [0.125_f32.ln(), 0.5_f32.ln(), 0.25_f32.ln(), 0.125_f32.ln()];
        let mut counts = vec![0; 4];
        for n in 0..800 {
            counts[draw(&logits, sampling, (f64::from(n) + 0.5) / 800.0) as usize] += 1;
        }
        counts
    }

    #[test]
    fn shares_follow_the_distribution_and_its_cuts() {
        let plain = Sampling::default();
        assert_eq!(shares(&plain), [100, 400, 200, 100]);
        assert_eq!(shares(&Sampling { top_k: 1, ..plain.clone() }), [0, 800, 0, 0]);
        let two = shares(&Sampling { top_k: 2, ..plain.clone() });
        assert_eq!((two[0], two[3]), (0, 0));
        assert!(two[1].abs_diff(533) <= 1, "{two:?}");
        // ½ + ¼ reaches 0.7, so the rest is cut.
        assert_eq!(shares(&Sampling { top_p: 0.7, ..plain.clone() })[0], 0);
        assert_eq!(shares(&Sampling { top_p: 0.3, ..plain.clone() }), [0, 800, 0, 0]);
        assert_eq!(shares(&Sampling { temperature: 0.0, ..plain }), [0, 800, 0, 0]);
    }
}
