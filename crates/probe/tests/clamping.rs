//! Clamping on a network whose neurons are planted (part B of the specification's study).

mod toy;

use burn::tensor::Tensor;
use ndarray::Array2;
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::recording::{RecordingPlan, RecordingWriter, Source};
use nissl_core::stats::information::kullback_leibler_of_logits;
use nissl_core::store::{Existing, Provenance};
use nissl_core::taps::{Change, Edit, Selection, Taps};
use nissl_core::{Column, Progress, Result, Table};
use nissl_probe::clamp::{
    Clamp, ClampReport, Clamped, ClampedPositions, HeldUnits, Unit, UnitRange, clamp,
    control_units, ranges_in_recording, ranges_in_texts,
};
use toy::gated::{Gated, NEURONS, PLANTED, VOCABULARY, read, written};

const PROMPT: &[u32] = &[5, 40, 11];

fn sweep() -> Clamp {
    let to = vec![-10.0, -5.0, 5.0, 10.0];
    Clamp { to, samples: 0, controls: 8, ..Clamp::default() }
}

fn run(network: &Gated, units: &[Unit], token: u32, settings: &Clamp) -> ClampReport {
    run_with(network, units, token, settings, None).expect("runs")
}

fn run_with(
    network: &Gated,
    units: &[Unit],
    token: u32,
    settings: &Clamp,
    ranges: Option<&[UnitRange]>,
) -> Result<ClampReport> {
    let hits = move |text: &[u32]| text.iter().filter(|&&one| one == token).count();
    let target = Clamped { units, ranges, tokens: &[token], hits: &hits };
    clamp(network, PROMPT, target, settings, &Progress::silent())
}

#[test]
fn a_writer_raises_its_word_in_the_order_of_the_values_and_controls_do_not() {
    for seed in 0..3 {
        let network = Gated::new(seed);
        let mut shares = 0.0;
        for neuron in 0..PLANTED {
            let report = run(&network, &[Unit::neuron(1, neuron)], written(neuron), &sweep());
            let logs: Vec<f64> =
                report.curve.iter().map(|point| point.effect.log_probability).collect();
            assert_eq!(logs.len(), 5);
            assert!(logs.windows(2).all(|pair| pair[0] < pair[1]), "{seed} {neuron} {logs:?}");
            let (least, most) = (&report.curve[0].effect, &report.curve[4].effect);
            assert!(
                most.rank <= report.plain.rank && report.plain.rank <= least.rank,
                "{seed} {neuron} {least:?} {most:?}"
            );
            assert!(report.plain.probability < most.probability);
            // Random neurons with write vectors as long do little to that word.
            let effect = (logs[4] - report.plain.log_probability).abs();
            assert_eq!(report.controls.len(), 8);
            let chance = report.control_change(4);
            assert!(chance < 0.8 * effect, "{seed} {neuron}: {chance} of {effect}");
            shares += chance / effect / PLANTED as f64;
        }
        assert!(shares < 0.35, "{seed}: controls move {shares} as much");
    }
}

#[test]
fn a_reader_that_writes_another_word_raises_what_it_writes() {
    for seed in 0..3 {
        let network = Gated::new(seed);
        for neuron in (1..PLANTED).step_by(2) {
            let units = [Unit::neuron(0, neuron)];
            let change = |token: u32| {
                let report = run(&network, &units, token, &Clamp { controls: 0, ..sweep() });
                report.curve[4].effect.log_probability - report.plain.log_probability
            };
            assert!(change(written(neuron)) > 1.0, "{seed} {neuron}");
            assert!(change(read(neuron)) < 0.5 * change(written(neuron)), "{seed} {neuron}");
        }
    }
}

#[test]
fn the_last_layer_follows_the_linear_prediction() {
    for seed in 0..3 {
        let network = Gated::new(seed);
        let settings = Clamp { to: vec![-2.0, 1.0, 3.0], controls: 0, samples: 0, ..sweep() };
        for neuron in [0, 1, NEURONS - 1] {
            for site in ["layers.1.mlp.act", "layers.1.mlp.pre"] {
                let unit = [Unit::new(site, neuron)];
                let slope = run(&network, &unit, 4, &settings).slope.expect("predicted");
                assert!((slope.frozen - 1.0).abs() < 1e-3, "{seed} {site} {neuron} {slope:?}");
                assert!((slope.measured - 1.0).abs() > 1e-6, "the norm's scale moves: {slope:?}");
            }
            // Below the last layer the next layer adds to the direct path.
            let slope = run(&network, &[Unit::neuron(0, neuron)], 4, &settings).slope;
            assert!((slope.expect("predicted").frozen - 1.0).abs() > 1e-3, "{seed} {slope:?}");
        }
        // For one token by hand: (c − h) u_t · (γ ∘ D_i) / rms(x).
        let unit = [Unit::neuron(1, 3)];
        let report = run(&network, &unit, 9, &settings);
        let (mut x, mut logits) = (Vec::new(), Vec::new());
        let mut taps = Taps::none()
            .read("layers.1.resid.post".parse().expect("a site"), |_, t| x = last(t))
            .read("logits".parse().expect("a site"), |_, t| logits = last(t));
        network.forward(&TokenBatch::new(&[PROMPT]).expect("tokens"), &mut taps).expect("runs");
        drop(taps);
        let rms = (x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32 + 1e-6).sqrt();
        let row = network.down_projection(1).expect("there").slice([3..4, 0..x.len()]);
        let direct = network.unembed(row, nissl_core::network::FinalNorm::Gain).expect("a head");
        let direct: Vec<f32> = direct.into_data().try_to_vec().expect("f32");
        for point in &report.curve {
            let hand = (point.values[0] - report.activity[0]) * direct[9] / rms;
            let predicted = point.predicted.as_ref().expect("predicted")[0];
            assert!((f64::from(hand) - predicted).abs() < 1e-4, "{hand} {predicted}");
        }
        let held = HeldUnits::new(&network, &unit, PROMPT, ClampedPositions::All).expect("fits");
        assert_eq!((&held.plain().logits, &held.plain().residual), (&logits, &x));
    }
}

fn last(x: &Tensor<3>) -> Vec<f32> {
    let [_, positions, width] = x.dims();
    let all: Vec<f32> = x.clone().into_data().try_to_vec().expect("f32");
    all[(positions - 1) * width..positions * width].to_vec()
}

/// The logits after the prompt by an edit made here.
fn independent(network: &Gated, unit: usize, value: f32) -> Vec<f32> {
    let selection = Selection { units: Some(vec![unit]), ..Selection::default() };
    let site = "layers.1.mlp.act".parse().expect("a site");
    let mut taps = Taps::none().edit(Edit::new(site, Change::Set(value)).on(selection));
    let batch = TokenBatch::new(&[PROMPT]).expect("tokens");
    last(&network.forward(&batch, &mut taps).expect("runs").expect("logits"))
}

#[test]
fn values_matched_by_divergence_have_it() {
    let network = Gated::new(4);
    let settings = Clamp { to: Vec::new(), kl: vec![0.1, 0.3], controls: 0, ..sweep() };
    let report = run(&network, &[Unit::neuron(1, 2)], written(2), &settings);
    assert_eq!(report.matched.len(), 4);
    let batch = TokenBatch::new(&[PROMPT]).expect("tokens");
    let plain = network.forward(&batch, &mut Taps::none()).expect("runs").expect("logits");
    let plain = last(&plain);
    let mut reached = 0;
    for matched in &report.matched {
        let Some(point) = &matched.point else { continue };
        let clamped = independent(&network, 2, point.values[0]);
        let divergence = kullback_leibler_of_logits(&plain, &clamped);
        assert!((divergence / matched.target - 1.0).abs() < 0.051, "{matched:?} {divergence}");
        assert_eq!(point.values[0] > 0.0, matched.sign == nissl_probe::strength::Sign::Plus);
        reached += 1;
    }
    assert!(reached >= 2, "{:?}", report.matched);
    // Zero-ablation is always there.
    let ablated = report.ablation().expect("there");
    let divergence = kullback_leibler_of_logits(&plain, &independent(&network, 2, 0.0));
    assert!((ablated.effect.divergence - divergence).abs() < 1e-6);
}

#[test]
fn many_values_at_once_are_those_values_one_by_one() {
    let network = Gated::new(1);
    let units = [Unit::neuron(0, 3), Unit::neuron(1, 50), Unit::new("layers.1.mlp.pre", 2)];
    let held = HeldUnits::new(&network, &units, PROMPT, ClampedPositions::All).expect("fits");
    let values: Vec<Vec<f32>> =
        (0..5).map(|n| (0..3).map(|unit| (n * 3 + unit) as f32 - 6.0).collect()).collect();
    let together = held.runs(&values).expect("runs");
    for (values, run) in values.iter().zip(&together) {
        let alone = held.runs(std::slice::from_ref(values)).expect("runs");
        assert!(alone[0].logits.iter().zip(&run.logits).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!((run.activity[0] - values[0]).abs() < 1e-6, "what enters is the value");
        assert!((run.activity[2] - values[2]).abs() > 1e-3, "behind the gate it is another");
    }
    // All units act: leaving one out changes the run.
    let two = HeldUnits::new(&network, &units[..2], PROMPT, ClampedPositions::All).expect("fits");
    assert_ne!(two.runs(&[values[0][..2].to_vec()]).expect("runs")[0].logits, together[0].logits);
}

#[test]
fn texts_speak_of_the_concept_where_the_clamp_holds() {
    let network = Gated::new(2);
    let (unit, word) = ([Unit::neuron(1, 4)], written(4));
    let settings = |positions| Clamp {
        to: vec![30.0],
        positions,
        samples: 6,
        tokens: 12,
        top_k: 0,
        top_p: 1.0,
        controls: 0,
        ..Clamp::default()
    };
    let report = |positions| run(&network, &unit, word, &settings(positions));
    let all = report(ClampedPositions::All);
    let (plain, held) = (&all.plain_texts, &all.curve[1].texts);
    assert_eq!((plain.texts.len(), held.texts.len()), (6, 6));
    assert_eq!(held.mentioning(), 6, "{held:?}");
    assert!(plain.hits.iter().sum::<usize>() * 3 < held.hits.iter().sum(), "{plain:?} {held:?}");
    // Here positions do not see each other, so only where it is held does the clamp act.
    let last = report(ClampedPositions::Last);
    let (plain, held) = (&last.plain_texts.texts, &last.curve[1].texts.texts);
    assert!(held.iter().filter(|text| text[0] == word).count() >= 3, "{held:?}");
    assert!(plain.iter().all(|text| text[0] != word), "{plain:?}");
    let later = |texts: &[Vec<u32>]| {
        texts.iter().flat_map(|text| &text[1..]).filter(|&&one| one == word).count()
    };
    assert!(later(held) <= later(plain) + 6, "{held:?}");
    let written = report(ClampedPositions::Generated);
    assert_eq!(written.curve[1].texts, all.curve[1].texts, "the prompt's other words do not count");
    // The same seed writes the same, another something else.
    assert_eq!(all, report(ClampedPositions::All));
    let other = Clamp { seed: 1, ..settings(ClampedPositions::All) };
    assert_ne!(all.plain_texts, run(&network, &unit, word, &other).plain_texts);
}

#[test]
fn references_agree_and_far_values_are_told() {
    let network = Gated::new(3);
    let units = [Unit::neuron(1, 7), Unit::neuron(0, 2)];
    let texts: Vec<Vec<u32>> =
        (0..9).map(|n| (0..7 + n).map(|at| (at * 5 + n) % VOCABULARY as u32).collect()).collect();
    let stream = || texts.iter().cloned().map(Ok);
    let ranges = ranges_in_texts(&network, stream(), &units, &Progress::silent()).expect("reads");

    // The same activity as a recording, of both sites.
    let mut rows: Vec<f32> = Vec::new();
    for text in &texts {
        let mut columns = [Vec::new(), Vec::new()];
        for (layer, column) in columns.iter_mut().enumerate() {
            let site = format!("layers.{layer}.mlp.act").parse().expect("a site");
            let mut taps = Taps::none().read(site, |_, x: &Tensor<3>| {
                *column = x.clone().into_data().try_to_vec().expect("f32");
            });
            network.forward(&TokenBatch::new(&[text]).expect("tokens"), &mut taps).expect("runs");
        }
        for position in 0..text.len() {
            for column in &columns {
                rows.extend(&column[position * NEURONS..(position + 1) * NEURONS]);
            }
        }
    }
    let samples = rows.len() / (2 * NEURONS);
    let activity = Array2::from_shape_vec((samples, 2 * NEURONS), rows).expect("fits");
    let table = Table::new()
        .with("unit", Column::U32((0..2 * NEURONS as u32).collect()))
        .with(
            "site",
            Column::Text(
                (0..2 * NEURONS).map(|u| format!("layers.{}.mlp.act", u / NEURONS)).collect(),
            ),
        )
        .with("index", Column::U32((0..2 * NEURONS as u32).map(|u| u % NEURONS as u32).collect()));
    let folder = tempfile::tempdir().expect("a folder");
    let plan = RecordingPlan::new(table, Source::default(), Provenance::default());
    let mut writer =
        RecordingWriter::create(folder.path(), plan, Existing::Overwrite).expect("begins");
    let sequence = Table::new().with("sequence", Column::U32(vec![0; samples]));
    writer.push(activity.view(), sequence).expect("pushes");
    let recording = writer.finish().expect("finishes");
    let recorded = ranges_in_recording(&recording, &units).expect("reads");
    for (a, b) in ranges.iter().zip(&recorded) {
        assert_eq!(a.samples, samples as u64);
        assert!((a.maximum - b.maximum).abs() < 1e-6 && (a.minimum - b.minimum).abs() < 1e-6);
        assert!((a.deviation - b.deviation).abs() < 1e-6 && (a.mean - b.mean).abs() < 1e-6);
        let column = activity.column(NEURONS + 7);
        let greatest = column.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        assert!((ranges[0].maximum - greatest).abs() < 1e-6);
    }
    let absent = ranges_in_recording(&recording, &[Unit::new("logits", 0)]).expect_err("absent");
    assert!(absent.to_string().contains("logits:0"), "{absent}");

    // Multiples are of each unit's own measure; 21 times the greatest is far, 19 is not.
    let at = |settings: &Clamp| run_with(&network, &units, 4, settings, Some(&ranges));
    let base = Clamp { to: Vec::new(), steps: 2, controls: 0, samples: 0, ..Clamp::default() };
    let report = at(&Clamp { times_max: Some(4.0), ..base.clone() }).expect("runs");
    let strengths: Vec<f64> = report.curve.iter().map(|point| point.strength).collect();
    assert_eq!(strengths, [-4.0, -2.0, 0.0, 2.0, 4.0]);
    for (at, range) in ranges.iter().enumerate() {
        let expected = 4.0 * range.peak();
        assert!((f64::from(report.curve[4].values[at]) - expected).abs() < 1e-4 * expected);
    }
    assert!(report.curve.iter().all(|point| !point.far));
    let deviations = at(&Clamp { times_deviation: Some(1.0), ..base.clone() }).expect("runs");
    let value = f64::from(deviations.curve[4].values[0]);
    assert!((value - ranges[0].deviation).abs() < 1e-5, "{value}");
    let magnitude = ranges.iter().map(UnitRange::magnitude).fold(0.0, f64::max) as f32;
    let far = at(&Clamp { to: [19.0, 21.0].iter().map(|x| x * magnitude).collect(), ..base });
    let far = far.expect("runs");
    assert!(far.curve[2].far, "{far:?}");
}

#[test]
fn controls_are_other_units_of_about_the_same_length() {
    let network = Gated::new(5);
    let units = [Unit::neuron(1, 3), Unit::neuron(1, 4)];
    let groups = control_units(&network, &units, 6, 9).expect("drawn");
    assert_eq!(groups.len(), 6);
    let down: Vec<f32> =
        network.down_projection(1).expect("there").into_data().try_to_vec().expect("f32");
    let width = down.len() / NEURONS;
    let length = |unit: &Unit| {
        down[unit.unit * width..(unit.unit + 1) * width].iter().map(|d| d * d).sum::<f32>().sqrt()
    };
    let mut seen = std::collections::BTreeSet::new();
    for group in &groups {
        assert_eq!(group.len(), 2);
        for (unit, control) in units.iter().zip(group) {
            assert!(!units.contains(control) && seen.insert(control.clone()), "{groups:?}");
            let others = (0..NEURONS).map(|at| length(&Unit::neuron(1, at)));
            let nearer =
                |other: &f32| (other - length(unit)).abs() < (length(control) - length(unit)).abs();
            assert!(others.filter(nearer).count() <= 24 + 8, "{control} is not near");
        }
    }
    assert_eq!(groups, control_units(&network, &units, 6, 9).expect("drawn"));
    assert_ne!(groups, control_units(&network, &units, 6, 10).expect("drawn"));
    let site = control_units(&network, &[Unit::new("layers.0.resid.post", 0)], 100, 0);
    assert_eq!(site.expect("drawn").len(), 47, "no more than the site has");
}

#[test]
fn bad_input_is_refused_by_name() {
    let network = Gated::new(0);
    let told = |units: &[Unit], token: u32, settings: &Clamp| {
        run_with(&network, units, token, settings, None).expect_err("refused").to_string()
    };
    let unit = [Unit::neuron(1, 0)];
    let message = told(&[Unit::neuron(1, NEURONS)], 1, &sweep());
    assert!(message.contains("`unit` is 96") && message.contains("0 to 95"), "{message}");
    let message = told(&[Unit::neuron(7, 0)], 1, &sweep());
    assert!(message.contains("layers.7.mlp.act"), "{message}");
    assert!(told(&[], 1, &sweep()).contains("list of units"));
    assert!(told(&[unit[0].clone(), unit[0].clone()], 1, &sweep()).contains("twice"));
    assert!(told(&unit, VOCABULARY as u32, &sweep()).contains("`token` is 64"));
    for value in [f32::NAN, f32::INFINITY] {
        let message = told(&unit, 1, &Clamp { to: vec![1.0, value], ..sweep() });
        assert!(message.contains("`to`") && message.contains("finite"), "{message}");
    }
    let without = Clamp { to: Vec::new(), ..sweep() };
    assert!(told(&unit, 1, &without).contains("times_max"));
    let times = Clamp { times_max: Some(2.0), ..without.clone() };
    assert!(told(&unit, 1, &times).contains("reference"));
    assert!(told(&unit, 1, &Clamp { times_deviation: Some(1.0), ..times }).contains("only one"));
    let wrong = [
        (Clamp { steps: 0, ..sweep() }, "steps"),
        (Clamp { tokens: 0, ..sweep() }, "tokens"),
        (Clamp { kl: vec![-1.0], ..sweep() }, "kl"),
        (Clamp { times_max: Some(f64::NAN), ..without }, "times_max"),
        (Clamp { top_p: 0.0, ..sweep() }, "top_p"),
    ];
    for (settings, field) in wrong {
        let message = told(&unit, 1, &settings);
        assert!(message.contains(field), "{message}");
    }
    let silent = UnitRange { minimum: 0.0, maximum: 0.0, mean: 0.0, deviation: 0.0, samples: 5 };
    let times = Clamp { to: Vec::new(), times_max: Some(2.0), ..sweep() };
    let error = run_with(&network, &unit, 1, &times, Some(&[silent])).expect_err("silent");
    assert!(error.to_string().contains("a multiple of 0"), "{error}");
}
