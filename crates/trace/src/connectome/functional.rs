//! Correlations of activity between named neurons, pooled over animals.
//!
//! In each animal `r` is Pearson's over the samples at which both neurons were measured; animals are averaged with
//! those counts as weights. Units are neurons by their `name`; others, such as unlabelled ones, are left out.
//! Each sequence of a recording is an animal of its own.
//! Memory: the activity of the named neurons as f64, and six times the square of the neurons.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2, s};
use nissl_core::{Error, Progress, Recording, Result};
use rand::RngExt;

/// Samples below which two neurons have no correlation.
const LEAST: f64 = 10.0;
/// Rows that are read at once.
const ROWS: usize = 4096;
/// Shifts are at least this share of the samples.
const NEAREST: f64 = 0.1;

/// Activity of one animal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Animal {
    /// The row of each column among the neurons.
    rows: Vec<usize>,
    /// Activity from its mean `[sample, column]`; 0 where missing.
    values: Array2<f64>,
    /// 1 where there is a value `[sample, column]`; none when all are there.
    measured: Option<Array2<f64>>,
}

/// Correlations of activity.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityCorrelation {
    /// The neurons of the connectome.
    pub neurons: Vec<String>,
    /// Animals.
    pub animals: usize,
    /// Correlations `[neuron, neuron]`; NaN where two were never measured together.
    pub correlation: Array2<f64>,
    pub(super) activity: Vec<Animal>,
}

impl ActivityCorrelation {
    /// The correlations of `recordings` between `neurons`.
    ///
    /// # Errors
    /// No recording, one without names of units, none of whose units is one of `neurons`, or one that
    /// cannot be read.
    pub fn of(recordings: &[Recording], neurons: &[String], progress: &Progress) -> Result<Self> {
        let known: BTreeMap<&str, usize> =
            neurons.iter().enumerate().map(|(row, name)| (name.as_str(), row)).collect();
        let mut activity = Vec::new();
        for recording in recordings {
            progress.check(|| format!("{} animals", activity.len()))?;
            activity.extend(animals(recording, &known)?);
        }
        if activity.is_empty() {
            let what = "the list of recordings".to_owned();
            return Err(Error::Empty { what, expected: "one recording or more".to_owned() });
        }
        let correlation = pooled(&activity, neurons.len());
        Ok(Self { neurons: neurons.to_vec(), animals: activity.len(), correlation, activity })
    }

    /// The correlations of the activity as it is.
    #[cfg(test)]
    pub(super) fn unshifted(&self) -> Array2<f64> {
        pooled(&self.activity, self.neurons.len())
    }

    /// Correlations after every trace was turned round by a draw of its own.
    pub(super) fn shifted(&self, seed: u64, draw: u64) -> Array2<f64> {
        let mut rng = nissl_core::seed::rng(seed, draw);
        let turned: Vec<Animal> =
            self.activity.iter().map(|animal| animal.turned(&mut rng)).collect();
        pooled(&turned, self.neurons.len())
    }
}

impl Animal {
    fn new(rows: Vec<usize>, mut values: Array2<f64>) -> Self {
        let mut whole = true;
        let mut measured = Array2::ones(values.dim());
        for (mut column, mut mask) in values.columns_mut().into_iter().zip(measured.columns_mut()) {
            let (mut sum, mut count) = (0.0, 0.0);
            for &value in column.iter().filter(|value| value.is_finite()) {
                sum += value;
                count += 1.0;
            }
            let mean = if count > 0.0 { sum / count } else { 0.0 };
            for (value, mask) in column.iter_mut().zip(&mut mask) {
                if value.is_finite() {
                    *value -= mean;
                } else {
                    (*value, *mask, whole) = (0.0, 0.0, false);
                }
            }
        }
        Self { rows, values, measured: (!whole).then_some(measured) }
    }

    fn turned(&self, rng: &mut impl rand::Rng) -> Self {
        let mut turned = self.clone();
        let samples = self.values.nrows();
        let nearest = ((samples as f64 * NEAREST) as usize).max(1);
        if samples < 2 * nearest + 1 {
            return turned;
        }
        for column in 0..self.values.ncols() {
            let shift = rng.random_range(nearest as u64..=(samples - nearest) as u64) as usize;
            turn(&self.values, &mut turned.values, column, shift);
            if let (Some(from), Some(to)) = (&self.measured, &mut turned.measured) {
                turn(from, to, column, shift);
            }
        }
        turned
    }
}

fn turn(from: &Array2<f64>, to: &mut Array2<f64>, column: usize, shift: usize) {
    let samples = from.nrows();
    let (from, mut to) = (from.column(column), to.column_mut(column));
    for sample in 0..samples {
        to[(sample + shift) % samples] = from[sample];
    }
}

/// The animals of a recording: its sequences, with the units that are `known` by name.
fn animals(recording: &Recording, known: &BTreeMap<&str, usize>) -> Result<Vec<Animal>> {
    let path = recording.path();
    let names = recording.unit_table().texts("name").map_err(|_absent| {
        Error::file(path.join("units.parquet"), "name", "absent", "names of neurons")
            .with_help("import a worm, or make one: nissl world worm")
    })?;
    let mut columns: Vec<(usize, usize)> = Vec::new();
    for (column, name) in names.iter().enumerate() {
        if let Some(&row) = known.get(name.as_str()) {
            if columns.iter().any(|&(_, other)| other == row) {
                let file = path.join("units.parquet");
                return Err(Error::file(
                    file,
                    "name",
                    format!("`{name}` twice"),
                    "each neuron once",
                ));
            }
            columns.push((column, row));
        }
    }
    if columns.is_empty() {
        let shown: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
        let found = format!("{} and {} more", shown.join(", "), names.len() - shown.len());
        let expected = "names of neurons of the connectome";
        return Err(Error::file(path.join("units.parquet"), "name", found, expected));
    }
    let sequences = recording.sequences()?;
    let mut whole = Array2::zeros((recording.samples(), columns.len()));
    for block in recording.blocks(ROWS) {
        let block = block?;
        for (place, &(column, _)) in columns.iter().enumerate() {
            let rows = block.start..block.start + block.activity.nrows();
            let source = block.activity.column(column).mapv(f64::from);
            whole.slice_mut(s![rows, place]).assign(&source);
        }
    }
    let mut found = Vec::new();
    let mut begin = 0;
    for end in 1..=sequences.len() {
        if end < sequences.len() && sequences[end] == sequences[begin] {
            continue;
        }
        let part = whole.slice(s![begin..end, ..]);
        begin = end;
        // What was not measured in this animal at all needs no column.
        let kept: Vec<usize> =
            (0..columns.len()).filter(|&c| part.column(c).iter().any(|v| v.is_finite())).collect();
        let rows = kept.iter().map(|&place| columns[place].1).collect();
        found.push(Animal::new(rows, part.select(ndarray::Axis(1), &kept)));
    }
    Ok(found)
}

/// The correlations `[neuron, neuron]` of all animals.
fn pooled(animals: &[Animal], neurons: usize) -> Array2<f64> {
    let (mut sum, mut weight) =
        (Array2::<f64>::zeros((neurons, neurons)), Array2::<f64>::zeros((neurons, neurons)));
    for animal in animals {
        let (correlation, counts) = within(animal);
        for (a, &row) in animal.rows.iter().enumerate() {
            for (b, &other) in animal.rows.iter().enumerate() {
                let (r, n): (f64, f64) = (correlation[[a, b]], counts[[a, b]]);
                if r.is_finite() && n >= LEAST {
                    sum[[row, other]] += n * r;
                    weight[[row, other]] += n;
                }
            }
        }
    }
    Array2::from_shape_fn((neurons, neurons), |at| {
        if weight[at] > 0.0 { sum[at] / weight[at] } else { f64::NAN }
    })
}

/// Correlations and common samples within one animal, both `[column, column]`.
fn within(animal: &Animal) -> (Array2<f64>, Array2<f64>) {
    let x: ArrayView2<'_, f64> = animal.values.view();
    let products = x.t().dot(&x);
    let columns = x.ncols();
    let (counts, sums, squares) = match &animal.measured {
        None => {
            let counts = Array2::from_elem((columns, columns), x.nrows() as f64);
            let squares = Array2::from_shape_fn((columns, columns), |(a, _)| products[[a, a]]);
            (counts, Array2::zeros((columns, columns)), squares)
        }
        Some(mask) => (mask.t().dot(mask), x.t().dot(mask), x.mapv(|v| v * v).t().dot(mask)),
    };
    let correlation = Array2::from_shape_fn((columns, columns), |(a, b)| {
        let n = counts[[a, b]];
        let (ab, ba) = (sums[[a, b]], sums[[b, a]]);
        let covariance = products[[a, b]] - ab * ba / n;
        let variance = (squares[[a, b]] - ab * ab / n) * (squares[[b, a]] - ba * ba / n);
        if variance > 0.0 { (covariance / variance.sqrt()).clamp(-1.0, 1.0) } else { f64::NAN }
    });
    (correlation, counts)
}
