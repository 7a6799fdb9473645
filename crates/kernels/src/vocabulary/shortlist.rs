//! The few largest logits of a row, found among products that are only nearly exact.
//!
//! A logit enters when it could be among the `top` largest in spite of its error; those that stay
//! are computed again in double precision, so that their order is that of the exact products.

/// A logit that may be among the largest.
#[derive(Clone, Copy, Debug)]
struct Entry {
    token: u32,
    /// Within `slack` of the truth
    near: f32,
    /// The truth, rounded once; none until it was needed
    exact: Option<f32>,
}

impl Entry {
    fn best(&self) -> f32 {
        self.exact.unwrap_or(self.near)
    }
}

/// Logits that may be among the `top` largest of one row (or of its negative).
#[derive(Clone, Debug)]
pub(super) struct Shortlist {
    entries: Vec<Entry>,
    top: usize,
    /// The `top`-th largest logit so far is no less than this
    floor: f64,
    /// Whether some entry has not been computed exactly
    open: bool,
}

/// How far the products at hand can be from the exact ones, and how those are computed.
pub(super) struct Exact<F> {
    /// Largest difference
    pub(super) slack: f64,
    /// The exact logit of a token
    pub(super) logit: F,
}

impl Shortlist {
    pub(super) fn new(top: usize) -> Self {
        Self { entries: Vec::new(), top, floor: f64::NEG_INFINITY, open: false }
    }

    /// The least logit that can be among the largest, for products within `slack` of the truth; NaN
    /// when none can.
    ///
    /// `latest`: no token with a higher number was seen, so that of equals the old ones stay.
    pub(super) fn threshold(&self, slack: f64, latest: bool) -> f32 {
        if self.top == 0 {
            // Nothing reaches it, not even infinity.
            return f32::NAN;
        }
        let lowest = self.floor - slack;
        let rounded = lowest as f32;
        if slack == 0.0 && latest && self.entries.len() >= self.top {
            rounded.next_up()
        } else if f64::from(rounded) > lowest {
            rounded.next_down()
        } else {
            rounded
        }
    }

    /// Takes the logit `near` of `token` into the list; the threshold may have risen thereafter.
    pub(super) fn offer<F: FnMut(u32) -> f32>(
        &mut self,
        token: u32,
        near: f32,
        exact: &mut Exact<F>,
    ) {
        self.entries.push(Entry { token, near, exact: None });
        self.open = true;
        if self.entries.len() >= 2 * self.top + 32 {
            self.prune(exact.slack);
            if self.entries.len() > self.top + 16 {
                self.settle(exact);
            }
        }
    }

    /// Drops what cannot be among the largest.
    fn prune(&mut self, slack: f64) {
        if self.entries.len() <= self.top {
            return;
        }
        let by_near = |a: &Entry, b: &Entry| b.near.total_cmp(&a.near).then(a.token.cmp(&b.token));
        let (_, last, _) = self.entries.select_nth_unstable_by(self.top - 1, by_near);
        self.floor = self.floor.max(f64::from(last.near) - slack);
        if slack == 0.0 {
            self.entries.truncate(self.top);
        } else {
            let lowest = self.floor - slack;
            self.entries.retain(|entry| f64::from(entry.near) >= lowest);
        }
    }

    /// Computes exactly what stays, and keeps the largest; needed before the tokens' rows go away.
    pub(super) fn settle<F: FnMut(u32) -> f32>(&mut self, exact: &mut Exact<F>) {
        if !self.open {
            return;
        }
        self.prune(exact.slack);
        for entry in &mut self.entries {
            entry.exact.get_or_insert_with(|| (exact.logit)(entry.token));
        }
        self.open = false;
        self.entries
            .sort_unstable_by(|a, b| b.best().total_cmp(&a.best()).then(a.token.cmp(&b.token)));
        self.entries.truncate(self.top);
        if self.entries.len() == self.top
            && let Some(last) = self.entries.last()
        {
            self.floor = self.floor.max(f64::from(last.best()));
        }
    }

    /// Tokens and their logits, largest first; all were settled.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (u32, f32)> {
        self.entries.iter().map(|entry| (entry.token, entry.best()))
    }

    /// By how much the sum of `exp(ℓ − high)` changes when the listed logits are the exact ones,
    /// and by how much that of `exp(ℓ − high) (ℓ − high)`.
    pub(super) fn correction(&self, high: f32) -> [f64; 2] {
        self.entries.iter().fold([0.0; 2], |[weight, weighted], entry| {
            let [near, exact] = [entry.near, entry.best()].map(|x| f64::from(x) - f64::from(high));
            let [near_weight, exact_weight] = [near.exp(), exact.exp()];
            [
                weight + (exact_weight - near_weight),
                weighted + (exact_weight * exact - near_weight * near),
            ]
        })
    }
}
