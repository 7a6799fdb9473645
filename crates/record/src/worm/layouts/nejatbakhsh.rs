//! Nejatbakhsh 2020: NWB, four samples a second.

use nissl_core::{Error, Result};

use super::fields::{Fields, labels};
use crate::files::{Container, Value};
use crate::worm::raw::{Fluorescence, RawWorm};

const RATE: f64 = 4.0;

pub(super) fn read(file: &Container) -> Result<Vec<RawWorm>> {
    let fields = Fields::new(file, "processing/CalciumActivity");
    let (key, data) = fields.get(&["SignalRawFluor/SignalCalciumImResponseSeries/data"])?;
    let matrix = fields.matrix(&key, &data)?;
    let (names_key, names) = fields.get(&["NeuronIDs/labels", "NeuronIDs"])?;
    let labels = match &names {
        // The labels of a series may be one list in a list.
        Value::List(parts) if parts.len() == 1 && matches!(parts[0], Value::List(_)) => {
            labels(&parts[0])
        }
        names => labels(names),
    };
    if labels.len() != matrix.ncols() {
        let expected = format!("{}, the columns of {key}", matrix.ncols());
        return Err(Error::file(file.path(), names_key, labels.len(), expected));
    }
    let time = (0..matrix.nrows()).map(|at| at as f64 / RATE).collect();
    let traces = matrix.reversed_axes().as_standard_layout().to_owned();
    let mut worm = RawWorm::new(traces, time, labels, Fluorescence::Raw);
    worm.leave_out_unmeasured();
    Ok(vec![worm])
}
