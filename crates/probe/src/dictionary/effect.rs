//! What the network says otherwise when features are ablated, scaled or steered.

use nissl_core::network::LanguageNetwork;
use nissl_core::stats::information::log_softmax;
use nissl_core::taps::Taps;
use nissl_core::{Progress, Result};
use serde::{Deserialize, Serialize};

use super::pass::{Loss, Text};
use super::replacement::Replacement;
use crate::likelihood::{logits, values};

/// The effect of changes of features on a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Tokens whose prediction counts.
    pub tokens: usize,
    /// Mean loss with the dictionaries in place and no feature changed, in nats.
    pub before: f64,
    /// Mean loss with the features changed.
    pub after: f64,
    /// The tokens whose mean log-probability rose most, most first.
    pub raised: Vec<TokenChange>,
    /// The tokens whose mean log-probability fell most, most first.
    pub lowered: Vec<TokenChange>,
}

/// How much likelier a token became as the next one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenChange {
    /// The token.
    pub token: u32,
    /// The mean change of its log-probability over the text, in nats.
    pub change: f64,
}

/// Runs `text` `[sequence][token]` with `replacements` as they are, and with their `edits` left out, and
/// tells the difference; `most` tokens of each side are named.
///
/// # Errors
/// Replacements that do not fit, or a text of single tokens.
pub fn effect(
    network: &dyn LanguageNetwork,
    replacements: &[Replacement<'_>],
    text: &[Vec<u32>],
    first: usize,
    most: usize,
    progress: &Progress,
) -> Result<Effect> {
    let text = Text::new(network, text, first)?;
    let changed: Vec<Replacement<'_>> = replacements
        .iter()
        .map(|one| Replacement { positions: text.positions(), ..one.clone() })
        .collect();
    let plain: Vec<Replacement<'_>> =
        changed.iter().map(|one| Replacement { edits: Vec::new(), ..one.clone() }).collect();
    let mut losses = [Loss::default(); 2];
    let mut sums = vec![0.0; network.vocabulary()];
    let mut places = 0usize;
    let stage = progress.stage("effect", text.rows.len() as u64, "sequences");
    for batch in text.rows.chunks(text.at_once) {
        progress.check(|| format!("{places} tokens; nothing was written"))?;
        for (side, (set, sign)) in [(&plain, -1.0), (&changed, 1.0)].into_iter().enumerate() {
            let mut taps = Taps::none();
            for one in set {
                taps = one.tap(taps)?;
            }
            let tokens = nissl_core::network::TokenBatch::new(batch)?;
            let logits = logits(network, &tokens, &mut taps)?;
            drop(taps);
            let [_, positions, vocabulary] = logits.dims();
            let logits = values(logits)?;
            for place in text.places(batch) {
                let log = log_softmax(&logits[place * vocabulary..(place + 1) * vocabulary]);
                for (sum, value) in sums.iter_mut().zip(&log) {
                    *sum += sign * value;
                }
                let (row, position) = (place / positions, place % positions);
                if let Some(&next) = batch[row].get(position + 1) {
                    losses[side].sum -= log[next as usize];
                    losses[side].tokens += 1;
                }
                places += side;
            }
        }
        stage.advance(batch.len() as u64);
    }
    let mut changes: Vec<TokenChange> = sums
        .iter()
        .enumerate()
        .map(|(token, sum)| TokenChange { token: token as u32, change: sum / places.max(1) as f64 })
        .collect();
    changes.sort_by(|a, b| b.change.total_cmp(&a.change));
    let raised = changes.iter().filter(|one| one.change > 0.0).take(most).copied().collect();
    let lowered = changes.iter().rev().filter(|one| one.change < 0.0).take(most).copied().collect();
    Ok(Effect {
        tokens: losses[0].tokens,
        before: losses[0].mean(),
        after: losses[1].mean(),
        raised,
        lowered,
    })
}
