//! Components of pairs of units over time and animals: what a factorised tensor of affinities is.
//!
//! They lie beside the dictionary of [`Features`](crate::features::Features) whose units are the pairs, so that
//! every stage after the decomposition reads them.

mod pairs;
mod store;
#[cfg(test)]
mod tests;

use ndarray::Array2;

pub use pairs::{pair_at, pair_index};
pub use store::COMPONENTS;

/// When a stimulus was on in one animal.
#[derive(Clone, Debug, PartialEq)]
pub struct StimulusWindow {
    /// The animal's number.
    pub animal: usize,
    /// The stimulus.
    pub name: String,
    /// Its onset, seconds on the common time.
    pub start: f64,
    /// Its end.
    pub end: f64,
}

/// Components `λ_r f_t^r ∘ f_w^r ∘ f_a^r`: when, in which animals, and which pairs of units. Columns have unit
/// 2-norm; the strongest component comes first.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorComponents {
    /// The strength of each component.
    pub lambda: Vec<f32>,
    /// `[time, component]`
    pub times: Array2<f32>,
    /// `[animal, component]`
    pub animals: Array2<f32>,
    /// `[pair, component]`, pairs of the upper triangle row by row.
    pub pairs: Array2<f32>,
    /// The names of the units that are paired.
    pub units: Vec<String>,
    /// The names of the animals.
    pub animal_names: Vec<String>,
    /// Whether each animal has each unit `[animal][unit]`.
    pub present: Vec<Vec<bool>>,
    /// The centre of each time bin, seconds.
    pub seconds: Vec<f64>,
    /// When stimuli were on.
    pub windows: Vec<StimulusWindow>,
    /// For each component, the 95th percentile of its pair loadings in circularly shifted data; empty where it
    /// was not measured.
    pub shifted: Vec<f32>,
}

impl TensorComponents {
    /// The number of components.
    pub fn rank(&self) -> usize {
        self.lambda.len()
    }

    /// The loadings of a component as a symmetric matrix `[unit, unit]` with zeros on its diagonal.
    pub fn matrix(&self, component: usize) -> Array2<f32> {
        let units = self.units.len();
        let mut matrix = Array2::zeros((units, units));
        let mut loadings = self.pairs.column(component).into_iter();
        for first in 0..units {
            for second in first + 1..units {
                let loading = loadings.next().copied().unwrap_or(0.0);
                matrix[[first, second]] = loading;
                matrix[[second, first]] = loading;
            }
        }
        matrix
    }
}
