//! A worm in the common form: what the pipeline makes and what the tables hold.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::labels::Confidence;
use super::raw::{Fluorescence, LeftOut, Stimulus};

/// What else is computed beside `calcium_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// Raw F, resampled.
    Raw,
    /// `dF/dt`, resampled, per second.
    Residual,
    /// Smoothed F, resampled.
    Smooth,
    /// Smoothed `dF/dt`, resampled, per second.
    SmoothResidual,
}

/// A neuron of a worm in the common form.
#[derive(Clone, Debug, PartialEq)]
pub struct WormNeuron {
    /// The neuron, or the column of the raw file as a decimal number.
    pub name: String,
    /// The place among the 300; none for unlabelled neurons.
    pub slot: Option<usize>,
    /// Whether it has a name.
    pub labelled: bool,
    /// The name in the raw file; maybe empty.
    pub raw: String,
    /// How sure the name is.
    pub confidence: Confidence,
    /// The fraction of its samples that were filled in.
    pub imputed: f32,
}

/// A worm in the common form.
#[derive(Clone, Debug, PartialEq)]
pub struct Worm {
    /// The data set, such as `Kato2015`.
    pub dataset: String,
    /// `worm0`, `worm1`, … within the data set.
    pub worm: String,
    /// The raw file.
    pub file: String,
    /// Its neurons: labelled ones by slot, then the others by column.
    pub neurons: Vec<WormNeuron>,
    /// Processed activity `[neuron, time]`; missing samples are NaN.
    pub calcium: Array2<f32>,
    /// The signals that were asked for, each `[neuron, time]`.
    pub signals: Vec<(Signal, Array2<f32>)>,
    /// The time of each sample in seconds from the start.
    pub time: Vec<f64>,
    /// Raw F `[neuron, time]`; empty when the source does not have it.
    pub original: Array2<f32>,
    /// The times of the raw samples in seconds from the start.
    pub original_time: Vec<f64>,
    /// What the raw values are.
    pub fluorescence: Fluorescence,
    /// How it was smoothed, resampled and normalised.
    pub methods: [String; 3],
    /// What was shown or given.
    pub stimuli: Vec<Stimulus>,
    /// What the animal did: a name and a value for each sample.
    pub behaviour: Vec<(String, Vec<f64>)>,
    /// Neurons that were left out.
    pub left_out: Vec<LeftOut>,
}

impl Worm {
    /// The number of labelled neurons.
    pub fn labelled(&self) -> usize {
        self.neurons.iter().filter(|neuron| neuron.labelled).count()
    }

    /// The row of the neuron called `name`.
    pub fn row(&self, name: &str) -> Option<usize> {
        self.neurons.iter().position(|neuron| neuron.name == name)
    }
}
