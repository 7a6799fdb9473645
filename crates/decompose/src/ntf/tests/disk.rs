//! From recordings to features on disk, and the atlas.

use nissl_core::components::{StimulusWindow, TensorComponents};
use nissl_core::features::Features;
use nissl_core::store::Existing;

use super::*;

fn components() -> TensorComponents {
    // Component 0 acts in bins 2..4 of animal 0; component 1 always and everywhere.
    let mut times = Array2::zeros((10, 2));
    times[[2, 0]] = 1.0;
    times[[3, 0]] = 1.0;
    times.column_mut(1).fill(1.0);
    TensorComponents {
        lambda: vec![1.0, 1.0],
        times,
        animals: ndarray::array![[1.0, 1.0], [0.0, 1.0]],
        pairs: Array2::ones((3, 2)),
        units: ["a", "b", "c"].map(str::to_owned).to_vec(),
        animal_names: vec!["x".to_owned(), "y".to_owned()],
        present: vec![vec![true; 3]; 2],
        seconds: (0..10).map(|bin| f64::from(bin) + 0.5).collect(),
        windows: vec![
            StimulusWindow { animal: 0, name: "salt, high".to_owned(), start: 2.0, end: 4.0 },
            StimulusWindow { animal: 1, name: "salt, high".to_owned(), start: 6.0, end: 8.0 },
        ],
        shifted: Vec::new(),
    }
}

#[test]
fn the_atlas_tells_fractions_and_how_far_they_are_from_chance() {
    let rows = atlas(&components());
    assert_eq!(rows.len(), 2);
    assert!((rows[0].fraction - 1.0).abs() < 1e-12 && (rows[0].expected - 0.2).abs() < 1e-12);
    // Shifts by −1, 0 and 1 give ½, 1 and ½, the seven others 0.
    let deviation = ((0.25 + 1.0 + 0.25) / 10.0 - 0.04f64).sqrt();
    assert!((rows[0].z - 0.8 / deviation).abs() < 1e-9, "{}", rows[0].z);
    assert!((rows[1].fraction - 0.2).abs() < 1e-12 && rows[1].z.is_nan());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("atlas.csv");
    write_atlas(&rows, &path).expect("writes");
    let text = std::fs::read_to_string(&path).expect("reads");
    assert!(text.contains("0,\"salt, high\",1.000000,0.200000"), "{text}");
    assert_eq!(atlas_table(&rows).rows(), 2);
}

#[test]
fn features_of_pairs_are_written_and_the_same_seed_gives_the_same_bytes() {
    use super::affinity::{grid, named};
    let folder = tempfile::tempdir().expect("a folder");
    let recordings: Vec<_> = (0..3u64)
        .map(|n| {
            named(&folder.path().join(format!("worm{n}")), &["A", "B", "C", "D"], &grid(80, 0.5), n)
        })
        .collect();
    let settings = Factorisation {
        ntf: Ntf { rank: "1..3".parse().expect("ranks"), restarts: 3, ..Ntf::default() },
        shifted: 2,
        ..Factorisation::default()
    }
    .seeded(5);
    let run = |name: &str, existing: Existing| {
        let out = folder.path().join(name);
        settings.decompose(&recordings, &[], &out, existing, &Progress::silent())
    };
    let written = run("one", Existing::Refuse).expect("writes");
    let features = Features::open(&folder.path().join("one")).expect("opens");
    let rank = written.scan.rank;
    assert_eq!((features.features(), features.units()), (rank, 6));
    let components = TensorComponents::open(features.path()).expect("components");
    assert_eq!(components, written.components);
    assert_eq!(features.samples(), 3 * components.seconds.len());
    assert_eq!(features.unit_table().texts("name").expect("names")[1], "A–C");
    assert_eq!(components.shifted.len(), rank);
    assert_eq!(features.table().f32s("lambda").expect("lambda"), components.lambda);
    let explained = features.explained_variance().fit.expect("measured");
    assert!(explained > 0.0 && explained < 1.0, "{explained}");
    assert_eq!(features.method(), "ntf");
    assert!(folder.path().join("one/atlas.csv").exists());
    // The activations and the dictionary rebuild the tensor as the factors do.
    let (bins, at) = (components.seconds.len(), 4);
    let activations = features.rows(&[bins + at]).expect("read");
    for r in 0..rank {
        let expected =
            components.lambda[r] * components.times[[at, r]] * components.animals[[1, r]];
        assert!((activations[[0, r]] - expected).abs() < 1e-5 * (1.0 + expected));
    }
    run("two", Existing::Refuse).expect("writes");
    for file in ["components.safetensors", "dictionary.safetensors", "ranks.parquet"] {
        let [one, two] =
            ["one", "two"].map(|name| std::fs::read(folder.path().join(name).join(file)));
        assert_eq!(one.expect("reads"), two.expect("reads"), "{file}");
    }
    assert!(run("one", Existing::Refuse).is_err());
    assert!(run("one", Existing::Resume).is_err());
    run("one", Existing::Overwrite).expect("writes again");
}
