//! What is written is read back to the same activations and predictions, and what a layout cannot say is
//! refused by name.

use ndarray::Array2;
use nissl_core::features::{Activation, Dictionary, Encoding, InputNorm};
use nissl_core::site::Site;
use nissl_core::store::Existing;
use nissl_decompose::checkpoints::{Checkpoint, Load, Maker, Role, Source, load, save};

use super::raw::*;

/// What a layout must tell apart.
#[derive(Clone, Copy, Debug)]
struct Kind {
    activation: Activation,
    norm: InputNorm,
    transcoder: bool,
    skip: bool,
}

const ACTIVATIONS: [Activation; 6] = [
    Activation::Relu,
    Activation::TopK { k: 4 },
    Activation::SignedTopK { k: 4 },
    Activation::GroupMax { k: 4 },
    Activation::JumpRelu,
    Activation::Gated,
];

fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for activation in ACTIVATIONS {
        for norm in [InputNorm::None, InputNorm::Length, InputNorm::Standard] {
            kinds.push(Kind { activation, norm, transcoder: false, skip: false });
            for skip in [false, true] {
                kinds.push(Kind { activation, norm, transcoder: true, skip });
            }
        }
    }
    kinds
}

/// A dictionary of this kind; `tied` leaves the encoder of an autoencoder out.
fn dictionary(kind: Kind, centred: bool, tied: bool, outputs: usize, seed: u64) -> Dictionary {
    let mut draw = Draw::new(seed);
    let Kind { activation, norm, .. } = kind;
    let encoding = Encoding::Sparse { activation, norm, centred };
    let mut dictionary = Dictionary::new(draw.matrix(FEATURES, UNITS), encoding);
    dictionary.encoder_bias = Some(draw.vector(FEATURES));
    dictionary.decoder_bias = Some(draw.vector(UNITS));
    if kind.transcoder {
        dictionary.output_decoder = Some(draw.matrix(FEATURES, outputs));
        dictionary.output_bias = Some(draw.vector(outputs));
        dictionary.skip = kind.skip.then(|| draw.matrix(outputs, UNITS));
    } else if !tied {
        dictionary.encoder = Some(draw.matrix(FEATURES, UNITS));
    }
    if activation == Activation::JumpRelu {
        dictionary.threshold = Some(draw.positive(FEATURES));
    }
    if activation == Activation::Gated {
        dictionary.gate_bias = Some(draw.vector(FEATURES));
        dictionary.log_magnitude = Some(draw.vector(FEATURES));
    }
    dictionary
}

fn checkpoint(dictionary: Dictionary) -> Checkpoint {
    let mut source = Source::new(Maker::SaeLens);
    source.model = Some("gpt2".to_owned());
    source.site = Some(Site::new("layers.3.mlp.in"));
    if dictionary.output_decoder.is_some() {
        source.targets = vec![Site::new("layers.3.mlp.out")];
    }
    Checkpoint { dictionary, source }
}

/// Whether the layout of `maker` can say it, by what its format has room for.
fn can(maker: Maker, kind: Kind) -> bool {
    use Activation::{Gated, GroupMax, JumpRelu, Relu, SignedTopK, TopK};
    let Kind { activation, norm, transcoder, skip } = kind;
    let bare = norm == InputNorm::None;
    match maker {
        Maker::Sparsify => {
            bare && matches!(activation, Relu | TopK { .. } | SignedTopK { .. } | GroupMax { .. })
        }
        Maker::SaeLens if transcoder => matches!(activation, Relu | JumpRelu),
        Maker::SaeLens => {
            matches!(activation, Relu | TopK { .. } | SignedTopK { .. } | JumpRelu | Gated)
        }
        Maker::GemmaScope | Maker::LlamaScope => {
            bare && !skip && matches!(activation, Relu | JumpRelu)
        }
        Maker::DictionaryLearning => {
            bare && !transcoder && matches!(activation, Relu | TopK { .. } | JumpRelu | Gated)
        }
        Maker::OpenAi => {
            let normed = norm == InputNorm::Standard && matches!(activation, TopK { .. });
            !transcoder && (normed || (bare && activation == Relu))
        }
        Maker::Dunefsky => bare && !skip && activation == Relu,
        Maker::CircuitTracer => bare && transcoder && matches!(activation, Relu | JumpRelu),
        Maker::CrossLayer => bare && transcoder && !skip && activation == Relu,
        Maker::Goodfire => bare && !transcoder && activation == Relu,
        other => panic!("{other} is not held to its layout"),
    }
}

fn outcome(dictionary: &Dictionary) -> (Array2<f32>, Array2<f32>) {
    let x = samples();
    let z = dictionary.encode(x.view()).expect("encodes");
    let y = dictionary.predict(x.view(), z.view()).expect("predicts");
    (z, y)
}

#[test]
fn every_layout_says_what_it_can_and_refuses_the_rest_by_name() {
    let root = tempfile::tempdir().expect("a folder");
    let mut written = 0;
    for maker in Maker::ALL {
        for (number, kind) in kinds().into_iter().enumerate() {
            for (centred, tied) in [(false, false), (true, false), (true, true)] {
                let outputs = if maker == Maker::Sparsify { UNITS } else { OUTPUTS };
                let original = checkpoint(dictionary(kind, centred, tied, outputs, number as u64));
                let folder = root.path().join(format!("{maker}-{number}-{centred}-{tied}"));
                let outcome_of = save(&original, maker, &folder, Existing::Refuse);
                let what = format!("{maker}: {kind:?}, centred {centred}, tied {tied}");
                if !can(maker, kind) {
                    let refused = outcome_of.expect_err(&what).to_string();
                    assert!(refused.contains("a layout that can express"), "{what}: {refused}");
                    assert!(!folder.exists(), "{what}: something was written");
                    continue;
                }
                outcome_of.expect(&what);
                written += 1;
                let role = if kind.transcoder { Role::Transcoder } else { Role::Autoencoder };
                let settings = Load { role: Some(role), ..Load::default() };
                let back = load(&folder, &settings).expect(&what);
                // Two linear layers with a configuration are the one, without it the other.
                assert_eq!(back.source.maker, maker, "{what}");
                let (z, y) = outcome(&original.dictionary);
                let (z_back, y_back) = outcome(&back.dictionary);
                near(&z_back, &wide(&z));
                near(&y_back, &wide(&y));
            }
        }
    }
    assert!(written > 100, "{written}");
}

#[test]
fn what_is_known_of_the_place_survives_where_the_layout_has_room() {
    let root = tempfile::tempdir().expect("a folder");
    let kind = |transcoder| Kind {
        activation: Activation::Relu,
        norm: InputNorm::None,
        transcoder,
        skip: false,
    };
    for (maker, transcoder) in [
        (Maker::SaeLens, true),
        (Maker::LlamaScope, true),
        (Maker::Dunefsky, true),
        (Maker::CircuitTracer, true),
        (Maker::SaeLens, false),
        (Maker::LlamaScope, false),
        (Maker::Dunefsky, false),
    ] {
        let original = checkpoint(dictionary(kind(transcoder), true, false, OUTPUTS, 1));
        let folder = root.path().join(format!("{maker}-{transcoder}"));
        save(&original, maker, &folder, Existing::Refuse).expect("writes");
        let back = load(&folder, &Load::default()).expect("loads");
        assert_eq!(back.role(), original.role(), "{maker}");
        assert_eq!(back.source.site, original.source.site, "{maker}");
        assert_eq!(back.source.model, original.source.model, "{maker}");
        if transcoder {
            assert_eq!(back.source.targets, original.source.targets, "{maker}");
        }
    }
}

#[test]
fn one_layout_becomes_another_by_way_of_all() {
    // A chain of conversions through every layout that can say a plain autoencoder.
    let root = tempfile::tempdir().expect("a folder");
    let relu = Kind {
        activation: Activation::Relu,
        norm: InputNorm::None,
        transcoder: false,
        skip: false,
    };
    let original = checkpoint(dictionary(relu, true, false, UNITS, 5));
    let mut now = original.clone();
    for maker in Maker::ALL.into_iter().filter(|maker| can(*maker, relu)) {
        let folder = root.path().join(maker.name());
        save(&now, maker, &folder, Existing::Refuse).expect("writes");
        let settings = Load { role: Some(Role::Autoencoder), ..Load::default() };
        now = load(&folder, &settings).expect("loads");
    }
    let (z, y) = outcome(&original.dictionary);
    let (z_back, y_back) = outcome(&now.dictionary);
    near(&z_back, &wide(&z));
    near(&y_back, &wide(&y));
}

#[test]
fn files_that_are_there_stay_unless_they_may_go() {
    let root = tempfile::tempdir().expect("a folder");
    let relu = Kind {
        activation: Activation::Relu,
        norm: InputNorm::None,
        transcoder: false,
        skip: false,
    };
    let original = checkpoint(dictionary(relu, true, false, UNITS, 6));
    for maker in Maker::ALL.into_iter().filter(|maker| can(*maker, relu)) {
        let folder = root.path().join(maker.name());
        save(&original, maker, &folder, Existing::Refuse).expect("writes");
        let refused = save(&original, maker, &folder, Existing::Refuse).expect_err("there");
        assert!(refused.to_string().contains("exists already"), "{refused}");
        save(&original, maker, &folder, Existing::Overwrite).expect("overwrites");
    }
    // Makers with one file may be given its name.
    let file = root.path().join("mine.npz");
    save(&original, Maker::GemmaScope, &file, Existing::Refuse).expect("writes");
    assert!(file.is_file() && load(&file, &Load::default()).is_ok());
}
