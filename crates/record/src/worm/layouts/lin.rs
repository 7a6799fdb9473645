//! Lin 2023: a few neurons a worm, those in use marked by flags.

use nissl_core::{Error, Result};

use super::fields::{Fields, labels};
use crate::files::{Container, Value};
use crate::worm::raw::{Fluorescence, RawWorm};

pub(super) fn read(file: &Container) -> Result<Vec<RawWorm>> {
    let fields = Fields::new(file, "");
    let (key, flags) = fields.get(&["use_flag"])?;
    let flags: Vec<bool> = fields.vector(&key, &flags)?.iter().map(|&flag| flag > 0.5).collect();
    let used: Vec<usize> = (0..flags.len()).filter(|&at| flags[at]).collect();
    let names = labels(&fields.get(&["proofread_neurons"])?.1);
    let (key, traces) = fields.get(&["corrected_F"])?;
    let traces = fields.matrix(&key, &traces)?;
    let (first_key, first) = fields.get(&["F_0"])?;
    let first = fields.vector(&first_key, &first)?;
    // Each may be told for all neurons, or for those in use.
    let rows = chosen(file, &key, traces.nrows(), &flags, &used)?;
    let mut traces = traces.select(ndarray::Axis(0), &rows);
    let names_at = chosen(file, "proofread_neurons", names.len(), &flags, &used)?;
    let first_at = chosen(file, &first_key, first.len(), &flags, &used)?;
    for (row, &from) in first_at.iter().enumerate() {
        if let Some(sample) = traces.row_mut(row).first_mut() {
            *sample = first[from];
        }
    }
    let (time_key, times) = fields.get(&["times"])?;
    let last = match &times {
        Value::Map(parts) => parts.last().map(|(_, value)| value.clone()),
        Value::List(parts) => parts.last().cloned(),
        Value::Numbers(numbers) => numbers.matrix().map(|times| {
            // Rows of times, of which the last counts, or the times themselves.
            let row =
                if times.ncols() == 1 { times.column(0) } else { times.row(times.nrows() - 1) };
            let values = row.to_vec();
            Value::Numbers(crate::files::Numbers { shape: vec![values.len()], values })
        }),
        _ => None,
    };
    let last =
        last.ok_or_else(|| fields.wrong(&time_key, &times, "times, the last of them used"))?;
    let time = fields.vector(&time_key, &last)?;
    let labels = names_at.into_iter().map(|at| names[at].clone()).collect();
    Ok(vec![RawWorm::new(traces, time, labels, Fluorescence::Raw)])
}

fn chosen(
    file: &Container,
    key: &str,
    found: usize,
    flags: &[bool],
    used: &[usize],
) -> Result<Vec<usize>> {
    if found == flags.len() {
        Ok(used.to_vec())
    } else if found == used.len() {
        Ok((0..found).collect())
    } else {
        let expected = format!("{}, the neurons, or {}, those in use", flags.len(), used.len());
        Err(Error::file(file.path(), key, found, expected))
    }
}
