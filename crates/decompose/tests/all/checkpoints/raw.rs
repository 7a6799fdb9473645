//! Checkpoints made by hand, and their formulas in f64.

use std::path::Path;

use ndarray::{Array1, Array2, Axis};
use nissl_core::files::{Item, TensorFile, write_arrays, write_torch};
use nissl_core::numbers::{Block, to_bytes};
use nissl_core::seed::rng;
use nissl_core::store::write_bytes;
use nissl_decompose::checkpoints::{Checkpoint, Load, Maker, load};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde_json::Value;

/// Units, features and output units.
pub(super) const UNITS: usize = 6;
pub(super) const FEATURES: usize = 12;
pub(super) const OUTPUTS: usize = 5;

/// Random weights: encoders `[feature, unit]`, decoders `[feature, output]`.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self(rng(seed, 11))
    }

    pub(super) fn matrix(&mut self, rows: usize, columns: usize) -> Array2<f32> {
        Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut self.0))
    }

    pub(super) fn vector(&mut self, size: usize) -> Array1<f32> {
        Array1::from_shape_simple_fn(size, || StandardNormal.sample(&mut self.0))
    }

    /// Numbers from 0.2 to 1.
    pub(super) fn positive(&mut self, size: usize) -> Array1<f32> {
        Array1::from_shape_simple_fn(size, || self.0.random_range(0.2..1.0))
    }
}

/// Tensors of a file by name.
#[derive(Default)]
pub(super) struct Tensors(Vec<(String, Vec<f32>, Vec<usize>)>);

impl Tensors {
    #[must_use]
    pub(super) fn matrix(mut self, name: &str, matrix: &Array2<f32>) -> Self {
        self.0.push((name.to_owned(), matrix.iter().copied().collect(), matrix.shape().to_vec()));
        self
    }

    /// With the axes swapped.
    #[must_use]
    pub(super) fn turned(self, name: &str, matrix: &Array2<f32>) -> Self {
        self.matrix(name, &matrix.t().as_standard_layout().into_owned())
    }

    #[must_use]
    pub(super) fn vector(mut self, name: &str, vector: &Array1<f32>) -> Self {
        self.0.push((name.to_owned(), vector.to_vec(), vec![vector.len()]));
        self
    }

    #[must_use]
    pub(super) fn shaped(mut self, name: &str, values: Vec<f32>, shape: &[usize]) -> Self {
        self.0.push((name.to_owned(), values, shape.to_vec()));
        self
    }

    #[must_use]
    pub(super) fn without(mut self, name: &str) -> Self {
        self.0.retain(|tensor| tensor.0 != name);
        self
    }

    pub(super) fn safetensors(&self, path: &Path) {
        let blocks: Vec<_> = self
            .0
            .iter()
            .map(|(name, values, shape)| (name.as_str(), Block::f32s(values, shape)))
            .collect();
        write_bytes(path, &to_bytes(&blocks).expect("tensors")).expect("writes");
    }

    pub(super) fn npz(&self, path: &Path) {
        let arrays: Vec<_> = self
            .0
            .iter()
            .map(|(name, values, shape)| (name.as_str(), values.as_slice(), shape.clone()))
            .collect();
        write_arrays(path, &arrays).expect("writes");
    }

    pub(super) fn items(&self) -> Vec<(&str, Item<'_>)> {
        self.0
            .iter()
            .map(|(name, values, shape)| {
                (name.as_str(), Item::F32s(values.as_slice().into(), shape.clone()))
            })
            .collect()
    }

    /// As a state dict, with plain values beside the tensors.
    pub(super) fn torch(&self, path: &Path, plain: &[(&str, Value)]) {
        let mut items = self.items();
        items.extend(plain.iter().map(|(name, value)| (*name, Item::Plain(value.clone()))));
        write_torch(path, &items).expect("writes");
    }
}

pub(super) fn json(path: &Path, value: &Value) {
    write_bytes(path, value.to_string().as_bytes()).expect("writes");
}

/// Reads a checkpoint whose maker must be found out.
pub(super) fn found(path: &Path, maker: Maker) -> Checkpoint {
    let checkpoint = load(path, &Load::default()).expect("loads");
    assert_eq!(checkpoint.source.maker, maker);
    checkpoint
}

pub(super) fn wide(matrix: &Array2<f32>) -> Array2<f64> {
    matrix.mapv(f64::from)
}

pub(super) fn wides(vector: &Array1<f32>) -> Array1<f64> {
    vector.mapv(f64::from)
}

/// Samples `[sample, unit]` whose mean is not 0.
pub(super) fn samples() -> Array2<f32> {
    Draw::new(99).matrix(40, UNITS) * 1.5 + 0.3
}

/// `encoder · x + bias` `[sample, feature]`.
pub(super) fn products(x: &Array2<f64>, encoder: &Array2<f32>, bias: &Array1<f32>) -> Array2<f64> {
    x.dot(&wide(encoder).t()) + &wides(bias)
}

/// `z · decoder + bias` `[sample, output]`.
pub(super) fn decoded(z: &Array2<f64>, decoder: &Array2<f32>, bias: &Array1<f32>) -> Array2<f64> {
    z.dot(&wide(decoder)) + &wides(bias)
}

pub(super) fn relu(u: &Array2<f64>) -> Array2<f64> {
    u.mapv(|u| u.max(0.0))
}

/// `u` above the feature's threshold, and 0.
pub(super) fn above(u: &Array2<f64>, threshold: &Array1<f64>) -> Array2<f64> {
    let mut out = u.clone();
    for mut row in out.rows_mut() {
        row.zip_mut_with(threshold, |u, &least| *u = if *u > least && *u > 0.0 { *u } else { 0.0 });
    }
    out
}

/// The `k` largest by `size`, and 0.
pub(super) fn largest(u: &Array2<f64>, k: usize, size: impl Fn(f64) -> f64) -> Array2<f64> {
    let mut out = Array2::zeros(u.dim());
    for (row, mut kept) in u.rows().into_iter().zip(out.rows_mut()) {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| size(row[b]).total_cmp(&size(row[a])));
        for &feature in &order[..k] {
            kept[feature] = row[feature];
        }
    }
    out
}

/// `(x − mean) / (deviation + 1e-5)` with the mean and the deviation of each sample.
pub(super) fn standard(x: &Array2<f64>) -> (Array2<f64>, Array1<f64>, Array1<f64>) {
    let means = x.mean_axis(Axis(1)).expect("units");
    let deviations = x.std_axis(Axis(1), 1.0);
    let mut normed = x.clone();
    for (mut row, (mean, deviation)) in
        normed.rows_mut().into_iter().zip(means.iter().zip(&deviations))
    {
        row.mapv_inplace(|x| (x - mean) / (deviation + 1e-5));
    }
    (normed, means, deviations)
}

/// That the dictionary encodes [`samples`] to `z` and predicts `y`.
pub(super) fn expect(checkpoint: &Checkpoint, z: &Array2<f64>, y: &Array2<f64>) {
    let x = samples();
    let dictionary = &checkpoint.dictionary;
    let encoded = dictionary.encode(x.view()).expect("encodes");
    let predicted = dictionary.predict(x.view(), encoded.view()).expect("predicts");
    assert!(z.iter().any(|z| *z != 0.0) && z.iter().any(|z| *z == 0.0), "a test of nothing");
    near(&encoded, z);
    near(&predicted, y);
}

/// Within 1e-5 of values of size 1.
pub(super) fn near(found: &Array2<f32>, expected: &Array2<f64>) {
    assert_eq!(found.dim(), expected.dim());
    for (at, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let gap = (f64::from(found) - expected).abs() / expected.abs().max(1.0);
        assert!(gap <= 1e-5, "{found} is not {expected} in place {at}");
    }
}

/// A matrix of the golden values in `fixtures/FOLDER`.
pub(super) fn golden(folder: &str) -> (std::path::PathBuf, impl Fn(&str) -> Array2<f32>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(folder);
    let golden = TensorFile::open(&folder.join("golden.safetensors")).expect("opens");
    let matrix = move |name: &str| {
        let shape = &golden.tensors()[name].shape;
        let values = golden.f32s(name).expect(name);
        Array2::from_shape_vec((shape[0], shape[1]), values).expect("a matrix")
    };
    (folder, matrix)
}
