//! A worm in the common form as a Recording: neurons are units, NaN is what was not measured.
//!
//! Memory: one worm.

use std::path::Path;

use ndarray::Array2;
use nissl_core::recording::{RecordingPlan, Source};
use nissl_core::store::{Existing, Input, Provenance};
use nissl_core::{Column, Error, Recording, RecordingWriter, Result, Table};
use serde::Serialize;

use super::form::{Worm, WormNeuron};
use super::layouts::Dataset;
use super::neurons::{neuron, slots};

/// The site of all units.
pub const SITE: &str = "brain";

/// The units of a worm's neurons.
pub fn unit_table(neurons: &[WormNeuron]) -> Table {
    let numbers: Vec<u32> = (0..neurons.len() as u32).collect();
    let text = |of: &dyn Fn(&WormNeuron) -> String| Column::Text(neurons.iter().map(of).collect());
    let known = |n: &WormNeuron| if n.labelled { neuron(&n.name) } else { None };
    let axis = |axis: usize| {
        let of = |n: &WormNeuron| known(n).map_or(f32::NAN, |known| known.position[axis]);
        Column::F32(neurons.iter().map(of).collect())
    };
    Table::new()
        .with("unit", Column::U32(numbers.clone()))
        .with("site", Column::Text(vec![SITE.to_owned(); neurons.len()]))
        .with("index", Column::U32(numbers))
        .with("name", text(&|n| n.name.clone()))
        .with("type", text(&|n| known(n).map_or_else(String::new, |k| k.types.join(";"))))
        .with("class", text(&|n| known(n).map_or_else(String::new, |k| k.class.clone())))
        .with(
            "transmitter",
            text(&|n| known(n).map_or_else(String::new, |k| k.transmitters.join(";"))),
        )
        .with("x", axis(0))
        .with("y", axis(1))
        .with("z", axis(2))
        .with(
            "slot",
            Column::F32(
                neurons.iter().map(|n| n.slot.map_or(f32::NAN, |slot| slot as f32)).collect(),
            ),
        )
        .with("labelled", Column::Bool(neurons.iter().map(|n| n.labelled).collect()))
        .with("label_raw", text(&|n| n.raw.clone()))
        .with("label_confidence", text(&|n| n.confidence.name().to_owned()))
        .with("imputed_fraction", Column::F32(neurons.iter().map(|n| n.imputed).collect()))
}

/// The samples of a worm: time, what was shown, and what the animal did.
pub fn sample_table(worm: &Worm, sequence: u32) -> Table {
    let samples = worm.time.len();
    let mut table = Table::new()
        .with("sequence", Column::U32(vec![sequence; samples]))
        .with("position", Column::U32((0..samples as u32).collect()))
        .with("time_s", Column::F64(worm.time.clone()));
    if !worm.stimuli.is_empty() {
        let shown = |time: &f64| {
            let now = worm.stimuli.iter().filter(|s| (s.begin..s.end).contains(time));
            now.map(|stimulus| stimulus.name.as_str()).collect::<Vec<_>>().join("+")
        };
        table = table.with("stimulus", Column::Text(worm.time.iter().map(shown).collect()));
    }
    for (name, values) in &worm.behaviour {
        let values = values.iter().map(|&value| value as f32).collect();
        table = table.with(format!("behaviour.{name}"), Column::F32(values));
    }
    table
}

impl Worm {
    /// The same worm with all 300 neurons in the order of their slots; those not recorded are NaN.
    ///
    /// Unlabelled neurons are left out, unless they were given a slot.
    #[must_use]
    pub fn aligned(&self) -> Self {
        let spread = |from: &Array2<f32>| {
            let mut to = Array2::from_elem((slots().len(), from.ncols()), f32::NAN);
            for (neuron, row) in self.neurons.iter().zip(from.rows()) {
                if let Some(slot) = neuron.slot {
                    to.row_mut(slot).assign(&row);
                }
            }
            to
        };
        let mut neurons: Vec<WormNeuron> = slots()
            .iter()
            .enumerate()
            .map(|(slot, name)| WormNeuron {
                name: (*name).to_owned(),
                slot: Some(slot),
                labelled: true,
                raw: String::new(),
                confidence: super::Confidence::None,
                imputed: f32::NAN,
            })
            .collect();
        for neuron in &self.neurons {
            if let Some(slot) = neuron.slot {
                neurons[slot] = neuron.clone();
            }
        }
        Self {
            neurons,
            calcium: spread(&self.calcium),
            signals: self.signals.iter().map(|(s, values)| (*s, spread(values))).collect(),
            original: if self.original.is_empty() {
                Array2::zeros((0, 0))
            } else {
                spread(&self.original)
            },
            ..self.clone()
        }
    }

    /// `[time, slot]` with zeros for what was not measured, and where something was.
    pub fn matrix(&self) -> (Array2<f32>, Array2<bool>) {
        let aligned = self.aligned();
        let values = aligned.calcium.t();
        let mask = values.map(|value| value.is_finite());
        (values.map(|&value| if value.is_finite() { value } else { 0.0 }), mask)
    }
}

/// Writes `worm` as a recording in `folder`; `config` and `inputs` tell how it was made.
///
/// # Errors
/// A folder that `existing` protects, or a failed file operation.
pub fn write(
    worm: &Worm,
    folder: &Path,
    config: &impl Serialize,
    inputs: &[Input],
    existing: Existing,
) -> Result<Recording> {
    let mut writer = begin(&worm.neurons, &described(worm), config, inputs, folder, existing)?;
    writer.push(worm.calcium.t(), sample_table(worm, 0))?;
    writer.finish()
}

/// What is known of a worm besides its numbers.
pub(super) fn described(worm: &Worm) -> serde_json::Value {
    serde_json::json!({
        "dataset": worm.dataset,
        "worm": worm.worm,
        "file": worm.file,
        "units": worm.fluorescence,
        "citation": Dataset::called(&worm.dataset).map(Dataset::citation),
        "left_out": worm.left_out,
    })
}

pub(super) fn begin(
    neurons: &[WormNeuron],
    about: &serde_json::Value,
    config: &impl Serialize,
    inputs: &[Input],
    folder: &Path,
    existing: Existing,
) -> Result<RecordingWriter> {
    let source = Source {
        importer: Some("worm".to_owned()),
        files: inputs.iter().map(|input| input.path.clone()).collect(),
        ..Source::default()
    };
    let config = serde_json::json!({"method": config, "worm": about});
    let mut provenance = Provenance::here(&config, 0, "cpu");
    provenance.inputs = inputs.to_vec();
    if neurons.is_empty() {
        return Err(Error::Empty {
            what: "the worm".to_owned(),
            expected: "at least one neuron".to_owned(),
        });
    }
    RecordingWriter::create(
        folder,
        RecordingPlan::new(unit_table(neurons), source, provenance),
        existing,
    )
}

/// The worm in a recording that [`write`] made; raw traces are not in it.
///
/// # Errors
/// A recording of something else.
pub fn read(recording: &Recording) -> Result<Worm> {
    let config = &recording.manifest().provenance.config;
    let about = config.get("worm").filter(|about| about.get("dataset").is_some());
    let Some(about) = about else {
        return Err(Error::NotAnArtefact {
            path: recording.path().display().to_string(),
            expected: "recording of one worm".to_owned(),
            found: "its manifest tells of no worm".to_owned(),
            help: Some("make one with `nissl import worm FILES -o FOLDER`".to_owned()),
        });
    };
    let text = |key: &str| about.get(key).and_then(|v| v.as_str()).unwrap_or("").to_owned();
    let method = |key: &str| {
        let method = config.pointer(&format!("/method/homogenise/{key}"));
        method.and_then(|value| value.as_str()).unwrap_or("").to_owned()
    };
    let table = recording.unit_table();
    let (names, raw) = (table.texts("name")?, table.texts("label_raw")?);
    let (slot, labelled) = (table.f32s("slot")?, table.bools("labelled")?);
    let (sure, imputed) = (table.texts("label_confidence")?, table.f32s("imputed_fraction")?);
    let neurons = (0..table.rows()).map(|row| WormNeuron {
        name: names[row].clone(),
        slot: (slot[row] >= 0.0).then_some(slot[row] as usize),
        labelled: labelled[row],
        raw: raw[row].clone(),
        confidence: match sure[row].as_str() {
            "given" => super::Confidence::Given,
            "inferred" => super::Confidence::Inferred,
            _ => super::Confidence::None,
        },
        imputed: imputed[row],
    });
    let mut values = Vec::with_capacity(recording.samples() * recording.units());
    for block in recording.blocks(8192) {
        values.extend(block?.activity);
    }
    let calcium = Array2::from_shape_vec((recording.samples(), recording.units()), values)
        .map_err(|error| Error::setting("activity", error, "one value for each unit and sample"))?;
    Ok(Worm {
        dataset: text("dataset"),
        worm: text("worm"),
        file: text("file"),
        neurons: neurons.collect(),
        calcium: calcium.reversed_axes().as_standard_layout().to_owned(),
        signals: Vec::new(),
        time: recording.sample_columns(&["time_s"])?.f64s("time_s")?.to_vec(),
        original: Array2::zeros((0, 0)),
        original_time: Vec::new(),
        fluorescence: about
            .get("units")
            .and_then(|units| serde_json::from_value(units.clone()).ok())
            .unwrap_or_default(),
        methods: [method("smoothing"), method("interpolation"), method("normalisation")],
        stimuli: Vec::new(),
        behaviour: Vec::new(),
        left_out: Vec::new(),
    })
}
