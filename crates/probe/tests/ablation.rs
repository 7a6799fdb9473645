//! Ablation on a network whose features are known: the loss rises exactly where the feature acts.

mod toy;

use nissl_core::{Progress, Site};
use nissl_probe::ablate::{Ablate, Ablated, CountedAt, LabelledText, Removal, ablate};
use nissl_probe::steer::random_direction;
use nissl_probe::truth::Truth;
use toy::{ReadOut, SITE, Toy, UNITS, WORDS};

/// Text whose concepts are its words.
fn text(seed: u64) -> LabelledText {
    let sequences = Toy::text(seed, 40, 50);
    let names = (0..WORDS).map(|word| format!("word.{word}")).collect();
    let of_word = |word| sequences.iter().flatten().map(|&token| token == word).collect();
    let labels = (0..WORDS as u32).map(of_word).collect();
    LabelledText { sequences, truth: Truth { names, labels } }
}

fn run(
    network: &Toy,
    directions: &[&[f32]],
    settings: &Ablate,
    text: &LabelledText,
) -> Vec<Ablated> {
    let means = vec![0.0; UNITS];
    let site = Site::new(SITE);
    let progress = Progress::silent();
    ablate(network, &site, directions, &means, text, settings, &progress).expect("runs")
}

#[test]
fn loss_rises_exactly_on_the_concept_of_the_feature() {
    for seed in 0..2 {
        let network = Toy::new(seed, ReadOut::Linear);
        let text = text(seed);
        let directions: Vec<&[f32]> = network.directions.iter().map(Vec::as_slice).collect();
        for removal in [Removal::Project, Removal::Zero] {
            let settings = Ablate { removal, seed, ..Ablate::default() };
            for (feature, found) in run(&network, &directions, &settings, &text).iter().enumerate()
            {
                assert_eq!(found.tokens, 40 * 49);
                let counted: usize = found.concepts.iter().map(|concept| concept.tokens).sum();
                assert_eq!(counted, found.tokens, "each token has one word");
                for (concept, effect) in found.concepts.iter().enumerate() {
                    if concept == feature {
                        assert!(effect.difference > 1.0 && effect.low > 0.5, "{effect:?}");
                        assert!(effect.low < effect.difference && effect.difference < effect.high);
                    } else {
                        // Where the feature is silent nothing is taken out.
                        assert!(effect.with.abs() < 1e-4, "{feature}: {effect:?}");
                        assert!(effect.low <= 0.0, "{feature}: {effect:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn counted_at_the_word_to_come_the_loss_is_that_of_the_word_raised() {
    let network = Toy::new(3, ReadOut::Linear);
    let settings = Ablate { counted_at: CountedAt::Predicted, ..Ablate::default() };
    let found = run(&network, &[&network.directions[7]], &settings, &text(3));
    let most = found[0].concepts.iter().max_by(|a, b| a.difference.total_cmp(&b.difference));
    assert_eq!(most.expect("concepts").concept, "word.8");
}

#[test]
fn a_direction_that_means_nothing_costs_little() {
    let network = Toy::new(4, ReadOut::Linear);
    let random = random_direction(UNITS, 4, 0);
    let directions: [&[f32]; 2] = [&network.directions[7], &random];
    let found = run(&network, &directions, &Ablate::default(), &text(4));
    let greatest = |of: &Ablated| {
        of.concepts.iter().map(|concept| concept.difference).fold(f64::NEG_INFINITY, f64::max)
    };
    assert!(greatest(&found[1]) < 0.2 * greatest(&found[0]));
}

#[test]
fn setting_units_to_their_means_uses_the_means_given() {
    let network = Toy::new(5, ReadOut::Linear);
    let (text, site) = (text(5), Site::new(SITE));
    let direction: &[f32] = &network.directions[7];
    let settings = Ablate { removal: Removal::Mean, ..Ablate::default() };
    let with = |means: &[f32]| {
        ablate(&network, &site, &[direction], means, &text, &settings, &Progress::silent())
    };
    let zero =
        run(&network, &[direction], &Ablate { removal: Removal::Zero, ..settings.clone() }, &text);
    assert_eq!(with(&[0.0; UNITS]).expect("runs"), zero);
    // A mean at the feature's full strength leaves its own word as it was and spoils the others.
    let full: Vec<f32> = direction.iter().map(|z| 4.0 * z).collect();
    let found = &with(&full).expect("runs")[0].concepts;
    assert!(found[7].with.abs() < 1e-4 && found[3].with > 0.1, "{:?} {:?}", found[7], found[3]);
    assert!(with(&[0.0; 3]).is_err());
}
