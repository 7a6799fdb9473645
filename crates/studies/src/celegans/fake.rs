//! Fake recordings of the twelve data sets: as many worms and labels as published, with the dirt of
//! real files, and what must come out of them.

use ndarray::{Array1, Array2};
use nissl_core::{Error, Result, seed};
use nissl_record::worm::{Dataset, slot, slots};
use rand::RngExt;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;

/// Samples of each worm: a little more than the least that is taken.
pub(super) const SAMPLES: usize = 640;
/// Worms of each data set that have gaps.
pub(super) const WITH_GAPS: usize = 2;
/// The share of samples in gaps, and the length of each.
const GAPS: f64 = 0.02;
const GAP: usize = 4;

/// What is made of a data set.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) dataset: Dataset,
    pub(super) worms: usize,
    pub(super) labelled: usize,
    pub(super) recorded: usize,
    /// Seconds between raw samples.
    pub(super) dt: f64,
}

/// The published table: labelled and recorded neurons of each data set, and its sampling interval.
pub(super) fn shapes() -> Vec<Shape> {
    let of = |dataset: Dataset, labelled, recorded, dt| Shape {
        dataset,
        worms: dataset.worms(),
        labelled,
        recorded,
        dt,
    };
    vec![
        of(Dataset::Kato2015, 42, 127, 0.35),
        of(Dataset::Nichols2017, 34, 108, 0.34),
        of(Dataset::Skora2018, 46, 129, 0.35),
        of(Dataset::Kaplan2020, 36, 114, 0.34),
        of(Dataset::Nejatbakhsh2020, 173, 175, 0.25),
        of(Dataset::Yemini2021, 110, 110, 0.25),
        of(Dataset::Uzel2022, 50, 138, 0.6),
        of(Dataset::Dag2023, 100, 143, 0.6),
        of(Dataset::Leifer2023, 63, 67, 0.5),
        of(Dataset::Lin2023, 8, 8, 0.4),
        of(Dataset::Flavell2023, 88, 136, 0.6),
        of(Dataset::Venkatachalam2024, 187, 187, 0.375),
    ]
}

/// A column of a raw file.
#[derive(Clone, Debug)]
pub(super) struct FakeColumn {
    /// The neuron; empty for one without a name.
    pub(super) truth: String,
    /// The name in the file; `None` stands for an empty array.
    pub(super) raw: Option<String>,
    /// Whether the importer must leave the column out.
    pub(super) dropped: bool,
}

/// A worm as its file holds it.
#[derive(Clone, Debug)]
pub(super) struct FakeWorm {
    pub(super) columns: Vec<FakeColumn>,
    /// `[column, time]` with gaps.
    pub(super) dirty: Array2<f64>,
    /// `[column, time]` without.
    pub(super) clean: Array2<f64>,
    pub(super) time: Vec<f64>,
    pub(super) gaps: bool,
}

/// Worm `number` of a data set, from the activity `[time, neuron]` of all 300 neurons.
///
/// # Errors
/// None for activity of all 300 neurons.
pub(super) fn worm(
    shape: &Shape,
    number: usize,
    activity: &Array2<f32>,
    seed: u64,
) -> Result<FakeWorm> {
    let stream = 1000 * (shape.dataset as u64 + 1) + number as u64;
    let mut rng = seed::rng(seed, stream);
    let chosen = index::sample(&mut rng, slots().len(), shape.recorded).into_vec();
    let mut columns: Vec<FakeColumn> = chosen
        .iter()
        .enumerate()
        .map(|(at, &neuron)| {
            let truth = if at < shape.labelled { slots()[neuron] } else { "" };
            let raw = (!truth.is_empty()).then(|| truth.to_owned());
            FakeColumn { truth: truth.to_owned(), raw, dropped: false }
        })
        .collect();
    let mut sources = chosen;
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.shuffle(&mut rng);
    columns = order.iter().map(|&at| columns[at].clone()).collect();
    sources = order.iter().map(|&at| sources[at]).collect();
    soil(shape.dataset, &mut columns, &mut rng);
    // A second column of a neuron, where the layout can hold one.
    let twice = !matches!(
        shape.dataset,
        Dataset::Yemini2021 | Dataset::Leifer2023 | Dataset::Lin2023 | Dataset::Flavell2023
    );
    if twice && number.is_multiple_of(3) {
        let named = |column: &FakeColumn| !column.truth.is_empty();
        let first = columns.iter().position(named).unwrap_or(0);
        columns.push(FakeColumn { dropped: true, ..columns[first].clone() });
        sources.push((sources[first] + 1) % slots().len());
    }
    let scale = if shape.dataset == Dataset::Leifer2023 { 100.0 } else { 1.0 };
    let shift = rng.random_range(0..activity.nrows() - SAMPLES + 1);
    let clean = Array2::from_shape_fn((columns.len(), SAMPLES), |(column, t)| {
        scale * (2.0 + f64::from(activity[[shift + t, sources[column]]]))
    });
    let mut dirty = clean.clone();
    // Data sets whose files are floats or text can have gaps; counts of samples cannot be missing.
    let gaps = number < WITH_GAPS;
    if gaps {
        for mut row in dirty.rows_mut() {
            for _ in 0..(SAMPLES as f64 * GAPS / GAP as f64).round() as usize {
                let from = rng.random_range(1..SAMPLES - GAP);
                row.slice_mut(ndarray::s![from..from + GAP]).fill(f64::NAN);
            }
        }
    }
    let time = (0..SAMPLES).map(|at| at as f64 * shape.dt).collect();
    let mut worm = FakeWorm { columns, dirty, clean, time, gaps };
    spoil(shape.dataset, number, &mut worm)?;
    Ok(worm)
}

/// Soils names as the laboratory's files do; the truth can still be told from them.
fn soil(dataset: Dataset, columns: &mut [FakeColumn], rng: &mut ChaCha8Rng) {
    let present: Vec<String> = columns.iter().map(|column| column.truth.clone()).collect();
    let place = |name: &str| present.iter().position(|other| other == name);
    for at in 0..columns.len() {
        let truth = columns[at].truth.clone();
        if truth.is_empty() {
            let words = [None, Some("merge"), Some(""), Some("X/Y")];
            let word = words[rng.random_range(0..words.len())];
            columns[at].raw = word.map(str::to_owned);
            continue;
        }
        let padded = padded(&truth).filter(|_| rng.random_bool(0.7));
        let side = match dataset {
            Dataset::Leifer2023 | Dataset::Flavell2023 => stem(&truth),
            _ => None,
        };
        // Left comes first where both sides are told by their class alone.
        let other = side.as_ref().map(|stem| format!("{stem}R"));
        let right = other.as_deref().and_then(place);
        let left_first = truth.ends_with('L') && right.is_none_or(|right| right > at);
        if let (Some(stem), true) = (side, left_first && rng.random_bool(0.4)) {
            let unknown = |stem: &str| match dataset {
                Dataset::Flavell2023 => format!("{stem}?"),
                _ => stem.to_owned(),
            };
            columns[at].raw = Some(unknown(&stem));
            if let Some(right) = right.filter(|_| rng.random_bool(0.5)) {
                columns[right].raw = Some(unknown(&stem));
            }
        } else if let Some(padded) = padded {
            columns[at].raw = Some(padded);
        }
    }
}

/// The name with a zero before its only digit.
fn padded(name: &str) -> Option<String> {
    let class = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let cord = ["AS", "DA", "DB", "DD", "VA", "VB", "VC", "VD"].contains(&class);
    (cord && name.len() == class.len() + 1).then(|| format!("{class}0{}", &name[class.len()..]))
}

/// The name without its side, when that can only mean the two sides.
fn stem(name: &str) -> Option<String> {
    let stem = name.strip_suffix(['L', 'R'])?;
    let both = slot(&format!("{stem}L")).is_some() && slot(&format!("{stem}R")).is_some();
    let like = slots().iter().filter(|other| other.starts_with(stem)).count();
    (both && like == 2).then(|| stem.to_owned())
}

/// Spoils columns that the importer must find and leave out.
fn spoil(dataset: Dataset, number: usize, worm: &mut FakeWorm) -> Result<()> {
    let wave = |t: usize| (t as f64 * 0.37).sin() * 50.0 + 200.0;
    let nothing = |_: usize| f64::NAN;
    let gap = |t: usize| if (100..200).contains(&t) { f64::NAN } else { wave(t) };
    let line = |t: usize| if (200..320).contains(&t) { t as f64 } else { wave(t) };
    let spoilt: &[&dyn Fn(usize) -> f64] = match dataset {
        Dataset::Nejatbakhsh2020 if number.is_multiple_of(2) => &[&nothing],
        Dataset::Leifer2023 if number.is_multiple_of(4) => &[&nothing, &gap, &line],
        _ => &[],
    };
    for values in spoilt {
        worm.columns.push(FakeColumn { truth: String::new(), raw: None, dropped: true });
        let row: Array1<f64> = (0..SAMPLES).map(values).collect();
        for traces in [&mut worm.dirty, &mut worm.clean] {
            traces
                .push_row(row.view())
                .map_err(|error| Error::setting("samples", error, "as in the other columns"))?;
        }
    }
    Ok(())
}
