//! Kato 2015, Nichols 2017, Skora 2018, Kaplan 2020 and Uzel 2022: structs of arrays over worms.

use nissl_core::{Error, Result};

use super::Dataset;
use super::fields::{Fields, labels};
use crate::files::{Container, Value};
use crate::worm::raw::{Fluorescence, RawWorm};

/// The names of variables in their files.
const VARIABLES: &[(&str, Dataset)] = &[
    ("WT_Stim", Dataset::Kato2015),
    ("WT_NoStim", Dataset::Kato2015),
    ("n2_let", Dataset::Nichols2017),
    ("n2_prelet", Dataset::Nichols2017),
    ("npr1_let", Dataset::Nichols2017),
    ("npr1_prelet", Dataset::Nichols2017),
    ("WT_fasted", Dataset::Skora2018),
    ("WT_starved", Dataset::Skora2018),
    ("MNhisCl_RIShisCl", Dataset::Kaplan2020),
    ("RIShisCl", Dataset::Kaplan2020),
    ("SMDhisCl_RIShisCl", Dataset::Kaplan2020),
    ("Uzel_WT", Dataset::Uzel2022),
];

/// The fields of names, of traces and of times.
fn fields(dataset: Dataset) -> [&'static [&'static str]; 3] {
    match dataset {
        Dataset::Kato2015 => {
            [&["IDs", "NeuronNames"], &["traces", "deltaFOverF_bc"], &["timeVectorSeconds", "tv"]]
        }
        Dataset::Kaplan2020 => [&["neuron_ID"], &["traces_bleach_corrected"], &["time_vector"]],
        Dataset::Uzel2022 => [&["IDs"], &["traces"], &["tv"]],
        _ => [&["IDs"], &["traces"], &["timeVectorSeconds"]],
    }
}

pub(super) fn detect(names: &[String]) -> Option<Dataset> {
    let plain = |name: &str| name.trim_start_matches("Neuron2019_Data_").to_owned();
    let of = |name: &String| VARIABLES.iter().find(|(known, _)| *known == plain(name));
    names.iter().find_map(of).map(|&(_, dataset)| dataset)
}

pub(super) fn read(file: &Container, dataset: Dataset) -> Result<Vec<RawWorm>> {
    let [names, traces, times] = fields(dataset);
    // The variables that have the fields; a file may hold the fields themselves.
    let mut places: Vec<String> = Vec::new();
    for variable in file.names("")? {
        let inner = file.names(&variable)?;
        if traces.iter().any(|field| inner.iter().any(|name| name == field)) {
            places.push(variable);
        }
    }
    if places.is_empty() {
        places.push(String::new());
    }
    let mut worms = Vec::new();
    for place in &places {
        let fields = Fields::new(file, place);
        let (names_key, names) = fields.get(names)?;
        let (traces_key, traces) = fields.get(traces)?;
        let (times_key, times) = fields.get(times)?;
        let single = traces.numbers().is_some();
        let of = |value: &Value, at: usize| -> Option<Value> {
            if single { Some(value.clone()) } else { value.list().get(at).cloned() }
        };
        let count = if single { 1 } else { traces.list().len() };
        for at in 0..count {
            let part = |key: &str, value: &Value| {
                of(value, at).ok_or_else(|| {
                    let found = format!("{} entries", value.list().len());
                    Error::file(file.path(), key, found, format!("one for each of {count} worms"))
                })
            };
            let key = |key: &str| if single { key.to_owned() } else { format!("{key}, worm {at}") };
            let time = fields.vector(&key(&times_key), &part(&times_key, &times)?)?;
            let matrix = fields.matrix(&key(&traces_key), &part(&traces_key, &traces)?)?;
            let labels = labels(&part(&names_key, &names)?);
            let (rows, columns) = matrix.dim();
            if rows != time.len() {
                let (found, expected) =
                    (rows, format!("{}, the length of {times_key}", time.len()));
                return Err(Error::file(
                    file.path(),
                    format!("rows of {}", key(&traces_key)),
                    found,
                    expected,
                ));
            }
            if columns != labels.len() {
                let expected = format!("{columns}, the columns of {traces_key}");
                return Err(Error::file(file.path(), key(&names_key), labels.len(), expected));
            }
            let traces = matrix.reversed_axes().as_standard_layout().to_owned();
            let mut worm = RawWorm::new(traces, time, labels, Fluorescence::Relative);
            worm.file = file.path().display().to_string();
            worms.push(worm);
        }
    }
    Ok(worms)
}
