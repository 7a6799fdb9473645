//! Dictionaries in the place of MLPs that are known transcoders (part A of the specification's study).

#[path = "toy/rectified.rs"]
mod rectified;

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2, Axis};
use nissl_core::features::{Dictionary, Encoding};
use nissl_core::network::{LanguageNetwork, Sampling, TokenBatch};
use nissl_core::seed::rng;
use nissl_core::taps::{Change, Edit, Positions, Selection, Taps};
use nissl_core::{Error, Progress, Site};
use nissl_probe::dictionary::{
    Baseline, ErrorTerm, Evaluate, FeatureChange, FeatureEdit, Kept, Replacement, Sites, compare,
    effect, evaluate, freeze,
};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use rectified::{NEURONS, Rectified, VOCABULARY, WIDTH, mlp, seen, text, values};

/// A dictionary that is nearly the layer's MLP.
fn near(network: &Rectified, layer: usize, noise: f32) -> Dictionary {
    let mut dictionary = network.dictionary(layer);
    let mut rng = rng(layer as u64, 9);
    let mut blur = |x: &mut f32| {
        let z: f32 = StandardNormal.sample(&mut rng);
        *x += noise * z;
    };
    dictionary.decoder.iter_mut().for_each(&mut blur);
    dictionary.output_decoder.iter_mut().flatten().for_each(&mut blur);
    dictionary
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0f32, |most, (a, b)| most.max((a - b).abs()))
}

#[test]
fn the_exact_transcoder_loses_nothing_and_a_permuted_one_does() {
    for seed in 0..3 {
        let network = Rectified::new(seed);
        let text = own_text(&network, seed, 6, 20);
        let exact = [network.dictionary(0), network.dictionary(1)];
        let mut permuted = exact[1].clone();
        let order: Vec<usize> = (0..NEURONS).map(|at| (at + 1) % NEURONS).collect();
        permuted.output_decoder =
            permuted.output_decoder.map(|decoder| decoder.select(Axis(0), &order));
        let at =
            |dictionary, layer| Replacement::at(dictionary, mlp(layer), &network).expect("fits");
        let sets = [
            vec![at(&exact[1], 1)],
            vec![at(&permuted, 1)],
            vec![at(&exact[0], 0), at(&exact[1], 1)],
        ];
        let settings = Evaluate::default();
        let found =
            evaluate(&network, &sets, &text, &settings, &Progress::silent()).expect("evaluates");
        for whole in [&found[0], &found[2]] {
            assert!((whole.recovered - 1.0).abs() < 1e-5, "{whole:?}");
            assert!(whole.dictionaries.iter().all(|one| one.fvu < 1e-10), "{whole:?}");
            assert!(whole.zero > whole.full + 0.1, "{whole:?}");
            assert_eq!(whole.tokens, 6 * 18);
            assert_eq!(whole.dictionaries[0].tokens, 6 * 19);
        }
        assert!(found[1].dictionaries[0].fvu > 0.3, "{:?}", found[1]);
        assert!(found[1].recovered < 0.7, "{:?}", found[1]);
        assert!((found[1].zero - found[0].zero).abs() < 1e-12);
        assert!((found[2].zero - found[0].zero).abs() > 1e-6);
        // L0 and the dead counted by hand.
        let all = seen(&network, &text, Taps::none());
        let act = &all["layers.1.mlp.act"];
        let act = ArrayView2::from_shape((6 * 20, NEURONS), act).expect("the shape");
        let rows: Vec<usize> = (0..6 * 20).filter(|row| row % 20 > 0).collect();
        let act = act.select(Axis(0), &rows);
        let fired = act.iter().filter(|&&z| z > 0.0).count() as f64 / rows.len() as f64;
        let one = &found[0].dictionaries[0];
        assert!((one.active - fired).abs() < 1e-9);
        let dead = act.columns().into_iter().filter(|z| z.iter().all(|&z| z <= 0.0)).count();
        assert!((one.dead - dead as f64 / NEURONS as f64).abs() < 1e-12);
        assert!((one.live + one.dead - 1.0).abs() < 1e-12, "all that fire are live on few tokens");
        let binned: u64 = one.histogram.iter().map(|bin| bin.features).sum();
        assert_eq!(binned as usize, NEURONS - dead);
    }
}

#[test]
fn with_the_error_added_back_and_no_change_the_network_says_what_it_said() {
    let network = Rectified::new(1);
    let rows = text(1, 3, 12);
    let plain = seen(&network, &rows, Taps::none());
    let both = [near(&network, 0, 0.1), near(&network, 1, 0.1)];
    let make = |error| -> Vec<Replacement<'_>> {
        let at = |layer: usize| Replacement {
            error,
            ..Replacement::at(&both[layer], mlp(layer), &network).expect("fits")
        };
        vec![at(0), at(1)]
    };
    let run = |set: &[Replacement<'_>]| {
        let taps = set.iter().fold(Taps::none(), |taps, one| one.tap(taps).expect("fits"));
        seen(&network, &rows, taps)
    };
    let added = run(&make(ErrorTerm::AddedBack));
    assert_eq!(added["logits"], plain["logits"]);
    let left = run(&make(ErrorTerm::LeftOut));
    assert!(apart(&left["logits"], &plain["logits"]) > 0.1);
    let mut frozen = make(ErrorTerm::LeftOut);
    let batch: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    freeze(&network, &TokenBatch::new(&batch).expect("a batch"), &mut frozen).expect("freezes");
    assert!(apart(&run(&frozen)["logits"], &plain["logits"]) < 1e-4);

    // A change in the first layer reaches the error of the second only where it is not frozen.
    let ablated = FeatureEdit { feature: 5, change: FeatureChange::Steer(3.0) };
    frozen[0].edits.push(ablated);
    let held = run(&frozen);
    let matrix = |all: &BTreeMap<String, Vec<f32>>, site: &str| {
        Array2::from_shape_vec((36, WIDTH), all[site].clone()).expect("the shape")
    };
    let says = |all: &BTreeMap<String, Vec<f32>>| {
        let read = matrix(all, "layers.1.mlp.in");
        let code = both[1].encode(read.view()).expect("encodes");
        both[1].predict(read.view(), code.view()).expect("predicts")
    };
    let error = matrix(&plain, "layers.1.mlp.out") - says(&plain);
    let wanted = says(&held) + &error;
    let found = matrix(&held, "layers.1.mlp.out");
    assert!((&found - &wanted).iter().all(|gap| gap.abs() < 1e-4));
    let mut added = make(ErrorTerm::AddedBack);
    added[0].edits.push(ablated);
    let free = run(&added);
    // Here the layer answers as it would itself.
    let read = matrix(&free, "layers.1.mlp.in");
    let exact = network.dictionary(1);
    let own = exact.predict(read.view(), exact.encode(read.view()).expect("encodes").view());
    let gap = matrix(&free, "layers.1.mlp.out") - own.expect("predicts");
    assert!(gap.iter().all(|gap| gap.abs() < 1e-4));
    assert!((matrix(&free, "layers.1.mlp.out") - found).iter().any(|gap| gap.abs() > 1e-3));
}

#[test]
fn changing_a_feature_is_changing_the_neuron() {
    let network = Rectified::new(2);
    let rows = text(2, 3, 12);
    let exact = network.dictionary(0);
    let unit = 7;
    let on = |change| {
        let selection = Selection {
            units: Some(vec![unit]),
            positions: Positions::From(2),
            ..Selection::default()
        };
        let edit = Edit::new("layers.0.mlp.act".parse().expect("a glob"), change).on(selection);
        seen(&network, &rows, Taps::none().edit(edit))
    };
    let mut direction = vec![0.0; NEURONS];
    direction[unit] = 2.5;
    let pairs = [
        (FeatureChange::Ablate, Change::Set(0.0)),
        (FeatureChange::Scale(3.0), Change::Scale(3.0)),
        (FeatureChange::Set(1.5), Change::Set(1.5)),
        (FeatureChange::Steer(2.5), Change::Add(direction)),
    ];
    let plain = seen(&network, &rows, Taps::none());
    for error in [ErrorTerm::LeftOut, ErrorTerm::AddedBack] {
        for (change, edit) in &pairs {
            let placed = Replacement {
                error,
                positions: Positions::From(2),
                edits: vec![FeatureEdit { feature: unit, change: *change }],
                ..Replacement::at(&exact, mlp(0), &network).expect("fits")
            };
            let found = seen(&network, &rows, placed.tap(Taps::none()).expect("fits"));
            let wanted = on(edit.clone());
            assert!(apart(&found["logits"], &wanted["logits"]) < 1e-4, "{change:?} {error:?}");
            let moved = apart(&found["layers.0.mlp.out"], &plain["layers.0.mlp.out"]);
            assert!(moved > 1e-2, "{change:?}");
            // Two positions of each sequence stay.
            for sequence in 0..3 {
                let from = sequence * 12 * WIDTH;
                let stay = from..from + 2 * WIDTH;
                let site = "layers.0.mlp.out";
                assert_eq!(found[site][stay.clone()], plain[site][stay], "{change:?}");
            }
        }
    }
    // Only some features kept: the others at zero, or at given values.
    let kept = vec![3, 7, 9];
    let others: Vec<usize> = (0..NEURONS).filter(|unit| !kept.contains(unit)).collect();
    let means: Vec<f32> = (0..NEURONS).map(|unit| unit as f32 / 50.0).collect();
    for (kept, change) in [
        (Kept::These(kept.clone()), Change::Set(0.0)),
        (Kept::TheseOver(kept, means.clone()), Change::SetUnits(means)),
    ] {
        let placed =
            Replacement { kept, ..Replacement::at(&exact, mlp(0), &network).expect("fits") };
        let found = seen(&network, &rows, placed.tap(Taps::none()).expect("fits"));
        let selection = Selection { units: Some(others.clone()), ..Selection::default() };
        let edit = Edit::new("layers.0.mlp.act".parse().expect("a glob"), change).on(selection);
        let wanted = seen(&network, &rows, Taps::none().edit(edit));
        assert!(apart(&found["logits"], &wanted["logits"]) < 1e-4);
    }
}

#[test]
fn an_autoencoder_of_a_whole_basis_rebuilds_its_site() {
    let network = Rectified::new(3);
    let site = Site::new("layers.0.resid.post");
    let basis = Dictionary::new(Array2::eye(WIDTH), Encoding::Projection);
    let half =
        Dictionary::new(Array2::eye(WIDTH).slice_move(ndarray::s![..12, ..]), Encoding::Projection);
    let at = |d| Replacement::at(d, Sites::both(&site), &network).expect("fits");
    let sets = [vec![at(&basis)], vec![at(&half)]];
    let text = text(3, 4, 16);
    let found = evaluate(&network, &sets, &text, &Evaluate::default(), &Progress::silent());
    let found = found.expect("evaluates");
    assert!((found[0].recovered - 1.0).abs() < 1e-9 && found[0].dictionaries[0].fvu < 1e-12);
    assert!(found[1].dictionaries[0].fvu > 0.2);
    // The best twelve directions do better than twelve units.
    let sites = Sites::both(&site);
    let of = compare(&network, &sites, &found[1], &text, &Evaluate::default(), &Progress::silent());
    let of = of.expect("compares");
    let [best] = &of[..] else { panic!("only components of this site") };
    assert_eq!((best.baseline, best.parts), (Baseline::Components, 12));
    assert!(best.fvu > 0.01 && best.fvu < found[1].dictionaries[0].fvu, "{best:?}");
    let added = Evaluate { error: ErrorTerm::AddedBack, ..Evaluate::default() };
    let found = evaluate(&network, &sets, &text, &added, &Progress::silent()).expect("evaluates");
    assert!((found[1].replaced - found[1].full).abs() < 1e-9);
}

#[test]
fn the_effect_of_an_ablation_is_that_of_the_neuron() {
    let network = Rectified::new(7);
    let rows = text(7, 4, 16);
    let exact = network.dictionary(1);
    let placed = Replacement {
        edits: vec![FeatureEdit { feature: 11, change: FeatureChange::Set(4.0) }],
        ..Replacement::at(&exact, mlp(1), &network).expect("fits")
    };
    let found = effect(&network, &[placed], &rows, 0, 5, &Progress::silent()).expect("runs");
    let log = |taps| {
        let logits = seen(&network, &rows, taps)["logits"].clone();
        let row = |row: &[f32]| nissl_core::stats::information::log_softmax(row);
        logits.chunks(VOCABULARY).map(row).collect::<Vec<_>>()
    };
    let selection = Selection { units: Some(vec![11]), ..Selection::default() };
    let edit = Edit::new("layers.1.mlp.act".parse().expect("a glob"), Change::Set(4.0));
    let (before, after) = (log(Taps::none()), log(Taps::none().edit(edit.on(selection))));
    let loss = |log: &[Vec<f64>]| {
        let places = (0..4).flat_map(|row| (0..15).map(move |at| (row, at)));
        let sum: f64 = places.map(|(r, at)| -log[r * 16 + at][rows[r][at + 1] as usize]).sum();
        sum / 60.0
    };
    assert!((found.before - loss(&before)).abs() < 1e-5);
    assert!((found.after - loss(&after)).abs() < 1e-4);
    let change = |token: usize| {
        before.iter().zip(&after).map(|(b, a)| a[token] - b[token]).sum::<f64>() / 64.0
    };
    let mut order: Vec<usize> = (0..VOCABULARY).collect();
    order.sort_by(|&a, &b| change(b).total_cmp(&change(a)));
    let raised: Vec<usize> = found.raised.iter().map(|one| one.token as usize).collect();
    assert_eq!(raised, order[..5]);
    assert!((found.lowered[0].change - change(order[VOCABULARY - 1])).abs() < 1e-4);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let network = Rectified::new(8);
    let exact = network.dictionary(0);
    let turned = Sites { input: mlp(1).output, output: mlp(0).output };
    let error = Replacement::at(&exact, turned, &network).expect_err("the wrong way");
    assert!(error.to_string().contains("before"), "{error}");
    let narrow = Dictionary::new(Array2::eye(WIDTH - 1), Encoding::Projection);
    let both = Sites::both(&Site::new("embed"));
    let error = Replacement::at(&narrow, both, &network).expect_err("narrow");
    assert!(matches!(error, Error::Units { .. }));
    let whole = Dictionary::new(Array2::eye(WIDTH), Encoding::Projection);
    let error = Replacement::at(&whole, mlp(0), &network).expect_err("two sites").to_string();
    assert!(error.contains("autoencoder"), "{error}");
    let unknown = Sites::both(&Site::new("layers.4.mlp.out"));
    assert!(Replacement::at(&whole, unknown, &network).is_err());

    let placed = Replacement::at(&exact, mlp(0), &network).expect("fits");
    let with = |feature, change| {
        let edits = vec![FeatureEdit { feature, change }];
        Replacement { edits, ..placed.clone() }.check()
    };
    assert!(with(NEURONS, FeatureChange::Ablate).expect_err("none").to_string().contains("39"));
    assert!(with(0, FeatureChange::Scale(f32::NAN)).is_err());
    assert!(with(0, FeatureChange::Steer(f32::INFINITY)).is_err());
    let beyond = Replacement { kept: Kept::These(vec![0, 99]), ..placed.clone() };
    assert!(beyond.check().is_err());
    let unfrozen = Replacement { error: ErrorTerm::Frozen, ..placed.clone() };
    assert!(unfrozen.tap(Taps::none()).is_err());
    let sets = [vec![placed]];
    let short = vec![vec![1], vec![2, 3]];
    let error = evaluate(&network, &sets, &short, &Evaluate::default(), &Progress::silent());
    assert!(matches!(error, Err(Error::Empty { .. })));
    let error = evaluate(&network, &[], &short, &Evaluate::default(), &Progress::silent());
    assert!(error.is_err());
}

/// Text that the network writes itself, so that it knows what comes.
fn own_text(network: &Rectified, seed: u64, sequences: usize, length: usize) -> Vec<Vec<u32>> {
    let mut rows = text(seed, sequences, 1);
    let mut rng = rng(seed, 8);
    for _ in 1..length {
        let batch: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let batch = TokenBatch::new(&batch).expect("a batch");
        let logits = network.forward(&batch, &mut Taps::none()).expect("runs").expect("logits");
        let positions = batch.positions();
        let logits = values(logits);
        for (row, logits) in rows.iter_mut().zip(logits.chunks(positions * VOCABULARY)) {
            let last = &logits[(positions - 1) * VOCABULARY..];
            row.push(Sampling::default().draw(last, rng.random()));
        }
    }
    rows
}
