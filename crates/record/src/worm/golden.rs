//! The pipeline against the golden values of the published steps, and what it refuses.

use ndarray::Array2;
use nissl_core::Progress;

use super::{
    Fluorescence, Homogenise, Imputation, Interpolation, Naming, Outcome, RawWorm, Signal,
    Smoothing, TimeUnit, Worm,
};

/// `x(t) = sin(2πt/50) + 0.01 t`, as neuron AVAL.
fn golden(samples: usize, dt: f64) -> RawWorm {
    let time: Vec<f64> = (0..samples).map(|at| at as f64 * dt).collect();
    let x = time.iter().map(|t| (std::f64::consts::TAU * t / 50.0).sin() + 0.01 * t).collect();
    let traces = Array2::from_shape_vec((1, samples), x).expect("one row");
    RawWorm::new(traces, time, vec![Some("AVAL".to_owned())], Fluorescence::Relative)
}

fn made(method: &Homogenise, raw: RawWorm, wanted: &[Signal]) -> Worm {
    let done = method.worm(raw, "worm0", Naming::Plain, wanted, &Progress::silent());
    match done.expect("homogenises") {
        Outcome::Worm(worm) => *worm,
        Outcome::Skipped(why) => panic!("skipped: {why}"),
    }
}

#[track_caller]
fn near(trace: &[f32], golden: &[(usize, f32)]) {
    for &(at, expected) in golden {
        assert!((trace[at] - expected).abs() < 2e-4, "{at}: {} not {expected}", trace[at]);
    }
}

#[test]
fn golden_traces_of_the_published_steps_spec_6b() {
    let method = Homogenise::default();
    let worm = made(&method, golden(1200, 0.25), &[Signal::Raw]);
    assert_eq!(worm.time.len(), 900);
    assert!((worm.time[899] - 299.367).abs() < 1e-9);
    let raw = worm.signals[0].1.row(0).to_vec();
    near(&raw, &[(0, 0.01882), (1, 0.06396), (100, -0.53805), (500, 2.53404), (899, 2.93300)]);
    let z = worm.calcium.row(0).to_vec();
    let expected = [(0, -1.41961), (1, -1.39796), (100, -1.89446), (500, 1.03769), (899, 1.27103)];
    near(&z, &expected);
    let worm = made(&method, golden(700, 0.6), &[]);
    assert_eq!(worm.time.len(), 1260);
    let z = worm.calcium.row(0).to_vec();
    let expected = [(0, -1.51974), (1, -1.50345), (100, -1.79384), (500, 0.35748), (1259, 2.08446)];
    near(&z, &expected);
}

#[test]
fn smoothed_then_normalised_is_not_normalised_then_smoothed() {
    // The control of the golden values: without smoothing they are missed.
    let plain = Homogenise { smoothing: Smoothing::None, ..Homogenise::default() };
    let z = made(&plain, golden(1200, 0.25), &[]).calcium.row(0).to_vec();
    assert!((z[0] + 1.41961).abs() > 2e-3, "{}", z[0]);
}

#[test]
fn half_precision_collapses_times_beyond_512_s() {
    let quirks = Homogenise { reference_quirks: true, ..Homogenise::default() };
    let mut times = made(&quirks, golden(4801, 0.25), &[]).time;
    assert_eq!(times.len(), 3603);
    times.dedup();
    assert!((2700..2760).contains(&times.len()), "{}", times.len());
    let mut times = made(&Homogenise::default(), golden(4801, 0.25), &[]).time;
    times.dedup();
    assert_eq!(times.len(), 3603, "ours stay apart");
}

#[test]
fn centred_times_are_those_of_the_values() {
    let method = Homogenise { centred_times: true, ..Homogenise::default() };
    let worm = made(&method, golden(1200, 0.25), &[]);
    assert!((worm.time[0] - 0.13875).abs() < 1e-12 && (worm.time[1] - 0.47175).abs() < 1e-12);
}

#[test]
fn neurons_are_ordered_by_slot_and_unlabelled_ones_follow() {
    let mut raw = golden(700, 0.5);
    let row = raw.traces.row(0).to_owned();
    let mut traces = Array2::zeros((5, 700));
    for mut to in traces.rows_mut() {
        to.assign(&row);
    }
    traces.row_mut(3).fill(f64::NAN);
    raw.traces = traces;
    raw.labels = ["RID", "", "DB01", "AVAR", "RID"].map(|l| Some(l.to_owned())).to_vec();
    raw.columns = (0..5).collect();
    let worm = made(&Homogenise::default(), raw.clone(), &[]);
    let names: Vec<&str> = worm.neurons.iter().map(|neuron| neuron.name.as_str()).collect();
    assert_eq!(names, ["DB1", "RID", "1"]);
    assert_eq!(worm.neurons[0].raw, "DB01");
    let gone: Vec<usize> = worm.left_out.iter().map(|gone| gone.column).collect();
    assert_eq!(gone, [4, 3]);
    let drawn = |seed| {
        let method = Homogenise { reference_slots: Some(seed), ..Homogenise::default() };
        made(&method, raw.clone(), &[]).neurons[2].slot
    };
    assert_eq!(drawn(1), drawn(1));
    assert!(drawn(1) != drawn(2) && drawn(1) != worm.neurons[0].slot);
}

#[test]
fn short_and_nameless_recordings_are_skipped_with_a_reason() {
    let told = |raw: RawWorm| {
        let method = Homogenise::default();
        match method.worm(raw, "worm0", Naming::Plain, &[], &Progress::silent()) {
            Ok(Outcome::Skipped(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    assert!(told(golden(599, 0.5)).contains("599 samples"));
    let mut raw = golden(700, 0.5);
    raw.labels = vec![Some("merge".to_owned())];
    assert!(told(raw).contains("no labelled neuron"));
}

#[test]
fn wrong_units_and_times_that_fall_are_errors_that_tell_what_to_do() {
    let told = |raw: RawWorm| {
        let method = Homogenise::default();
        let error = method.worm(raw, "worm0", Naming::Plain, &[], &Progress::silent());
        format!("{:?}", error.expect_err("refused"))
    };
    let text = told(golden(700, 250.0));
    assert!(text.contains("--time-unit ms") && text.contains("250"), "{text}");
    let mut raw = golden(700, 0.5);
    raw.time[300] = raw.time[299];
    assert!(told(raw).contains("sample 300"));
    let mut raw = golden(700, 0.5);
    raw.time.pop();
    assert!(told(raw).contains("one for each of 700 samples"));
    let method = Homogenise { time_unit: TimeUnit::Ms, ..Homogenise::default() };
    let same = made(&method, golden(700, 250.0), &[]);
    assert_eq!(same.time.len(), made(&Homogenise::default(), golden(700, 0.25), &[]).time.len());
}

#[test]
fn gaps_are_filled_or_kept_as_asked() {
    let mut raw = golden(700, 0.5);
    raw.traces[[0, 350]] = f64::NAN;
    let linear = Homogenise { imputation: Imputation::Linear, ..Homogenise::default() };
    let worm = made(&linear, raw.clone(), &[]);
    assert!(worm.calcium.iter().all(|value| value.is_finite()));
    assert!((worm.neurons[0].imputed - 1.0 / 700.0).abs() < 1e-7);
    let none = Homogenise { imputation: Imputation::None, ..Homogenise::default() };
    let worm = made(&none, raw.clone(), &[]);
    let missing = worm.calcium.iter().filter(|value| value.is_nan()).count();
    assert!((2..=4).contains(&missing), "{missing}");
    assert_eq!(worm.neurons[0].imputed, 0.0);
    let cubic = Homogenise { interpolation: Interpolation::Cubic, ..none };
    let refused = cubic.worm(raw, "worm0", Naming::Plain, &[], &Progress::silent());
    assert!(refused.is_err(), "a spline has no value beside a gap");
}

#[test]
fn settings_outside_their_range_are_named() {
    for (method, field) in [
        (Homogenise { dt: 0.0, ..Homogenise::default() }, "dt"),
        (Homogenise { dt: f64::NAN, ..Homogenise::default() }, "dt"),
        (Homogenise { window: 0, ..Homogenise::default() }, "window"),
        (Homogenise { sigma: -1.0, ..Homogenise::default() }, "sigma"),
        (Homogenise { alpha: 1.5, ..Homogenise::default() }, "alpha"),
    ] {
        let error = method.validate().expect_err(field).to_string();
        assert!(error.contains(field), "{error}");
    }
}
