//! The nissl side of `benches/peers/lib.py`: bases and edges of one checkpoint, timed from within.
//!
//! usage: lib_peer CHECKPOINT [BASIS]; prints one JSON line: the seconds, the vectors of each node layer,
//! the importance of those of all but the last and the sums of the edges. With the basis (lib or pca) named, also what is needed, and its seconds.

use std::path::Path;
use std::time::Instant;

use nissl_core::{Error, Progress, Result};
use nissl_decompose::interaction_basis::BasisKind;
use nissl_studies::lib_basis::modular_addition::{Follow, adding};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let (path, basis) = match arguments.as_slice() {
        [_, path] => (path, None),
        [_, path, basis] => (path, Some(basis.as_str())),
        _ => {
            return Err(Error::setting("arguments", arguments.len(), "CHECKPOINT [BASIS]"));
        }
    };
    let kind = if basis == Some("pca") { BasisKind::Pca } else { BasisKind::Lib };
    let follow = if basis.is_some() { Follow::Needs } else { Follow::Edges };
    let begun = Instant::now();
    let found = adding(Path::new(path), kind, follow, &Progress::silent())?;
    let seconds = begun.elapsed().as_secs_f64();
    let vectors: Vec<usize> =
        found.bases.node_layers.iter().map(nissl_core::section::Basis::vectors).collect();
    let inner = found.bases.node_layers.split_last().map_or(&[][..], |(_, inner)| inner);
    let importance: Vec<Vec<f64>> = inner.iter().map(|basis| basis.importance.to_vec()).collect();
    let edges: Vec<f64> = found.edges.iter().map(|it| it.weights.sum()).collect();
    let pure: Vec<_> =
        found.waves.iter().take(12).map(nissl_trace::interaction::Waves::strongest).collect();
    println_json(&serde_json::json!({
        "seconds": seconds, "vectors": vectors, "importance": importance, "edges": edges,
        "required": found.required, "pure": pure
    }));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the one line that the script reads")]
fn println_json(value: &serde_json::Value) {
    println!("{value}");
}
