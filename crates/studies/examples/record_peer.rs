//! The nissl side of `benches/peers/record.py`: forward and record one MLP site, timed from within.
//!
//! usage: record_peer FOLDER LAYER REPETITIONS; prints one JSON line.

use std::path::Path;
use std::time::Instant;

use ndarray::ArrayView2;
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::recording::{RecordingPlan, Source};
use nissl_core::store::{Existing, Provenance};
use nissl_core::taps::Taps;
use nissl_core::{Column, Error, RecordingWriter, Result, Table, device};
use nissl_networks::language::Language;
use rand::RngExt;

const BATCH: usize = 16;
const CONTEXT: usize = 512;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, layer, repetitions] = arguments.as_slice() else {
        return Err(Error::setting("arguments", arguments.len(), "FOLDER LAYER REPETITIONS"));
    };
    let folder = Path::new(folder);
    let repetitions: usize = repetitions.parse().unwrap_or(5);
    let network = Language::load(folder, "gpt2-shaped", &device::parse("cpu")?)?;
    let mut rng = nissl_core::seed::rng(1, 0);
    let tokens: Vec<Vec<u32>> = (0..BATCH)
        .map(|_| (0..CONTEXT).map(|_| rng.random_range(0..network.vocabulary() as u32)).collect())
        .collect();
    let sequences: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
    let batch = TokenBatch::new(&sequences)?;
    let mut seconds = Vec::new();
    for number in 0..=repetitions {
        let begun = Instant::now();
        once(&network, &batch, &format!("layers.{layer}.mlp.act"), &folder.join("ours"))?;
        if number > 0 {
            seconds.push(begun.elapsed().as_secs_f64());
        }
    }
    println_json(&serde_json::json!({"seconds": seconds, "peak_bytes": peak_bytes()}));
    Ok(())
}

fn once(network: &dyn LanguageNetwork, batch: &TokenBatch, site: &str, out: &Path) -> Result<()> {
    let mut seen = None;
    let mut taps =
        Taps::none().read(site.parse()?, |_, tensor| seen = Some(tensor.clone())).without_output();
    network.forward(batch, &mut taps)?;
    drop(taps);
    let tensor = seen.ok_or_else(|| Error::setting("site", site, "a site of the network"))?;
    let [batches, positions, units] = tensor.dims();
    let data = tensor.into_data();
    let values = data
        .as_slice::<f32>()
        .map_err(|error| Error::setting("activity", format!("{error:?}"), "f32"))?;
    let rows = batches * positions;
    let table = Table::new()
        .with("unit", Column::U32((0..units as u32).collect()))
        .with("site", Column::Text(vec![site.to_owned(); units]))
        .with("index", Column::U32((0..units as u32).collect()));
    let plan = RecordingPlan::new(table, Source::default(), Provenance::default());
    let mut writer = RecordingWriter::create(out, plan, Existing::Overwrite)?;
    for number in 0..batches {
        let part = &values[number * positions * units..(number + 1) * positions * units];
        let activity = ArrayView2::from_shape((positions, units), part)
            .map_err(|error| Error::setting("activity", error, "rows of all units"))?;
        let samples = Table::new()
            .with("sequence", Column::U32(vec![number as u32; positions]))
            .with("position", Column::U32((0..positions as u32).collect()));
        writer.push(activity, samples)?;
    }
    let recording = writer.finish()?;
    assert_eq!(recording.samples(), rows, "every token is recorded");
    Ok(())
}

/// The largest resident set of this process so far, as Linux tells it.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[expect(clippy::print_stdout, reason = "the one line that the script reads")]
fn println_json(value: &serde_json::Value) {
    println!("{value}");
}
