//! The nissl side of `benches/peers/lib.py`: bases and edges of one checkpoint, timed from within.
//!
//! usage: lib_peer CHECKPOINT [--tau TAU | BASIS]; prints one JSON line: the seconds, the vectors of each
//! node layer, the importance of those of all but the last and the sums of the edges, over all sums, with
//! the threshold TAU or the study's. With the basis (lib or pca) named, bases and edges of the sums trained
//! on, also what is needed on the others, and the seconds of it all.

use std::path::Path;
use std::time::Instant;

use nissl_core::section::{Basis, InteractionBasis};
use nissl_core::{Error, Progress, Result};
use nissl_decompose::interaction_basis::{BasisKind, LocalInteractionBasis};
use nissl_networks::sections::{Outputs, Transformer};
use nissl_studies::lib_basis::modular_addition::{Follow, LAYERS, adding};
use nissl_trace::interaction::{EdgeMatrix, Edges, Waves};

/// Numbers that are added, modulo as many.
const MODULUS: u32 = 113;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let begun = Instant::now();
    match arguments[..] {
        [path] => {
            let tau = LocalInteractionBasis::default().tau;
            let (bases, edges) = found(Path::new(path), tau)?;
            println_json(&told(begun, &bases, &edges));
        }
        [path, "--tau", tau] => {
            let wrong = |error| Error::setting("tau", error, "a number, such as 1e-15");
            let (bases, edges) = found(Path::new(path), tau.parse().map_err(wrong)?)?;
            println_json(&told(begun, &bases, &edges));
        }
        [path, basis] => {
            let kind = if basis == "pca" { BasisKind::Pca } else { BasisKind::Lib };
            let found = adding(Path::new(path), kind, Follow::Needs, &Progress::silent())?;
            let mut told = told(begun, &found.bases, &found.edges);
            let pure: Vec<_> = found.waves.iter().take(12).map(Waves::strongest).collect();
            told["required"] = serde_json::json!(found.required);
            told["pure"] = serde_json::json!(pure);
            println_json(&told);
        }
        _ => {
            let expected = "CHECKPOINT [--tau TAU | BASIS]";
            return Err(Error::setting("arguments", arguments.len(), expected));
        }
    }
    Ok(())
}

/// Bases and edges over all sums, derivatives being taken at the samples.
fn found(path: &Path, tau: f64) -> Result<(InteractionBasis, Vec<EdgeMatrix>)> {
    let network = Transformer::open(path)?;
    let cut = network.cut(&LAYERS.map(str::to_owned), 3, Outputs::Last)?;
    let sums = (0..MODULUS * MODULUS).map(|n| vec![n / MODULUS, n % MODULUS, MODULUS]);
    let samples = cut.samples(network.tokens(sums.collect())?);
    let settings = LocalInteractionBasis { tau, ..LocalInteractionBasis::default() };
    let progress = Progress::silent();
    let bases = settings.fit(&cut.chain, &samples, &progress)?;
    let edges = Edges::default().all(&cut.chain, &samples, &bases, &progress)?;
    Ok((bases, edges))
}

fn told(begun: Instant, bases: &InteractionBasis, edges: &[EdgeMatrix]) -> serde_json::Value {
    let seconds = begun.elapsed().as_secs_f64();
    let vectors: Vec<usize> = bases.node_layers.iter().map(Basis::vectors).collect();
    let inner = bases.node_layers.split_last().map_or(&[][..], |(_, inner)| inner);
    let importance: Vec<Vec<f64>> = inner.iter().map(|basis| basis.importance.to_vec()).collect();
    let edges: Vec<f64> = edges.iter().map(|it| it.weights.sum()).collect();
    serde_json::json!({
        "seconds": seconds, "vectors": vectors, "importance": importance, "edges": edges
    })
}

#[expect(clippy::print_stdout, reason = "the one line that the script reads")]
fn println_json(value: &serde_json::Value) {
    println!("{value}");
}
