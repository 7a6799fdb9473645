//! Iterations of SNMF per second, at the size of an MLP layer; the same algorithm in PyTorch is
//! timed by the script beside this file.

use divan::Bencher;
use divan::counter::ItemsCount;
use ndarray::Array2;
use nissl_core::features::Decompose;
use nissl_core::recording::{RecordingPlan, Source};
use nissl_core::seed::rng;
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Progress, Recording, RecordingWriter, Table};
use nissl_decompose::Snmf;
use nissl_decompose::snmf::{Initial, Solver};
use rand_distr::{Distribution, StandardNormal};
use tempfile::TempDir;

fn main() {
    divan::main();
}

/// Rectified noise: speed does not depend on what is found.
fn recording(samples: usize, units: usize) -> (TempDir, Recording) {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers: Vec<u32> = (0..units as u32).collect();
    let table = Table::new()
        .with("unit", Column::U32(numbers.clone()))
        .with("site", Column::Text(vec!["layers.0.mlp.act".to_owned(); units]))
        .with("index", Column::U32(numbers));
    let plan = RecordingPlan::new(table, Source::default(), Provenance::default());
    let mut writer =
        RecordingWriter::create(folder.path(), plan, Existing::Overwrite).expect("begins");
    let mut rng = rng(0, 0);
    for sequence in 0..samples.div_ceil(500) {
        let rows = 500.min(samples - sequence * 500);
        let activity = Array2::from_shape_simple_fn((rows, units), || {
            let value: f32 = StandardNormal.sample(&mut rng);
            value.max(0.0)
        });
        let samples = Table::new()
            .with("sequence", Column::U32(vec![sequence as u32; rows]))
            .with("position", Column::U32((0..rows as u32).collect()));
        writer.push(activity.view(), samples).expect("pushes");
    }
    (folder, writer.finish().expect("finishes"))
}

/// Solvers with their iterations.
const ARGUMENTS: [Argument; 3] = [
    Argument { solver: Solver::Multiplicative, iterations: 20 },
    Argument { solver: Solver::Multiplicative, iterations: 200 },
    Argument { solver: Solver::Accelerated, iterations: 20 },
];

#[derive(Clone, Copy, Debug)]
struct Argument {
    solver: Solver,
    iterations: usize,
}

impl std::fmt::Display for Argument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {}", self.solver, self.iterations)
    }
}

#[divan::bench(
    args = ARGUMENTS,
    sample_count = 3,
    sample_size = 1
)]
fn fit_3072_units_8000_samples_100_features(
    bencher: Bencher<'_, '_>,
    Argument { solver, iterations }: Argument,
) {
    let (_folder, recording) = recording(8000, 3072);
    let rows: Vec<usize> = (0..8000).collect();
    let method = Snmf {
        iterations,
        patience: iterations,
        restarts: 1,
        initial: Initial::Random,
        solver,
        ..Snmf::default()
    };
    let progress = Progress::silent();
    bencher
        .counter(ItemsCount::new(iterations))
        .bench_local(|| method.fit(&recording, &rows, &progress).expect("fits"));
}
