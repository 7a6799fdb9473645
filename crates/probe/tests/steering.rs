//! Steering on a network whose features are known (the bars of the SNMF specification, part C).

mod toy;

use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::stats::information::kullback_leibler_of_logits;
use nissl_core::taps::{Change, Edit, Taps};
use nissl_core::{Progress, Site};
use nissl_probe::steer::{Steer, Target, random_direction, steer};
use nissl_probe::strength::{Response, Sign, StrengthMatch};
use toy::{ReadOut, SITE, Toy, UNITS, WORDS};

fn at(target: f64) -> StrengthMatch {
    StrengthMatch { targets: vec![target], ..StrengthMatch::default() }
}

/// The word whose logit rises most at a divergence of 0.25 nats.
fn most_raised(network: &Toy, direction: &[f32], prompt: &[u32]) -> usize {
    let site = Site::new(SITE);
    let response = Response::new(network, &site, direction, prompt).expect("fits");
    let matched = response.match_strengths(&at(0.25)).expect("runs");
    let strength = matched[0].strength.expect("reached");
    let change = response.logit_change(strength).expect("runs");
    (0..WORDS).max_by(|&a, &b| change[a].total_cmp(&change[b])).expect("words")
}

#[test]
fn steering_raises_the_planted_word_and_chance_does_not() {
    for seed in 0..3 {
        let network = Toy::new(seed, ReadOut::Linear);
        let hits = |of: &dyn Fn(usize) -> Vec<f32>| {
            let planted = (0..WORDS).filter(|&feature| {
                let prompt = [(feature as u32 + 7) % WORDS as u32];
                most_raised(&network, &of(feature), &prompt) == (feature + 1) % WORDS
            });
            planted.count() as f64 / WORDS as f64
        };
        let found = hits(&|feature| network.directions[feature].clone());
        assert!(found >= 0.95, "seed {seed}: {found}");
        let chance = hits(&|feature| random_direction(UNITS, seed, feature as u64));
        assert!(chance <= 0.1, "seed {seed}: chance {chance}");
    }
}

/// The divergence by an edit that is added like in any other run, not by the search's own path.
fn independent(network: &Toy, direction: &[f32], strength: f64, prompt: &[u32]) -> f64 {
    let last = |taps: &mut Taps<'_>| -> Vec<f32> {
        let batch = TokenBatch::new(&[prompt]).expect("tokens");
        let logits = network.forward(&batch, taps).expect("runs").expect("logits");
        let all: Vec<f32> = logits.into_data().try_to_vec().expect("f32");
        all[all.len() - WORDS..].to_vec()
    };
    let length = direction.iter().map(|z| z * z).sum::<f32>().sqrt();
    let shift = direction.iter().map(|z| z / length * strength as f32).collect();
    let edit = Edit::new(SITE.parse().expect("a site"), Change::Add(shift));
    let (plain, steered) = (last(&mut Taps::none()), last(&mut Taps::none().edit(edit)));
    kullback_leibler_of_logits(&plain, &steered)
}

#[test]
fn every_reported_strength_has_the_divergence_it_claims() {
    for read_out in [ReadOut::Linear, ReadOut::Wavy] {
        for seed in 0..3 {
            let network = Toy::new(seed, read_out);
            let site = Site::new(SITE);
            // Of length 3: strengths must not depend on it.
            let direction: Vec<f32> = network.directions[5].iter().map(|z| 3.0 * z).collect();
            let mut settings = StrengthMatch::default();
            settings.targets.insert(0, 0.0005);
            let response = Response::new(&network, &site, &direction, &[9, 4]).expect("fits");
            let matched = response.match_strengths(&settings).expect("runs");
            assert_eq!(matched.len(), 2 * settings.targets.len());
            for found in &matched {
                let Some(strength) = found.strength else {
                    assert!((found.divergence - found.target).abs() > 0.05 * found.target);
                    continue;
                };
                let signed = f64::from(found.sign.factor()) * strength;
                let divergence = independent(&network, &direction, signed, &[9, 4]);
                assert!((divergence / found.target - 1.0).abs() <= 0.051, "{found:?} {divergence}");
            }
            assert!(matched.iter().filter(|found| found.strength.is_some()).count() >= 7);
            // The smallest target lies below strength 1, and each sign has its own strength.
            let (plus, minus) = matched.split_at(settings.targets.len());
            assert!(plus[0].strength.expect("reached") < 1.0);
            assert!(plus.iter().zip(minus).any(|pair| {
                let (Some(up), Some(down)) = (pair.0.strength, pair.1.strength) else {
                    return false;
                };
                (up / down - 1.0).abs() > 0.01
            }));
        }
    }
}

#[test]
fn a_divergence_out_of_reach_is_reported() {
    let network = Toy::new(0, ReadOut::Linear);
    let site = Site::new(SITE);
    let response = Response::new(&network, &site, &network.directions[5], &[9]).expect("fits");
    let settings = StrengthMatch { strongest: 0.01, ..at(0.25) };
    for found in response.match_strengths(&settings).expect("runs") {
        assert_eq!(found.strength, None);
        assert!(found.divergence < 0.01 && found.divergence > 0.0, "{found:?}");
    }
    // Pushing the word down that is never said barely moves anything, whatever the strength.
    let far = StrengthMatch { targets: vec![50.0], ..at(0.25) };
    let minus = &response.match_strengths(&far).expect("runs")[1];
    assert_eq!((minus.sign, minus.strength), (Sign::Minus, None));
}

#[test]
fn steered_texts_speak_of_the_planted_word() {
    let network = Toy::new(1, ReadOut::Linear);
    let site = Site::new(SITE);
    let word = 6;
    let hits = move |text: &[u32]| text.iter().filter(|&&token| token == word).count();
    let settings = Steer {
        strength: StrengthMatch { targets: vec![0.1, 0.5], ..StrengthMatch::default() },
        top_p: 1.0,
        tokens: 12,
        controls: 2,
        ..Steer::default()
    };
    let target = Target { site: &site, direction: &network.directions[5], hits: &hits };
    let run = |settings: &Steer| {
        steer(&network, &[20], target, settings, &Progress::silent()).expect("runs")
    };
    let found = run(&settings);
    assert_eq!(found.curve.len(), 4);
    assert_eq!(found.controls.len(), 2);
    let best = &found.curve[found.best.expect("reached")];
    assert_eq!(best.sign, Sign::Plus);
    assert_eq!(best.texts.len(), 8);
    assert!(best.concept > found.plain_concept + 0.3, "{} {}", best.concept, found.plain_concept);
    assert!(found.score() > found.control_score(), "{found:?}");
    assert!(best.fluency > 0.5 && best.fluency <= 2.0);
    // The same seed gives the same texts, another seed others.
    assert_eq!(found, run(&settings));
    assert_ne!(found.plain, run(&Steer { seed: 1, ..settings }).plain);
}

#[test]
fn bad_input_is_refused_by_name() {
    let network = Toy::new(0, ReadOut::Linear);
    let site = Site::new(SITE);
    let new = |direction: &[f32], prompt: &[u32]| {
        Response::new(&network, &site, direction, prompt).err().map(|error| error.to_string())
    };
    let message = new(&[1.0; 3], &[1]).expect("another width");
    assert!(message.contains('3') && message.contains("128"), "{message}");
    assert!(new(&[0.0; UNITS], &[1]).expect("no direction").contains("length 0"));
    assert!(new(&[1.0; UNITS], &[]).expect("no prompt").contains("empty"));
    assert!(new(&[1.0; UNITS], &[99]).is_some());
    for settings in [
        Steer { samples: 0, ..Steer::default() },
        Steer { tokens: 0, ..Steer::default() },
        Steer { top_p: 0.0, ..Steer::default() },
        Steer { strength: at(0.0), ..Steer::default() },
        Steer { strength: at(f64::NAN), ..Steer::default() },
    ] {
        assert!(settings.validate().is_err(), "{settings:?}");
    }
}
