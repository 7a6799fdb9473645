//! One worm of a table: its traces, its neurons, and times that are whole again.

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use half::f16;
use ndarray::Array2;
use nissl_core::{Error, Result};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::read::{Hub, HubWorm};
use super::select::Selection;
use crate::import::numbers;
use crate::worm::form::{Worm, WormNeuron};
use crate::worm::labels::Confidence;
use crate::worm::neurons::slot;
use crate::worm::raw::Fluorescence;

impl Hub {
    /// One worm, of which only what is asked for is read and kept.
    ///
    /// # Errors
    /// A damaged file, or rows of the worm that do not fit each other.
    pub fn read(&self, worm: &HubWorm, selection: &Selection) -> Result<Worm> {
        const LIGHT: [&str; 8] = [
            "raw_data_file",
            "slot",
            "is_labeled_neuron",
            "smooth_method",
            "interpolate_method",
            "normalization_method",
            "label_raw",
            "label_confidence",
        ];
        let mut names: Vec<&str> = LIGHT.into_iter().filter(|name| self.has(name)).collect();
        names.extend(["neuron", "calcium_data", "time_in_seconds", "median_dt", "max_timesteps"]);
        names.extend(["imputed_fraction", "units", "original_calcium_data"]);
        names.push("original_time_in_seconds");
        let names: Vec<&str> = names.into_iter().filter(|name| self.has(name)).collect();
        let (groups, rows) = self.rows(&worm.rows);
        let mut taken = Taken::default();
        for batch in self.batches(&names, groups, Some(rows))? {
            self.take(&batch?, worm, &mut taken)?;
        }
        let Taken { neurons, traces, originals, time, original_time, about } = taken;
        let samples = traces.first().map_or(0, Vec::len);
        let shape = (traces.len(), samples);
        let calcium = Array2::from_shape_vec(shape, traces.concat()).map_err(|error| {
            Error::file(&self.path, "calcium_data", error, "traces of one length")
        })?;
        let same = originals.iter().all(|trace| trace.len() == original_time.len());
        let original = if same && !original_time.is_empty() {
            Array2::from_shape_vec((neurons.len(), original_time.len()), originals.concat())
                .unwrap_or_default()
        } else {
            Array2::zeros((0, 0))
        };
        let whole = Worm {
            dataset: worm.dataset.clone(),
            worm: worm.worm.clone(),
            file: about.file,
            neurons,
            calcium,
            signals: Vec::new(),
            time,
            original,
            original_time,
            fluorescence: fluorescence(&about.units),
            methods: about.methods,
            stimuli: Vec::new(),
            behaviour: Vec::new(),
            left_out: Vec::new(),
        };
        let range = Selection { worms: Vec::new(), neurons: Vec::new(), ..selection.clone() };
        let end = whole.time.last().copied().unwrap_or(0.0);
        range.of(whole).ok_or_else(|| {
            let found = format!("from {:?} to {:?}", selection.from, selection.to);
            Error::setting(
                "time",
                found,
                format!("a part of {} {}, 0 to {end} s", worm.dataset, worm.worm),
            )
        })
    }

    /// Adds the rows of a batch.
    fn take(&self, batch: &RecordBatch, worm: &HubWorm, taken: &mut Taken) -> Result<()> {
        let neuron = self.texts(batch, "neuron")?;
        let (slots, imputed) = (column(batch, "slot"), column(batch, "imputed_fraction"));
        let (lengths, median) = (column(batch, "max_timesteps"), column(batch, "median_dt"));
        let labelled = batch.column_by_name("is_labeled_neuron").map(flags);
        let (raw, sure) = (self.texts(batch, "label_raw")?, self.texts(batch, "label_confidence")?);
        for at in 0..batch.num_rows() {
            let place = format!("calcium_data of {} {}", worm.worm, neuron[at]);
            let trace = self.list(batch, "calcium_data", at)?;
            let told = lengths.as_ref().map(|lengths| lengths[at]).filter(|told| *told >= 0.0);
            if let Some(told) = told.filter(|told| *told as usize != trace.len()) {
                let expected = format!("{told}, as max_timesteps tells");
                return Err(Error::file(&self.path, place, trace.len(), expected));
            }
            if let Some(first) = taken.traces.first().filter(|first| first.len() != trace.len()) {
                let expected = format!("{} samples, as the others of the worm", first.len());
                return Err(Error::file(&self.path, place, trace.len(), expected));
            }
            if taken.traces.is_empty() {
                let median = median.as_ref().map(|values| values[at]);
                taken.time = self.time(batch, at, trace.len(), median)?;
                let times = self.list(batch, "original_time_in_seconds", at)?;
                taken.original_time = times.into_iter().map(f64::from).collect();
                taken.about = self.about(batch)?;
            }
            let known = slot(&neuron[at]);
            let labelled = labelled.as_ref().map_or(known.is_some(), |flags| flags[at]);
            let given =
                slots.as_ref().map(|slots| slots[at]).filter(|slot| (0.0..300.0).contains(slot));
            taken.originals.push(self.list(batch, "original_calcium_data", at)?);
            taken.traces.push(trace);
            taken.neurons.push(WormNeuron {
                slot: if labelled { known } else { given.map(|slot| slot as usize) },
                labelled: labelled && known.is_some(),
                raw: raw.get(at).cloned().unwrap_or_default(),
                confidence: confidence(sure.get(at).map(String::as_str), labelled),
                imputed: imputed.as_ref().map_or(f32::NAN, |values| values[at] as f32),
                name: neuron[at].clone(),
            });
        }
        Ok(())
    }

    fn about(&self, batch: &RecordBatch) -> Result<About> {
        let first = |name: &str| -> Result<String> {
            Ok(self.texts(batch, name)?.into_iter().next().unwrap_or_default())
        };
        Ok(About {
            file: first("raw_data_file")?,
            units: first("units")?,
            methods: [
                first("smooth_method")?,
                first("interpolate_method")?,
                first("normalization_method")?,
            ],
        })
    }

    /// The row groups of these rows, and what to take of them.
    fn rows(&self, rows: &[usize]) -> (Vec<usize>, RowSelection) {
        let (mut groups, mut selectors, mut start, mut next) = (Vec::new(), Vec::new(), 0, 0);
        for (at, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let end = start + group.num_rows().max(0) as usize;
            if next < rows.len() && rows[next] < end {
                groups.push(at);
                let mut here = start;
                while next < rows.len() && rows[next] < end {
                    if rows[next] > here {
                        selectors.push(RowSelector::skip(rows[next] - here));
                    }
                    selectors.push(RowSelector::select(1));
                    here = rows[next] + 1;
                    next += 1;
                }
                if here < end {
                    selectors.push(RowSelector::skip(end - here));
                }
            }
            start = end;
        }
        (groups, RowSelection::from(selectors))
    }

    /// A row of a column of lists; empty when the column or the row is missing.
    fn list(&self, batch: &RecordBatch, name: &str, row: usize) -> Result<Vec<f32>> {
        let Some(array) = batch.column_by_name(name) else { return Ok(Vec::new()) };
        let part = if let Some(lists) = array.as_list_opt::<i32>() {
            (!lists.is_null(row)).then(|| lists.value(row))
        } else if let Some(lists) = array.as_list_opt::<i64>() {
            (!lists.is_null(row)).then(|| lists.value(row))
        } else {
            return Err(Error::file(&self.path, name, array.data_type(), "lists of numbers"));
        };
        let Some(part) = part else { return Ok(Vec::new()) };
        let kind = part.data_type();
        if !(kind.is_floating() || kind.is_integer()) {
            return Err(Error::file(&self.path, name, kind, "lists of numbers"));
        }
        Ok(numbers(part.as_ref()).into_iter().map(|value| value as f32).collect())
    }

    /// The times of a worm's samples; those that half precision has spoilt are made anew.
    fn time(
        &self,
        batch: &RecordBatch,
        row: usize,
        samples: usize,
        median: Option<f64>,
    ) -> Result<Vec<f64>> {
        const USUAL: f64 = 0.333;
        let times: Vec<f64> =
            self.list(batch, "time_in_seconds", row)?.into_iter().map(f64::from).collect();
        if times.is_empty() {
            let dt = median.filter(|dt| *dt > 0.0).unwrap_or(USUAL);
            return Ok((0..samples).map(|at| at as f64 * dt).collect());
        }
        if times.len() != samples {
            let expected = format!("{samples}, as calcium_data");
            return Err(Error::file(&self.path, "time_in_seconds", times.len(), expected));
        }
        if let Some(at) =
            (1..times.len()).find(|&at| times[at].is_nan() || times[at] < times[at - 1])
        {
            let found = format!("{} after {} at sample {at}", times[at], times[at - 1]);
            return Err(Error::file(&self.path, "time_in_seconds", found, "times that rise"));
        }
        let equal = times.windows(2).any(|pair| pair[1] <= pair[0]);
        let halves =
            times.iter().all(|&time| f16::from_f64(time).to_f64().to_bits() == time.to_bits());
        if samples < 3 || !(equal || (halves && uneven(&times))) {
            return Ok(times.into_iter().map(tidy).collect());
        }
        // The slope of a line through all times is much finer than any single step.
        let middle = (samples - 1) as f64 / 2.0;
        let mean = times.iter().sum::<f64>() / samples as f64;
        let (mut above, mut below) = (0.0, 0.0);
        for (at, time) in times.iter().enumerate() {
            above += (at as f64 - middle) * (time - mean);
            below += (at as f64 - middle).powi(2);
        }
        let slope = above / below;
        let dt = if (slope - USUAL).abs() < 5e-4 { USUAL } else { slope };
        tracing::warn!("times are half precision; they are made anew as multiples of {dt} s");
        Ok((0..samples).map(|at| at as f64 * dt).collect())
    }
}

/// What was read of a worm so far.
#[derive(Default)]
struct Taken {
    neurons: Vec<WormNeuron>,
    traces: Vec<Vec<f32>>,
    originals: Vec<Vec<f32>>,
    time: Vec<f64>,
    original_time: Vec<f64>,
    about: About,
}

/// What is told of a worm in each of its rows.
#[derive(Default)]
struct About {
    file: String,
    units: String,
    methods: [String; 3],
}

/// A time that was a short decimal number before it became f32.
fn tidy(time: f64) -> f64 {
    let short = (time * 1e6).round() / 1e6;
    if (short as f32).to_bits() == (time as f32).to_bits() { short } else { time }
}

fn uneven(times: &[f64]) -> bool {
    let steps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let (least, most) = steps.fold((f64::MAX, 0.0f64), |(a, b), step| (a.min(step), b.max(step)));
    most > 1.02 * least
}

fn column(batch: &RecordBatch, name: &str) -> Option<Vec<f64>> {
    let array = batch.column_by_name(name)?;
    // Numbers that are missing count as none.
    let values = numbers(array.as_ref());
    Some(values.into_iter().map(|value| if value.is_nan() { -1.0 } else { value }).collect())
}

fn flags(array: &arrow_array::ArrayRef) -> Vec<bool> {
    match array.as_boolean_opt() {
        Some(flags) => flags.iter().map(|flag| flag == Some(true)).collect(),
        None => numbers(array.as_ref()).into_iter().map(|value| value > 0.5).collect(),
    }
}

fn confidence(told: Option<&str>, labelled: bool) -> Confidence {
    match told {
        Some("inferred") => Confidence::Inferred,
        _ if labelled => Confidence::Given,
        _ => Confidence::None,
    }
}

fn fluorescence(told: &str) -> Fluorescence {
    [Fluorescence::Raw, Fluorescence::OverF20, Fluorescence::Normalised]
        .into_iter()
        .find(|kind| kind.name() == told)
        .unwrap_or_default()
}
