//! Shared neurons on a network whose read-out is known.

mod toy;

use ndarray::{Array2, array};
use nissl_core::{Progress, Site};
use nissl_probe::overlap::{Intervene, Intervened, Words, intervene, overlap, shared_pairs};
use toy::{ReadOut, SITE, Toy, UNITS, WORDS};

/// Two siblings: half of the neurons that speak for words 6 and 9 are in both, the other half of each
/// in one of them.
fn siblings(network: &Toy) -> Array2<f32> {
    let mut found = Array2::zeros((2, UNITS));
    for (sibling, own) in [(0, 5), (1, 8)] {
        for word in [5, 8] {
            for unit in 4 * word..4 * word + 4 {
                if word == own || unit < 4 * word + 2 {
                    found[[sibling, unit]] = network.directions[word][unit];
                }
            }
        }
    }
    found
}

fn run(network: &Toy, directions: &Array2<f32>, settings: &Intervene) -> Intervened {
    let prompts = [vec![20], vec![11, 3]];
    // The words of the siblings, and one that neither speaks for.
    let words = Words { prompts: &prompts, tokens: &[6, 9, 15] };
    let of = (&[40, 41][..], directions.view());
    let site = Site::new(SITE);
    intervene(network, &site, of, words, settings, &Progress::silent()).expect("runs")
}

#[test]
fn the_core_raises_every_sibling_and_own_neurons_only_their_word() {
    for seed in 0..3 {
        let network = Toy::new(seed, ReadOut::Linear);
        let settings = Intervene { strength: Some(2.0), seed, ..Intervene::default() };
        let found = run(&network, &siblings(&network), &settings);
        assert_eq!(found.groups.len(), 3);
        assert_eq!(found.groups[0].units, [20, 21, 32, 33]);
        assert_eq!(
            (found.groups[1].feature, found.groups[1].units.as_slice()),
            (Some(40), &[22, 23][..])
        );
        assert_eq!(
            (found.groups[2].feature, found.groups[2].units.as_slice()),
            (Some(41), &[34, 35][..])
        );
        // Two neurons of |z| = ½, read out by 1.5: 2 · 2 · ½ · 1.5 = 3, within the noise of 0.05 each.
        let close = |found: f64, expected: f64, noise: f64| {
            assert!((found - expected).abs() <= noise, "seed {seed}: {found} {expected}");
        };
        for (group, expected) in
            found.groups.iter().zip([[3.0, 3.0, 0.0], [3.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
        {
            for (found, expected) in group.change.iter().zip(expected) {
                close(*found, expected, 0.1 * group.units.len() as f64);
            }
            assert!(group.control.iter().all(|control| control.abs() < 0.5), "{group:?}");
            assert!(group.control_deviation.iter().all(|deviation| *deviation < 1.0));
        }
        assert_eq!(found.groups[1].most_raised(), Some(0));
        assert_eq!(found.groups[2].most_raised(), Some(1));
        assert_eq!(found.disagreeing, 0);
        // Pushed the other way everything falls by as much: the toy is linear.
        let down = Intervene { strength: Some(-2.0), seed, ..Intervene::default() };
        let down = run(&network, &siblings(&network), &down);
        assert!((down.groups[0].change[0] + found.groups[0].change[0]).abs() < 1e-4);
    }
}

#[test]
fn the_strength_is_matched_on_the_core_and_is_the_same_for_all() {
    let network = Toy::new(0, ReadOut::Linear);
    let directions = siblings(&network);
    let matched = run(&network, &directions, &Intervene::default());
    let given = Intervene { strength: Some(matched.strength), ..Intervene::default() };
    assert_eq!(matched, run(&network, &directions, &given));
    let more = run(&network, &directions, &Intervene { kl: 0.5, ..Intervene::default() });
    assert!(more.strength > matched.strength);
}

#[test]
fn a_sign_that_features_do_not_share_is_told() {
    let network = Toy::new(0, ReadOut::Linear);
    let mut directions = siblings(&network);
    directions[[1, 20]] *= -0.2;
    let settings = Intervene { strength: Some(2.0), controls: 0, ..Intervene::default() };
    let found = run(&network, &directions, &settings);
    assert_eq!(found.disagreeing, 1);
    // The stronger side wins, so the core does what it did.
    assert!((found.groups[0].change[0] - 3.0).abs() < 0.4, "{found:?}");
    assert!(found.groups[0].control.iter().all(|control| control.is_nan()));
}

#[test]
fn pairs_are_ordered_by_what_they_share_beyond_chance() {
    let decoder = array![
        [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [1.0, -1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    ];
    let found = shared_pairs(decoder.view(), 10);
    let pairs: Vec<_> = found.iter().map(|pair| (pair.feature, pair.other, pair.shared)).collect();
    // 1 and 2 share one neuron where chance gives 2.25, so they are no pair.
    assert_eq!(pairs, [(0, 1, 2), (2, 3, 1)]);
    assert!((found[0].expected - 0.75).abs() < 1e-12);
    assert_eq!(shared_pairs(decoder.view(), 1).len(), 1);
}

#[test]
fn an_overlap_names_who_has_what() {
    let decoder = array![[1.0, 1.0, 0.0, 0.0], [0.0, -1.0, 1.0, 0.0], [0.0, 2.0, 3.0, 4.0]];
    let found = overlap(decoder.view(), &[2, 0]).expect("two features");
    assert_eq!(found.shared, [[3, 1], [1, 2]]);
    assert_eq!((found.core, found.exclusive), (vec![1], vec![vec![2, 3], vec![0]]));
    assert!(overlap(decoder.view(), &[0, 3]).expect_err("absent").to_string().contains("0 to 2"));
    assert!(overlap(decoder.view(), &[0, 0]).expect_err("twice").to_string().contains("twice"));
}

#[test]
fn bad_input_is_refused_by_name() {
    let network = Toy::new(0, ReadOut::Linear);
    let site = Site::new(SITE);
    let refuse =
        |features: &[usize], directions: &Array2<f32>, words: Words<'_>, settings: &Intervene| {
            let of = (features, directions.view());
            intervene(&network, &site, of, words, settings, &Progress::silent())
                .expect_err("refused")
                .to_string()
        };
    let prompts = [vec![20]];
    let words = Words { prompts: &prompts, tokens: &[6] };
    let two = siblings(&network);
    let plain = Intervene::default();
    assert!(refuse(&[40], &two, words, &plain).contains("two siblings"));
    assert!(refuse(&[1, 2], &two, Words { prompts: &[], ..words }, &plain).contains("prompts"));
    assert!(refuse(&[1, 2], &two, Words { tokens: &[], ..words }, &plain).contains("words"));
    let outside = [WORDS as u32];
    assert!(
        refuse(&[1, 2], &two, Words { tokens: &outside, ..words }, &plain).contains("below 32")
    );
    let empty = Array2::zeros((2, UNITS));
    assert!(refuse(&[1, 2], &empty, words, &plain).contains("core"));
    let far = Intervene { kl: 1e6, ..plain.clone() };
    assert!(refuse(&[1, 2], &two, words, &far).contains("no strength reaches"));
    for settings in [
        Intervene { strength: Some(0.0), ..plain.clone() },
        Intervene { strength: Some(f64::NAN), ..plain.clone() },
        Intervene { kl: 0.0, ..plain },
    ] {
        assert!(settings.validate().is_err(), "{settings:?}");
    }
}
