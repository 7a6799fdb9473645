//! Recursive SNMF against planted groups and hand-made levels (spec 01, §3 and §6B).

use std::path::Path;

use ndarray::{Array2, array, s};
use nissl_core::features::{
    Decompose, Dictionary, Encoding, ExplainedVariance, Features, FeaturesPlan, FeaturesWriter,
    shared_units,
};
use nissl_core::seed::rng;
use nissl_core::stats::agreement::purity;
use nissl_core::stats::matching::{Sign, match_rows};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Error, Progress, Table};
use nissl_decompose::hierarchy::{FineTune, Levels, Recursion, Tree, trees};
use nissl_decompose::snmf::{Initial, Sparsity};
use nissl_decompose::{Hierarchy, Method, Options, Snmf, decompose};
use rand::RngExt;
use rand::seq::index::sample;
use rand_distr::{Distribution, StandardNormal};

use crate::harness::{all, recorded};

const GROUPS: usize = 3;
const CHILDREN: usize = 3;
const CORE: usize = 6;
const OWN: usize = 4;
const UNITS: usize = 120;
const SAMPLES: usize = 1500;

/// Groups of features that share a core: the activity and the features.
fn groups(seed: u64) -> (Array2<f32>, Array2<f32>) {
    let mut rng = rng(seed, 21);
    let used = GROUPS * (CORE + CHILDREN * OWN);
    let mut free = sample(&mut rng, UNITS, used).into_iter();
    let mut features = Array2::<f32>::zeros((GROUPS * CHILDREN, UNITS));
    let weight = move |rng: &mut _| {
        let rng: &mut rand_chacha::ChaCha8Rng = rng;
        if rng.random_bool(0.5) { rng.random_range(0.7..1.3) } else { -rng.random_range(0.7..1.3) }
    };
    for group in 0..GROUPS {
        let core: Vec<(usize, f32)> =
            free.by_ref().take(CORE).map(|unit| (unit, weight(&mut rng))).collect();
        for child in 0..CHILDREN {
            let mut row = features.row_mut(group * CHILDREN + child);
            for &(unit, value) in &core {
                row[unit] = value;
            }
            for unit in free.by_ref().take(OWN) {
                row[unit] = weight(&mut rng);
            }
            let norm = row.dot(&row).sqrt();
            row /= norm;
        }
    }
    let mut activity = Array2::<f32>::zeros((SAMPLES, UNITS));
    for mut sample in activity.rows_mut() {
        let chosen = rng.random_range(0..features.nrows());
        sample.scaled_add(rng.random_range(0.5f32..2.0), &features.row(chosen));
        sample.mapv_inplace(|value| {
            let noise: f32 = StandardNormal.sample(&mut rng);
            value + 0.02 * noise
        });
    }
    (activity, features)
}

fn method(seed: u64) -> Snmf {
    Snmf {
        k: GROUPS * CHILDREN,
        sparsity: Sparsity::Count(CORE + OWN),
        iterations: 200,
        restarts: 6,
        initial: Initial::Kmeans,
        seed,
        ..Snmf::default()
    }
}

/// The planted hierarchy of two levels and what it was found in.
fn built(seed: u64) -> (tempfile::TempDir, nissl_core::Recording, Array2<f32>, Hierarchy) {
    let (activity, features) = groups(seed);
    let (folder, recording) = recorded(activity.view());
    let first = method(seed).fit(&recording, &all(SAMPLES), &Progress::silent()).expect("fits");
    let found =
        Hierarchy::build(first, &[GROUPS], &method(seed), &Progress::silent()).expect("builds");
    (folder, recording, features, found)
}

#[test]
fn planted_groups_are_found_with_their_cores() {
    for seed in 0..3 {
        let (_folder, _, features, found) = built(seed);
        let low = &found.levels[0].decoder;
        let pairs = match_rows(low.view(), features.view(), Sign::Signed);
        let pairs: Vec<_> = pairs.into_iter().filter(|pair| pair.score >= 0.95).collect();
        let share = pairs.len() as f64 / features.nrows() as f64;
        assert!(share >= 0.85, "seed {seed}: {pairs:?}");
        let group = |feature: usize| feature / CHILDREN;
        let parents = found.parents(0);
        let ours: Vec<u32> = pairs.iter().map(|pair| parents[pair.found] as u32).collect();
        let truth: Vec<u32> = pairs.iter().map(|pair| group(pair.planted) as u32).collect();
        assert!(purity(&ours, &truth) > 0.99, "seed {seed}: {ours:?}");
        // A measure that any grouping passes measures nothing.
        let turned: Vec<u32> = (0..truth.len() as u32).map(|at| at % GROUPS as u32).collect();
        assert!(purity(&turned, &truth) < 0.5, "seed {seed}: {truth:?}");
        let shared = shared_units(low.view());
        for one in &pairs {
            for other in pairs.iter().filter(|other| other.found != one.found) {
                let count = shared[[one.found, other.found]] as usize;
                let same = group(one.planted) == group(other.planted);
                assert!(if same { count >= CORE - 1 } else { count <= 1 }, "seed {seed}: {count}");
            }
        }
    }
}

#[test]
fn weights_are_the_best_non_negative_ones() {
    let (_folder, _, _, found) = built(1);
    let (low, high, weights) =
        (&found.levels[0].decoder, &found.levels[1].decoder, &found.weights[0]);
    assert_eq!(weights.dim(), (GROUPS * CHILDREN, GROUPS));
    // Karush, Kuhn, Tucker: no slope where a weight is positive, none downwards where it is 0.
    let slope = (weights.dot(high) - low).dot(&high.t());
    for (&weight, &slope) in weights.iter().zip(&slope) {
        assert!(weight >= 0.0);
        assert!(if weight > 0.0 { slope.abs() < 1e-4 } else { slope > -1e-4 }, "{weight} {slope}");
    }
    for feature in 0..GROUPS {
        assert_eq!(found.shares(1, feature), weights.column(feature).to_vec());
    }
    let mut own = vec![0.0; GROUPS * CHILDREN];
    own[2] = 1.0;
    assert_eq!(found.shares(0, 2), own);
}

#[test]
fn tuning_lowers_the_loss_and_keeps_the_constraints() {
    for seed in 0..2 {
        let (_folder, recording, _, mut found) = built(seed);
        let rows = all(SAMPLES);
        let silent = Progress::silent();
        let before = found.errors(&recording, &rows, &silent).expect("measures");
        assert!(before[1] > before[0], "fewer features explain less: {before:?}");
        let first = found.levels[0].clone();
        let settings = FineTune { steps: 150, ..FineTune::default() };
        let again = found.clone();
        let kept = CORE + OWN;
        let tune = |mut hierarchy: Hierarchy, memory: usize| {
            let tuned = hierarchy.fine_tune(&recording, &rows, &settings, kept, memory, &silent);
            (hierarchy, tuned.expect("tunes"))
        };
        let tuned = found.fine_tune(&recording, &rows, &settings, kept, 64, &silent);
        let tuned = tuned.expect("tunes");
        assert!((tuned.before() - before[1]).abs() < 1e-4, "{} {before:?}", tuned.before());
        assert!(tuned.after() < 0.995 * tuned.before(), "{} {}", tuned.before(), tuned.after());
        let least = tuned.errors.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!((tuned.errors.len(), tuned.after()), (151, least));
        assert!(found.weights[0].iter().all(|weight| *weight >= 0.0));
        for row in found.levels[1].decoder.rows() {
            assert_eq!(row.iter().filter(|value| **value != 0.0).count(), kept);
            assert!((row.dot(&row) - 1.0).abs() < 1e-4);
        }
        assert_eq!(found.levels[0], first, "the finest level stays");
        // Read anew in every step, the same numbers come out.
        assert_eq!((found, tuned), tune(again, 0));
    }
}

#[test]
fn tuning_makes_good_what_was_spoilt() {
    let (_folder, recording, _, found) = built(1);
    let (rows, silent) = (all(SAMPLES), Progress::silent());
    let whole = found.errors(&recording, &rows, &silent).expect("measures")[1];
    let mut spoilt = found.clone();
    let mut rng = rng(5, 0);
    spoilt.weights[0].mapv_inplace(|weight| weight * rng.random_range(0.2f32..1.8));
    for mut row in spoilt.levels[1].decoder.rows_mut() {
        let lost = row.iter().position(|value| *value != 0.0).expect("a unit");
        let free = row.iter().position(|value| *value == 0.0).expect("a unit");
        row.swap(lost, free);
    }
    let settings = FineTune { steps: 300, learning_rate: 0.01 };
    let tuned =
        spoilt.fine_tune(&recording, &rows, &settings, CORE + OWN, 64, &silent).expect("tunes");
    let (damage, left) = (tuned.before() - whole, tuned.after() - whole);
    assert!(damage > 0.05 && left < 0.2 * damage, "{damage} {left}");
}

#[test]
fn no_steps_change_nothing_but_lengths() {
    let (_folder, recording, _, mut found) = built(0);
    let before = found.clone();
    let settings = FineTune::default();
    let kept = CORE + OWN;
    let tuned = found
        .fine_tune(&recording, &all(SAMPLES), &settings, kept, 64, &Progress::silent())
        .expect("measures");
    assert_eq!((tuned.errors.len(), tuned.kept), (1, 0));
    let gap = (&found.weights[0] - &before.weights[0]).mapv(f32::abs);
    assert!(gap.iter().all(|gap| *gap < 1e-4));
}

#[test]
fn ranks_that_do_not_decrease_are_named() {
    let wrong = |k: usize, levels: &[usize]| {
        let recursion = Recursion { levels: levels.to_vec(), ..Recursion::default() };
        Snmf { k, recursion, ..Snmf::default() }.validate().expect_err("wrong").to_string()
    };
    let told = wrong(40, &[20, 20, 5]);
    assert!(told.contains("`levels`") && told.contains("20 after 20 in 40, 20, 20, 5"), "{told}");
    assert!(wrong(40, &[50]).contains("50 after 40"));
    assert!(wrong(40, &[10, 0]).contains("at least 1"));
    let rate = FineTune { learning_rate: 0.0, ..FineTune::default() };
    let recursion = Recursion { levels: vec![5], tuning: rate };
    let error = Snmf { recursion, ..Snmf::default() }.validate().expect_err("no step");
    assert!(error.to_string().contains("learning_rate"), "{error}");
}

#[test]
fn a_hierarchy_is_written_opened_and_continued() {
    let (activity, _) = groups(2);
    let (folder, recording) = recorded(activity.view());
    let tuning = FineTune { steps: 20, ..FineTune::default() };
    let recursion = Recursion { levels: vec![GROUPS, 2], tuning };
    let method = Method::Snmf(Snmf { recursion, ..method(2) });
    let out = folder.path().join("features");
    let run = |existing: Existing| {
        let options = Options { existing, seed: 2, ..Options::default() };
        decompose(&method, &recording, &out, &options, &Progress::silent())
    };
    run(Existing::Refuse).expect("decomposes");
    let levels = Levels::open(&out).expect("opens");
    let ranks: Vec<usize> = levels.features.iter().map(Features::features).collect();
    assert_eq!(ranks, [GROUPS * CHILDREN, GROUPS, 2]);
    assert!(levels.features.iter().all(|level| level.samples() == SAMPLES));
    assert_eq!(levels.features[2].method(), "snmf");
    assert_eq!(levels.errors.len(), 3);
    assert!(levels.errors[0] < levels.errors[1] && levels.errors[1] < levels.errors[2]);
    let tuned = levels.tuned.as_ref().expect("tuned");
    assert!(tuned.after() < tuned.before());
    let first = levels.features[0].dictionary().clone();
    let found = Hierarchy {
        levels: levels.features.iter().map(|level| level.dictionary().clone()).collect(),
        weights: levels.weights.clone(),
    };
    assert_eq!(found.levels[0], first);

    // Cut off after the first level, it goes on and comes to the same.
    assert!(matches!(run(Existing::Resume), Err(Error::Exists { .. })), "it is finished");
    for part in ["hierarchy", "levels/3"] {
        std::fs::remove_dir_all(out.join(part)).expect("removes");
    }
    assert!(Levels::open(&out).is_err());
    run(Existing::Resume).expect("goes on");
    let again = Levels::open(&out).expect("opens");
    assert_eq!(again.weights, levels.weights);
    for (one, other) in again.features.iter().zip(&levels.features) {
        assert_eq!(one.manifest().shards, other.manifest().shards);
    }
    run(Existing::Overwrite).expect("begins anew");
    assert_eq!(Levels::open(&out).expect("opens").weights, levels.weights);
}

#[test]
fn features_without_levels_say_how_to_make_them() {
    let (activity, _) = groups(0);
    let (folder, recording) = recorded(activity.view());
    let out = folder.path().join("features");
    let method = Method::Snmf(Snmf { restarts: 1, iterations: 10, ..method(0) });
    decompose(&method, &recording, &out, &Options::default(), &Progress::silent()).expect("fits");
    let error = Levels::open(&out).expect_err("no levels");
    assert!(error.to_string().contains("no coarser levels"), "{error}");
    let Error::NotAnArtefact { help: Some(help), .. } = error else { panic!("{error}") };
    assert!(help.contains("--levels"), "{help}");
}

/// Features over two units with activations `[sample, feature]` as given.
fn by_hand(folder: &Path, activations: &Array2<f32>) -> Features {
    let units = Table::new()
        .with("unit", Column::U32(vec![0, 1]))
        .with("site", Column::Text(vec!["a".to_owned(); 2]))
        .with("index", Column::U32(vec![0, 1]));
    let plan =
        FeaturesPlan::new(units, serde_json::json!({"method": "snmf"}), Provenance::default());
    let decoder = Array2::from_elem((activations.ncols(), 2), 0.5);
    let dictionary = || Ok(Dictionary::new(decoder.clone(), Encoding::Projection));
    let mut writer =
        FeaturesWriter::create(folder, &plan, Existing::Refuse, dictionary).expect("begins");
    writer.push(activations.view()).expect("pushes");
    writer.finish(ExplainedVariance::default()).expect("finishes")
}

#[test]
fn a_tree_is_read_off_a_hand_made_hierarchy() {
    let folder = tempfile::tempdir().expect("a folder");
    // Five samples; the finest level has four features, then three, then one.
    let finest = array![
        [2.0f32, 0.0, 0.0, 0.0],
        [0.0, 3.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 4.0],
        [0.9, 0.0, 0.0, 0.0]
    ];
    let features = vec![
        by_hand(&folder.path().join("1"), &finest),
        by_hand(&folder.path().join("2"), &finest.slice(s![.., ..3]).to_owned()),
        by_hand(&folder.path().join("3"), &finest.slice(s![.., ..1]).to_owned()),
    ];
    let weights = vec![
        // Feature 0 of the second level is made of 0 and 1; feature 1 of 2 alone; feature 2 of 3.
        array![[1.0f32, 0.0, 0.0], [0.6, 0.0, 0.0], [0.0, 1.0, 0.3], [0.2, 0.0, 1.0]],
        array![[1.0f32], [0.8], [0.1]],
    ];
    let levels = Levels { features, weights, errors: Vec::new(), tuned: None };
    let settings = Tree::default();
    let grow = |roots: &[(usize, usize)], settings: &Tree| {
        trees(&levels, roots, None, settings, &Progress::silent())
    };
    let tree = &grow(&[(3, 0)], &settings).expect("grows")[0];
    let places: Vec<(usize, usize, Option<f32>)> =
        tree.children.iter().map(|child| (child.level, child.feature, child.weight)).collect();
    assert_eq!(places, [(2, 0, Some(1.0)), (2, 1, Some(0.8))], "0.1 is below half of the largest");
    let parts: Vec<usize> = tree.children[0].children.iter().map(|child| child.feature).collect();
    assert_eq!(parts, [0, 1], "0.2 is below half of the largest");
    assert!(tree.children[1].children.is_empty(), "one child alone is a leaf");
    // The column of W₁W₂ for feature 0 of level 2, by hand: 2, 1.8, 0, 0.8, 0.9.
    let tokens: Vec<(u64, f32)> =
        tree.children[0].tokens.iter().map(|token| (token.sample, token.value)).collect();
    assert_eq!(tokens.len(), 2, "{tokens:?}");
    assert_eq!((tokens[0].0, tokens[1].0), (0, 1));
    assert!((tokens[0].1 - 2.0).abs() < 1e-6 && (tokens[1].1 - 1.8).abs() < 1e-6);
    // And of W₁W₂W₃ for the root: 1·(1, 0.6, 0, 0.2) + 0.8·(0, 0, 1, 0) + 0.1·(0, 0, 0.3, 1).
    let roots: Vec<u64> = tree.tokens.iter().map(|token| token.sample).collect();
    assert_eq!(roots, [0, 1, 3], "2, 1.8, 0.83, 1.2, 0.9 from half of the largest");

    let wide = Tree { threshold: 0.05, tokens: 2, ..settings.clone() };
    let tree = &grow(&[(3, 0)], &wide).expect("grows")[0];
    assert_eq!((tree.children.len(), tree.tokens.len()), (3, 2));
    assert_eq!(grow(&[(1, 3)], &settings).expect("grows")[0].tokens[0].sample, 3);
    for (root, told) in [((4, 0), "1 to 3"), ((0, 0), "1 to 3"), ((2, 3), "0 to 2 of level 2")] {
        let error = grow(&[root], &settings).expect_err("no such feature").to_string();
        assert!(error.contains("root") && error.contains(told), "{error}");
    }
}
