//! The nissl side of `benches/peers/communities.py`: groups of one graph, timed from within.
//!
//! usage: communities_peer EDGES NODES MODEL CORRECTED RESTARTS [LEVELS]; EDGES holds lines `a b weight`,
//! MODEL is nested or flat, CORRECTED yes or no. Prints one JSON line: the seconds, the description length
//! and the levels. With a file of levels, a line of labels each, also the description length of these.

use std::path::Path;
use std::time::Instant;

use nissl_core::{Error, IoContext, Progress, Result};
use nissl_trace::communities::{BlockModel, DegreeCorrection, DegreePrior, Model, WeightedGraph};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, edges, nodes, model, corrected, restarts, levels @ ..] = arguments.as_slice() else {
        let expected = "EDGES NODES MODEL CORRECTED RESTARTS [LEVELS]";
        return Err(Error::setting("arguments", arguments.len(), expected));
    };
    let rows = numbers(Path::new(edges))?;
    let edges = rows.iter().map(|row| (row[0] as usize, row[1] as usize, row[2]));
    let graph = WeightedGraph::new(number(nodes)? as usize, edges)?;
    let settings = BlockModel {
        model: if model == "nested" { Model::Nested } else { Model::Microcanonical },
        degree_correction: if corrected == "yes" {
            DegreeCorrection::Yes
        } else {
            DegreeCorrection::No
        },
        degree_prior: DegreePrior::Uniform,
        restarts: number(restarts)? as usize,
        ..BlockModel::default()
    };
    let begun = Instant::now();
    let found = settings.fit(&graph, &Progress::silent())?;
    let seconds = begun.elapsed().as_secs_f64();
    let theirs = match levels.first() {
        Some(path) => {
            let levels: Vec<Vec<u32>> = numbers(Path::new(path))?
                .into_iter()
                .map(|level| level.into_iter().map(|label| label as u32).collect())
                .collect();
            Some(settings.description_length(&graph, &levels)?)
        }
        None => None,
    };
    println_json(&serde_json::json!({
        "seconds": seconds, "description_length": found.description_length,
        "restarts": found.restarts, "levels": found.levels, "theirs": theirs,
    }));
    Ok(())
}

fn number(text: &str) -> Result<f64> {
    text.parse().map_err(|_not_a_number| Error::setting("argument", text, "a number"))
}

fn numbers(path: &Path) -> Result<Vec<Vec<f64>>> {
    let text = std::fs::read_to_string(path).at(path, "read")?;
    text.lines().map(|line| line.split_whitespace().map(number).collect()).collect()
}

#[expect(clippy::print_stdout, reason = "the one line that the script reads")]
fn println_json(value: &serde_json::Value) {
    println!("{value}");
}
