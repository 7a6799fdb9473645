//! Leifer 2023 (Randi et al.): three texts a worm, `N_gcamp.txt`, `N_labels.txt` and `N_t.txt`.
//!
//! Traces with a gap longer than a twentieth of the recording are left out, and traces of which more
//! than a thousandth of staggered windows of 50 samples are exactly linear: marks of interpolation.
//!
//! Differs: windows are looked at before gaps are filled, so that our own filling leaves no marks.

use std::path::Path;

use ndarray::{Array2, ArrayView1};
use nissl_core::{Error, IoContext, Result};

use crate::worm::raw::{Fluorescence, RawWorm};

const WINDOW: usize = 50;
const STEP: usize = 25;
const MOST_LINEAR: f64 = 1e-3;
const LONGEST_GAP: f64 = 0.05;
const MOST_BYTES: u64 = 1 << 30;

pub(super) fn read(path: &Path) -> Result<Vec<RawWorm>> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let Some(stem) = name.strip_suffix("_gcamp.txt") else {
        return Err(Error::file(
            path,
            "name",
            name,
            "N_gcamp.txt, beside N_labels.txt and N_t.txt",
        ));
    };
    let beside = |end: &str| path.with_file_name(format!("{stem}{end}"));
    let rows = rows(path)?;
    let columns = rows.first().map_or(0, Vec::len);
    if let Some(at) = rows.iter().position(|row| row.len() != columns) {
        let (place, found) = (format!("line {}", at + 1), format!("{} numbers", rows[at].len()));
        return Err(Error::file(path, place, found, format!("{columns}, as in the first line")));
    }
    let (time_file, label_file) = (beside("_t.txt"), beside("_labels.txt"));
    let time: Vec<f64> = self::rows(&time_file)?.concat();
    if time.len() != rows.len() {
        let expected = format!("{}, the lines of {name}", rows.len());
        return Err(Error::file(time_file, "times", time.len(), expected));
    }
    let text = text(&label_file)?;
    let mut labels: Vec<Option<String>> =
        text.lines().map(|line| line.split_whitespace().next().map(str::to_owned)).collect();
    if labels.len() < columns {
        let expected = format!("at least {columns}, the columns of {name}");
        return Err(Error::file(label_file, "labels", labels.len(), expected));
    }
    labels.truncate(columns);
    let traces = Array2::from_shape_vec((rows.len(), columns), rows.concat())
        .map_err(|error| Error::file(path, "content", error, "lines of equal length"))?;
    let traces = traces.reversed_axes().as_standard_layout().to_owned();
    let mut worm = RawWorm::new(traces, time, labels, Fluorescence::Raw);
    worm.leave_out_unmeasured();
    let reasons: Vec<Option<String>> = worm.traces.rows().into_iter().map(reason).collect();
    worm.leave_out(|row| reasons[row].clone());
    Ok(vec![worm])
}

/// Why a trace is not used.
fn reason(trace: ArrayView1<'_, f64>) -> Option<String> {
    let (mut gap, mut longest) = (0usize, 0usize);
    for value in trace {
        gap = if value.is_nan() { gap + 1 } else { 0 };
        longest = longest.max(gap);
    }
    if longest as f64 > LONGEST_GAP * trace.len() as f64 {
        return Some(format!("{longest} samples in a row are missing"));
    }
    let values = trace.to_vec();
    let windows: Vec<&[f64]> = values.windows(WINDOW).step_by(STEP).collect();
    let linear = windows.iter().filter(|window| is_linear(window)).count();
    (linear as f64 > MOST_LINEAR * windows.len() as f64)
        .then(|| format!("{linear} windows are straight lines, marks of interpolation"))
}

fn is_linear(window: &[f64]) -> bool {
    // Three decimals, as whole thousandths that can be compared exactly.
    let slope = |pair: &[f64]| {
        let slope = (pair[1] - pair[0]) * 1000.0;
        slope.is_finite().then(|| slope.round() as i64)
    };
    let first = slope(&window[..2]);
    first.is_some() && window.windows(2).all(|pair| slope(pair) == first)
}

fn text(path: &Path) -> Result<String> {
    let length = std::fs::metadata(path).at(path, "look at")?.len();
    if length > MOST_BYTES {
        return Err(Error::file(path, "size", length, format!("at most {MOST_BYTES} bytes")));
    }
    std::fs::read_to_string(path).at(path, "read")
}

fn rows(path: &Path) -> Result<Vec<Vec<f64>>> {
    let text = text(path)?;
    let rows: Vec<Vec<f64>> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| {
            line.split_whitespace()
                .map(|field| {
                    field.parse().map_err(|_error| {
                        Error::file(path, format!("line {}", at + 1), field, "a number or nan")
                    })
                })
                .collect()
        })
        .collect::<Result<_>>()?;
    if rows.is_empty() {
        return Err(Error::file(path, "content", "without a line", "numbers"));
    }
    Ok(rows)
}
