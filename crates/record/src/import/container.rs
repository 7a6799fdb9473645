//! One array of a file of named parts: HDF5, NWB, MATLAB or JSON.
//!
//! Memory: the array, at most 2 GiB.

use std::path::Path;

use ndarray::{Array2, s};
use nissl_core::{Error, Result, Table};

use super::{Chunk, Import, Matrix, checked_shape, rows_in_block};
use crate::files::Container;

/// The paths that are looked through when no array is named.
const MOST_PATHS: usize = 1000;

pub(super) fn open(path: &Path, settings: &Import) -> Result<Matrix> {
    let file = Container::open(path)?;
    let wanted = match &settings.tensor {
        Some(name) => name.clone(),
        None => only_matrix(&file)?,
    };
    let value = file.read(&wanted)?.ok_or_else(|| file.without(&wanted))?;
    let matrix = value.matrix().ok_or_else(|| {
        Error::file(path, wanted.as_str(), value.kind(), "a matrix of numbers")
            .with_help("choose another array with --tensor KEY")
    })?;
    let matrix = if settings.transpose { matrix.reversed_axes() } else { matrix };
    let (samples, units) = checked_shape(path, matrix.nrows() as u64, matrix.ncols() as u64)?;
    let lost = |value: &f64| value.is_finite() && (*value as f32).is_infinite();
    if let Some(((row, column), value)) = matrix.indexed_iter().find(|(_, value)| lost(value)) {
        let place = format!("{wanted}, row {row}, column {column}");
        return Err(super::dense::too_large(path, &place, *value));
    }
    let values: Array2<f32> = matrix.map(|&value| value as f32);
    let rows = rows_in_block(units);
    let chunks = (0..samples).step_by(rows).map(move |from| {
        let to = (from + rows).min(samples);
        let activity = values.slice(s![from..to, ..]).to_owned();
        Ok(Chunk { activity, samples: Table::new(), progress: (to - from) as u64 })
    });
    let total = (samples as u64, "samples");
    Ok(Matrix { units, names: None, total, chunks: Box::new(chunks) })
}

/// The path of the only matrix in a file; several are an error that tells them.
fn only_matrix(file: &Container) -> Result<String> {
    let paths = file.paths(MOST_PATHS)?;
    let is_matrix = |what: &str| {
        let shape = what.trim_start_matches("numbers ");
        let lengths: Vec<u64> =
            shape.split(" × ").map_while(|length| length.parse().ok()).collect();
        lengths.len() == shape.split(" × ").count()
            && lengths.iter().filter(|&&length| length > 1).count() == 2
    };
    let found: Vec<&(String, String)> = paths.iter().filter(|(_, what)| is_matrix(what)).collect();
    if let [(path, _)] = found[..] {
        return Ok(path.clone());
    }
    let told = if found.is_empty() { &paths.iter().collect::<Vec<_>>() } else { &found };
    let told: Vec<String> =
        told.iter().take(40).map(|(path, what)| format!("{path} ({what})")).collect();
    let many = format!("{} matrices", found.len());
    let help =
        format!("the file has {}; a recorded worm is read by `nissl import worm`", told.join(", "));
    Err(Error::file(file.path(), "content", many, "one of them, named with --tensor KEY")
        .with_help(help))
}

#[cfg(test)]
mod tests {
    use nissl_core::Progress;
    use nissl_core::store::Existing;

    use super::*;
    use crate::files::{Layout, Value, write};

    #[test]
    fn a_named_or_only_array_becomes_a_recording_in_every_layout() {
        let matrix = Array2::from_shape_fn((30, 4), |(t, n)| (10 * t + n) as f64);
        let tree = Value::map([
            ("dff", Value::of_matrix(&matrix)),
            ("time", Value::row((0..30).map(f64::from).collect())),
        ]);
        let folder = tempfile::tempdir().expect("a folder");
        for (name, layout) in [
            ("a.h5", Layout::Hdf5),
            ("a.mat", Layout::Matlab5),
            ("b.mat", Layout::Matlab73),
            ("a.json", Layout::Json),
        ] {
            let path = folder.path().join(name);
            write(&path, &tree, layout).expect("writes");
            let out = folder.path().join(format!("{name}.rec"));
            let quiet = Progress::silent();
            let settings = Import::default();
            let made = super::super::import(&path, &settings, &out, Existing::Refuse, &quiet);
            let rows = made.expect("imports").rows(&[29]).expect("reads");
            assert_eq!(rows.row(0).to_vec(), [290.0, 291.0, 292.0, 293.0], "{name}");
            let absent = Import { tensor: Some("nothing".to_owned()), ..Import::default() };
            let out = folder.path().join("never");
            let refused = super::super::import(&path, &absent, &out, Existing::Refuse, &quiet);
            let told = format!("{:?}", refused.expect_err("no such key"));
            assert!(told.contains("`nothing`") && told.contains("dff"), "{told}");
            assert!(!out.exists());
        }
    }

    #[test]
    fn several_matrices_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.mat");
        let part = || Value::of_matrix(&Array2::zeros((3, 2)));
        let tree = Value::map([("left", part()), ("right", part())]);
        write(&path, &tree, Layout::Matlab5).expect("writes");
        let told =
            format!("{:?}", super::super::matrix(&path, &Import::default()).expect_err("two"));
        assert!(told.contains("left (numbers 3 × 2)") && told.contains("--tensor"), "{told}");
    }
}
