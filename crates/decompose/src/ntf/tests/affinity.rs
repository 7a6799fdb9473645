//! Affinities by hand, masks, shifts, and what reading refuses.

use nissl_core::recording::{RecordingPlan, Source};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Recording, RecordingWriter, Table};
use std::path::Path;

use super::*;

/// Animals with traces of slopes `d`: running sums, so that plain differences give them back.
fn animals(traces: &[Vec<Option<Vec<f32>>>], dt: f64) -> Animals {
    let neurons = traces[0].len();
    let animal = |(number, traces): (usize, &Vec<Option<Vec<f32>>>)| Animal {
        name: format!("worm {number}"),
        traces: traces.clone(),
        windows: Vec::new(),
    };
    Animals {
        neurons: (0..neurons).map(|n| format!("n{n}")).collect(),
        animals: traces.iter().enumerate().map(animal).collect(),
        dt,
        start: 0.0,
    }
}

fn noise(length: usize, seed: u64) -> Vec<f32> {
    let mut rng = nissl_core::seed::rng(seed, 77);
    (0..length).map(|_| rng.random::<f32>()).collect()
}

fn rows(tensor: &PairTensor) -> Vec<f32> {
    let mut out = Vec::new();
    for stripe in tensor.stripes() {
        tensor
            .blocks(stripe, |_, rows| {
                out.extend_from_slice(rows);
                Ok(())
            })
            .expect("blocks");
    }
    out
}

/// Affinities with bins of one sample and no edges cut, of slopes that are divided by their deviations.
fn of(kind: Kind, x: &[f32], y: &[f32]) -> Vec<f32> {
    let animals = animals(&[vec![Some(x.to_vec()), Some(y.to_vec())]], 1.0);
    let settings = Affinity { kind, sigma: 0.2, bin: 1.0, ..Affinity::default() };
    rows(&settings.of(&animals, &Progress::silent()).expect("affinities").tensor)
}

/// The slopes that `sigma = 0.2` takes: half the difference of the neighbours, mirrored at the ends.
fn slopes(x: &[f32]) -> Vec<f64> {
    let last = x.len() - 1;
    let slope = |at: usize| f64::from(x[(at + 1).min(last)] - x[at.saturating_sub(1)]) / 2.0;
    let slopes: Vec<f64> = (0..x.len()).map(slope).collect();
    let mean = slopes.iter().sum::<f64>() / slopes.len() as f64;
    let square = slopes.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / slopes.len() as f64;
    slopes.iter().map(|d| d / square.sqrt()).collect()
}

/// An affinity of two slopes.
type Rule = fn(f64, f64) -> f64;

#[test]
fn the_specified_numbers_come_out() {
    // d = (1, 2, −1) and (4, −1, −1) give (2, 0, 1).
    let root = |d: f64| d.signum() * d.abs().sqrt();
    let geo = |x: f64, y: f64| (root(x) * root(y)).max(0.0);
    let found: Vec<f64> = [(1.0, 4.0), (2.0, -1.0), (-1.0, -1.0)].map(|(x, y)| geo(x, y)).to_vec();
    assert_eq!(found, [2.0, 0.0, 1.0]);
    let (x, y) = (noise(30, 1), noise(30, 2));
    let (dx, dy) = (slopes(&x), slopes(&y));
    let kinds: [(Kind, Rule); 4] = [
        (Kind::Geo, |x, y| (x * y).max(0.0).sqrt()),
        (Kind::Min, |x, y| if x * y > 0.0 { x.abs().min(y.abs()) } else { 0.0 }),
        (Kind::Rise, |x, y| (x.max(0.0) * y.max(0.0)).sqrt()),
        (Kind::Anti, |x, y| (-x * y).max(0.0).sqrt()),
    ];
    for (kind, truth) in kinds {
        let found = of(kind, &x, &y);
        assert_eq!(found.len(), 30);
        for (at, found) in found.iter().enumerate() {
            let truth = truth(dx[at], dy[at]);
            assert!((f64::from(*found) - truth).abs() < 1e-5, "{kind:?} {at}: {found} {truth}");
        }
    }
    // A trace and itself, and its negative: the kinds see what they are named for.
    let negative: Vec<f32> = x.iter().map(|x| -x).collect();
    assert!(of(Kind::Geo, &x, &x).iter().sum::<f32>() > 10.0);
    assert!(of(Kind::Anti, &x, &negative).iter().sum::<f32>() > 10.0);
    let correlated = of(Kind::Corr, &x, &x);
    assert!(correlated.iter().all(|&r| (r - 1.0).abs() < 1e-4), "{correlated:?}");
}

#[test]
fn bins_are_means_and_edges_are_cut() {
    let (x, y) = (noise(83, 3), noise(83, 4));
    let both = animals(&[vec![Some(x), Some(y)]], 0.25);
    let fine = Affinity { bin: 0.25, ..Affinity::default() };
    let coarse = Affinity { bin: 1.0, ..Affinity::default() };
    let silent = Progress::silent();
    let fine = fine.of(&both, &silent).expect("affinities");
    let coarse = coarse.of(&both, &silent).expect("affinities");
    // 83 samples less four at either end are 75: 18 bins of four.
    assert_eq!((fine.times.len(), coarse.times.len()), (75, 18));
    assert!((fine.times[0] - 1.0).abs() < 1e-12 && (coarse.times[0] - 1.375).abs() < 1e-12);
    let (fine, coarse) = (rows(&fine.tensor), rows(&coarse.tensor));
    for (bin, found) in coarse.iter().enumerate() {
        let mean = fine[bin * 4..bin * 4 + 4].iter().sum::<f32>() / 4.0;
        assert!((mean - found).abs() < 1e-6, "{bin}: {mean} {found}");
    }
}

#[test]
fn missing_and_constant_neurons_are_masked_and_computed_rows_are_the_stored_ones() {
    let length = 60;
    let trace = |seed: u64| Some(noise(length, seed));
    let world = animals(
        &[
            vec![trace(1), trace(2), None, trace(4)],
            vec![trace(5), Some(vec![3.0; length]), trace(7), trace(8)],
        ],
        0.5,
    );
    for kind in [Kind::Geo, Kind::Corr] {
        let silent = Progress::silent();
        let settings = Affinity { kind, null_shifts: 3, ..Affinity::default() };
        let stored = settings.of(&world, &silent).expect("affinities");
        let computed =
            Affinity { memory_mib: 0, ..settings }.of(&world, &silent).expect("affinities");
        assert_eq!(stored.constant, [(1, 1)]);
        // Pairs 01 02 03 12 13 23.
        let seen = |animal: usize| -> Vec<bool> {
            (0..6).map(|pair| stored.tensor.is_observed(pair, animal)).collect()
        };
        assert_eq!(seen(0), [true, false, true, false, true, false]);
        assert_eq!(seen(1), [false, true, true, false, false, true]);
        assert_eq!(rows(&stored.tensor), rows(&computed.tensor));
        assert_eq!(stored.pairs_of(2), [1, 3, 5]);
        let ntf = Ntf { restarts: 2, ..Ntf::default() };
        let fits =
            [stored, computed].map(|of| ntf.fit(&of.tensor, 2, None, &silent).expect("fits"));
        assert_eq!(fits[0].best, fits[1].best);
        let pairs = &fits[0].best.factors.pairs;
        assert!(pairs.row(3).sum() <= 0.0, "no animal has the pair");
    }
}

#[test]
fn the_null_takes_off_what_shifts_leave() {
    let (x, y) = (noise(400, 11), noise(400, 12));
    let alone = animals(&[vec![Some(x.clone()), Some(y)]], 1.0);
    let together = animals(&[vec![Some(x.clone()), Some(x)]], 1.0);
    let mean = |animals: &Animals, null_shifts: usize| {
        let settings = Affinity { null_shifts, ..Affinity::default() };
        let rows = rows(&settings.of(animals, &Progress::silent()).expect("affinities").tensor);
        rows.iter().sum::<f32>() / rows.len() as f32
    };
    let (raw, corrected) = (mean(&alone, 0), mean(&alone, 20));
    assert!(corrected < 0.7 * raw, "{corrected} {raw}");
    let (raw, corrected) = (mean(&together, 0), mean(&together, 20));
    assert!(corrected > 0.5 * raw, "{corrected} {raw}");
}

#[test]
fn shifts_keep_each_trace_and_part_it_from_the_others() {
    let world = animals(&[vec![Some(noise(50, 1)), None, Some(noise(50, 2))]], 1.0);
    let shifted = world.shifted(3);
    assert_eq!(shifted, world.shifted(3));
    assert_ne!(shifted, world.shifted(4));
    let sorted = |trace: &Option<Vec<f32>>| {
        let mut trace = trace.clone().expect("a trace");
        trace.sort_by(f32::total_cmp);
        trace
    };
    for neuron in [0, 2] {
        let (before, after) =
            (&world.animals[0].traces[neuron], &shifted.animals[0].traces[neuron]);
        assert_ne!(before, after);
        assert_eq!(sorted(before), sorted(after));
    }
}

/// A recording of named units at `times`, with a stimulus.
fn record(
    folder: &Path,
    names: &[&str],
    times: &[f64],
    activity: &Array2<f32>,
    stimulus: &str,
) -> Recording {
    let index: Vec<u32> = (0..names.len() as u32).collect();
    let units = Table::new()
        .with("unit", Column::U32(index.clone()))
        .with("site", Column::Text(vec!["neurons".to_owned(); names.len()]))
        .with("index", Column::U32(index))
        .with("name", Column::Text(names.iter().map(|&name| name.to_owned()).collect()));
    let plan = RecordingPlan::new(units, Source::default(), Provenance::default());
    let mut writer = RecordingWriter::create(folder, plan, Existing::Refuse).expect("begins");
    let on = |n: usize| if (10..20).contains(&n) { stimulus.to_owned() } else { String::new() };
    let samples = Table::new()
        .with("sequence", Column::U32(vec![0; times.len()]))
        .with("position", Column::U32((0..times.len() as u32).collect()))
        .with("stimulus", Column::Text((0..times.len()).map(on).collect()))
        .with("time_s", Column::F64(times.to_vec()));
    writer.push(activity.view(), samples).expect("pushes");
    writer.finish().expect("finishes")
}

/// A recording of noise.
pub(super) fn named(folder: &Path, names: &[&str], times: &[f64], seed: u64) -> Recording {
    let numbers = noise(times.len() * names.len(), seed);
    let traces = Array2::from_shape_vec((times.len(), names.len()), numbers).expect("fits");
    record(folder, names, times, &traces, "salt")
}

pub(super) fn grid(length: usize, dt: f64) -> Vec<f64> {
    (0..length).map(|n| 7.0 + n as f64 * dt).collect()
}

#[test]
fn recordings_are_matched_by_name_and_lined_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let traces = |columns: usize, seed: u64| {
        Array2::from_shape_vec((40, columns), noise(40 * columns, seed)).expect("fits")
    };
    let mut second = traces(3, 2);
    second.column_mut(1).fill(f32::NAN);
    let one = record(
        &folder.path().join("a"),
        &["AVA", "RIM", "x"],
        &grid(40, 0.5),
        &traces(3, 1),
        "salt",
    );
    let long = Array2::from_shape_vec((50, 3), noise(150, 9)).expect("fits");
    let two =
        record(&folder.path().join("b"), &["RIM", "SMD", "AVA"], &grid(40, 0.5), &second, "salt");
    let three =
        record(&folder.path().join("c"), &["SMD", "RIM", "y"], &grid(50, 0.5), &long, "salt");
    let recordings = [one, two, three];
    let stray = Window { name: "light".to_owned(), start: 1.0, end: 2.0 };
    let stimuli = [(Some("b".to_owned()), stray.clone())];
    let reading = Reading::default();
    let read = Animals::read(&recordings, &reading, &stimuli).expect("reads");
    // SMD is missing in `b`, so that only `c` has it; x and y stand alone.
    assert_eq!(read.neurons, ["AVA", "RIM"]);
    assert_eq!(read.samples(), 40);
    assert_eq!(read.animals[1].windows.len(), 2);
    assert_eq!(
        read.animals[0].windows[0],
        Window { name: "salt".to_owned(), start: 5.0, end: 10.0 }
    );
    assert!(read.animals[2].traces[0].is_none());
    let trace = read.animals[1].traces[0].as_ref().expect("AVA");
    assert!((trace[3] - second[[3, 2]]).abs() < 1e-12);
    // Lined up at an onset.
    let aligned = Reading { align: Some("salt".to_owned()), ..reading.clone() };
    let read = Animals::read(&recordings, &aligned, &stimuli).expect("reads");
    assert!((read.start + 5.0).abs() < 1e-12 && read.animals[0].windows[0].start == 0.0);
    let refused = |reading: &Reading, stimuli: &[(Option<String>, Window)], word: &str| {
        let error = Animals::read(&recordings, reading, stimuli).expect_err(word);
        assert!(format!("{error:?}").contains(word), "{word}: {error:?}");
    };
    refused(&Reading { align: Some("smell".to_owned()), ..reading.clone() }, &[], "salt");
    let late = Window { start: 30.0, ..stray.clone() };
    refused(&reading, &[(None, late)], "light");
    refused(&reading, &[(Some("d".to_owned()), stray)], "animal `d`");
    refused(&Reading { min_animals: 3, ..reading.clone() }, &[], "common neurons");
    refused(&Reading { by_sequence: true, ..reading.clone() }, &[], "by_sequence");
    let alone = Animals::read(&recordings[..1], &reading, &[]).expect_err("one animal");
    assert!(format!("{alone:?}").contains("--single"), "{alone:?}");
    let single = Reading { single: true, ..reading };
    assert_eq!(Animals::read(&recordings[..1], &single, &[]).expect("reads").neurons.len(), 3);
}

#[test]
fn gaps_times_and_names_that_do_not_fit_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let traces = Array2::from_shape_vec((30, 2), noise(60, 1)).expect("fits");
    let names = ["AVA", "RIM"];
    let good = record(&folder.path().join("good"), &names, &grid(30, 0.5), &traces, "");
    let with = |name: &str, names: &[&str], times: &[f64], traces: &Array2<f32>| {
        let other = record(&folder.path().join(name), names, times, traces, "");
        [good.clone(), other]
    };
    let refused = |recordings: &[Recording], word: &str| {
        let error = Animals::read(recordings, &Reading::default(), &[]).expect_err(word);
        assert!(format!("{error:?}").contains(word), "{word}: {error:?}");
    };
    refused(&with("twice", &["AVA", "AVA"], &grid(30, 0.5), &traces), "units 0 and 1");
    refused(&with("faster", &names, &grid(30, 0.25), &traces), "common grid");
    refused(&with("milliseconds", &names, &grid(30, 500.0), &traces), "milliseconds");
    let mut times = grid(30, 0.5);
    times[7] = times[6];
    refused(&with("stuck", &names, &times, &traces), "rise");
    times[7] += 0.1;
    refused(&with("uneven", &names, &times, &traces), "even steps");
    times[7] = f64::NAN;
    refused(&with("nan", &names, &times, &traces), "NaN at sample 7");
    let mut holes = traces.clone();
    holes[[4, 1]] = f32::NAN;
    holes[[5, 1]] = f32::NAN;
    let holed = with("holes", &names, &grid(30, 0.5), &holes);
    refused(&holed, "NaN at sample 4");
    let fill = Reading { gaps: Gaps::Fill, ..Reading::default() };
    let filled = Animals::read(&holed, &fill, &[]).expect("reads");
    let trace = filled.animals[1].traces[1].as_ref().expect("RIM");
    assert!((trace[4] - (2.0 * traces[[3, 1]] + traces[[6, 1]]) / 3.0).abs() < 1e-6);
    let drop = Reading { gaps: Gaps::Drop, min_animals: 1, ..Reading::default() };
    assert!(Animals::read(&holed, &drop, &[]).expect("reads").animals[1].traces[1].is_none());
    holes[[4, 1]] = f32::INFINITY;
    refused(&with("infinite", &names, &grid(30, 0.5), &holes), "inf");
    let other = ["A", "B"];
    refused(&with("strangers", &other, &grid(30, 0.5), &traces), "common neurons");
}
