//! `Mapping`: a fitted model from the units of one recording to those of another, with its scores.
//!
//! `ŷ = x W + b`: samples from the left, so `W` is `[unit_in, unit_out]`. On disk: see
//! `docs/formats.md`. Memory: the weights and the three tables.

use std::path::Path;

use ndarray::{Array1, Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::{finished, fits, listed, of_file};
use crate::numbers::{Block, NumberFile, to_bytes};
use crate::store::{Existing, Kind, Manifest, Provenance, Shard, prepare, write_shard};
use crate::table::{Column, Table};

const WEIGHTS: &str = "weights.safetensors";
const UNITS_IN: &str = "units_in.parquet";
const UNITS_OUT: &str = "units_out.parquet";
const SCORES: &str = "scores.parquet";

/// The part of the manifest that only mappings have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MappingDetail {
    /// The number of units it reads.
    pub units_in: usize,
    /// The number of units it predicts.
    pub units_out: usize,
    /// The number of rows of the score table.
    pub scores: usize,
    /// Whether all was written.
    pub complete: bool,
}

/// A linear model between units, and how well it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    weights: Array2<f32>,
    bias: Option<Array1<f32>>,
    units_in: Table,
    units_out: Table,
    scores: Table,
}

impl Mapping {
    /// A mapping of weights `[unit_in, unit_out]`, an optional bias `[unit_out]`, the unit tables of
    /// both sides (`unit` u32 counting up from 0, more columns) and a score table: `unit` u32 (of
    /// the output), `metric` string, and `score`, `low`, `high` (95 % interval), `ceiling`, `p`, `q`
    /// f64, NaN where undefined.
    ///
    /// # Errors
    /// Weights or bias that do not fit the tables or are not finite, a missing column, a score of an
    /// absent unit, `p` or `q` outside 0 to 1, or `low` above `high`.
    pub fn new(
        weights: Array2<f32>,
        bias: Option<Array1<f32>>,
        units_in: Table,
        units_out: Table,
        scores: Table,
    ) -> Result<Self> {
        check_units("units_in", &units_in)?;
        check_units("units_out", &units_out)?;
        let shape = [units_in.rows(), units_out.rows()];
        check_shape("weights", weights.shape(), &shape)?;
        check_finite("weights", weights.iter())?;
        if let Some(bias) = &bias {
            check_shape("bias", bias.shape(), &shape[1..])?;
            check_finite("bias", bias.iter())?;
        }
        check_scores(&scores, units_out.rows())?;
        Ok(Self { weights, bias, units_in, units_out, scores })
    }

    /// A score table without rows.
    pub fn no_scores() -> Table {
        let empty = Table::new()
            .with("unit", Column::U32(Vec::new()))
            .with("metric", Column::Text(Vec::new()));
        let numbers = ["score", "low", "high", "ceiling", "p", "q"];
        numbers.iter().fold(empty, |table, name| table.with(*name, Column::F64(Vec::new())))
    }

    /// `[unit_in, unit_out]`.
    pub fn weights(&self) -> &Array2<f32> {
        &self.weights
    }

    /// `[unit_out]`.
    pub fn bias(&self) -> Option<&Array1<f32>> {
        self.bias.as_ref()
    }

    /// The units it reads.
    pub fn units_in(&self) -> &Table {
        &self.units_in
    }

    /// The units it predicts.
    pub fn units_out(&self) -> &Table {
        &self.units_out
    }

    /// How well each output unit is predicted.
    pub fn scores(&self) -> &Table {
        &self.scores
    }

    /// Predictions `[sample, unit_out]` for activity `[sample, unit_in]`.
    ///
    /// # Errors
    /// Activity of another number of units.
    pub fn predict(&self, activity: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        if activity.ncols() != self.weights.nrows() {
            return Err(Error::Units {
                left: "the activity".to_owned(),
                found: activity.ncols(),
                right: "the mapping's input".to_owned(),
                expected: self.weights.nrows(),
                help: None,
            });
        }
        let product = activity.dot(&self.weights);
        Ok(match &self.bias {
            Some(bias) => product + bias,
            None => product,
        })
    }

    /// Writes the mapping to `folder`.
    ///
    /// # Errors
    /// A folder that `existing` does not allow, or a failed file operation.
    pub fn save(&self, folder: &Path, provenance: Provenance, existing: Existing) -> Result<()> {
        if prepare(folder, existing)? {
            let before = Manifest::<MappingDetail>::read(folder, Kind::Mapping)?;
            if before.detail.complete {
                return Err(Error::Exists { path: folder.display().to_string() });
            }
        }
        let detail = MappingDetail {
            units_in: self.units_in.rows(),
            units_out: self.units_out.rows(),
            scores: self.scores.rows(),
            complete: false,
        };
        let mut manifest = Manifest::new(Kind::Mapping, provenance, detail);
        manifest.write(folder)?;
        let mut blocks = vec![("weights", Block::matrix(self.weights.view()))];
        let bias = self.bias.as_ref().map(|bias| bias.to_vec());
        if let Some(bias) = &bias {
            blocks.push(("bias", Block::f32s(bias, &[bias.len()])));
        }
        let rows = self.units_in.rows() as u64;
        manifest.shards.push(write_shard(folder, WEIGHTS, rows, &to_bytes(&blocks)?)?);
        let tables =
            [(UNITS_IN, &self.units_in), (UNITS_OUT, &self.units_out), (SCORES, &self.scores)];
        for (file, table) in tables {
            table.write(&folder.join(file))?;
            manifest.shards.push(Shard::of(folder, file, table.rows())?);
        }
        manifest.detail.complete = true;
        manifest.write(folder)
    }

    /// Reads a mapping.
    ///
    /// # Errors
    /// No mapping, an unfinished one, or files that are damaged or do not fit.
    pub fn open(folder: &Path) -> Result<Self> {
        let detail = read_manifest(folder)?.detail;
        let table = |file: &str, rows: usize| {
            let path = folder.join(file);
            let table = Table::read(&path, None)?;
            fits(&path, table.rows(), rows)?;
            Ok::<_, Error>((path, table))
        };
        let (path, units_in) = table(UNITS_IN, detail.units_in)?;
        check_units("unit", &units_in).map_err(|error| of_file(&path, error))?;
        let (path, units_out) = table(UNITS_OUT, detail.units_out)?;
        check_units("unit", &units_out).map_err(|error| of_file(&path, error))?;
        let (path, mut scores) = table(SCORES, detail.scores)?;
        if scores.rows() == 0 {
            scores = Self::no_scores();
        }
        check_scores(&scores, detail.units_out).map_err(|error| of_file(&path, error))?;
        let path = folder.join(WEIGHTS);
        let file = NumberFile::open(&path)?;
        // The shapes are compared before any number is read: a lie costs no memory.
        let shape = [detail.units_in, detail.units_out];
        let fit = |name: &str, shape: &[usize]| {
            let found = file.shape(name).unwrap_or_default();
            check_shape(name, found, shape).map_err(|error| of_file(&path, error))
        };
        fit("weights", &shape)?;
        let weights = file.matrix("weights")?;
        let bias = if file.shape("bias").is_some() {
            fit("bias", &shape[1..])?;
            Some(file.vector("bias")?)
        } else {
            None
        };
        Self::new(weights, bias, units_in, units_out, scores).map_err(|error| of_file(&path, error))
    }

    /// Compares the files in `folder` with their checksums.
    ///
    /// # Errors
    /// The first file that is missing, changed, or not listed in the manifest.
    pub fn verify(folder: &Path) -> Result<()> {
        read_manifest(folder)?.verify(folder)
    }
}

fn read_manifest(folder: &Path) -> Result<Manifest<MappingDetail>> {
    let manifest = Manifest::<MappingDetail>::read(folder, Kind::Mapping)?;
    finished(folder, Kind::Mapping, manifest.detail.complete)?;
    listed(folder, &manifest.shards, &[WEIGHTS, UNITS_IN, UNITS_OUT, SCORES])?;
    Ok(manifest)
}

fn check_units(side: &str, units: &Table) -> Result<()> {
    let numbers = units.u32s("unit")?;
    if numbers.is_empty() {
        let expected = "at least one unit".to_owned();
        return Err(Error::Empty { what: side.to_owned(), expected });
    }
    match numbers.iter().enumerate().find(|&(row, &unit)| row != unit as usize) {
        None => Ok(()),
        Some((row, unit)) => {
            Err(Error::setting(side, format!("{unit} in row {row}"), "units counting up from 0"))
        }
    }
}

fn check_shape(name: &str, found: &[usize], expected: &[usize]) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::setting(name, format!("{found:?}"), format!("{expected:?}, as the unit tables say")))
}

fn check_finite<'a>(name: &str, mut values: impl Iterator<Item = &'a f32>) -> Result<()> {
    match values.find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => Err(Error::setting(name, value, "finite numbers")),
    }
}

fn check_scores(scores: &Table, units_out: usize) -> Result<()> {
    if let Some(unit) = scores.u32s("unit")?.iter().find(|&&unit| unit as usize >= units_out) {
        return Err(Error::setting("unit", unit, format!("below {units_out}, the output units")));
    }
    scores.texts("metric")?;
    for name in ["score", "ceiling"] {
        if let Some(value) = scores.f64s(name)?.iter().find(|value| value.is_infinite()) {
            return Err(Error::setting(name, value, "a number, or NaN where undefined"));
        }
    }
    for name in ["p", "q"] {
        let outside = |value: &&f64| !value.is_nan() && !(0.0..=1.0).contains(*value);
        if let Some(value) = scores.f64s(name)?.iter().find(outside) {
            return Err(Error::setting(name, value, "0 to 1, or NaN where undefined"));
        }
    }
    let (low, high) = (scores.f64s("low")?, scores.f64s("high")?);
    match low.iter().zip(high).find(|(low, high)| low > high) {
        None => Ok(()),
        Some((low, high)) => Err(Error::setting("low", low, format!("at most `high`, {high}"))),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand::RngExt;

    use super::*;
    use crate::store::{aside, write_bytes};

    fn units(count: u32) -> Table {
        Table::new()
            .with("unit", Column::U32((0..count).collect()))
            .with("site", Column::Text((0..count).map(|unit| format!("area.{unit}")).collect()))
    }

    fn scores() -> Table {
        let metric = vec!["r".to_owned(), "r2".to_owned()];
        let table =
            Table::new().with("unit", Column::U32(vec![0, 1])).with("metric", Column::Text(metric));
        let numbers = ["score", "low", "high", "ceiling", "p", "q"];
        numbers.iter().fold(table, |table, name| table.with(*name, Column::F64(vec![0.5, 0.25])))
    }

    fn sample() -> Mapping {
        let weights = array![[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]];
        Mapping::new(weights, Some(array![10.0, 20.0]), units(3), units(2), scores()).expect("fits")
    }

    #[test]
    fn what_is_saved_is_opened_and_predicts_from_the_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let whole = sample();
        let bare =
            Mapping::new(whole.weights.clone(), None, units(3), units(2), Mapping::no_scores())
                .expect("fits");
        for (name, mapping) in [("whole", &whole), ("bare", &bare)] {
            let path = folder.path().join(name);
            mapping.save(&path, Provenance::default(), Existing::Refuse).expect("saves");
            assert_eq!(&Mapping::open(&path).expect("opens"), mapping);
            Mapping::verify(&path).expect("sound");
            for existing in [Existing::Refuse, Existing::Resume] {
                let again = mapping.save(&path, Provenance::default(), existing);
                assert!(matches!(again, Err(Error::Exists { .. })), "{existing:?}");
            }
            mapping.save(&path, Provenance::default(), Existing::Overwrite).expect("replaces");
        }
        let predicted = whole.predict(array![[1.0, 1.0, 2.0]].view()).expect("fits");
        assert_eq!(predicted, array![[17.0, 22.0]]);
        assert!(whole.predict(array![[1.0, 1.0]].view()).is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let made = |weights: Array2<f32>, scores: Table| {
            Mapping::new(weights, None, units(3), units(2), scores)
        };
        let good = sample().weights;
        assert!(made(good.t().to_owned(), scores()).is_err(), "turned weights");
        let mut holed = good.clone();
        holed[[1, 1]] = f32::NAN;
        assert!(made(holed, scores()).is_err(), "NaN");
        for (name, values) in [("p", [0.5, 1.5]), ("q", [-0.1, 0.0]), ("low", [0.0, 0.9])] {
            let bad = scores().with(name, Column::F64(values.to_vec()));
            let error = made(good.clone(), bad).expect_err(name);
            assert!(error.to_string().contains(name), "{error}");
        }
        let absent = scores().with("unit", Column::U32(vec![0, 2]));
        assert!(made(good.clone(), absent).is_err(), "absent unit");
        let unknown = scores().with("ceiling", Column::F64(vec![f64::NAN; 2]));
        assert!(made(good, unknown).is_ok(), "an undefined ceiling is no error");
    }

    #[test]
    fn damaged_mappings_give_errors_not_panics() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m");
        sample().save(&path, Provenance::default(), Existing::Refuse).expect("saves");
        let mut rng = crate::seed::rng(7, 0);
        for file in [WEIGHTS, UNITS_IN, UNITS_OUT, SCORES, crate::store::MANIFEST] {
            let file = path.join(file);
            let sound = std::fs::read(&file).expect("reads");
            for round in 0..100 {
                let mut bytes = sound.clone();
                let place = rng.random_range(0..bytes.len());
                if round % 4 == 0 {
                    bytes.truncate(place);
                } else {
                    bytes[place] ^= rng.random_range(1..=255u8);
                }
                write_bytes(&file, &bytes).expect("writes");
                let opened = Mapping::open(&path);
                assert!(round % 4 != 0 || opened.is_err(), "{file:?} cut at {place}");
                if !file.ends_with(crate::store::MANIFEST) {
                    assert!(Mapping::verify(&path).is_err(), "{file:?} changed at {place}");
                }
            }
            write_bytes(&file, &sound).expect("writes");
        }
        write_bytes(&aside(&path.join(WEIGHTS)), b"half").expect("writes");
        assert_eq!(Mapping::open(&path).expect("what lies aside is not read"), sample());
    }
}
