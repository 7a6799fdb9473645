//! The nissl side of `benches/peers/homogenise.py`: worms in memory, brought into one form, timed.
//!
//! usage: homogenise_peer FOLDER, which holds `worms.json` (neurons, samples, seconds between samples of
//! each worm) and `N.f64` (`[neuron, sample]`). Writes `N.out` (f32, normalised) and prints one JSON
//! line with the seconds of all steps; reading and writing are not counted.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use ndarray::Array2;
use nissl_core::store::write_bytes;
use nissl_core::{Error, IoContext, Progress, Result};
use nissl_record::worm::{
    Fluorescence, Homogenise, Imputation, Naming, Outcome, RawWorm, Signal, slots,
};

fn main() -> Result<()> {
    let folder =
        std::env::args().nth(1).ok_or_else(|| Error::setting("FOLDER", "absent", "one"))?;
    let folder = Path::new(&folder);
    let list = folder.join("worms.json");
    let text = std::fs::read(&list).at(&list, "read")?;
    let shapes: Vec<(usize, usize, f64)> = serde_json::from_slice(&text)
        .map_err(|error| Error::file(&list, "content", error, "shapes"))?;
    let mut worms = Vec::with_capacity(shapes.len());
    for (number, &(neurons, samples, dt)) in shapes.iter().enumerate() {
        let path = folder.join(format!("{number}.f64"));
        let bytes = std::fs::read(&path).at(&path, "read")?;
        let values = bytes.chunks_exact(8).map(|bytes| {
            let mut own = [0; 8];
            own.copy_from_slice(bytes);
            f64::from_le_bytes(own)
        });
        let traces = Array2::from_shape_vec((neurons, samples), values.collect())
            .map_err(|error| Error::file(&path, "content", error, "a matrix"))?;
        let time = (0..samples).map(|at| at as f64 * dt).collect();
        let names = slots().iter().take(neurons).map(|name| Some((*name).to_owned())).collect();
        worms.push(RawWorm::new(traces, time, names, Fluorescence::Relative));
    }
    let method = Homogenise { imputation: Imputation::None, ..Homogenise::default() };
    let wanted = [Signal::Raw, Signal::Residual, Signal::Smooth, Signal::SmoothResidual];
    let progress = Progress::silent();
    let begun = Instant::now();
    let made = worms
        .into_iter()
        .map(|worm| method.worm(worm, "worm0", Naming::Plain, &wanted, &progress))
        .collect::<Result<Vec<_>>>()?;
    let seconds = begun.elapsed().as_secs_f64();
    for (number, outcome) in made.iter().enumerate() {
        let Outcome::Worm(worm) = outcome else {
            return Err(Error::setting("worm", number, "one that is long enough"));
        };
        let bytes: Vec<u8> = worm.calcium.iter().flat_map(|value| value.to_le_bytes()).collect();
        write_bytes(&folder.join(format!("{number}.out")), &bytes)?;
    }
    let line = serde_json::json!({ "seconds": seconds });
    writeln!(std::io::stdout(), "{line}").map_err(|error| Error::io(folder, "print", error))
}
