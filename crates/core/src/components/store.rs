//! Tensor components on disk: `components.safetensors` and tables beside a dictionary of pairs.

use std::path::Path;

use ndarray::Array2;

use super::{StimulusWindow, TensorComponents, pair_at};
use crate::error::{Error, Result};
use crate::numbers::{Block, NumberFile, to_bytes};
use crate::store::write_bytes;
use crate::table::{Column, Table};

/// The file of the factors: `lambda`, `f_t`, `f_w`, `f_a`, `present`, and `shifted` where it was measured.
pub const COMPONENTS: &str = "components.safetensors";
/// One row for each unit that is paired: `neuron`, `name`, `animals` that have it.
const NEURONS: &str = "neurons.parquet";
/// One row for each animal: `animal`, `name`, `neurons` that it has.
const ANIMALS: &str = "animals.parquet";
/// One row for each time bin: `bin`, `time_s`.
const TIMES: &str = "times.parquet";
/// One row for each time that a stimulus was on: `animal`, `name`, `start_s`, `end_s`.
const STIMULI: &str = "stimuli.parquet";

impl TensorComponents {
    /// The unit table of the pairs: `unit`, `site` "pair", `index`, `name` "A–B", and the names `first` and
    /// `second`.
    pub fn pair_table(&self) -> Table {
        let pairs = self.pairs.nrows();
        let both: Vec<[&String; 2]> = (0..pairs)
            .map(|pair| pair_at(pair, self.units.len()).map(|unit| &self.units[unit]))
            .collect();
        let index: Vec<u32> = (0..pairs as u32).collect();
        let name = |place: usize| both.iter().map(|both| both[place].clone()).collect();
        let names = both.iter().map(|[first, second]| format!("{first}–{second}"));
        Table::new()
            .with("unit", Column::U32(index.clone()))
            .with("site", Column::Text(vec!["pair".to_owned(); pairs]))
            .with("index", Column::U32(index))
            .with("name", Column::Text(names.collect()))
            .with("first", Column::Text(name(0)))
            .with("second", Column::Text(name(1)))
    }

    /// Writes the factors and tables into the folder of their features.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let present: Vec<u32> = self.present.iter().flatten().map(|&here| here.into()).collect();
        let mut blocks = vec![
            ("lambda", Block::f32s(&self.lambda, &[self.lambda.len()])),
            ("f_t", Block::matrix(self.times.view())),
            ("f_w", Block::matrix(self.animals.view())),
            ("f_a", Block::matrix(self.pairs.view())),
            ("present", Block::u32s(&present, &[self.present.len(), self.units.len()])),
        ];
        if !self.shifted.is_empty() {
            blocks.push(("shifted", Block::f32s(&self.shifted, &[self.shifted.len()])));
        }
        write_bytes(&folder.join(COMPONENTS), &to_bytes(&blocks)?)?;
        let count = |rows: usize| Column::U32((0..rows as u32).collect());
        let units = self.units.len();
        let animals_with = |unit: usize| self.present.iter().filter(|own| own[unit]).count() as u32;
        Table::new()
            .with("neuron", count(units))
            .with("name", Column::Text(self.units.clone()))
            .with("animals", Column::U32((0..units).map(animals_with).collect()))
            .write(&folder.join(NEURONS))?;
        let neurons_of = |own: &Vec<bool>| own.iter().filter(|&&here| here).count() as u32;
        Table::new()
            .with("animal", count(self.animal_names.len()))
            .with("name", Column::Text(self.animal_names.clone()))
            .with("neurons", Column::U32(self.present.iter().map(neurons_of).collect()))
            .write(&folder.join(ANIMALS))?;
        Table::new()
            .with("bin", count(self.seconds.len()))
            .with("time_s", Column::F64(self.seconds.clone()))
            .write(&folder.join(TIMES))?;
        if self.windows.is_empty() {
            return Ok(());
        }
        let seconds =
            |of: fn(&StimulusWindow) -> f64| Column::F64(self.windows.iter().map(of).collect());
        let animals = self.windows.iter().map(|window| window.animal as u32);
        let names = self.windows.iter().map(|window| window.name.clone());
        Table::new()
            .with("animal", Column::U32(animals.collect()))
            .with("name", Column::Text(names.collect()))
            .with("start_s", seconds(|window| window.start))
            .with("end_s", seconds(|window| window.end))
            .write(&folder.join(STIMULI))
    }

    /// Reads the components of features that were found by a factorisation of affinities.
    ///
    /// # Errors
    /// Features without components, files that are damaged or do not fit each other.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(COMPONENTS);
        if !path.exists() {
            return Err(Error::file(
                &path,
                "components",
                "absent",
                "features of pairs over time and animals",
            )
            .with_help("make them with `nissl decompose ntf`"));
        }
        let file = NumberFile::open(&path)?;
        let lambda = file.vector("lambda")?.to_vec();
        let matrix = |name: &str, rows: usize| -> Result<Array2<f32>> {
            let matrix = file.matrix(name)?;
            let expected = [rows, lambda.len()];
            if matrix.shape() == expected && matrix.iter().all(|x| x.is_finite() && *x >= 0.0) {
                return Ok(matrix);
            }
            let found = format!("of shape {:?}", matrix.shape());
            let expected = format!("numbers of 0 or more of shape {expected:?}");
            Err(Error::file(&path, name, found, expected))
        };
        let units = Table::read(&folder.join(NEURONS), None)?.texts("name")?.to_vec();
        let animal_names = Table::read(&folder.join(ANIMALS), None)?.texts("name")?.to_vec();
        let seconds = Table::read(&folder.join(TIMES), None)?.f64s("time_s")?.to_vec();
        let places = animal_names.len() * units.len();
        let flags = file.u32s("present", 0, places)?;
        let present =
            flags.chunks(units.len().max(1)).map(|own| own.iter().map(|&f| f != 0).collect());
        let stimuli = folder.join(STIMULI);
        let windows =
            if stimuli.exists() { read_windows(&stimuli, animal_names.len())? } else { Vec::new() };
        let shifted = match file.shape("shifted") {
            Some(_) => file.vector("shifted")?.to_vec(),
            None => Vec::new(),
        };
        Ok(Self {
            times: matrix("f_t", seconds.len())?,
            animals: matrix("f_w", animal_names.len())?,
            pairs: matrix("f_a", units.len() * units.len().saturating_sub(1) / 2)?,
            present: present.collect(),
            lambda,
            units,
            animal_names,
            seconds,
            windows,
            shifted,
        })
    }
}

fn read_windows(path: &Path, animals: usize) -> Result<Vec<StimulusWindow>> {
    let table = Table::read(path, None)?;
    let of = table.u32s("animal")?;
    if let Some(&stray) = of.iter().find(|&&animal| animal as usize >= animals) {
        return Err(Error::file(path, "animal", stray, format!("below {animals}")));
    }
    let names = table.texts("name")?;
    let (starts, ends) = (table.f64s("start_s")?, table.f64s("end_s")?);
    let rows = of.iter().zip(names).zip(starts.iter().zip(ends));
    Ok(rows
        .map(|((&animal, name), (&start, &end))| StimulusWindow {
            animal: animal as usize,
            name: name.clone(),
            start,
            end,
        })
        .collect())
}
