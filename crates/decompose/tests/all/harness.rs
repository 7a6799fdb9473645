//! Planted factors (spec 6A, small) and recordings made of matrices.

use std::path::Path;

use ndarray::{Array2, ArrayView1, ArrayView2, s};
use nissl_core::recording::{RecordingPlan, Source};
use nissl_core::seed::rng;
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Recording, RecordingWriter, Table};
use rand::RngExt;
use rand::seq::index::sample;
use rand_distr::{Distribution, Exp1, StandardNormal};
use tempfile::TempDir;

/// Samples of a sequence.
pub(crate) const SEQUENCE: usize = 50;

/// A recording of `activity` `[sample, unit]`, in shards of a few hundred samples.
pub(crate) fn record(folder: &Path, activity: ArrayView2<'_, f32>) -> Recording {
    let units = activity.ncols() as u32;
    let table = Table::new()
        .with("unit", Column::U32((0..units).collect()))
        .with("site", Column::Text(vec!["layers.0.mlp.act".to_owned(); units as usize]))
        .with("index", Column::U32((0..units).collect()));
    let mut plan = RecordingPlan::new(table, Source::default(), Provenance::default());
    plan.shard_bytes = 4 * 300 * units as usize;
    let mut writer = RecordingWriter::create(folder, plan, Existing::Refuse).expect("begins");
    for first in (0..activity.nrows()).step_by(SEQUENCE) {
        let rows = SEQUENCE.min(activity.nrows() - first);
        let samples = Table::new()
            .with("sequence", Column::U32(vec![(first / SEQUENCE) as u32; rows]))
            .with("position", Column::U32((0..rows as u32).collect()));
        writer.push(activity.slice(s![first..first + rows, ..]), samples).expect("pushes");
    }
    writer.finish().expect("finishes")
}

/// As [`record`], in a folder that goes with the value.
pub(crate) fn recorded(activity: ArrayView2<'_, f32>) -> (TempDir, Recording) {
    let folder = tempfile::tempdir().expect("a folder");
    let recording = record(&folder.path().join("recording"), activity);
    (folder, recording)
}

/// What was planted.
pub(crate) struct Planted {
    /// `[sample, unit]`
    pub(crate) activity: Array2<f32>,
    /// `[feature, unit]`, rows of unit norm.
    pub(crate) features: Array2<f32>,
    /// `[sample, feature]`
    pub(crate) coefficients: Array2<f32>,
    /// The sum of squares of the noise.
    pub(crate) noise: f64,
}

/// As [`plant_with`], with five units to a feature.
pub(crate) fn plant(units: usize, samples: usize, features: usize, seed: u64) -> Planted {
    plant_with(units, samples, features, 5, seed)
}

/// Features on `kept` random units with signs, active with probability 0.3.
pub(crate) fn plant_with(
    units: usize,
    samples: usize,
    features: usize,
    kept: usize,
    seed: u64,
) -> Planted {
    let mut rng = rng(seed, 7);
    let mut planted = Array2::<f32>::zeros((features, units));
    for mut row in planted.rows_mut() {
        for unit in sample(&mut rng, units, kept) {
            let sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
            row[unit] = sign * rng.random_range(0.5..1.5);
        }
        let norm = row.dot(&row).sqrt();
        row /= norm;
    }
    let coefficients = Array2::from_shape_simple_fn((samples, features), || {
        let strength: f32 = Exp1.sample(&mut rng);
        if rng.random_bool(0.3) { 0.2 + strength } else { 0.0 }
    });
    let noise = Array2::from_shape_simple_fn((samples, units), || {
        let value: f32 = StandardNormal.sample(&mut rng);
        0.05 * value
    });
    let activity = coefficients.dot(&planted) + &noise;
    let noise = noise.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    Planted { activity, features: planted, coefficients, noise }
}

/// The fraction of `truth` rows with a row of `found` of signed cosine at least 0.95.
pub(crate) fn recovered(truth: &Array2<f32>, found: &Array2<f32>) -> f64 {
    let hits = truth.rows().into_iter().filter(|row| best_match(*row, found).1 >= 0.95).count();
    hits as f64 / truth.nrows() as f64
}

/// The row of `found` of largest signed cosine with `row`, and that cosine.
pub(crate) fn best_match(row: ArrayView1<'_, f32>, found: &Array2<f32>) -> (usize, f32) {
    let length = |row: ArrayView1<'_, f32>| row.dot(&row).sqrt().max(1e-30);
    found
        .rows()
        .into_iter()
        .map(|other| row.dot(&other) / (length(row) * length(other)))
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .expect("at least one feature")
}

/// Every number from 0 to below `count`.
pub(crate) fn all(count: usize) -> Vec<usize> {
    (0..count).collect()
}

/// Directions that are read and written, and samples of both sides of the map between them.
pub(crate) struct PlantedMap {
    /// `[direction, unit]` of unit length.
    pub(crate) reads: Array2<f32>,
    /// `[direction, unit]` of unit length.
    pub(crate) writes: Array2<f32>,
    /// `[sample, unit]`: sums of a twentieth of the directions that are read.
    pub(crate) input: Array2<f32>,
    /// `[sample, unit]`: what a layer of ReLU units with those directions makes of them.
    pub(crate) output: Array2<f32>,
}

impl PlantedMap {
    pub(crate) fn new(samples: usize, [planted, units]: [usize; 2], seed: u64) -> Self {
        let mut rng = rng(seed, 3);
        let mut directions = || {
            let mut rows = Array2::<f32>::from_shape_simple_fn((planted, units), || {
                StandardNormal.sample(&mut rng)
            });
            for mut row in rows.rows_mut() {
                let norm = row.dot(&row).sqrt();
                row /= norm;
            }
            rows
        };
        let (reads, writes) = (directions(), directions());
        let strengths = Array2::from_shape_simple_fn((samples, planted), || {
            let strength = rng.random_range(0.5f32..1.5);
            if rng.random_bool(0.05) { strength } else { 0.0 }
        });
        let input = strengths.dot(&reads);
        let output = input.dot(&reads.t()).mapv(|u| (u - 0.3).max(0.0)).dot(&writes);
        Self { reads, writes, input, output }
    }
}
