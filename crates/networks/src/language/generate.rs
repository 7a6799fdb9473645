//! Continues a text token by token, each drawn from the network's distribution.
//!
//! Drawn as [`Sampling`] says, with ChaCha8 on the host.

use burn::tensor::Tensor;
use nissl_core::network::{Generated, KeyValueCache, LanguageNetwork, Sampling, TokenBatch};
use nissl_core::taps::Taps;
use nissl_core::{Error, Result, seed};
use rand::{Rng, RngExt};

/// Continues `prompt`; taps work at every step.
///
/// # Errors
/// A setting outside its range, an empty prompt, or more tokens than the context holds.
pub fn generate(
    network: &dyn LanguageNetwork,
    prompt: &[u32],
    sampling: &Sampling,
    taps: &mut Taps<'_>,
) -> Result<Generated> {
    generate_until(network, prompt, sampling, sampling.stop.as_slice(), taps)
}

/// Continues `prompt` until one of `stops` is drawn, in the place of the setting's own.
pub(crate) fn generate_until(
    network: &dyn LanguageNetwork,
    prompt: &[u32],
    sampling: &Sampling,
    stops: &[u32],
    taps: &mut Taps<'_>,
) -> Result<Generated> {
    sampling.validate()?;
    let wanted = prompt.len() + sampling.tokens;
    // The last token is drawn but not read.
    if wanted > network.context() + 1 {
        return Err(Error::setting(
            "tokens",
            sampling.tokens,
            format!(
                "at most {} after a prompt of {} in a context of {}",
                (network.context() + 1).saturating_sub(prompt.len()),
                prompt.len(),
                network.context()
            ),
        ));
    }
    let mut rng = seed::rng(sampling.seed, 0);
    let mut cache = KeyValueCache::default();
    let mut next = prompt.to_vec();
    let mut generated = Generated { tokens: Vec::new(), log_probabilities: Vec::new() };
    while generated.tokens.len() < sampling.tokens {
        let batch = TokenBatch::new(&[&next])?;
        let logits = network.forward_cached(&batch, &mut cache, taps)?;
        let (token, log_probability) = draw(&last_row(logits)?, sampling, &mut rng)?;
        generated.tokens.push(token);
        generated.log_probabilities.push(log_probability);
        if stops.contains(&token) {
            break;
        }
        next = vec![token];
    }
    Ok(generated)
}

/// The logits `[token]` of the last position of `[1, position, token]`.
fn last_row(logits: Tensor<3>) -> Result<Vec<f32>> {
    let [_, positions, _] = logits.dims();
    let data = logits.narrow(1, positions - 1, 1).into_data();
    data.try_to_vec().map_err(|error| Error::setting("logits", format!("{error:?}"), "f32"))
}

/// A token and its log-probability at temperature 1.
fn draw(logits: &[f32], sampling: &Sampling, rng: &mut impl Rng) -> Result<(u32, f32)> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !largest.is_finite() || logits.iter().any(|logit| logit.is_nan()) {
        return Err(Error::Diverged {
            what: "the logits".to_owned(),
            found: f64::from(largest),
            step: 0,
            help: Some("a smaller intervention may keep the network finite".to_owned()),
        });
    }
    let total: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    let log_probability = |token: usize| (f64::from(logits[token] - largest) - total.ln()) as f32;

    let token = sampling.draw(logits, rng.random());
    Ok((token, log_probability(token as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(sampling: &Sampling) -> [usize; 4] {
        let logits = [0.4f32, 0.3, 0.2, 0.1].map(f32::ln);
        let mut rng = seed::rng(7, 0);
        let mut counts = [0; 4];
        for _ in 0..4000 {
            let (token, log_probability) = draw(&logits, sampling, &mut rng).expect("finite");
            counts[token as usize] += 1;
            assert!((log_probability - logits[token as usize]).abs() < 1e-5);
        }
        counts
    }

    #[test]
    fn tokens_come_as_often_as_their_probability_says() {
        let plain = counts(&Sampling::default());
        for (count, expected) in plain.iter().zip([1600, 1200, 800, 400]) {
            assert!(count.abs_diff(expected) < 120, "{plain:?}");
        }
        let cold = counts(&Sampling { temperature: 0.5, ..Sampling::default() });
        // Squares: 16, 9, 4, 1 of 30.
        assert!(cold[0].abs_diff(2133) < 120 && cold[3].abs_diff(133) < 60, "{cold:?}");
    }

    #[test]
    fn cuts_leave_the_rest_undrawn() {
        let two = counts(&Sampling { top_k: 2, ..Sampling::default() });
        assert!(two[2] == 0 && two[3] == 0 && two[0].abs_diff(2286) < 120, "{two:?}");
        let nucleus = counts(&Sampling { top_p: 0.5, ..Sampling::default() });
        assert!(nucleus[1] > 0 && nucleus[2] == 0, "{nucleus:?}");
        let greedy = counts(&Sampling { temperature: 0.0, ..Sampling::default() });
        assert_eq!(greedy[0], 4000);
    }

    #[test]
    fn logits_that_are_no_numbers_are_told() {
        let mut rng = seed::rng(0, 0);
        assert!(draw(&[0.0, f32::NAN], &Sampling::default(), &mut rng).is_err());
    }
}
