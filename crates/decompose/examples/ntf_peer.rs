//! The nissl side of `benches/peers/ntf.py`: one factorisation from given factors, timed from within.
//!
//! usage: ntf_peer FILE.safetensors TARGET; prints one JSON line: the seconds until the relative error is at most
//! TARGET, checks of the tensor included, the sweeps, the error reached, and that after 100 sweeps.

use std::path::Path;
use std::time::Instant;

use ndarray::Array2;
use nissl_core::numbers::NumberFile;
use nissl_core::{Error, Progress, Result};
use nissl_decompose::ntf::{Factors, Ntf, PairTensor};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, target] = arguments.as_slice() else {
        return Err(Error::setting("arguments", arguments.len(), "FILE TARGET"));
    };
    let target: f64 =
        target.parse().map_err(|error| Error::setting("target", error, "a relative error"))?;
    let file = NumberFile::open(Path::new(path))?;
    let shape: [usize; 3] = file
        .shape("tensor")
        .and_then(|shape| shape.try_into().ok())
        .ok_or_else(|| Error::file(path, "tensor", "another shape", "pair, animal, time"))?;
    let [pairs, animals, _] = shape;
    let values = file.f32s("tensor", 0, shape.iter().product())?;
    let factor = |name: &str| -> Result<Array2<f64>> { Ok(file.matrix(name)?.mapv(f64::from)) };
    let start =
        Factors { times: factor("times")?, animals: factor("animals")?, pairs: factor("pairs")? };
    let silent = Progress::silent();
    let begun = Instant::now();
    let tensor = PairTensor::stored(values, shape, vec![true; pairs * animals])?;
    let checked = begun.elapsed().as_secs_f64();
    let run = |iterations: usize| {
        let ntf = Ntf { iterations, tolerance: 0.0, ..Ntf::default() };
        ntf.fit_from(&tensor, start.clone(), &silent)
    };
    let long = run(100)?;
    let sweeps = long.errors.iter().position(|&error| error <= target).unwrap_or(100).max(1);
    let begun = Instant::now();
    let short = run(sweeps)?;
    let seconds = begun.elapsed().as_secs_f64();
    println_json(&serde_json::json!({
        "seconds": seconds + checked, "checked": checked, "sweeps": sweeps, "error": short.error,
        "lowest": long.error, "of_sweeps": long.errors.last(),
    }));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the one line that the script reads")]
fn println_json(value: &serde_json::Value) {
    println!("{value}");
}
