//! Flavell 2023 (Atanas et al.): JSON or HDF5 with traces, labels by number, and behaviour.

use nissl_core::{Error, Result};

use super::dag::numbered;
use super::fields::Fields;
use crate::files::{Container, Value};
use crate::worm::raw::{Fluorescence, RawWorm};

/// What else may stand in the file: a name and where its values are.
const BEHAVIOUR: &[&str] = &[
    "velocity",
    "worm_curvature",
    "body_curvature",
    "head_curvature",
    "head_angle",
    "angular_velocity",
    "pumping",
    "reversal_vec",
];

pub(super) fn read(file: &Container) -> Result<Vec<RawWorm>> {
    let fields = Fields::new(file, "");
    let (time_key, time) = fields.get(&["timestamp_confocal", "timing/timestamp_confocal"])?;
    let time = fields.vector(&time_key, &time)?;
    let (key, traces) = fields.get(&["trace_array", "gcamp/trace_array"])?;
    let traces = fields.matrix(&key, &traces)?;
    if traces.ncols() != time.len() {
        let found = format!("{} samples of {} neurons", traces.ncols(), traces.nrows());
        let expected = format!("{} samples, as {time_key}", time.len());
        return Err(Error::file(file.path(), key, found, expected));
    }
    let (_, labels) = fields.get(&["labeled", "gcamp/labeled", "neuropal/labeled"])?;
    let labels = numbered(&labels, traces.nrows());
    let mut worm = RawWorm::new(traces, time, labels, Fluorescence::Normalised);
    for name in BEHAVIOUR {
        let found = fields.find(&[name, &format!("behavior/{name}")])?;
        let values = found.as_ref().and_then(|(_, value)| Value::vector(value));
        if let Some(values) = values.filter(|values| values.len() == worm.time.len()) {
            worm.behaviour.push(((*name).to_owned(), values));
        }
    }
    Ok(vec![worm])
}
