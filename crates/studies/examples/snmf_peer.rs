//! The nissl side of `benches/peers/snmf.py`: one SNMF fit, timed from within.
//!
//! usage: snmf_peer ACTIVITY.npy FEATURES SPARSITY ITERATIONS; prints one JSON line. The time is that
//! of the fit, reading the recording included; importing the file is not.

use std::path::Path;
use std::time::Instant;

use nissl_core::features::Decompose;
use nissl_core::store::Existing;
use nissl_core::{Error, Progress, Result};
use nissl_decompose::Snmf;
use nissl_decompose::snmf::{Initial, Sparsity};
use nissl_record::import::{Import, import};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, k, sparsity, iterations] = arguments.as_slice() else {
        let expected = "ACTIVITY.npy FEATURES SPARSITY ITERATIONS";
        return Err(Error::setting("arguments", arguments.len(), expected));
    };
    let file = Path::new(file);
    let folder = file.with_extension("recording");
    let progress = Progress::silent();
    let recording = import(file, &Import::default(), &folder, Existing::Overwrite, &progress)?;
    let rows: Vec<usize> = (0..recording.samples()).collect();
    let number = |text: &str| text.parse::<f64>().unwrap_or(0.0);
    let snmf = Snmf {
        k: number(k) as usize,
        sparsity: Sparsity::Fraction(number(sparsity)),
        iterations: number(iterations) as usize,
        patience: usize::MAX,
        restarts: 1,
        initial: Initial::Random,
        ..Snmf::default()
    };
    let begun = Instant::now();
    let dictionary = snmf.fit(&recording, &rows, &progress)?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut squares = 0.0;
    for block in recording.blocks(4096) {
        squares += block?.activity.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
    }
    let lowest = dictionary.loss.iter().copied().fold(f32::INFINITY, f32::min);
    println_json(&serde_json::json!({
        "seconds": seconds, "loss": f64::from(lowest) / squares, "iterations": dictionary.loss.len(),
    }));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the one line that the script reads")]
fn println_json(value: &serde_json::Value) {
    println!("{value}");
}
