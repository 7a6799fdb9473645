//! Sweeps over settings and sites: the table, the folders, the choice, and going on.

use std::path::Path;

use ndarray::{Array2, s};
use nissl_core::features::Features;
use nissl_core::recording::{RecordingPlan, Source};
use nissl_core::seed::rng;
use nissl_core::store::{Existing, Provenance, write_bytes};
use nissl_core::{Column, Error, Progress, Recording, RecordingWriter, Result, Site, Table};
use nissl_decompose::snmf::Sparsity;
use nissl_decompose::sweep::{Choose, Outcome, Sweep, Varied, stability, sweep};
use nissl_decompose::{Method, Neurons, Options, Pca, Snmf};
use rand_distr::{Distribution, StandardNormal};

use crate::harness::{plant_with, recorded};

fn varied(text: &str) -> Varied {
    text.parse().expect("a sweep")
}

fn pca() -> Method {
    Method::Pca(Pca { k: 2, ..Pca::default() })
}

fn run(
    method: &Method,
    recording: &Recording,
    out: &Path,
    what: &Sweep,
    existing: Existing,
) -> Result<Vec<Outcome>> {
    let options = Options { held_out: 0.25, existing, ..Options::default() };
    sweep(method, recording, &[], out, what, &options, &Progress::silent())
}

#[test]
fn every_value_gets_its_features_and_its_row() {
    let planted = plant_with(40, 800, 4, 6, 1);
    let (folder, recording) = recorded(planted.activity.view());
    let out = folder.path().join("sweep");
    let what = Sweep { varied: Some(varied("k=1,2,4,8")), ..Sweep::default() };
    let found = run(&pca(), &recording, &out, &what, Existing::Refuse).expect("sweeps");
    let values: Vec<(&str, &str, usize)> =
        found.iter().map(|it| (it.value.as_str(), it.folder.as_str(), it.features)).collect();
    assert_eq!(values, [("1", "k-1", 1), ("2", "k-2", 2), ("4", "k-4", 4), ("8", "k-8", 8)]);
    for outcome in &found {
        let features = Features::open(&out.join(&outcome.folder)).expect("features");
        assert_eq!(features.explained_variance().held_out, outcome.held_out);
        assert_eq!(features.explained_variance().fit, outcome.fit);
        assert_eq!((outcome.stability, outcome.loss, outcome.dead), (None, None, 0));
    }
    // Four planted features: beyond four components there is only noise.
    let chosen: Vec<&Outcome> = found.iter().filter(|outcome| outcome.chosen).collect();
    assert_eq!(chosen.len(), 1);
    assert_eq!(chosen[0].value, "4", "{found:?}");
    assert!(chosen[0].reason.contains("first within 0.01"), "{}", chosen[0].reason);
    let table = Table::read(&out.join("sweep.parquet"), None).expect("a table");
    assert_eq!(table.texts("value").expect("values"), ["1", "2", "4", "8"]);
    assert_eq!(table.bools("chosen").expect("chosen"), [false, false, true, false]);
    let told: Vec<f64> = found.iter().map(|outcome| outcome.held_out.expect("a share")).collect();
    assert_eq!(table.f64s("held_out").expect("shares"), told);
    assert!(matches!(
        run(&pca(), &recording, &out, &what, Existing::Refuse),
        Err(Error::Exists { .. })
    ));
}

#[test]
fn stability_is_one_for_the_same_features_and_low_for_noise() {
    let mut rng = rng(1, 0);
    let mut draw =
        || Array2::<f32>::from_shape_simple_fn((8, 400), || StandardNormal.sample(&mut rng));
    let one = draw();
    let mut turned = one.slice(s![..;-1, ..]).to_owned();
    turned *= 3.0;
    assert!((stability(&[one.clone(), turned]) - 1.0).abs() < 1e-6, "order and length are nothing");
    let mirrored = one.mapv(|value| -value);
    assert!(stability(&[one.clone(), mirrored]) < 0.3, "a sign is something");
    let noise = stability(&[one.clone(), draw(), draw()]);
    assert!(noise < 0.2, "{noise}");
    assert!(stability(&[one]).is_nan());
}

#[test]
fn the_stable_setting_is_chosen_over_the_unstable() {
    let planted = plant_with(60, 1200, 5, 6, 3);
    let (folder, recording) = recorded(planted.activity.view());
    let snmf = Method::Snmf(Snmf {
        sparsity: Sparsity::Count(6),
        iterations: 150,
        restarts: 3,
        ..Snmf::default()
    });
    let what = Sweep { varied: Some(varied("k=5,15")), seeds: 3, choose: Choose::Stability };
    let out = folder.path().join("snmf");
    let found = run(&snmf, &recording, &out, &what, Existing::Refuse).expect("sweeps");
    let stable: Vec<f64> = found.iter().map(|it| it.stability.expect("measured")).collect();
    assert!(stable[0] > 0.98 && stable[1] < 0.9, "planted five, {stable:?}");
    assert!(found[0].chosen && !found[1].chosen && found[0].loss.is_some());
    assert!(found[0].reason.contains("most stable"), "{}", found[0].reason);
    // What draws nothing is the same for every seed.
    let neurons = Method::Neurons(Neurons { k: None });
    let what = Sweep { varied: None, seeds: 2, choose: Choose::Stability };
    let out = folder.path().join("neurons");
    let found = run(&neurons, &recording, &out, &what, Existing::Refuse).expect("sweeps");
    assert_eq!((found.len(), found[0].folder.as_str()), (1, "features"));
    assert!((found[0].stability.expect("measured") - 1.0).abs() < 1e-9);
}

#[test]
fn a_stopped_sweep_goes_on_without_fitting_again() {
    let planted = plant_with(40, 600, 4, 6, 1);
    let (folder, recording) = recorded(planted.activity.view());
    let out = folder.path().join("sweep");
    let what = Sweep { varied: Some(varied("k=2,3,4")), ..Sweep::default() };
    let first = run(&pca(), &recording, &out, &what, Existing::Refuse).expect("sweeps");
    assert!(matches!(
        run(&pca(), &recording, &out, &what, Existing::Resume),
        Err(Error::Exists { .. })
    ));
    // As if it had been killed after the second setting, with the third half done.
    let file = out.join("manifest.json");
    let text = std::fs::read_to_string(&file).expect("a manifest");
    let text = text.replace("\"complete\": true", "\"complete\": false");
    write_bytes(&file, text.as_bytes()).expect("writes");
    let table = Table::read(&out.join("sweep.parquet"), None).expect("a table");
    table.take(&[0, 1]).write(&out.join("sweep.parquet")).expect("writes");
    std::fs::remove_dir_all(out.join("k-4")).expect("removes");
    let written = |name: &str| {
        let file = out.join(name).join("dictionary.safetensors");
        std::fs::metadata(file).and_then(|data| data.modified()).expect("a time")
    };
    let before = [written("k-2"), written("k-3")];
    let again = run(&pca(), &recording, &out, &what, Existing::Resume).expect("goes on");
    assert_eq!(before, [written("k-2"), written("k-3")]);
    let shares = |found: &[Outcome]| -> Vec<(String, Option<f64>, bool)> {
        found.iter().map(|it| (it.value.clone(), it.held_out, it.chosen)).collect()
    };
    assert_eq!(shares(&again), shares(&first));
    assert_eq!(again[0].seconds.to_bits(), first[0].seconds.to_bits(), "it was not timed again");
    // Another sweep does not go on from this one.
    write_bytes(&file, text.as_bytes()).expect("writes");
    let other = Sweep { varied: Some(varied("k=2,3")), ..Sweep::default() };
    let error = run(&pca(), &recording, &out, &other, Existing::Resume).expect_err("another");
    assert!(error.to_string().contains("provenance.config"), "{error}");
    run(&pca(), &recording, &out, &other, Existing::Overwrite).expect("begins anew");
    assert!(!out.join("k-4").exists());
}

#[test]
fn sites_are_decomposed_each_by_itself() {
    let planted = plant_with(40, 600, 4, 6, 1);
    let folder = tempfile::tempdir().expect("a folder");
    let sites = ["layers.0.mlp.act", "layers.1.mlp.act"];
    let names = (0..40).map(|unit| sites[usize::from(unit >= 25)].to_owned());
    let table = Table::new()
        .with("unit", Column::U32((0..40).collect()))
        .with("site", Column::Text(names.collect()))
        .with("index", Column::U32((0..25).chain(0..15).collect()));
    let plan = RecordingPlan::new(table, Source::default(), Provenance::default());
    let path = folder.path().join("rec");
    let mut writer = RecordingWriter::create(&path, plan, Existing::Refuse).expect("begins");
    let samples = Table::new()
        .with("sequence", Column::U32((0..600).map(|at| at / 20).collect()))
        .with("position", Column::U32((0..600).map(|at| at % 20).collect()));
    writer.push(planted.activity.view(), samples).expect("pushes");
    let recording = writer.finish().expect("finishes");
    let sites: Vec<Site> = sites.into_iter().map(Site::new).collect();
    let what = Sweep { varied: Some(varied("k=2,3")), ..Sweep::default() };
    let out = folder.path().join("out");
    let options = Options { held_out: 0.25, ..Options::default() };
    let found = sweep(&pca(), &recording, &sites, &out, &what, &options, &Progress::silent());
    let found = found.expect("sweeps");
    let folders: Vec<&str> = found.iter().map(|outcome| outcome.folder.as_str()).collect();
    let expected = ["0.mlp.act/k-2", "0.mlp.act/k-3", "1.mlp.act/k-2", "1.mlp.act/k-3"];
    assert_eq!(folders, expected.map(|end| format!("layers.{end}")));
    assert_eq!(found.iter().filter(|outcome| outcome.chosen).count(), 2, "one for each site");
    let units = |at: usize| Features::open(&out.join(&found[at].folder)).expect("opens").units();
    assert_eq!((units(0), units(2)), (25, 15));
}

#[test]
fn wrong_sweeps_are_named() {
    let planted = plant_with(40, 400, 4, 6, 1);
    let (folder, recording) = recorded(planted.activity.view());
    let out = folder.path().join("out");
    let told = |method: &Method, what: &str| {
        let what = Sweep { varied: Some(varied(what)), ..Sweep::default() };
        let error = run(method, &recording, &out, &what, Existing::Refuse).expect_err("wrong");
        assert!(!out.exists(), "nothing is left");
        error.to_string()
    };
    let snmf = Method::Snmf(Snmf::default());
    let near = told(&snmf, "restart=1,2");
    assert!(near.contains("`restart`") || near.contains("restart,"), "{near}");
    assert!(near.contains("restarts"), "{near}");
    assert!(told(&snmf, "seed=1,2").contains("seed"), "a seed is the run's");
    let zero = told(&snmf, "k=10,0");
    assert!(zero.contains("`k` is 0, expected at least 1"), "{zero}");
    let wrong = told(&snmf, "sparsity=1%,200%");
    assert!(wrong.contains("sparsity") && wrong.contains("200"), "{wrong}");
    let kind = told(&snmf, "k=many");
    assert!(kind.contains("`k` is many"), "{kind}");
    assert!(told(&pca(), "k=2,2").contains("each value once"));
    for text in ["k", "k=", "k=1,,2"] {
        let error = text.parse::<Varied>().expect_err("no sweep").to_string();
        assert!(error.contains("k=50,100"), "{error}");
    }
    let fields: Varied = "memory-mib = 1, 2".parse().expect("a sweep");
    assert_eq!(fields.to_string(), "memory_mib=1,2");
    let what = Sweep { seeds: 0, ..Sweep::default() };
    let error = run(&pca(), &recording, &out, &what, Existing::Refuse).expect_err("no seed");
    assert!(error.to_string().contains("seeds"), "{error}");
    let what = Sweep { choose: Choose::Stability, ..Sweep::default() };
    let error = run(&pca(), &recording, &out, &what, Existing::Refuse).expect_err("one seed");
    assert!(error.to_string().contains("at least 2 to choose by stability"), "{error}");
}
