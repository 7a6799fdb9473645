//! What a scan tells of one row.

/// Whose softmax and extremes are wanted: those of the row, or of its negative as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signs {
    /// Of the row alone
    #[default]
    Plus,
    /// Of the row and of its negative
    Both,
}

/// A softmax over all tokens, without its probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softmax {
    /// `log Σ exp ℓ`; −∞ when there are no tokens
    pub log_sum_exp: f64,
    /// `Σ p ℓ`, the logit expected under the softmax itself; not a number when there are no tokens
    pub expected: f64,
}

impl Softmax {
    /// Probability of a token whose logit is `logit`, from 0 to 1.
    pub fn probability(&self, logit: f32) -> f64 {
        // Both are rounded, so that their difference can pass zero by the last digit.
        (f64::from(logit) - self.log_sum_exp).exp().min(1.0)
    }

    /// `−Σ p log p` in nats, from 0 to the logarithm of the number of tokens.
    pub fn entropy(&self) -> f64 {
        let entropy = self.log_sum_exp - self.expected;
        if entropy < 0.0 { 0.0 } else { entropy }
    }
}

/// Logits `ℓ = U w` of one row `w`, as far as they are kept.
///
/// A row with NaN or an infinity, or one whose logits overflow, has NaN in every score and nothing
/// in `top` and `bottom`.
#[derive(Clone, Debug, PartialEq)]
pub struct RowScan {
    /// Tokens of the largest logits and those logits, descending; of equals the lower token first
    pub top: Vec<(u32, f32)>,
    /// Tokens of the smallest logits and those logits, ascending; empty for [`Signs::Plus`]
    pub bottom: Vec<(u32, f32)>,
    /// Softmax of `ℓ`
    pub plus: Softmax,
    /// Softmax of `−ℓ`; none for [`Signs::Plus`]
    pub minus: Option<Softmax>,
    /// `Σ ℓ`, and `Σ (ℓ − mean)ⁿ` for `n` from 2 to 4
    pub moments: [f64; 4],
    /// Number of tokens
    pub count: u64,
}

impl RowScan {
    /// Mean logit over tokens; not a number when there are none.
    pub fn mean(&self) -> f64 {
        self.moments[0] / self.count as f64
    }

    /// Standard deviation of the logits over tokens, with the number of tokens as divisor.
    pub fn deviation(&self) -> f64 {
        (self.moments[1] / self.count as f64).sqrt()
    }

    /// Fourth central moment by the square of the second, minus 3: zero for a normal distribution.
    ///
    /// Zero as well where all logits are equal.
    pub fn excess_kurtosis(&self) -> f64 {
        let [_, square, _, fourth] = self.moments;
        if square == 0.0 { 0.0 } else { fourth * self.count as f64 / (square * square) - 3.0 }
    }

    /// `(logit − mean) / deviation`; zero where all logits are equal.
    pub fn z_score(&self, logit: f32) -> f64 {
        let (above, deviation) = (f64::from(logit) - self.mean(), self.deviation());
        if deviation == 0.0 { 0.0 } else { above / deviation }
    }

    /// Probability under the softmax of a token whose logit is `logit`, from 0 to 1.
    pub fn probability(&self, logit: f32) -> f64 {
        self.plus.probability(logit)
    }

    /// Entropy of the softmax in nats, from 0 to the logarithm of the number of tokens.
    pub fn entropy(&self) -> f64 {
        self.plus.entropy()
    }

    /// The same read of the row's negative: both signs change places; unchanged for [`Signs::Plus`].
    #[must_use]
    pub fn negated(self) -> Self {
        let Some(minus) = self.minus else { return self };
        let turn = |(token, logit): (u32, f32)| (token, -logit);
        let [first, second, third, fourth] = self.moments;
        Self {
            top: self.bottom.into_iter().map(turn).collect(),
            bottom: self.top.into_iter().map(turn).collect(),
            plus: minus,
            minus: Some(self.plus),
            moments: [-first, second, -third, fourth],
            count: self.count,
        }
    }
}
