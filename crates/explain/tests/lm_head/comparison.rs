//! Two checkpoints compared, against naive sums and known changes.

use ndarray::Array2;
use nissl_core::Progress;
use nissl_core::network::Part;
use nissl_explain::lm_head::{Compare, LmHead, MatrixWeights, compare};

use crate::planted_head::PlantedHead;
use crate::support::{normal, planted, weights_of};

fn weights(head: &Array2<f32>, up: &Array2<f32>) -> MatrixWeights {
    MatrixWeights::new("m", head.clone()).with_part(Part::Up, vec![up.clone()]).expect("fits")
}

fn softmax(head: &Array2<f32>, up: &Array2<f32>, unit: usize) -> Vec<f64> {
    let logits: Vec<f64> = head
        .rows()
        .into_iter()
        .map(|token| {
            token.iter().zip(up.row(unit)).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        })
        .collect();
    let whole: f64 = logits.iter().map(|logit: &f64| logit.exp()).sum();
    logits.iter().map(|logit| logit.exp() / whole).collect()
}

#[test]
fn divergence_and_overlap_are_those_of_naive_sums() {
    for (seed, tile, block) in [(0, 4096, 1024), (1, 37, 16)] {
        let (head, up) = (normal(500, 24, seed), normal(60, 24, seed + 1));
        let after =
            (&head + &(normal(500, 24, seed + 2) * 0.2), &up + &(normal(60, 24, seed + 3) * 0.3));
        let settings = LmHead { tile, block, ..LmHead::default() };
        let (before, after_weights) = (weights(&head, &up), weights(&after.0, &after.1));
        let options = Compare { changed: 100 };
        let found = compare(&before, &after_weights, &settings, &options, &Progress::silent())
            .expect("compares");
        let (mut same, mut jaccard, mut divergence) = (0.0, 0.0, 0.0);
        for unit in 0..60 {
            let (p, q) = (softmax(&head, &up, unit), softmax(&after.0, &after.1, unit));
            let first = |p: &[f64]| {
                let mut order: Vec<usize> = (0..p.len()).collect();
                order.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
                order.truncate(5);
                order
            };
            let (a, b) = (first(&p), first(&q));
            same += f64::from(u8::from(a[0] == b[0]));
            let common = a.iter().filter(|token| b.contains(token)).count() as f64;
            jaccard += common / (10.0 - common);
            let js: f64 = p
                .iter()
                .zip(&q)
                .map(|(&p, &q)| {
                    let m = f64::midpoint(p, q);
                    0.5 * (p * (p / m).ln() + q * (q / m).ln())
                })
                .sum();
            divergence += js;
            let listed = found.changed.iter().find(|one| one.unit as usize == unit);
            assert_eq!(listed.is_some(), a[0] != b[0]);
            if let Some(listed) = listed {
                assert_eq!((listed.before as usize, listed.after as usize), (a[0], b[0]));
                assert!((listed.divergence - js).abs() < 1e-5);
            }
        }
        assert_eq!(found.units, 60);
        assert!((found.observed.same_first - same / 60.0).abs() < 1e-9);
        assert!((found.observed.jaccard - jaccard / 60.0).abs() < 1e-9);
        assert!((found.observed.divergence - divergence / 60.0).abs() < 1e-5);
        assert_eq!(found.changed_units, 60 - same as u64);
        assert!(found.changed.is_sorted_by(|a, b| a.divergence >= b.divergence));
    }
}

#[test]
fn a_checkpoint_is_like_itself_and_unlike_its_permutation() {
    for seed in 0..3 {
        let (weights, _) = planted(&PlantedHead { seed, ..PlantedHead::default() });
        let compared = compare(
            &weights,
            &weights,
            &LmHead::default(),
            &Compare::default(),
            &Progress::silent(),
        )
        .expect("compares");
        assert_eq!(compared.layers.len(), 2);
        assert!((compared.observed.same_first - 1.0).abs() < 1e-12);
        assert!((compared.observed.jaccard - 1.0).abs() < 1e-12);
        assert!(compared.observed.divergence.abs() < 1e-9);
        assert!((compared.noise.same_first - 1.0).abs() < 1e-12, "no change, no noise");
        assert!(compared.permuted.same_first < 0.05, "{:?}", compared.permuted);
        assert!(compared.changed.is_empty());
    }
}

#[test]
fn the_noise_null_has_the_size_of_the_change() {
    // Noise as a change: the null must then do to units what the change did.
    for seed in 0..2 {
        let (before, mut made) =
            planted(&PlantedHead { seed, strength: 4.0, ..PlantedHead::default() });
        for (layer, up) in made.up.iter_mut().enumerate() {
            *up += &(normal(2048, 64, seed + 70 + layer as u64) * 0.02);
        }
        let after = weights_of(&made);
        let options = Compare::default();
        let run = || {
            compare(&before, &after, &LmHead::default(), &options, &Progress::silent())
                .expect("compares")
        };
        let found = run();
        for layer in &found.layers {
            assert!((layer.change - 0.02).abs() < 1e-3, "{}", layer.change);
        }
        let (seen, null) = (found.observed, found.noise);
        assert!((seen.same_first - null.same_first).abs() < 0.03, "{seen:?} {null:?}");
        assert!((seen.divergence / null.divergence - 1.0).abs() < 0.1, "{seen:?} {null:?}");
        assert_eq!(found.changed.len(), 20);
        assert_eq!(found, run());
    }
}

#[test]
fn checkpoints_of_other_shapes_are_refused() {
    let (head, up) = (normal(50, 8, 0), normal(20, 8, 1));
    let before = weights(&head, &up);
    let refused = |after: &MatrixWeights, settings: &LmHead| {
        compare(&before, after, settings, &Compare::default(), &Progress::silent())
            .expect_err("refused")
            .to_string()
    };
    let plain = LmHead::default();
    let width = refused(&weights(&normal(50, 9, 0), &normal(20, 9, 1)), &plain);
    assert!(width.contains("residual width") && width.contains('9'), "{width}");
    let units = refused(&weights(&head, &normal(21, 8, 1)), &plain);
    assert!(units.contains("units of up"), "{units}");
    let tokens = refused(&weights(&normal(52, 8, 0), &up), &plain);
    assert!(tokens.contains("first-tokens"), "{tokens}");
    let longer = weights(&normal(52, 8, 0), &up);
    let shared = LmHead { first_tokens: Some(50), ..plain.clone() };
    assert!(compare(&before, &longer, &shared, &Compare::default(), &Progress::silent()).is_ok());
    let two = refused(&weights(&head, &up), &LmHead { two_stage: true, ..plain });
    assert!(two.contains("two_stage"), "{two}");
}
