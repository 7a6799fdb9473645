//! Checkpoints become features: alone, and with the samples of the site they belong to.

use std::path::Path;

use ndarray::{Array2, Axis, concatenate};
use nissl_core::features::{Activation, Dictionary, Encoding, Features, InputNorm};
use nissl_core::recording::{RecordingPlan, Source as Recorded};
use nissl_core::site::Site;
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Progress, Recording, RecordingWriter, Result, Table};
use nissl_decompose::checkpoints::{Checkpoint, Import, Maker, Role, Source, best_sites, import};

use super::raw::*;

const SAMPLES: usize = 300;

/// A transcoder and an autoencoder, and what a network would have shown at their sites.
struct Truth {
    transcoder: Checkpoint,
    autoencoder: Checkpoint,
    recording: Recording,
    target: Array2<f32>,
    _folder: tempfile::TempDir,
}

fn truth() -> Truth {
    let mut draw = Draw::new(1);
    let relu =
        |centred| Encoding::Sparse { activation: Activation::Relu, norm: InputNorm::None, centred };
    let mut transcoder = Dictionary::new(draw.matrix(FEATURES, UNITS), relu(false));
    transcoder.output_decoder = Some(draw.matrix(FEATURES, OUTPUTS));
    transcoder.output_bias = Some(draw.vector(OUTPUTS));
    let input = draw.matrix(SAMPLES, UNITS);
    let z = transcoder.encode(input.view()).expect("encodes");
    let mut target = transcoder.predict(input.view(), z.view()).expect("predicts");
    target += &(draw.matrix(SAMPLES, OUTPUTS) * 0.1);
    // An autoencoder of the residual stream, whose samples are far from 0.
    let mut autoencoder = Dictionary::new(Array2::eye(UNITS), relu(true));
    let far = draw.vector(UNITS) * 20.0;
    autoencoder.decoder_bias = Some(&far - 5.0);
    let stream = draw.matrix(SAMPLES, UNITS) + &far;
    let folder = tempfile::tempdir().expect("a folder");
    let parts = [
        ("layers.2.mlp.in", &input),
        ("layers.2.mlp.out", &target),
        ("layers.2.resid.post", &stream),
    ];
    let recording = record(&folder.path().join("recording"), &parts);
    let checkpoint = |dictionary: Dictionary, site: Option<&str>, targets: &[&str]| {
        let mut source = Source::new(Maker::SaeLens);
        source.site = site.map(Site::new);
        source.targets = targets.iter().map(|target| Site::new(*target)).collect();
        Checkpoint { dictionary, source }
    };
    Truth {
        transcoder: checkpoint(transcoder, Some("layers.2.mlp.in"), &["layers.2.mlp.out"]),
        autoencoder: checkpoint(autoencoder, None, &[]),
        recording,
        target,
        _folder: folder,
    }
}

fn record(folder: &Path, parts: &[(&str, &Array2<f32>)]) -> Recording {
    let sites = parts.iter().flat_map(|(site, part)| vec![(*site).to_owned(); part.ncols()]);
    let sites: Vec<String> = sites.collect();
    let index = parts.iter().flat_map(|(_, part)| 0..part.ncols() as u32);
    let table = Table::new()
        .with("unit", Column::U32((0..sites.len() as u32).collect()))
        .with("index", Column::U32(index.collect()))
        .with("site", Column::Text(sites));
    let mut plan = RecordingPlan::new(table, Recorded::default(), Provenance::default());
    plan.shard_bytes = 4000;
    let views: Vec<_> = parts.iter().map(|(_, part)| part.view()).collect();
    let activity = concatenate(Axis(1), &views).expect("side by side");
    let mut writer = RecordingWriter::create(folder, plan, Existing::Refuse).expect("begins");
    let samples = Table::new()
        .with("sequence", Column::U32((0..SAMPLES as u32).map(|n| n / 20).collect()))
        .with("position", Column::U32((0..SAMPLES as u32).map(|n| n % 20).collect()));
    writer.push(activity.view(), samples).expect("pushes");
    writer.finish().expect("finishes")
}

fn run(
    checkpoint: &Checkpoint,
    recording: Option<&Recording>,
    settings: &Import,
    out: &Path,
) -> Result<Features> {
    import(checkpoint, recording, settings, out, Existing::Refuse, &Progress::silent())
}

#[test]
fn a_checkpoint_alone_becomes_a_dictionary_without_samples() {
    let Truth { transcoder, autoencoder, .. } = truth();
    let folder = tempfile::tempdir().expect("a folder");
    let features =
        run(&transcoder, None, &Import::default(), &folder.path().join("a")).expect("imports");
    assert_eq!((features.samples(), features.features()), (0, FEATURES));
    assert_eq!(features.method(), "checkpoint");
    assert_eq!(features.dictionary(), &transcoder.dictionary);
    let sites = features.unit_table().texts("site").expect("sites");
    assert_eq!(sites, vec!["layers.2.mlp.in"; UNITS]);
    let outputs = features.output_unit_table();
    assert_eq!(outputs.texts("site").expect("sites"), vec!["layers.2.mlp.out"; OUTPUTS]);
    let again = Checkpoint::of(&features);
    assert_eq!((again.role(), &again.source), (Role::Transcoder, &transcoder.source));

    let asked = run(&autoencoder, None, &Import::default(), &folder.path().join("b"));
    let asked = asked.expect_err("no site").to_string();
    assert!(asked.contains("`site` is unknown") && asked.contains("--site"), "{asked}");
    let named = Import { site: Some("layers.2.resid.post".to_owned()), ..Import::default() };
    let features = run(&autoencoder, None, &named, &folder.path().join("b")).expect("imports");
    let sites = features.unit_table().texts("site").expect("sites");
    assert_eq!(sites, vec!["layers.2.resid.post"; UNITS]);
}

#[test]
fn the_samples_of_a_recording_are_encoded_and_the_variance_told() {
    let Truth { transcoder, recording, target, _folder, .. } = truth();
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("a");
    let features = run(&transcoder, Some(&recording), &Import::default(), &out).expect("imports");
    assert_eq!(features.samples(), SAMPLES);
    let input = recording.only(&"layers.2.mlp.in".parse().expect("a site")).expect("there");
    let x = input.rows(&(0..SAMPLES).collect::<Vec<_>>()).expect("rows");
    let z = transcoder.dictionary.encode(x.view()).expect("encodes");
    let stored = features.rows(&(0..SAMPLES).collect::<Vec<_>>()).expect("rows");
    assert_eq!(stored, z);
    assert_eq!(features.output_unit_table().rows(), OUTPUTS);
    // The noise that was added, by hand.
    let predicted = transcoder.dictionary.predict(x.view(), z.view()).expect("predicts");
    let means = target.mapv(f64::from).mean_axis(Axis(0)).expect("samples");
    let squares = |of: Array2<f64>| of.iter().map(|value| value * value).sum::<f64>();
    let unexplained =
        squares((&target - &predicted).mapv(f64::from)) / squares(target.mapv(f64::from) - &means);
    let told = features.explained_variance().held_out.expect("measured");
    assert!((told - (1.0 - unexplained)).abs() < 1e-9, "{told} {unexplained}");
    assert!(told > 0.98 && features.explained_variance().fit.is_none());
}

#[test]
fn a_wrong_site_is_refused_and_the_right_one_named() {
    let Truth { transcoder, autoencoder, recording, _folder, .. } = truth();
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("a");
    let at = |site: &str, force| Import { site: Some(site.to_owned()), target_site: None, force };
    let refused = run(&autoencoder, Some(&recording), &at("layers.2.mlp.in", false), &out);
    let refused = refused.expect_err("another site").to_string();
    assert!(refused.contains("unexplained"), "{refused}");
    let best = "the best of this recording: layers.2.resid.post (unexplained 0.0";
    assert!(refused.contains(best), "{refused}");
    assert!(!out.exists(), "nothing is left of a refused import");
    let forced = run(&autoencoder, Some(&recording), &at("layers.2.mlp.in", true), &out);
    assert!(forced.expect("forced").explained_variance().held_out.expect("measured") < 0.0);

    let out = folder.path().join("b");
    let asked = run(&autoencoder, Some(&recording), &Import::default(), &out);
    let asked = asked.expect_err("no site").to_string();
    assert!(asked.contains("--site") && asked.contains("layers.2.resid.post"), "{asked}");
    run(&autoencoder, Some(&recording), &at("layers.2.resid.post", false), &out).expect("fits");

    let wrong = run(&transcoder, Some(&recording), &at("layers.2.mlp.out", false), &out);
    let wrong = format!("{:?}", wrong.expect_err("other units"));
    assert!(
        wrong.contains("expected: 5") && wrong.contains("layers.2.mlp.in to layers.2.mlp.out"),
        "{wrong}"
    );
    let nowhere = run(&transcoder, Some(&recording), &at("layers.9.mlp.in", false), &out);
    assert!(nowhere.expect_err("absent").to_string().contains("layers.9.mlp.in"));
    let target = Import { target_site: Some("layers.2.mlp.out".to_owned()), ..Import::default() };
    let refused = run(&autoencoder, Some(&recording), &target, &out).expect_err("no transcoder");
    assert!(refused.to_string().contains("autoencoder"), "{refused}");

    let fits = best_sites(&recording, &transcoder).expect("tries");
    assert_eq!(fits[0].site, Site::new("layers.2.mlp.in"));
    assert!(fits[0].unexplained < 0.02 && fits[1..].iter().all(|fit| fit.unexplained > 0.5));
}
