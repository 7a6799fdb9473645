//! What dictionaries are compared with, how their sites are told, and tasks against what is kept.

#[path = "toy/rectified.rs"]
mod rectified;

use ndarray::{Array2, Axis};
use nissl_core::features::{Dictionary, Encoding};
use nissl_core::taps::Taps;
use nissl_core::{Progress, Site};
use nissl_probe::dictionary::{
    At, Baseline, Evaluate, Replacement, Rest, Sites, Task, Units, compare, evaluate, fits,
    greater_than, require_fit, task,
};
use rectified::{NEURONS, Pairs, Rectified, WIDTH, mlp, seen, text};

#[test]
fn baselines_have_as_many_parts_and_explain_less() {
    let network = Rectified::new(4);
    let text = text(4, 8, 20);
    let exact = network.dictionary(1);
    let sets = [vec![Replacement::at(&exact, mlp(1), &network).expect("fits")]];
    let settings = Evaluate::default();
    let found =
        evaluate(&network, &sets, &text, &settings, &Progress::silent()).expect("evaluates");
    let rows = compare(&network, &mlp(1), &found[0], &text, &settings, &Progress::silent());
    let rows = rows.expect("compares");
    let parts = found[0].dictionaries[0].active.round() as usize;
    assert!(rows.iter().all(|row| row.parts == parts.min(WIDTH)), "{rows:?} {parts}");
    let of = |wanted| rows.iter().find(|row| row.baseline == wanted).expect("there");
    let [components, mean, zero] =
        [Baseline::Components, Baseline::Neurons(Rest::Mean), Baseline::Neurons(Rest::Zero)]
            .map(of);
    // Components are the best linear subspace, and the mean the best constant.
    assert!(components.fvu > 1e-3 && components.fvu < mean.fvu, "{rows:?}");
    assert!(mean.fvu < zero.fvu && mean.fvu < 1.0, "{rows:?}");
    // The unexplained share of the neurons at their mean, by hand.
    let all = seen(&network, &text, Taps::none());
    let act = Array2::from_shape_vec((160, NEURONS), all["layers.1.mlp.act"].clone());
    let rows: Vec<usize> = (0..160).filter(|row| row % 20 > 0).collect();
    let act = act.expect("the shape").select(Axis(0), &rows).mapv(f64::from);
    let centred = &act - &act.mean_axis(Axis(0)).expect("rows");
    let variance = centred.mapv(|z| z * z).sum_axis(Axis(0));
    let mut order: Vec<usize> = (0..NEURONS).collect();
    order.sort_by(|&a, &b| variance[b].total_cmp(&variance[a]));
    let down = exact.output_decoder.as_ref().expect("there").mapv(f64::from);
    let mut lost = centred.clone();
    for &unit in &order[..parts] {
        lost.column_mut(unit).fill(0.0);
    }
    let squares = |x: Array2<f64>| x.mapv(|v| v * v).sum();
    let fvu = squares(lost.dot(&down)) / squares(centred.dot(&down));
    assert!((fvu - mean.fvu).abs() < 1e-4, "{fvu} {mean:?}");
}

#[test]
fn a_dictionary_is_recognised_by_what_it_rebuilds() {
    let network = Rectified::new(5);
    let text = text(5, 80, 20);
    let exact = network.dictionary(1);
    let found = fits(&network, &exact, &text, 1).expect("tries");
    assert_eq!(found[0].sites, mlp(1));
    assert!(found[0].fvu < 1e-10 && found[1].fvu > 0.1, "{found:?}");
    assert_eq!(found.len(), 6, "three inputs in each of two layers");
    assert!(require_fit(&network, &exact, &mlp(1), &text, 1).expect("fits") < 1e-10);
    let error = require_fit(&network, &exact, &mlp(0), &text, 1).expect_err("another layer");
    let error = error.to_string();
    assert!(error.contains("layers.1.mlp.in -> layers.1.mlp.out fits best"), "{error}");
    // An autoencoder's site is found among all sites of its width.
    let half = Dictionary::new(Array2::eye(WIDTH) * 4.0, Encoding::Projection);
    let error = require_fit(&network, &half, &Sites::both(&Site::new("embed")), &text, 1);
    assert!(error.expect_err("far too much").to_string().contains("no site"));
}

#[test]
fn a_task_s_curves_of_features_and_neurons_agree_where_they_are_the_same() {
    let network = Rectified::new(6);
    let prompts = greater_than(&Pairs, "war", 17).expect("prompts");
    assert_eq!(prompts.len(), 97);
    let first = &prompts[0];
    assert_eq!(*first.tokens.last().expect("a token"), 17);
    assert_eq!((first.good.len(), first.bad.clone()), (97, vec![0, 1, 2]));
    let exact = network.dictionary(1);
    let placed = Replacement::at(&exact, mlp(1), &network).expect("fits");
    for (rest, at) in [(Rest::Mean, At::Last), (Rest::Zero, At::Last), (Rest::Mean, At::All)] {
        let settings = Task { keep: vec![0, 3, 10, NEURONS], rest, at };
        let curve = task(&network, &placed, &prompts, &settings, &Progress::silent());
        let curve = curve.expect("runs");
        let of = |units| -> Vec<f64> {
            let own = curve.points.iter().filter(|point| point.0 == units);
            own.map(|point| point.2).collect()
        };
        let (features, neurons) = (of(Units::Features), of(Units::Neurons));
        assert_eq!(features.len(), 4);
        for (feature, neuron) in features.iter().zip(&neurons) {
            assert!((feature - neuron).abs() < 1e-5, "{curve:?}");
        }
        assert!((features[3] - curve.full).abs() < 1e-5, "{curve:?}");
        assert!((curve.replaced - curve.full).abs() < 1e-5, "{curve:?}");
        assert!((features[0] - curve.full).abs() > 1e-4, "{curve:?}");
        assert!((curve.zero - curve.full).abs() > 1e-4, "{curve:?}");
    }
}
