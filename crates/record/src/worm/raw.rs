//! A recorded worm as a laboratory's file tells it, before anything is done to it.

use ndarray::Array2;
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// What the raw values of traces are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Fluorescence {
    /// The change over the baseline.
    #[default]
    #[serde(rename = "dF/F")]
    Relative,
    /// The fluorescence itself.
    #[serde(rename = "F")]
    Raw,
    /// Over the twentieth percentile of each neuron.
    #[serde(rename = "F/F20")]
    OverF20,
    /// Scaled by the laboratory.
    #[serde(rename = "normalised")]
    Normalised,
}

impl Fluorescence {
    /// Its name, as tables write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relative => "dF/F",
            Self::Raw => "F",
            Self::OverF20 => "F/F20",
            Self::Normalised => "normalised",
        }
    }
}

/// What was shown or given to the animal, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stimulus {
    /// What it was.
    pub name: String,
    /// Its begin, in seconds of the recording.
    pub begin: f64,
    /// Its end, in seconds of the recording.
    pub end: f64,
}

/// A neuron that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its column in the raw file, from 0.
    pub column: usize,
    /// Its name in the raw file; maybe empty.
    pub label: String,
    /// Why.
    pub reason: String,
}

/// A recorded worm as a file tells it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawWorm {
    /// The data set, such as `Kato2015`.
    pub dataset: String,
    /// The file it came from.
    pub file: String,
    /// `[neuron, time]`; missing samples are NaN.
    pub traces: Array2<f64>,
    /// The time of each sample in seconds.
    pub time: Vec<f64>,
    /// The name of each neuron in the file, where it has one.
    pub labels: Vec<Option<String>>,
    /// The column of each neuron in the file; unlabelled neurons are named by it.
    pub columns: Vec<usize>,
    /// What the values are.
    pub fluorescence: Fluorescence,
    /// What was shown or given.
    pub stimuli: Vec<Stimulus>,
    /// What the animal did: a name and a value for each sample.
    pub behaviour: Vec<(String, Vec<f64>)>,
    /// What the reader of the file left out.
    pub left_out: Vec<LeftOut>,
}

impl RawWorm {
    /// A worm of `traces` `[neuron, time]`, whose columns are numbered as they come.
    pub fn new(
        traces: Array2<f64>,
        time: Vec<f64>,
        labels: Vec<Option<String>>,
        fluorescence: Fluorescence,
    ) -> Self {
        let columns = (0..labels.len()).collect();
        Self { traces, time, labels, columns, fluorescence, ..Self::default() }
    }

    /// Leaves out the neurons that `reason` gives a reason for.
    pub fn leave_out(&mut self, reason: impl Fn(usize) -> Option<String>) {
        let reasons: Vec<Option<String>> = (0..self.labels.len()).map(reason).collect();
        let kept: Vec<usize> = (0..reasons.len()).filter(|&row| reasons[row].is_none()).collect();
        for (row, reason) in reasons.into_iter().enumerate() {
            if let Some(reason) = reason {
                let label = self.labels[row].clone().unwrap_or_default();
                self.left_out.push(LeftOut { column: self.columns[row], label, reason });
            }
        }
        self.traces = self.traces.select(ndarray::Axis(0), &kept);
        self.labels = kept.iter().map(|&row| self.labels[row].take()).collect();
        self.columns = kept.iter().map(|&row| self.columns[row]).collect();
    }

    /// Leaves out the neurons of which no sample was measured.
    pub fn leave_out_unmeasured(&mut self) {
        let rows = self.traces.rows();
        let empty = rows.into_iter().map(|row| row.iter().all(|value| !value.is_finite()));
        let empty: Vec<bool> = empty.collect();
        self.leave_out(|row| empty[row].then(|| "no sample was measured".to_owned()));
    }

    /// # Errors
    /// Parts that do not fit each other: a label a neuron, a time a sample.
    pub fn validate(&self) -> Result<()> {
        let (neurons, samples) = self.traces.dim();
        let told = |field: &str, found: usize, expected: String| {
            Err(Error::file(&self.file, field, found, expected))
        };
        if self.labels.len() != neurons || self.columns.len() != neurons {
            return told("labels", self.labels.len(), format!("one for each of {neurons} traces"));
        }
        if self.time.len() != samples {
            return told("time", self.time.len(), format!("one for each of {samples} samples"));
        }
        for (name, values) in &self.behaviour {
            if values.len() != samples {
                return told(name, values.len(), format!("one for each of {samples} samples"));
            }
        }
        Ok(())
    }
}
