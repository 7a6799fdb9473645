//! The nissl side of `benches/peers/snmf.py`: one SNMF fit, timed from within.
//!
//! usage: snmf_peer ACTIVITY.npy FEATURES SPARSITY ITERATIONS SOLVER; writes the coefficients it begins
//! with beside the file, `.start`, f32 `[feature, sample]`, and prints one JSON line:
//! for each iteration the seconds since the first and the relative loss, and the seconds of the whole fit,
//! reading the recording and making the start included; importing the file is not.

use std::path::Path;
use std::time::Instant;

use nissl_core::seed::rng;
use nissl_core::store::{Existing, write_bytes};
use nissl_core::{Error, Progress, Recording, Result};
use nissl_decompose::Snmf;
use nissl_decompose::snmf::{Initial, Solver};
use nissl_record::import::{Import, import};
use rand::RngExt;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, k, sparsity, iterations, solver] = arguments.as_slice() else {
        let expected = "ACTIVITY.npy FEATURES SPARSITY ITERATIONS SOLVER";
        return Err(Error::setting("arguments", arguments.len(), expected));
    };
    let solver = match solver.as_str() {
        "multiplicative" => Solver::Multiplicative,
        "accelerated" => Solver::Accelerated,
        other => return Err(Error::setting("SOLVER", other, "multiplicative or accelerated")),
    };
    let count = |name: &str, text: &str| {
        text.parse::<usize>().map_err(|_not_a_number| Error::setting(name, text, "a whole number"))
    };
    let file = Path::new(file);
    let folder = file.with_extension("recording");
    let progress = Progress::silent();
    let recording = import(file, &Import::default(), &folder, Existing::Overwrite, &progress)?;
    let rows: Vec<usize> = (0..recording.samples()).collect();
    let snmf = Snmf {
        k: count("FEATURES", k)?,
        sparsity: sparsity.parse()?,
        iterations: count("ITERATIONS", iterations)?,
        patience: usize::MAX,
        restarts: 1,
        initial: Initial::Random,
        solver,
        ..Snmf::default()
    };
    write_bytes(&file.with_extension("start"), &start(&snmf, &recording))?;
    let begun = Instant::now();
    let fits = snmf.fit_timed(&recording, &rows, &progress)?;
    let whole = begun.elapsed().as_secs_f64();
    let mut squares = 0.0;
    for block in recording.blocks(4096) {
        squares += block?.activity.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
    }
    let curve: Vec<[f64; 2]> = fits
        .first()
        .map(|fit| fit.curve().iter().map(|&[seconds, loss]| [seconds, loss / squares]).collect())
        .unwrap_or_default();
    println_json(&serde_json::json!({ "seconds": whole, "curve": curve }));
    Ok(())
}

/// The draws of [`Initial::Random`] for the first restart, which come tile by tile.
fn start(snmf: &Snmf, recording: &Recording) -> Vec<u8> {
    let (samples, k) = (recording.samples(), snmf.k);
    let tile = ((4 << 20) / recording.units()).clamp(64, 4096) / 64 * 64;
    let mut rng = rng(snmf.seed, 0);
    let mut all = vec![0f32; k * samples];
    for first in (0..samples).step_by(tile) {
        let last = (first + tile).min(samples);
        for row in all.chunks_mut(samples) {
            row[first..last].fill_with(|| rng.random_range(0.0..1f32).max(1e-6));
        }
    }
    all.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[expect(clippy::print_stdout, reason = "the one line that the script reads")]
fn println_json(value: &serde_json::Value) {
    println!("{value}");
}
