//! The frozen run: contributions are complete in every family, and mean what they say.

use nissl_core::Progress;
use nissl_core::network::{LanguageNetwork, ResidualWeights, TokenBatch};
use nissl_core::taps::Taps;
use nissl_trace::frozen::{Freeze, FrozenRun, NormTreatment, Reads, Replaced, Target, Wiring};

use crate::{FAMILIES, open, transcoder};

const PROMPT: [u32; 6] = [3, 1, 4, 1, 5, 9];

fn freeze(norms: NormTreatment) -> Freeze {
    // Random transcoders explain nothing, which is not what is tested.
    Freeze { norms, force: true }
}

/// Every active feature of every layer, and a logit difference.
fn targets(run: &FrozenRun<'_>) -> Vec<Target> {
    let features = run.active_features().into_iter();
    let features =
        features.map(|at| run.feature(at.layer, at.position, at.feature as usize).expect("there"));
    let logit = run.logits(PROMPT.len() - 1, &[(2, 1.0), (7, -1.0)]).expect("tokens");
    features.chain([logit]).collect()
}

#[test]
fn contributions_add_up_to_pre_activations_and_logits_in_every_family() {
    for family in FAMILIES {
        let (network, weights) = open(family);
        let width = weights.residual_width();
        let dictionaries = (0..weights.layers()).map(|n| transcoder(n, width, 5)).collect();
        let wiring = Wiring::new(&weights, dictionaries).expect("fits");
        for norms in [NormTreatment::Frozen, NormTreatment::Ratio] {
            let run = FrozenRun::new(&wiring, &network, &PROMPT, &freeze(norms)).expect("runs");
            let targets = targets(&run);
            assert!(targets.len() > 20, "{family}: {} targets", targets.len());
            let all = run.contributions(&targets);
            for (target, found) in targets.iter().zip(&all) {
                let size = found.features.iter().flatten().map(|(_, v)| v.abs()).sum::<f64>()
                    + found.value.abs()
                    + found.error().abs();
                let gap = (found.sum() - found.value).abs() / size;
                assert!(gap < 1e-5, "{family} {norms:?} {target:?}: {gap}");
            }
            // What the sum comes to is the activation itself, as the dictionary encoded it.
            for (site, found) in run.active_features().iter().zip(&all) {
                let gap = (found.value - f64::from(site.activation)).abs();
                assert!(gap < 2e-5, "{family} {norms:?} {site:?}: {} {gap}", found.value);
            }
            let last = all.last().expect("the logits");
            let logits = run.logit_rows();
            let truth = f64::from(logits[[5, 2]]) - f64::from(logits[[5, 7]]);
            // Gemma 2 bounds its logits softly, which no sum of contributions can follow.
            if family != "gemma2" {
                assert!((last.value - truth).abs() < 2e-5, "{family}: {} {truth}", last.value);
            }
        }
    }
}

#[test]
fn effects_through_all_heads_add_up_too() {
    for family in FAMILIES {
        let (network, weights) = open(family);
        let width = weights.residual_width();
        let dictionaries = (0..weights.layers()).map(|n| transcoder(n, width, 6)).collect();
        let wiring = Wiring::new(&weights, dictionaries).expect("fits");
        let run = FrozenRun::new(&wiring, &network, &PROMPT, &freeze(NormTreatment::Frozen));
        let run = run.expect("runs");
        let targets = targets(&run);
        let found = run.effects(&targets, &Progress::silent()).expect("runs");
        assert_eq!(found.features.ncols(), run.active_features().len());
        for (at, gap) in found.gaps().into_iter().enumerate() {
            let size = found.features.row(at).iter().map(|v| v.abs()).sum::<f64>()
                + found.values[at].abs();
            let gap = gap * found.values[at].abs() / size;
            assert!(gap < 1e-5, "{family} target {at}: {gap}");
        }
        // A target has no effect from its own layer's features, nor from later positions.
        for (at, site) in run.active_features().iter().enumerate() {
            for (other, source) in run.active_features().iter().enumerate() {
                if source.layer >= site.layer || source.position > site.position {
                    assert!(found.features[[at, other]].abs() < 1e-12, "{site:?} {source:?}");
                }
            }
        }
    }
}

#[test]
fn one_step_through_a_head_or_feature_gives_what_the_step_before_said() {
    for family in ["gpt2", "qwen2", "gemma2", "neox"] {
        let (network, weights) = open(family);
        let width = weights.residual_width();
        let dictionaries = (0..weights.layers()).map(|n| transcoder(n, width, 7)).collect();
        let wiring = Wiring::new(&weights, dictionaries).expect("fits");
        let run = FrozenRun::new(&wiring, &network, &PROMPT, &freeze(NormTreatment::Frozen));
        let run = run.expect("runs");
        let target = run.logits(5, &[(2, 1.0)]).expect("a token");
        let found = run.contributions(std::slice::from_ref(&target)).remove(0);
        for (layer, heads) in found.heads.iter().enumerate() {
            for ((head, source), &term) in heads.indexed_iter() {
                let next = run.through_head(&target, layer, head, source).expect("before");
                let gap = (run.value(&next) - term).abs();
                assert!(gap < 1e-5, "{family} {layer} {head} {source}: {term} {gap}");
            }
            for &(feature, term) in &found.features[layer] {
                let next = run.through_feature(&target, layer, feature as usize).expect("before");
                let gap = (run.value(&next) - term).abs();
                assert!(gap < 1e-5, "{family} {layer} {feature}: {term} {gap}");
            }
            let skip = run.through_skip(&target, layer).expect("there is one");
            assert!((run.value(&skip) - found.skips[layer]).abs() < 1e-5);
        }
    }
}

#[test]
fn what_cannot_be_traced_is_told() {
    let (network, weights) = open("gpt2");
    let width = weights.residual_width();
    let wiring = |one: Replaced| Wiring::new(&weights, vec![one]);
    let message = |error: nissl_core::Error| format!("{error}");
    let run = |wiring: &Wiring<'_>, tokens: &[u32], force| {
        FrozenRun::new(wiring, &network, tokens, &Freeze { force, ..Freeze::default() })
            .map(|_| ())
            .map_err(message)
    };
    let good = wiring(transcoder(0, width, 1)).expect("fits");
    assert!(run(&good, &[3], true).expect_err("one token").contains("at least two tokens"));
    // A random transcoder explains nothing of its MLP.
    assert!(run(&good, &PROMPT, false).expect_err("another's").contains("unexplained"));
    assert!(run(&good, &PROMPT, true).is_ok());
    assert!(run(&good, &[3, 99_999], true).is_err());

    let narrow = Wiring::new(&weights, vec![transcoder(0, width / 2, 1)]).map(|_| ());
    assert!(message(narrow.expect_err("another width")).contains("residual stream"));
    assert!(wiring(transcoder(99, width, 1)).is_err());
    let twice = vec![transcoder(0, width, 1), transcoder(0, width, 2)];
    assert!(Wiring::new(&weights, twice).is_err());
    let mut missing = transcoder(0, width, 1);
    std::sync::Arc::make_mut(&mut missing.dictionary).decoder[[1, 1]] = f32::NAN;
    assert!(message(wiring(missing).map(|_| ()).expect_err("not finite")).contains("finite"));
    let mut one_site = transcoder(0, width, 1);
    std::sync::Arc::make_mut(&mut one_site.dictionary).output_decoder = None;
    assert!(message(wiring(one_site).map(|_| ()).expect_err("one site")).contains("transcoder"));

    let frozen =
        FrozenRun::new(&good, &network, &PROMPT, &freeze(NormTreatment::Frozen)).expect("runs");
    assert!(frozen.feature(0, 6, 0).is_err() && frozen.feature(1, 0, 0).is_err());
    assert!(frozen.feature(0, 0, 3 * width).is_err() && frozen.logits(0, &[]).is_err());
    assert!(nissl_trace::frozen::neurons(&weights, 0).is_err(), "a GELU is no transcoder");
}

#[test]
fn a_dictionary_of_the_residual_before_the_norm_is_complete_too() {
    let (network, weights) = open("llama");
    let width = weights.residual_width();
    let streams = (0..weights.layers())
        .map(|n| Replaced { reads: Reads::Stream, ..transcoder(n, width, 3) })
        .collect();
    let wiring = Wiring::new(&weights, streams).expect("fits");
    let run = FrozenRun::new(&wiring, &network, &PROMPT, &freeze(NormTreatment::Frozen));
    let run = run.expect("runs");
    for (site, found) in run.active_features().iter().zip(run.contributions(&targets(&run))) {
        assert!((found.sum() - f64::from(site.activation)).abs() < 2e-5, "{site:?}");
    }
}

#[test]
fn an_ablated_head_changes_the_stream_by_its_contribution() {
    // With one layer after the head, and its later half left out, the end of the stream is linear in it.
    let (network, weights) = open("gpt2");
    let wiring = Wiring::new(&weights, Vec::new()).expect("fits");
    let run = FrozenRun::new(&wiring, &network, &PROMPT, &Freeze::default()).expect("runs");
    let batch = TokenBatch::new(&[&PROMPT]).expect("a batch");
    let logits = network.forward(&batch, &mut Taps::none()).expect("runs").expect("logits");
    let logits: Vec<f32> = logits.into_data().try_to_vec().expect("f32");
    let vocabulary = network.vocabulary();
    let target = run.logits(5, &[(4, 1.0)]).expect("a token");
    let value = run.contributions(&[target])[0].sum();
    assert!((value - f64::from(logits[5 * vocabulary + 4])).abs() < 2e-5);
}
