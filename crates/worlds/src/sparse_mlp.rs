//! A planted sparse map: an input of sparse directions, and a wide layer of which few units fire.
//!
//! `x = Σ a_i w_i`, each `a_i` active with probability `p`, `a ~ U(0.5, 1.5)`;
//! `h_i = max(0, w_i · x − θ)`, `y = Σ h_i v_i`. `w_i` are unit vectors of pairwise |cosine| at most
//! `overlap`, `v_i` random unit vectors.

use ndarray::Array2;
use nissl_core::seed::rng;
use nissl_core::{Error, Result};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// What is planted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SparseMlp {
    /// Units of the input and of the output (d)
    pub units: usize,
    /// Planted units of the wide layer (N)
    pub planted: usize,
    /// Largest |cosine| between two of their reading directions, above 0 up to 1
    pub overlap: f64,
    /// Probability that a sample holds a direction, above 0 up to 1
    pub probability: f64,
    /// What a unit's reading must be above (θ), 0 or more
    pub threshold: f32,
    /// Seed of the directions and of the samples
    pub seed: u64,
}

impl Default for SparseMlp {
    fn default() -> Self {
        Self { units: 32, planted: 64, overlap: 0.5, probability: 0.05, threshold: 0.3, seed: 0 }
    }
}

/// The planted map.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedMlp {
    /// `w` `[planted, unit]`, what each unit reads, of length 1.
    pub reads: Array2<f32>,
    /// `v` `[planted, unit]`, what each unit writes, of length 1.
    pub writes: Array2<f32>,
    settings: SparseMlp,
}

/// Samples of the map with their truth.
#[derive(Clone, Debug, PartialEq)]
pub struct MlpSamples {
    /// `x` `[sample, unit]`.
    pub input: Array2<f32>,
    /// `y` `[sample, unit]`.
    pub output: Array2<f32>,
    /// `h` `[sample, planted]`.
    pub hidden: Array2<f32>,
}

/// Draws of one direction before the world is given up as too crowded.
const TRIES: usize = 100_000;

impl SparseMlp {
    /// # Errors
    /// A setting outside its range.
    pub fn validate(&self) -> Result<()> {
        for (field, size) in [("units", self.units), ("planted", self.planted)] {
            if size == 0 {
                return Err(Error::setting(field, 0, "1 or more"));
            }
        }
        for (field, share) in [("overlap", self.overlap), ("probability", self.probability)] {
            if !(share > 0.0 && share <= 1.0) {
                return Err(Error::setting(field, share, "above 0 up to 1"));
            }
        }
        if !(self.threshold >= 0.0 && self.threshold.is_finite()) {
            return Err(Error::setting("threshold", self.threshold, "0 or more"));
        }
        Ok(())
    }

    /// Draws the directions.
    ///
    /// # Errors
    /// A setting outside its range, or more directions than fit with so little overlap.
    pub fn plant(&self) -> Result<PlantedMlp> {
        self.validate()?;
        let mut rng = rng(self.seed, 0x005b_a5e0);
        let mut reads: Vec<Vec<f32>> = Vec::with_capacity(self.planted);
        let mut tries = 0;
        while reads.len() < self.planted {
            let one = direction(&mut rng, self.units);
            let cosine = |other: &Vec<f32>| {
                one.iter().zip(other).map(|(a, b)| f64::from(a * b)).sum::<f64>().abs()
            };
            if reads.iter().all(|other| cosine(other) <= self.overlap) {
                reads.push(one);
                tries = 0;
                continue;
            }
            tries += 1;
            if tries == TRIES {
                let expected = format!("fewer than {} in {} units", self.planted, self.units);
                return Err(Error::setting("planted", self.planted, expected)
                    .with_help("allow more overlap, or plant fewer directions"));
            }
        }
        let writes = (0..self.planted).flat_map(|_| direction(&mut rng, self.units)).collect();
        Ok(PlantedMlp {
            reads: matrix(reads.concat(), self.planted, self.units)?,
            writes: matrix(writes, self.planted, self.units)?,
            settings: self.clone(),
        })
    }
}

impl PlantedMlp {
    /// The `number`th batch of `samples` samples: the same whenever it is asked for.
    pub fn samples(&self, samples: usize, number: u64) -> MlpSamples {
        let SparseMlp { planted, probability, threshold, seed, .. } = self.settings;
        let mut rng = rng(seed, (0x005b_a5e1 << 32) | number);
        let strengths = Array2::from_shape_simple_fn((samples, planted), || {
            let active = rng.random_bool(probability);
            let strength = rng.random_range(0.5f32..1.5);
            if active { strength } else { 0.0 }
        });
        let input = strengths.dot(&self.reads);
        let hidden = input.dot(&self.reads.t()).mapv(|read| (read - threshold).max(0.0));
        let output = hidden.dot(&self.writes);
        MlpSamples { input, output, hidden }
    }
}

fn direction(rng: &mut ChaCha8Rng, units: usize) -> Vec<f32> {
    let values: Vec<f32> = (0..units).map(|_| StandardNormal.sample(rng)).collect();
    let length = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    values.into_iter().map(|x| (f64::from(x) / length) as f32).collect()
}

fn matrix(values: Vec<f32>, rows: usize, columns: usize) -> Result<Array2<f32>> {
    Array2::from_shape_vec((rows, columns), values)
        .map_err(|error| Error::setting("directions", error, "a matrix"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_overlap_little_and_outputs_are_what_is_planted() {
        for seed in 0..3 {
            let world = SparseMlp { seed, ..SparseMlp::default() }.plant().expect("plants");
            let cosines = world.reads.dot(&world.reads.t());
            for ((i, j), &cosine) in cosines.indexed_iter() {
                let fits = if i == j { (cosine - 1.0).abs() < 1e-5 } else { cosine.abs() <= 0.5 };
                assert!(fits, "{i} {j} {cosine}");
            }
            let samples = world.samples(2000, 3);
            for row in 0..50 {
                for planted in 0..64 {
                    let read = samples.input.row(row).dot(&world.reads.row(planted));
                    let fires = (read - 0.3).max(0.0);
                    assert!((samples.hidden[[row, planted]] - fires).abs() < 1e-5);
                }
                let written = samples.hidden.row(row).dot(&world.writes);
                let gap = &written - &samples.output.row(row);
                assert!(gap.iter().all(|gap| gap.abs() < 1e-4));
            }
            assert_eq!(samples, world.samples(2000, 3));
            assert_ne!(samples.input, world.samples(2000, 4).input);
            // 64 · 0.05 directions of length about 1 in a sample.
            let power = samples.input.iter().map(|x| x * x).sum::<f32>() / 2000.0;
            assert!((2.8..4.2).contains(&power), "{power}");
        }
    }

    #[test]
    fn a_crowded_world_and_settings_out_of_range_are_told() {
        let crowded = SparseMlp { units: 2, planted: 40, overlap: 0.1, ..SparseMlp::default() };
        assert!(crowded.plant().expect_err("too many").to_string().contains("planted"));
        for (wrong, field) in [
            (SparseMlp { units: 0, ..SparseMlp::default() }, "units"),
            (SparseMlp { probability: 0.0, ..SparseMlp::default() }, "probability"),
            (SparseMlp { threshold: f32::NAN, ..SparseMlp::default() }, "threshold"),
        ] {
            assert!(wrong.plant().expect_err("refused").to_string().contains(field));
        }
    }
}
