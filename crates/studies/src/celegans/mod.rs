//! The study `celegans-homogenize`: recorded brains and connectomes of C. elegans in one form.
//!
//! Part A reads the published connectomes and counts; part B runs golden traces through the published
//! steps; part C writes simulated worms as the raw files of twelve laboratories and reads them again; part
//! D finds the wiring in the activity of worms of which half is named.

mod connectome;
mod fake;
mod golden;
mod raw_files;
mod round_trip;
mod wiring;

use nissl_core::{Graph, Result};
use nissl_record::connectome::ImportConnectome;

use crate::report::Bars;
use crate::study::{Findings, Setting, Study};

/// The study.
pub const CELEGANS_HOMOGENIZE: Study = Study {
    name: "celegans-homogenize",
    title: "Do worms and connectomes of many laboratories fit one form?",
    source: "Simeon, Astrom, Kashyap, Kording, Boyden 2024, arXiv:2411.12091",
    about: "Connectomes of five publications are read into one schema and must have the published counts of \
            neurons, synapses and gap junctions, with the mistakes of the published pipeline and without. \
            Their consensus, agreement and measures follow. A worm simulated from one of them must show its \
            wiring in its activity, and a worm with exchanged names must not.",
    run,
};

fn run(setting: &Setting<'_>) -> Result<Findings> {
    let bars = Bars::new("Worms and connectomes in one form");
    let mut findings = Findings { bars, ..Findings::default() };
    connectome::connectomes(setting, &mut findings)?;
    golden::golden_traces(setting, &mut findings)?;
    let published = white(setting)?;
    let own = round_trip::ring()?;
    let wired = published.as_ref().unwrap_or(&own);
    round_trip::round_trip(setting, wired, 1.0, &mut findings)?;
    match &published {
        Some(published) => wiring::wiring_from_activity(setting, published, &mut findings)?,
        None => findings.skipped.push(format!(
            "D: wiring from activity; it needs {} in the folder of data",
            connectome::DATA
        )),
    }
    Ok(findings)
}

/// The connectome of White 1986, where the real files are.
fn white(setting: &Setting<'_>) -> Result<Option<Graph>> {
    let file = setting
        .data(connectome::DATA)
        .map(|folder| folder.join("aconnectome_white_1986_whole.csv"))
        .filter(|file| file.is_file());
    file.map(|file| Ok(ImportConnectome::default().read(&[file])?.graph)).transpose()
}

#[cfg(test)]
mod tests {
    use nissl_core::Progress;

    use super::*;

    #[test]
    fn a_few_worms_of_each_laboratory_come_back_as_planted() {
        let folder = tempfile::tempdir().expect("a folder");
        let progress = Progress::silent();
        let setting = Setting { seed: 1, folder: folder.path(), data: None, progress: &progress };
        let mut findings = Findings::default();
        golden::golden_traces(&setting, &mut findings).expect("runs");
        let ring = round_trip::ring().expect("a connectome");
        round_trip::round_trip(&setting, &ring, 0.0, &mut findings).expect("runs");
        for bar in &findings.bars.bars {
            assert!(bar.pass(), "{}: {}", bar.name, bar.value);
        }
    }
}
