//! The nissl side of `benches/peers/snmf.py`: one SNMF fit, timed from within.
//!
//! usage: snmf_peer ACTIVITY.npy FEATURES SPARSITY ITERATIONS SOLVER; prints one JSON line:
//! for each iteration the seconds since the first and the relative loss, and the seconds of the whole fit,
//! reading the recording and making the start included; importing the file is not.

use std::path::Path;
use std::time::Instant;

use nissl_core::store::Existing;
use nissl_core::{Error, Progress, Result};
use nissl_decompose::Snmf;
use nissl_decompose::snmf::{Initial, Solver};
use nissl_record::import::{Import, import};

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

#[expect(clippy::print_stdout, reason = "the one line that the script reads")]
fn println_json(value: &serde_json::Value) {
    println!("{value}");
}
