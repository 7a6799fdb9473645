//! N-gram models: how well a text can be predicted from the last few tokens alone.
//!
//! `p(w | c) = max(a(c w) − D, 0) / a(c ·) + γ(c) p(w | c′)`, where `c′` is `c` without its oldest
//! token, `a` counts occurrences at the highest order and distinct predecessors below it, `D` is one
//! of three discounts by `a` being 1, 2 or more, and `γ(c)` makes the sum one. Below one token stands
//! the even distribution.
//!
//! Source: Chen & Goodman 1999, "An empirical study of smoothing techniques for language modeling",
//! §3 (interpolated, modified Kneser–Ney). Differs: the text is one stream, without padding before
//! its first token. Memory: 40 bytes for each distinct n-gram of each order.

use nissl_core::{Error, Result};

/// Bits of a token in a packed n-gram; five fit into 128.
const BITS: usize = 25;
/// The highest order.
const MOST: usize = 5;

/// A smoothed n-gram model.
#[derive(Clone, Debug)]
pub struct NGram {
    /// `orders[n]` predicts from `n` tokens.
    orders: Vec<Order>,
    vocabulary: usize,
}

/// The n-grams of one order.
#[derive(Clone, Debug)]
struct Order {
    /// N-grams, oldest token first, sorted, with their counts `a`.
    grams: Vec<(u128, u32)>,
    /// Their first `n − 1` tokens, sorted.
    contexts: Vec<Context>,
    /// For counts of 1, 2, and more.
    discounts: [f64; 3],
}

#[derive(Clone, Copy, Debug)]
struct Context {
    tokens: u128,
    /// `a(c ·)`.
    total: f64,
    /// What the discounts take away, for the lower order.
    freed: f64,
}

impl NGram {
    /// Counts `tokens`, all below `vocabulary`; `order` is 5 for a model that sees four tokens back.
    ///
    /// # Errors
    /// An order outside 1 to 5, fewer tokens than the order, or a token outside the vocabulary.
    pub fn fit(tokens: &[u32], order: usize, vocabulary: usize) -> Result<Self> {
        if !(1..=MOST).contains(&order) {
            return Err(Error::setting("order", order, format!("1 to {MOST}")));
        }
        if tokens.len() < order || vocabulary == 0 || vocabulary >= 1 << BITS {
            let found = format!("{} tokens, vocabulary {vocabulary}", tokens.len());
            return Err(Error::setting(
                "tokens",
                found,
                format!("at least {order}, of a vocabulary below 2²⁵"),
            ));
        }
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(Error::setting("token", token, format!("below {vocabulary}")));
        }
        let mut grams = count(tokens.windows(order).map(pack).collect());
        let mut orders = Vec::with_capacity(order);
        for length in (1..=order).rev() {
            // An n-gram one shorter counts once for each distinct token before it.
            let tails: Vec<u128> = grams.iter().map(|(gram, _)| gram & mask(length - 1)).collect();
            orders.push(Order::new(grams));
            grams = if length > 1 { count(tails) } else { Vec::new() };
        }
        orders.reverse();
        Ok(Self { orders, vocabulary })
    }

    /// The probability of `token` after `context`, of which the last `order − 1` tokens count.
    pub fn probability(&self, context: &[u32], token: u32) -> f64 {
        let mut probability = 1.0 / self.vocabulary as f64;
        for (length, order) in self.orders.iter().enumerate() {
            if length > context.len() {
                break;
            }
            let seen = pack(&context[context.len() - length..]);
            let Some(context) = order.context(seen) else { break };
            let count = order.count(seen << BITS | u128::from(token));
            let kept = f64::from(count) - order.discount(count);
            probability = (kept + context.freed * probability) / context.total;
        }
        probability
    }

    /// Mean `−ln p` of every token but the first, in nats.
    ///
    /// # Errors
    /// Fewer than two tokens.
    pub fn loss(&self, tokens: &[u32]) -> Result<f64> {
        mean(tokens, |context, token| self.probability(context, token))
    }
}

/// Mean loss in nats of `held_out` under the frequencies of `tokens` with one added to each count.
///
/// # Errors
/// Fewer than two tokens, or a token outside the vocabulary.
pub fn unigram_loss(tokens: &[u32], held_out: &[u32], vocabulary: usize) -> Result<f64> {
    let mut counts = vec![1.0f64; vocabulary];
    for token in tokens {
        let count = counts
            .get_mut(*token as usize)
            .ok_or_else(|| Error::setting("token", token, format!("below {vocabulary}")))?;
        *count += 1.0;
    }
    let total: f64 = counts.iter().sum();
    mean(held_out, |_, token| counts.get(token as usize).map_or(0.0, |count| count / total))
}

fn mean(tokens: &[u32], probability: impl Fn(&[u32], u32) -> f64) -> Result<f64> {
    if tokens.len() < 2 {
        return Err(Error::Empty {
            what: "the held-out text".to_owned(),
            expected: "two tokens or more".to_owned(),
        });
    }
    let losses = (1..tokens.len())
        .map(|at| -probability(&tokens[at.saturating_sub(MOST)..at], tokens[at]).ln());
    Ok(losses.sum::<f64>() / (tokens.len() - 1) as f64)
}

impl Order {
    fn new(grams: Vec<(u128, u32)>) -> Self {
        let with = |n: u32| grams.iter().filter(|(_, count)| *count == n).count() as f64;
        let [one, two, three, four] = [1, 2, 3, 4].map(with);
        let y = if one > 0.0 { one / (one + 2.0 * two) } else { 0.5 };
        let estimate = |n: f64, this: f64, next: f64| {
            // A text too small or too even has no such counts; then half is taken, as by hand.
            let discount = n - (n + 1.0) * y * next / this;
            if this > 0.0 && discount > 0.0 && discount < n { discount } else { 0.5 }
        };
        let discounts =
            [estimate(1.0, one, two), estimate(2.0, two, three), estimate(3.0, three, four)];
        let mut order = Self { grams, contexts: Vec::new(), discounts };
        let mut contexts: Vec<Context> = Vec::new();
        for &(gram, count) in &order.grams {
            let tokens = gram >> BITS;
            let freed = order.discount(count);
            match contexts.last_mut() {
                Some(last) if last.tokens == tokens => {
                    last.total += f64::from(count);
                    last.freed += freed;
                }
                _ => contexts.push(Context { tokens, total: f64::from(count), freed }),
            }
        }
        order.contexts = contexts;
        order
    }

    fn discount(&self, count: u32) -> f64 {
        match count {
            0 => 0.0,
            count => self.discounts[count.min(3) as usize - 1],
        }
    }

    fn count(&self, gram: u128) -> u32 {
        self.grams.binary_search_by_key(&gram, |(gram, _)| *gram).map_or(0, |at| self.grams[at].1)
    }

    fn context(&self, tokens: u128) -> Option<&Context> {
        let at = self.contexts.binary_search_by_key(&tokens, |context| context.tokens).ok()?;
        Some(&self.contexts[at])
    }
}

fn pack(tokens: &[u32]) -> u128 {
    tokens.iter().fold(0, |packed, &token| packed << BITS | u128::from(token))
}

fn mask(tokens: usize) -> u128 {
    (1u128 << (BITS * tokens)) - 1
}

/// Distinct values with how often each comes, sorted.
fn count(mut values: Vec<u128>) -> Vec<(u128, u32)> {
    values.sort_unstable();
    let mut counts: Vec<(u128, u32)> = Vec::new();
    for value in values {
        match counts.last_mut() {
            Some((last, count)) if *last == value => *count += 1,
            _ => counts.push((value, 1)),
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use nissl_core::seed;
    use rand::RngExt;

    use super::*;

    /// A text in which the next token depends on the last two.
    fn text(size: usize, stream: u64) -> Vec<u32> {
        let mut rng = seed::rng(3, stream);
        let mut tokens = vec![0, 1];
        while tokens.len() < size {
            let (a, b) = (tokens[tokens.len() - 2], tokens[tokens.len() - 1]);
            let likely = (a * 3 + b * 5 + 1) % 11;
            tokens.push(if rng.random_bool(0.8) { likely } else { rng.random_range(0..11) });
        }
        tokens
    }

    #[test]
    fn probabilities_sum_to_one_after_every_context() {
        let tokens = text(2_000, 0);
        for order in 1..=5 {
            let model = NGram::fit(&tokens, order, 13).expect("fits");
            for context in [&[][..], &[3], &[0, 1], &[12, 12], &[9, 4, 3, 2], &tokens[40..44]] {
                let sum: f64 = (0..13).map(|token| model.probability(context, token)).sum();
                assert!((sum - 1.0).abs() < 1e-9, "order {order}, after {context:?}: {sum}");
                assert!(model.probability(context, 12) > 0.0, "a token never seen stays possible");
            }
        }
    }

    #[test]
    fn the_loss_reaches_the_entropy_once_the_order_sees_enough() {
        let (train, held_out) = (text(60_000, 0), text(20_000, 1));
        // 0.8 + 0.2/11 for the likely token, 0.2/11 for each of ten others.
        let (likely, other) = (0.8 + 0.2 / 11.0, 0.2 / 11.0f64);
        let entropy = -likely * f64::ln(likely) - 10.0 * other * other.ln();
        let loss =
            |order| NGram::fit(&train, order, 11).expect("fits").loss(&held_out).expect("loss");
        assert!((loss(3) - entropy).abs() < 0.03, "{} against {entropy}", loss(3));
        assert!(loss(5) > entropy && loss(5) < entropy + 0.15, "{} against {entropy}", loss(5));
        assert!(loss(2) > entropy + 0.5, "{} sees too little", loss(2));
        let unigram = unigram_loss(&train, &held_out, 11).expect("loss");
        assert!((unigram - 11f64.ln()).abs() < 0.05 && loss(2) < unigram + 0.01, "{unigram}");
    }

    #[test]
    fn what_follows_many_words_is_likelier_after_an_unknown_one() {
        // 7 comes often but only after 6; 3 comes less often but after many: Kneser–Ney's point.
        let mut tokens = Vec::new();
        for n in 0..60 {
            tokens.extend([6, 7]);
            tokens.extend([8 + n % 10, 3]);
        }
        let model = NGram::fit(&tokens, 2, 20).expect("fits");
        assert!(model.probability(&[19], 3) > 3.0 * model.probability(&[19], 7));
    }

    #[test]
    fn bad_input_is_refused() {
        assert!(NGram::fit(&[1, 2, 3], 6, 10).is_err());
        assert!(NGram::fit(&[1, 2], 3, 10).is_err());
        assert!(NGram::fit(&[1, 2, 30], 2, 10).is_err());
        assert!(NGram::fit(&[1, 2, 3], 2, 10).expect("fits").loss(&[1]).is_err());
        assert!(unigram_loss(&[11], &[1, 2], 10).is_err());
    }
}
