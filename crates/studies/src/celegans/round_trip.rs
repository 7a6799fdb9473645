//! Part C: worms of twelve laboratories, simulated, written as their raw files, soiled, and read again.

use std::collections::BTreeSet;

use ndarray::Array2;
use nissl_core::graph::Orientation;
use nissl_core::stats::correlation::pearson;
use nissl_core::{Column, Error, Graph, IoContext, Result};
use nissl_record::worm::import::{ImportWorms, each};
use nissl_record::worm::{Fluorescence, Homogenise, Imputation, Naming, Outcome, RawWorm, Worm};
use nissl_worlds::worm::WormWorld;

use super::fake::{self, FakeWorm, SAMPLES, Shape, shapes};
use super::raw_files;
use crate::report::{Bar, Bound, Cell, Section, Table};
use crate::study::{Findings, Setting};

/// Simulated worms for each data set, from which its recordings are cut.
const LIVES: usize = 2;
/// Samples of each life beyond those of a recording.
const SPARE: usize = 200;
/// The decay of the indicator, in seconds.
const DECAY: f64 = 1.5;

/// What was found of one data set, and of all.
#[derive(Clone, Debug, Default)]
struct Found {
    worms: usize,
    expected_worms: usize,
    labelled: usize,
    recoverable: usize,
    recovered: usize,
    wrong: usize,
    /// Worms with another number of labels than was planted.
    miscounted: usize,
    /// Worms of which other neurons were left out than those that must be.
    misdropped: usize,
    /// The least correlation with the clean trace, without and with gaps.
    whole: f64,
    gapped: f64,
}

impl Found {
    fn nothing() -> Self {
        Self { whole: 1.0, gapped: 1.0, ..Self::default() }
    }

    fn add(&mut self, other: &Self) {
        self.worms += other.worms;
        self.expected_worms += other.expected_worms;
        self.labelled += other.labelled;
        self.recoverable += other.recoverable;
        self.recovered += other.recovered;
        self.wrong += other.wrong;
        self.miscounted += other.miscounted;
        self.misdropped += other.misdropped;
        self.whole = self.whole.min(other.whole);
        self.gapped = self.gapped.min(other.gapped);
    }
}

/// Simulates, writes and reads all data sets, `share` of one of their worms.
pub(super) fn round_trip(
    setting: &Setting<'_>,
    connectome: &Graph,
    share: f64,
    findings: &mut Findings,
) -> Result<()> {
    let mut all = Found::nothing();
    let mut rows = Vec::new();
    let stage = setting.progress.stage("raw files", shapes().len() as u64, "data sets");
    for shape in shapes() {
        setting.progress.check(|| format!("{} data sets", rows.len()))?;
        let worms = ((shape.worms as f64 * share).ceil() as usize).max(fake::WITH_GAPS + 1);
        let shape = Shape { worms: worms.min(shape.worms), ..shape };
        let found = one(setting, connectome, &shape)?;
        rows.push(row(&shape, &found));
        all.add(&found);
        stage.advance(1);
    }
    let bars = &mut findings.bars.bars;
    let exact = |name: &str, found: usize, expected: usize| {
        Bar::new(name, found as f64, Bound::Within(expected as f64, expected as f64))
    };
    bars.push(exact("worms read from twelve raw layouts", all.worms, all.expected_worms));
    bars.push(exact("worms with another number of labels than planted", all.miscounted, 0));
    let recovery = all.recovered as f64 / all.recoverable as f64;
    bars.push(Bar::new("recoverable labels recovered", recovery, Bound::AtLeast(0.99)));
    bars.push(exact("wrong labels", all.wrong, 0));
    bars.push(exact("worms whose left-out neurons differ from those planted", all.misdropped, 0));
    let least = "least correlation with the clean trace";
    bars.push(Bar::new(format!("{least}, no gaps"), all.whole, Bound::AtLeast(0.999)));
    bars.push(Bar::new(format!("{least}, 2 % in gaps"), all.gapped, Bound::AtLeast(0.95)));
    let heads =
        ["data set", "worms", "labels a worm", "recovered", "wrong", "least r", "least r, gaps"];
    let table = Table::new("What came back of each data set", heads);
    let table = rows.into_iter().fold(table, Table::with_row);
    let section = Section::new("Raw files of twelve laboratories")
        .says(
            "Worms simulated from a connectome are written in the raw layout of each data set, as many as \
             are published, with padded names, merges, empty names, unknown sides, second columns of a \
             neuron, gaps and traces that were interpolated. What is read must be what was planted.",
        )
        .with(table);
    findings.sections.push(section);
    Ok(())
}

fn row(shape: &Shape, found: &Found) -> Vec<Cell> {
    vec![
        Cell::text(shape.dataset.name()),
        Cell::Number(found.worms as f64),
        Cell::Number(found.labelled as f64 / found.worms.max(1) as f64),
        Cell::Number(found.recovered as f64 / found.recoverable.max(1) as f64),
        Cell::Number(found.wrong as f64),
        Cell::Number(found.whole),
        Cell::Number(found.gapped),
    ]
}

fn one(setting: &Setting<'_>, connectome: &Graph, shape: &Shape) -> Result<Found> {
    let world = WormWorld {
        samples: SAMPLES + SPARE,
        interval: shape.dt,
        measurement_noise: 0.0,
        decay: DECAY,
        seed: setting.seed + 100 * shape.dataset as u64,
        ..WormWorld::default()
    };
    let wiring = world.wiring(connectome)?;
    let lives: Vec<Array2<f32>> = (0..LIVES)
        .map(|life| in_slots(connectome, &world.simulate(&wiring, life).activity))
        .collect();
    let worms: Vec<FakeWorm> = (0..shape.worms)
        .map(|number| fake::worm(shape, number, &lives[number % LIVES], setting.seed))
        .collect::<Result<_>>()?;
    let folder = setting.folder.join("raw").join(shape.dataset.name());
    std::fs::create_dir_all(&folder).at(&folder, "create")?;
    raw_files::write_all(shape.dataset, &worms, &folder)?;
    let mut found = Found { expected_worms: worms.len(), ..Found::nothing() };
    let settings = ImportWorms { dataset: None, ..ImportWorms::default() };
    let paths = [folder.clone()];
    each(&paths, &settings, &[], setting.progress, |worm, _| {
        if let Some(planted) = worms.get(found.worms) {
            compare(shape, planted, worm, setting, &mut found)?;
        }
        found.worms += 1;
        Ok(())
    })?;
    // The raw files are many and large, and can be made again.
    std::fs::remove_dir_all(&folder).at(&folder, "remove")?;
    Ok(found)
}

/// Activity `[time, neuron]` of a connectome's neurons in the order of the 300 slots; a neuron that the
/// connectome lacks behaves as another one does.
fn in_slots(connectome: &Graph, activity: &Array2<f32>) -> Array2<f32> {
    let names = connectome.nodes().texts("name").map(<[String]>::to_vec).unwrap_or_default();
    let slots = nissl_record::worm::slots();
    Array2::from_shape_fn((activity.nrows(), slots.len()), |(t, slot)| {
        let at = names.iter().position(|name| name == slots[slot]).unwrap_or(slot);
        activity[[t, at % activity.ncols()]]
    })
}

fn compare(
    shape: &Shape,
    planted: &FakeWorm,
    worm: &Worm,
    setting: &Setting<'_>,
    found: &mut Found,
) -> Result<()> {
    let reference = clean(planted, setting)?;
    let truth: BTreeSet<&str> = reference.neurons.iter().map(|n| n.name.as_str()).collect();
    found.recoverable += truth.len();
    found.labelled += worm.labelled();
    found.miscounted += usize::from(worm.labelled() != shape.labelled);
    for (row, neuron) in worm.neurons.iter().enumerate().filter(|(_, n)| n.labelled) {
        let Some(at) = reference.row(&neuron.name) else {
            found.wrong += 1;
            continue;
        };
        let (a, b) = (worm.calcium.row(row).to_vec(), reference.calcium.row(at).to_vec());
        let r = if a.len() == b.len() { pearson(&a, &b) } else { f64::NAN };
        // The trace of another neuron under this name would be a wrong label as well.
        if r.is_nan() || r < 0.5 {
            found.wrong += 1;
            continue;
        }
        found.recovered += 1;
        let least = if planted.gaps { &mut found.gapped } else { &mut found.whole };
        *least = least.min(r);
    }
    let wanted: BTreeSet<usize> = planted
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.dropped)
        .map(|(at, _)| at)
        .collect();
    let dropped: BTreeSet<usize> = worm.left_out.iter().map(|left| left.column).collect();
    found.misdropped += usize::from(wanted != dropped);
    Ok(())
}

/// The labelled neurons by their true names, without gaps, through the same steps.
fn clean(planted: &FakeWorm, setting: &Setting<'_>) -> Result<Worm> {
    let columns = planted.columns.iter().enumerate();
    let rows: Vec<usize> = columns
        .filter(|(_, column)| !column.truth.is_empty() && !column.dropped)
        .map(|(at, _)| at)
        .collect();
    let labels = rows.iter().map(|&at| Some(planted.columns[at].truth.clone())).collect();
    let traces = planted.clean.select(ndarray::Axis(0), &rows);
    let raw = RawWorm::new(traces, planted.time.clone(), labels, Fluorescence::Relative);
    let method = Homogenise { imputation: Imputation::None, ..Homogenise::default() };
    match method.worm(raw, "clean", Naming::Plain, &[], setting.progress)? {
        Outcome::Worm(worm) => Ok(*worm),
        Outcome::Skipped(why) => Err(Error::setting("clean worm", why, "a worm")),
    }
}

/// A connectome of all 300 neurons in rings, for machines without the published ones.
pub(super) fn ring() -> Result<Graph> {
    let slots = nissl_record::worm::slots();
    let count = slots.len() as u32;
    let hops = [1u32, 7, 31];
    let edges: Vec<(u32, u32)> =
        (0..count).flat_map(|from| hops.map(|hop| (from, (from + hop) % count))).collect();
    let nodes = nissl_core::table::Table::new()
        .with("node", Column::U32((0..count).collect()))
        .with("kind", Column::Text(vec!["neuron".to_owned(); slots.len()]))
        .with("name", Column::Text(slots.iter().map(|name| (*name).to_owned()).collect()));
    let table = nissl_core::table::Table::new()
        .with("source", Column::U32(edges.iter().map(|edge| edge.0).collect()))
        .with("target", Column::U32(edges.iter().map(|edge| edge.1).collect()))
        .with("type", Column::Text(vec!["chemical".to_owned(); edges.len()]))
        .with("weight", Column::F64(vec![1.0; edges.len()]));
    Graph::new(nodes, table, Orientation::Directed)
}
