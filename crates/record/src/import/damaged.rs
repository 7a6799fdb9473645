//! Files with cut ends and changed bytes: no loader panics or leaves what claims to be whole.

use rand::RngExt;

use super::hostile::{Trial, sound};
use super::{Format, Import};

/// Cuts and changes a sound file; none may panic, or leave what claims to be whole.
fn damage(format: Format) {
    let trial = Trial::new();
    let mut rng = nissl_core::seed::rng(7, format as u64);
    let sound = sound(trial.folder.path());
    let bytes = &sound.iter().find(|(other, _)| *other == format).expect("one of each").1;
    let settings = Import { format: Some(format), ..Import::default() };
    let step = bytes.len().div_ceil(80);
    let mut all: Vec<Vec<u8>> =
        (0..bytes.len()).step_by(step).map(|cut| bytes[..cut].to_vec()).collect();
    for _ in 0..500 {
        let mut mutant = bytes.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..mutant.len());
            match rng.random_range(0..4) {
                0 => mutant[at] = rng.random(),
                1 => mutant[at] ^= 1 << rng.random_range(0..8),
                2 => mutant[at] = 0xff,
                _ => drop(mutant.remove(at)),
            }
        }
        all.push(mutant);
    }
    let mut refused = 0;
    for damaged in all {
        match trial.import(&damaged, &settings) {
            Ok(recording) => recording.verify().expect("what is whole is sound"),
            Err(error) => {
                refused += 1;
                assert!(!trial.out().exists(), "{format:?} left something after: {error}");
            }
        }
        trial.clear();
    }
    assert!(refused > 50, "{format:?}: only {refused} refused");
}

#[test]
fn damaged_npy_never_panics() {
    damage(Format::Npy);
}

#[test]
fn damaged_npz_never_panics() {
    damage(Format::Npz);
}

#[test]
fn damaged_csv_never_panics() {
    damage(Format::Csv);
}

#[test]
fn damaged_parquet_never_panics() {
    damage(Format::Parquet);
}

#[test]
fn damaged_safetensors_never_panics() {
    damage(Format::Safetensors);
}
