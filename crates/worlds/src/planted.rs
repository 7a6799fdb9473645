//! Activity mixed from a known dictionary: sparse signed features, flat or in groups.
//!
//! `A = Y Dᵀ + ε`, `ε ~ N(0, noise²)`; the columns of `D` are sparse, signed and of unit norm; the
//! coefficients `Y` are non-negative. The least squared error that the true factors leave is
//! `samples · units · noise²`.

use ndarray::{Array1, Array2, ArrayView1};
use nissl_core::{Error, Result};
use rand::seq::index;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};
use serde::{Deserialize, Serialize};

/// Least coefficient of an active feature; an exponential of mean 1 is added to it.
const LEAST_STRENGTH: f32 = 0.2;

/// Independent sparse features, each on its own random units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlantedFeatures {
    /// Units of the activity (d)
    pub units: usize,
    /// Samples (n)
    pub samples: usize,
    /// Features (K)
    pub features: usize,
    /// Units on which each feature stands, 1 to `units`
    pub support: usize,
    /// Probability that a sample activates a feature, above 0 up to 1
    pub probability: f64,
    /// Standard deviation of the noise, at least 0
    pub noise: f32,
    /// Seed of dictionary, coefficients and noise
    pub seed: u64,
}

impl Default for PlantedFeatures {
    fn default() -> Self {
        Self {
            units: 512,
            samples: 4000,
            features: 20,
            support: 11,
            probability: 0.3,
            noise: 0.05,
            seed: 0,
        }
    }
}

/// Features in groups: the children of a group share the units of its core and their values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlantedHierarchy {
    /// Units of the activity
    pub units: usize,
    /// Samples
    pub samples: usize,
    /// Groups
    pub groups: usize,
    /// Features in each group
    pub children: usize,
    /// Units that all children of a group share
    pub core: usize,
    /// Units of each child alone
    pub own: usize,
    /// Probability that a sample activates two features instead of one, 0 to 1
    pub second: f64,
    /// Standard deviation of the noise, at least 0
    pub noise: f32,
    /// Seed of dictionary, coefficients and noise
    pub seed: u64,
}

impl Default for PlantedHierarchy {
    fn default() -> Self {
        Self {
            units: 512,
            samples: 4000,
            groups: 4,
            children: 4,
            core: 8,
            own: 6,
            second: 0.3,
            noise: 0.05,
            seed: 0,
        }
    }
}

/// Activity and the factors from which it was mixed.
#[derive(Clone, Debug, PartialEq)]
pub struct Planted {
    /// Activity with noise, `[sample, unit]`
    pub activity: Array2<f32>,
    /// True dictionary, rows of unit norm, `[feature, unit]`
    pub dictionary: Array2<f32>,
    /// True coefficients, at least 0, `[sample, feature]`
    pub coefficients: Array2<f32>,
    /// Group of each feature, `[feature]`; each its own where nothing is grouped
    pub group: Array1<usize>,
    /// Expected squared error of the true factors relative to `‖A‖²`
    pub noise_floor: f64,
}

impl PlantedFeatures {
    /// Checks every field against its range.
    pub fn validate(&self) -> Result<()> {
        let Self { units, samples, features, support, probability, noise, .. } = self;
        check("units", *units, 1, usize::MAX)?;
        check("samples", *samples, 1, usize::MAX)?;
        check("features", *features, 1, usize::MAX)?;
        check("support", *support, 1, *units)?;
        if !(*probability > 0.0 && *probability <= 1.0) {
            return Err(Error::setting("probability", probability, "above 0, at most 1"));
        }
        check_noise(*noise)
    }

    /// Draws dictionary, coefficients and activity.
    pub fn generate(&self) -> Result<Planted> {
        self.validate()?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut dictionary = Array2::zeros((self.features, self.units));
        for mut row in dictionary.rows_mut() {
            for unit in index::sample(&mut rng, self.units, self.support) {
                row[unit] = signed_magnitude(&mut rng);
            }
            let norm = norm(row.view());
            row /= norm;
        }
        let mut coefficients = Array2::zeros((self.samples, self.features));
        for value in &mut coefficients {
            if rng.random_bool(self.probability) {
                *value = strength(&mut rng);
            }
        }
        let group = Array1::from_iter(0..self.features);
        Ok(mix(dictionary, coefficients, group, self.noise, &mut rng))
    }
}

impl PlantedHierarchy {
    /// Checks every field against its range.
    pub fn validate(&self) -> Result<()> {
        let Self { units, samples, groups, children, core, own, second, noise, .. } = self;
        check("samples", *samples, 1, usize::MAX)?;
        check("groups", *groups, 1, usize::MAX)?;
        check("children", *children, 1, usize::MAX)?;
        check("core", *core, 1, usize::MAX)?;
        check("own", *own, 1, usize::MAX)?;
        let needed = children
            .checked_mul(*own)
            .and_then(|own| own.checked_add(*core))
            .and_then(|group| group.checked_mul(*groups))
            .unwrap_or(usize::MAX);
        check("units", *units, needed, usize::MAX)?;
        if !(0.0..=1.0).contains(second) {
            return Err(Error::setting("second", second, "0 to 1"));
        }
        if *second > 0.0 && groups * children < 2 {
            return Err(Error::setting("second", second, "0 where there is one feature only"));
        }
        check_noise(*noise)
    }

    /// Draws dictionary, coefficients and activity; no two groups, and no two children besides the
    /// core, share a unit.
    pub fn generate(&self) -> Result<Planted> {
        self.validate()?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let features = self.groups * self.children;
        let used = self.groups * (self.core + self.children * self.own);
        let mut free = index::sample(&mut rng, self.units, used).into_iter();
        let mut dictionary = Array2::<f32>::zeros((features, self.units));
        for group in 0..self.groups {
            let core: Vec<(usize, f32)> =
                free.by_ref().take(self.core).map(|it| (it, signed_magnitude(&mut rng))).collect();
            for child in 0..self.children {
                let mut row = dictionary.row_mut(group * self.children + child);
                for &(unit, value) in &core {
                    row[unit] = value;
                }
                for unit in free.by_ref().take(self.own) {
                    row[unit] = signed_magnitude(&mut rng);
                }
                let norm = norm(row.view());
                row /= norm;
            }
        }
        let mut coefficients = Array2::zeros((self.samples, features));
        for mut row in coefficients.rows_mut() {
            let active = if rng.random_bool(self.second) { 2 } else { 1 };
            for feature in index::sample(&mut rng, features, active) {
                row[feature] = strength(&mut rng);
            }
        }
        let group = (0..features).map(|feature| feature / self.children).collect();
        Ok(mix(dictionary, coefficients, group, self.noise, &mut rng))
    }
}

fn mix(
    dictionary: Array2<f32>,
    coefficients: Array2<f32>,
    group: Array1<usize>,
    noise: f32,
    rng: &mut ChaCha8Rng,
) -> Planted {
    let mut activity = coefficients.dot(&dictionary);
    for value in &mut activity {
        let draw: f32 = StandardNormal.sample(rng);
        *value += noise * draw;
    }
    let total: f64 = activity.iter().map(|&value| f64::from(value).powi(2)).sum();
    let noise_floor = activity.len() as f64 * f64::from(noise).powi(2) / total;
    Planted { activity, dictionary, coefficients, group, noise_floor }
}

/// Uniform in [0.5, 1.5) with a random sign.
fn signed_magnitude(rng: &mut ChaCha8Rng) -> f32 {
    let magnitude = rng.random_range(0.5..1.5);
    if rng.random_bool(0.5) { magnitude } else { -magnitude }
}

fn strength(rng: &mut ChaCha8Rng) -> f32 {
    let exponential: f32 = Exp1.sample(rng);
    LEAST_STRENGTH + exponential
}

fn norm(row: ArrayView1<'_, f32>) -> f32 {
    row.dot(&row).sqrt()
}

fn check(field: &str, value: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let expected = match most {
        usize::MAX => format!("at least {least}"),
        _ => format!("{least} to {most}"),
    };
    Err(Error::setting(field, value, expected))
}

fn check_noise(noise: f32) -> Result<()> {
    if noise.is_finite() && noise >= 0.0 {
        return Ok(());
    }
    Err(Error::setting("noise", noise, "a finite number of at least 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn true_factors_leave_the_noise_floor() {
        for seed in 0..3 {
            let world = PlantedFeatures { seed, ..PlantedFeatures::default() };
            let here = world.generate().expect("defaults are valid");
            let error = &here.activity - &here.coefficients.dot(&here.dictionary);
            let total: f32 = here.activity.iter().map(|value| value * value).sum();
            let relative = f64::from(error.iter().map(|it| it * it).sum::<f32>() / total);
            assert!((relative / here.noise_floor - 1.0).abs() < 0.01, "seed {seed}: {relative}");
            for row in here.dictionary.rows() {
                assert_eq!(row.iter().filter(|value| **value != 0.0).count(), 11);
                assert!((norm(row) - 1.0).abs() < 1e-5);
            }
            let active = here.coefficients.iter().filter(|value| **value > 0.0).count() as f64;
            assert!((active / here.coefficients.len() as f64 - 0.3).abs() < 0.01);
            assert!(here.coefficients.iter().all(|value| *value == 0.0 || *value >= 0.2));
            assert_eq!(here, world.generate().expect("valid"), "same seed, same numbers");
        }
    }

    #[test]
    fn children_share_their_group_s_core_and_nothing_else() {
        for seed in 0..3 {
            let world = PlantedHierarchy { seed, ..PlantedHierarchy::default() };
            let here = world.generate().expect("defaults are valid");
            for (a, first) in here.dictionary.rows().into_iter().enumerate() {
                assert_eq!(first.iter().filter(|value| **value != 0.0).count(), 14);
                for (b, second) in here.dictionary.rows().into_iter().enumerate().skip(a + 1) {
                    let shared = first.iter().zip(second).filter(|(x, y)| **x != 0.0 && **y != 0.0);
                    let expected = if here.group[a] == here.group[b] { 8 } else { 0 };
                    assert_eq!(shared.count(), expected, "seed {seed}: features {a} and {b}");
                }
            }
            let active = |row: ArrayView1<'_, f32>| row.iter().filter(|it| **it > 0.0).count();
            let two = here.coefficients.rows().into_iter().filter(|row| active(*row) == 2).count();
            assert!((two as f64 / 4000.0 - 0.3).abs() < 0.03, "seed {seed}: {two}");
        }
    }

    #[test]
    fn values_out_of_range_are_named() {
        let wide = PlantedFeatures { support: 513, ..PlantedFeatures::default() };
        let message = wide.generate().expect_err("too wide").to_string();
        assert!(message.contains("support") && message.contains("513"), "{message}");
        let crowded = PlantedHierarchy { units: 100, ..PlantedHierarchy::default() };
        let message = crowded.generate().expect_err("too few units").to_string();
        assert!(message.contains("units") && message.contains("128"), "{message}");
        let noisy = PlantedFeatures { noise: f32::NAN, ..PlantedFeatures::default() };
        assert!(noisy.generate().is_err());
    }
}
