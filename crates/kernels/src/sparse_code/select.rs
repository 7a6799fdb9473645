//! Candidates of each row while features go by in ascending order.

use rayon::prelude::*;

use super::{
    Select,
    engine::{PANEL, Products},
    rough::{self, Bounds},
};
use crate::simd::sparse;

/// What of a row's pre-activations is kept.
#[derive(Clone, Debug)]
pub(super) enum Rule<'a> {
    /// Those above 0
    Positive,
    /// Those above 0 among the `k` largest
    Largest { k: usize },
    /// Those that may be among the `k` largest above 0, by products within bounds; kept are the least that
    /// their values can be
    Likely { k: usize, bounds: Bounds },
    /// Those above 0 among the `total` largest of all rows
    Whole { total: usize },
    /// Those above their thresholds
    Above(&'a [f32]),
    /// The largest above 0 of each group of `size`
    Groups { size: usize },
}

/// Candidates of a row, their features ascending.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    pub(super) indices: Vec<u32>,
    pub(super) values: Vec<f32>,
    /// Candidates after which those without a place are let go of
    room: usize,
}

/// What is added to the products of 32 neighbouring features, and what they must be above.
pub(super) struct Panel {
    first: u32,
    bias: [f32; PANEL],
    least: [f32; PANEL],
}

impl<'a> Rule<'a> {
    pub(super) fn new(select: Select<'a>, features: usize, rows: usize) -> Self {
        match select {
            Select::Relu => Self::Positive,
            Select::TopK(k) => Self::Largest { k: k.min(features) },
            Select::BatchTopK(k) => Self::Whole { total: k.min(features) * rows },
            Select::Above(thresholds) => {
                assert_eq!(thresholds.len(), features, "a threshold for each feature");
                Self::Above(thresholds)
            }
            Select::GroupMax(0) => Self::Largest { k: 0 },
            Select::GroupMax(k) => Self::Groups { size: features.div_ceil(k).max(1) },
        }
    }

    /// What a row's numbers must be above at the beginning.
    pub(super) fn least(&self) -> f32 {
        match self {
            Self::Largest { k: 0 } | Self::Likely { k: 0, .. } | Self::Whole { total: 0 } => {
                f32::INFINITY
            }
            Self::Above(_) => f32::NEG_INFINITY,
            _ => 0.0,
        }
    }

    /// Bias and thresholds of the features from `first` on.
    pub(super) fn panel(&self, first: usize, features: usize, bias: Option<&[f32]>) -> Panel {
        let range = first..(first + PANEL).min(features);
        let count = range.len();
        let mut panel =
            Panel { first: first as u32, bias: [0.0; PANEL], least: [f32::INFINITY; PANEL] };
        if let Some(bias) = bias {
            panel.bias[..count].copy_from_slice(&bias[range.clone()]);
        }
        match self {
            Self::Above(thresholds) => panel.least[..count].copy_from_slice(&thresholds[range]),
            _ => panel.least[..count].fill(f32::NEG_INFINITY),
        }
        panel
    }

    /// Lets go of candidates of all rows that have no place among the largest of them.
    pub(super) fn settle(&self, kept: &mut [Kept], least: &mut [f32]) {
        let Self::Whole { total } = *self else { return };
        let count = kept.iter().map(|row| row.values.len()).sum::<usize>();
        if count < 2 * total.max(1) {
            return;
        }
        let mut values: Vec<f32> = kept.iter().flat_map(|row| &row.values).copied().collect();
        let bound = *values.select_nth_unstable_by(total - 1, |a, b| b.total_cmp(a)).1;
        kept.par_iter_mut().for_each(|row| row.retain(|_, value| value >= bound));
        // Equal ones of an earlier row may still come.
        least.fill(bound.next_down());
    }

    /// Leaves what is selected, and no candidates besides.
    pub(super) fn finish(&self, kept: &mut [Kept]) {
        match *self {
            Self::Largest { k } => kept.par_iter_mut().for_each(|row| {
                if row.values.len() > k {
                    row.shrink(k);
                }
            }),
            Self::Whole { total } => {
                let mut values: Vec<f32> =
                    kept.iter().flat_map(|row| &row.values).copied().collect();
                if values.len() <= total {
                    return;
                }
                let bound = *values.select_nth_unstable_by(total - 1, |a, b| b.total_cmp(a)).1;
                let mut ties = total - values.iter().filter(|value| **value > bound).count();
                for row in kept {
                    row.retain(|_, value| keep(value, bound, &mut ties));
                }
            }
            Self::Likely { k, ref bounds } => {
                kept.par_iter_mut().enumerate().for_each(|(number, row)| {
                    row.narrow(k, |panel| bounds.between(number, panel));
                });
            }
            Self::Positive | Self::Above(_) | Self::Groups { .. } => {}
        }
    }
}

impl Panel {
    /// Takes candidates of some rows; `least` `[row]` is what they must be above.
    pub(super) fn take(
        &self,
        rule: &Rule<'_>,
        products: &Products<'_>,
        kept: &mut [Kept],
        least: &mut [f32],
    ) {
        let mut hits = [0; PANEL];
        let mut bound = [0.0; PANEL];
        let panel = self.first as usize / PANEL;
        let blocks = kept.chunks_mut(PANEL).zip(least.chunks_mut(PANEL));
        for (block, (kept, least)) in blocks.enumerate() {
            let begin = block * PANEL;
            let bound = &mut bound[..least.len()];
            match rule {
                Rule::Likely { bounds, .. } => {
                    bounds.thresholds(products.first + begin, panel, least, bound);
                }
                _ => bound.copy_from_slice(least),
            }
            let sums = &products.sums[begin * products.stride..];
            sparse::hits(sums, products.stride, &self.bias, &self.least, bound, &mut hits);
            for (row, ((kept, least), &hits)) in kept.iter_mut().zip(least).zip(&hits).enumerate() {
                if hits != 0 {
                    let sums = &sums[row * products.stride..][..PANEL];
                    self.take_row(rule, products.first + begin + row, sums, hits, kept, least);
                }
            }
        }
    }

    fn take_row(
        &self,
        rule: &Rule<'_>,
        row: usize,
        sums: &[f32],
        mut hits: u32,
        kept: &mut Kept,
        least: &mut f32,
    ) {
        let error = match rule {
            Rule::Likely { bounds, .. } => bounds.between(row, self.first as usize / PANEL),
            _ => 0.0,
        };
        while hits != 0 {
            let lane = hits.trailing_zeros() as usize;
            hits &= hits - 1;
            let (feature, value) = (self.first + lane as u32, sums[lane] + self.bias[lane]);
            match rule {
                Rule::Groups { size } => {
                    if let Some(last) = kept.indices.last_mut()
                        && *last as usize / size == feature as usize / size
                    {
                        if let Some(best) = kept.values.last_mut()
                            && value > *best
                        {
                            (*last, *best) = (feature, value);
                        }
                        continue;
                    }
                    kept.values.push(value);
                }
                Rule::Likely { .. } => kept.values.push(rough::lower(value, error)),
                _ => kept.values.push(value),
            }
            kept.indices.push(feature);
        }
        if kept.values.len() > kept.room {
            match rule {
                // Equal ones that come later have no place.
                Rule::Largest { k } => *least = kept.shrink(*k),
                Rule::Likely { k, bounds } => {
                    *least = least.max(kept.narrow(*k, |panel| bounds.between(row, panel)));
                    kept.room = kept.room.max(2 * kept.values.len());
                }
                _ => {}
            }
        }
    }
}

impl Kept {
    pub(super) fn new(rule: &Rule<'_>) -> Self {
        // Candidates are cut down to `k` when they are four times as many: seldom enough that it costs
        // little, and often enough that few come in vain.
        let (Rule::Largest { k } | Rule::Likely { k, .. }) = *rule else {
            return Self { room: usize::MAX, ..Self::default() };
        };
        let room = 4 * k;
        let space = room + PANEL;
        Self { indices: Vec::with_capacity(space), values: Vec::with_capacity(space), room }
    }

    /// Lets go of candidates that cannot be among the `k` largest, given how far from their values those
    /// of a panel can be; says what the `k`-th largest reaches at least.
    fn narrow(&mut self, k: usize, error: impl Fn(usize) -> f32) -> f32 {
        if k == 0 || self.values.len() <= k {
            return 0.0;
        }
        let (bound, _) = sparse::kth_largest(&self.values, k);
        self.retain(|feature, lower| rough::upper(lower, error(feature as usize / PANEL)) >= bound);
        bound
    }

    /// Puts the true values in place of bounds.
    pub(super) fn settle(&mut self, k: usize, values: &[f32]) {
        self.values.copy_from_slice(values);
        self.retain(|_, value| value > 0.0);
        if self.values.len() > k {
            self.shrink(k);
        }
    }

    /// Keeps the `k` largest of more than `k`, of equal ones the first; says the least of them.
    fn shrink(&mut self, k: usize) -> f32 {
        if k == 0 {
            self.retain(|_, _| false);
            return f32::INFINITY;
        }
        let (bound, above) = sparse::kth_largest(&self.values, k);
        let mut ties = k - above;
        self.retain(|_, value| keep(value, bound, &mut ties));
        bound
    }

    fn retain(&mut self, mut keep: impl FnMut(u32, f32) -> bool) {
        let mut to = 0;
        for from in 0..self.values.len() {
            let (index, value) = (self.indices[from], self.values[from]);
            (self.indices[to], self.values[to]) = (index, value);
            to += usize::from(keep(index, value));
        }
        self.values.truncate(to);
        self.indices.truncate(to);
    }
}

/// Whether a value is above the bound, or one of the first that equal it.
fn keep(value: f32, bound: f32, ties: &mut usize) -> bool {
    let equal = value.total_cmp(&bound).is_eq() && *ties > 0;
    *ties -= usize::from(equal);
    equal || value > bound
}
