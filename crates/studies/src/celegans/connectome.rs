//! Part A: the published connectomes, their counts by both rules, and what follows from them.

use std::path::Path;

use nissl_core::store::{Existing, Provenance};
use nissl_core::{Graph, Result};
use nissl_record::connectome::{
    EdgeKind, ImportConnectome, ImportReport, Imported, Source, known_files,
};
use nissl_trace::connectome::{
    ActivityCorrelation, Compared, Connectome, Consensus, Function, Null, StructureFunction,
    agreement, measures,
};
use nissl_worlds::worm::WormWorld;

use crate::report::{Bar, Bound, Cell, Section, Table, connectome_page};
use crate::study::{Findings, Setting};

/// The folder of real files.
pub(super) const DATA: &str = "40-celegans-connectomes";

/// Neurons, pairs, chemical edges, synapses, pairs of gap junctions, their weight in both directions.
type Counts = [f64; 6];

const HEADS: [&str; 6] =
    ["neurons", "pairs", "chemical edges", "synapses", "gap pairs", "gap weight"];

/// What must come out: by the rules of the reference, and corrected where the specification says so.
const EXPECTED: [(Source, Counts, Option<Counts>); 5] = [
    (
        Source::White1986Whole,
        [299.0, 3145.0, 2266.0, 6509.0, 569.0, 1916.0],
        Some([299.0, 3145.0, 2266.0, 6509.0, 569.0, 1916.0]),
    ),
    (
        Source::Witvliet7,
        [180.0, 2364.0, 1944.0, 6587.0, 267.0, 732.0],
        Some([180.0, 2364.0, 1944.0, 6587.0, 267.0, 732.0]),
    ),
    (
        Source::Witvliet8,
        [180.0, 2371.0, 1933.0, 7099.0, 304.0, 839.0],
        Some([180.0, 2371.0, 1933.0, 7099.0, 304.0, 839.0]),
    ),
    (
        Source::Chklovskii,
        [278.0, 2514.0, 1623.0, 3964.0, 517.0, 1777.0],
        Some([f64::NAN, f64::NAN, 2194.0, 6394.0, 517.0, 1777.0]),
    ),
    (
        Source::Cook2019,
        [236.0, 4089.0, 3038.0, 17676.0, 848.0, 7731.0],
        Some([300.0, 5142.0, 3707.0, 20905.0, 1103.0, 9610.0]),
    ),
];

/// AIBL to RIMR by synapses, AVBL to AVBR by gap junctions, by the rules of the reference.
const SPOTS: [(Source, f64, f64); 5] = [
    (Source::White1986Whole, 13.0, 3.0),
    (Source::Witvliet7, 26.0, 3.0),
    (Source::Witvliet8, 23.0, 1.0),
    (Source::Chklovskii, 12.0, 3.0),
    (Source::Cook2019, 56.0, 18.0),
];

/// Reads what there is, checks its counts, and shows what the connectomes say.
pub(super) fn connectomes(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let Some(folder) = setting.data(DATA) else {
        findings
            .skipped
            .push(format!("A: the published connectomes; they need {DATA} in the folder of data"));
        return Ok(());
    };
    let known = known_files(&folder);
    let mut table = Table::new(
        "Counts of each connectome",
        ["connectome", "rules"].into_iter().chain(HEADS).chain(["left out"]),
    );
    let mut corrected = Vec::new();
    for (source, files) in &known {
        setting.progress.check(|| format!("{} connectomes", corrected.len()))?;
        let expected = EXPECTED.iter().find(|(other, ..)| other == source);
        for reference_quirks in [true, false] {
            let settings = ImportConnectome { reference_quirks, ..ImportConnectome::default() };
            let imported = settings.read(files)?;
            let rules = if reference_quirks { "reference" } else { "corrected" };
            let found = counts(&imported.report);
            table = table.with_row(row(&imported.report, rules, found));
            let wanted =
                expected.and_then(
                    |&(_, reference, corrected)| {
                        if reference_quirks { Some(reference) } else { corrected }
                    },
                );
            if let Some(wanted) = wanted {
                bar(findings, &imported.report.identity.name, rules, found, wanted);
            }
            if reference_quirks {
                spots(findings, *source, &imported)?;
            } else {
                corrected.push(imported);
            }
        }
    }
    findings.sections.push(
        Section::new("A: published connectomes")
            .says(
                "The published pipeline loses the 64 motor neurons whose names Cook's tables write with a zero \
                 (VB01), and the monadic sends of Chklovskii's table; corrected, both are read. Weight of gap \
                 junctions counts in both directions.",
            )
            .with(table),
    );
    let graphs: Vec<Connectome> = corrected
        .iter()
        .map(|one| Connectome::new(one.report.identity.name.as_str(), &one.graph))
        .collect::<Result<_>>()?;
    let measured: Vec<_> = graphs.iter().map(measures).collect();
    let consensus = Consensus::default().of(&graphs)?;
    consensus.write_csv(setting.folder)?;
    let graph = consensus.graph()?;
    let provenance =
        Provenance::here(&serde_json::json!({"source": "consensus"}), setting.seed, "cpu");
    graph.save(&setting.folder.join("consensus"), provenance, Existing::Overwrite)?;
    let mut agreement = agreement(&graphs);
    agreement.retain(|one| one.neurons > 0);
    findings.sections.push(
        Section::new("A: measures and agreement")
            .says(format!(
                "The consensus has {} ordered pairs with a connection; it lies beside this page as a graph and as \
                 the four tables of the published data set.",
                consensus.pairs.len()
            ))
            .with(connectome_page::measures(&measured))
            .with(connectome_page::agreement(&agreement)),
    );
    let white = known.iter().position(|(source, _)| *source == Source::White1986Whole);
    if let Some(white) = white {
        wiring_shows(setting, findings, &corrected[white].graph, &graphs[white])?;
    }
    Ok(())
}

fn counts(report: &ImportReport) -> Counts {
    let of = |kind| report.edges.get(&kind).copied().unwrap_or_default();
    let (chemical, gap) = (of(EdgeKind::Chemical), of(EdgeKind::Electrical));
    [
        report.neurons as f64,
        report.pairs as f64,
        chemical.edges as f64,
        chemical.weight,
        report.gap_pairs as f64,
        gap.weight,
    ]
}

fn row(report: &ImportReport, rules: &str, found: Counts) -> Vec<Cell> {
    let skipped: Vec<String> =
        report.skipped.iter().map(|(kind, count)| format!("{} {count}", kind.name())).collect();
    let mut row = vec![Cell::text(report.identity.name.as_str()), Cell::text(rules)];
    row.extend(found.map(Cell::Number));
    row.push(Cell::text(skipped.join(", ")));
    row
}

/// One bar for the six counts of a connectome: how many are as they must be.
fn bar(findings: &mut Findings, name: &str, rules: &str, found: Counts, wanted: Counts) {
    let stated = wanted.iter().filter(|wanted| !wanted.is_nan()).count();
    let pairs =
        || HEADS.iter().zip(found.iter().zip(&wanted)).filter(|(_, (_, wanted))| !wanted.is_nan());
    // Counts are whole; weights of averaged pairs may be halves.
    let same = pairs().filter(|(_, (found, wanted))| (*found - *wanted).abs() < 1e-9).count();
    let wrong: Vec<String> = pairs()
        .filter(|(_, (found, wanted))| (*found - *wanted).abs() >= 1e-9)
        .map(|(head, (found, wanted))| format!("{head} {found}, not {wanted}"))
        .collect();
    let bound = Bound::Within(stated as f64, stated as f64);
    let name = format!("A: counts of `{name}` that are exact, {rules} rules");
    findings.bars.bars.push(Bar::new(name, same as f64, bound).with_note(wrong.join("; ")));
}

fn spots(findings: &mut Findings, source: Source, imported: &Imported) -> Result<()> {
    let Some(&(_, chemical, gap)) = SPOTS.iter().find(|(other, ..)| *other == source) else {
        return Ok(());
    };
    let one = Connectome::new("spot", &imported.graph)?;
    let at = |name: &str| one.neurons.iter().position(|other| other == name).unwrap_or_default();
    let name = source.name();
    let mut bar = |what: &str, value: f64, wanted: f64| {
        let name = format!("A: {what} in `{name}`");
        findings.bars.bars.push(Bar::new(name, value, Bound::Within(wanted, wanted)));
    };
    bar("synapses of AIBL to RIMR", one.weight("chemical", at("AIBL"), at("RIMR")), chemical);
    bar("gap junctions of AVBL with AVBR", one.weight("electrical", at("AVBL"), at("AVBR")), gap);
    Ok(())
}

/// A worm simulated from a connectome shows its wiring; one with exchanged names does not.
fn wiring_shows(
    setting: &Setting<'_>,
    findings: &mut Findings,
    graph: &Graph,
    connectome: &Connectome,
) -> Result<()> {
    let compare = |world: &WormWorld, folder: &Path| -> Result<Compared> {
        let provenance = Provenance::here(world, world.seed, "cpu");
        let recording =
            world.write(graph, folder, provenance, Existing::Overwrite, setting.progress)?;
        let activity =
            ActivityCorrelation::of(&[recording], &connectome.neurons, setting.progress)?;
        let settings = StructureFunction { null: Null::Permutation, draws: 99 };
        settings.compare(connectome, Function::Activity(&activity), setting.seed, setting.progress)
    };
    let world = WormWorld {
        worms: 4,
        labelled_least: 0.4,
        labelled_most: 0.6,
        seed: setting.seed,
        ..WormWorld::default()
    };
    let found = compare(&world, &setting.folder.join("worms"))?;
    let shuffled = WormWorld { shuffle: true, ..world };
    let control = compare(&shuffled, &setting.folder.join("exchanged"))?;
    findings.bars.bars.extend([
        Bar::new(
            "A: AUROC of wired pairs by correlation, four simulated worms",
            found.auroc.value,
            Bound::AtLeast(0.6),
        ),
        Bar::new("A: p of that by exchange of neurons", found.auroc.p, Bound::AtMost(0.01)),
        Bar::new(
            "A: the same AUROC with exchanged names",
            control.auroc.value,
            Bound::Within(0.45, 0.55),
        ),
    ]);
    findings.sections.push(connectome_page::structure_function(&found));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Bars;
    use nissl_core::Progress;

    #[test]
    fn without_the_files_the_part_is_skipped_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let progress = Progress::silent();
        let setting = Setting { seed: 1, folder: folder.path(), data: None, progress: &progress };
        let mut findings = Findings { bars: Bars::new("c"), ..Findings::default() };
        connectomes(&setting, &mut findings).expect("runs");
        assert!(findings.bars.bars.is_empty());
        assert!(findings.skipped[0].contains(DATA));
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "says why it was skipped")]
    fn the_published_connectomes_meet_every_bar() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        if !data.join(DATA).is_dir() {
            eprintln!("skipped: ../shared/data/{DATA} is absent");
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let progress = Progress::silent();
        let setting =
            Setting { seed: 1, folder: folder.path(), data: Some(&data), progress: &progress };
        let mut findings = Findings { bars: Bars::new("c"), ..Findings::default() };
        connectomes(&setting, &mut findings).expect("runs");
        let missed: Vec<_> = findings.bars.bars.iter().filter(|bar| !bar.pass()).collect();
        assert!(missed.is_empty(), "{missed:#?}");
        assert!(findings.bars.bars.len() >= 23, "{}", findings.bars.bars.len());
        assert!(folder.path().join("consensus_connectome_trimmed_withfunc.csv").is_file());
    }
}
