//! Dag 2023: HDF5 with traces, and a JSON file beside it with the labels of all recordings.

use nissl_core::{Error, Result};

use super::fields::{Fields, neurons_first};
use crate::files::{Container, Value};
use crate::worm::raw::{Fluorescence, RawWorm};

const LABELS: &str = "NeuroPAL_labels_dict.json";

pub(super) fn read(file: &Container) -> Result<Vec<RawWorm>> {
    let fields = Fields::new(file, "");
    let (time_key, time) = fields.get(&["timing/timestamp_confocal"])?;
    let time = fields.vector(&time_key, &time)?;
    let (key, traces) = fields.get(&["gcamp/traces_array_F_F20"])?;
    let matrix = fields.matrix(&key, &traces)?;
    let shape = matrix.dim();
    let traces = neurons_first(matrix, time.len()).ok_or_else(|| {
        let found = format!("{} × {}", shape.0, shape.1);
        Error::file(file.path(), key, found, format!("{} samples, as {time_key}", time.len()))
    })?;
    let beside = file.path().with_file_name(LABELS);
    let all = Container::open(&beside)?;
    let stem =
        file.path().file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    // The key of a recording is its stem, perhaps without what follows the name of the data.
    let keys = all.names("")?;
    let mut near: Vec<&String> =
        keys.iter().filter(|key| stem == **key || stem.starts_with(key.as_str())).collect();
    near.sort_by_key(|key| std::cmp::Reverse(key.len()));
    let Some(map) = near.first().map(|key| all.read(key)).transpose()?.flatten() else {
        return Err(all.without(&stem));
    };
    let labels = numbered(&map, traces.nrows());
    Ok(vec![RawWorm::new(traces, time, labels, Fluorescence::OverF20)])
}

/// The labels of `neurons` neurons in a map from their numbers, from 1, to `{"label": …}`.
pub(super) fn numbered(map: &Value, neurons: usize) -> Vec<Option<String>> {
    (1..=neurons)
        .map(|number| {
            let entry = map.at(&number.to_string())?;
            let label = entry.at("label").or(Some(entry))?.text()?.trim();
            (!label.is_empty()).then(|| label.to_owned())
        })
        .collect()
}
