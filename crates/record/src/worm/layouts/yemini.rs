//! Yemini 2021: one struct for many worms, each neuron with its traces in all of them.
//!
//! The traces of a class stand first for all left, then for all right neurons; `is_L` is 1 for left,
//! 0 for right, and NaN for neurons without a partner. The first four samples are dropped.

use ndarray::Array2;
use nissl_core::{Error, Result};

use super::fields::{Fields, labels};
use crate::files::Container;
use crate::worm::raw::{Fluorescence, RawWorm};

const DROPPED: usize = 4;

pub(super) fn read(file: &Container) -> Result<Vec<RawWorm>> {
    let fields = Fields::new(file, "");
    let fps_key = "fps";
    let fps = fields.get(&[fps_key])?.1;
    let fps = fields.vector(fps_key, &fps)?;
    let files = fields.get(&["files"])?.1;
    let count = files.list().len();
    let rate = |worm: usize| fps.get(worm).or(fps.first()).copied().filter(|&rate| rate > 0.0);
    if count == 0 || (0..count).any(|worm| rate(worm).is_none()) {
        let found = format!("{fps:?} for {count} files");
        return Err(Error::file(
            file.path(),
            fps_key,
            found,
            "a positive rate, or one for each file",
        ));
    }
    let classes = labels(&fields.get(&["neurons"])?.1);
    let sides = fields.get(&["is_L"])?.1;
    let traces = fields.get(&["norm_traces"])?.1;
    for (key, found) in [("is_L", sides.list().len()), ("norm_traces", traces.list().len())] {
        if found != classes.len() {
            let expected = format!("{}, the length of neurons", classes.len());
            return Err(Error::file(file.path(), key, found, expected));
        }
    }
    let mut worms: Vec<Vec<(String, Vec<f64>)>> = vec![Vec::new(); count];
    for (at, class) in classes.iter().enumerate() {
        let key = format!("norm_traces, neuron {at}");
        let sides = fields.vector(&format!("is_L, neuron {at}"), &sides.list()[at])?;
        let entries = traces.list()[at].list();
        if entries.len() % count != 0 || entries.len() > 2 * count {
            let expected = format!("{count} or {}, once or twice the files", 2 * count);
            return Err(Error::file(file.path(), key, entries.len(), expected));
        }
        for (entry, trace) in entries.iter().enumerate() {
            let trace = fields.vector(&key, trace)?;
            if trace.is_empty() || trace.iter().all(|value| value.is_nan()) {
                continue;
            }
            // One side for all entries, or one for each.
            let side = sides.get(entry).or(sides.first()).copied().unwrap_or(f64::NAN);
            let side = if side.is_nan() {
                ""
            } else if side > 0.5 {
                "L"
            } else {
                "R"
            };
            let label = class.as_ref().map_or_else(String::new, |class| format!("{class}{side}"));
            worms[entry % count].push((label, trace));
        }
    }
    let names = labels(&files);
    let mut read = Vec::new();
    for (worm, neurons) in worms.into_iter().enumerate() {
        let Some(samples) = neurons.iter().map(|(_, trace)| trace.len()).max() else { continue };
        if let Some((label, trace)) = neurons.iter().find(|(_, trace)| trace.len() != samples) {
            let key = format!("norm_traces of {label}, file {worm}");
            return Err(Error::file(file.path(), key, trace.len(), format!("{samples} samples")));
        }
        let kept = samples.saturating_sub(DROPPED);
        let rate = rate(worm).unwrap_or(1.0);
        let time: Vec<f64> = (0..kept).map(|at| at as f64 / rate).collect();
        let values = neurons.iter().flat_map(|(_, trace)| trace[samples - kept..].to_vec());
        let traces =
            Array2::from_shape_vec((neurons.len(), kept), values.collect()).map_err(|error| {
                Error::file(file.path(), "norm_traces", error, "traces of one length")
            })?;
        let labels = neurons.into_iter().map(|(label, _)| Some(label)).collect();
        let mut raw = RawWorm::new(traces, time, labels, Fluorescence::Normalised);
        let name = names.get(worm).cloned().flatten().unwrap_or_else(|| worm.to_string());
        raw.file = format!("{}#{name}", file.path().display());
        read.push(raw);
    }
    Ok(read)
}
