//! One recording, or a sequence of one, as an animal before it is brought together with others.

use std::collections::BTreeMap;
use std::path::Path;

use nissl_core::{Column, Error, Recording, Result, Table};

use super::animals::{Gaps, Reading, Window};

/// Seconds between samples that are plausible.
const PLAUSIBLE: [f64; 2] = [1e-5, 60.0];
/// Share of the time between samples by which it may vary within a recording, and between recordings.
const JITTER: f64 = 0.1;
const DRIFT: f64 = 1e-3;

/// One animal as it was recorded.
pub(super) struct Raw {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) traces: BTreeMap<String, Vec<f32>>,
    pub(super) samples: usize,
    /// Seconds between samples.
    pub(super) dt: f64,
    /// The time of the first sample, which moves with the zero.
    pub(super) start: f64,
    pub(super) windows: Vec<Window>,
}

impl Raw {
    pub(super) fn whole(recording: &Recording) -> Result<Self> {
        let path = recording.path();
        let name = path
            .file_name()
            .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        let names = unit_names(recording)?;
        let rows: Vec<usize> = (0..recording.samples()).collect();
        Self::of(recording, name, &names, &rows)
    }

    pub(super) fn sequences(recording: &Recording) -> Result<Vec<Self>> {
        let names = unit_names(recording)?;
        let mut rows: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (row, sequence) in recording.sequences()?.into_iter().enumerate() {
            rows.entry(sequence).or_default().push(row);
        }
        rows.into_iter()
            .map(|(number, rows)| Self::of(recording, format!("sequence {number}"), &names, &rows))
            .collect()
    }

    fn of(recording: &Recording, name: String, names: &[String], rows: &[usize]) -> Result<Self> {
        let path = recording.path().display().to_string();
        let columns = recording.sample_column_names()?;
        let times = if columns.iter().any(|column| column == "time_s") {
            times(&recording.sample_columns(&["time_s"])?.take(rows), recording.path())?
        } else {
            // An artificial network: one sample a step.
            (0..rows.len()).map(|row| row as f64).collect()
        };
        let dt = interval(&times, recording.path())?;
        let activity = recording.rows(rows)?;
        let mut traces = BTreeMap::new();
        for (unit, (name, trace)) in names.iter().zip(activity.columns()).enumerate() {
            if name.is_empty() || trace.iter().all(|value| value.is_nan()) {
                continue;
            }
            if let Some(at) = trace.iter().position(|value| value.is_infinite()) {
                let (sample, unit) = (rows[at] as u64, unit as u64);
                return Err(Error::NotFinite { sample, unit, found: trace[at] });
            }
            traces.insert(name.clone(), trace.to_vec());
        }
        // Times count from the first sample, so that recordings which began at another hour fit together.
        let first = times[0];
        let wanted: Vec<&str> = columns
            .iter()
            .map(String::as_str)
            .filter(|column| column.starts_with("stimulus"))
            .collect();
        let windows = if wanted.is_empty() {
            Vec::new()
        } else {
            windows(&recording.sample_columns(&wanted)?.take(rows), &times, dt)
        };
        let windows = windows.into_iter().map(|mut window| {
            window.start -= first;
            window.end -= first;
            window
        });
        let windows = windows.collect();
        Ok(Self { name, path, traces, samples: rows.len(), dt, start: 0.0, windows })
    }

    fn end(&self) -> f64 {
        self.start + self.samples as f64 * self.dt
    }

    pub(super) fn add_window(&mut self, window: &Window) -> Result<()> {
        let inside = window.start >= self.start - self.dt && window.end <= self.end() + self.dt;
        if inside && window.start < window.end {
            self.windows.push(window.clone());
            return Ok(());
        }
        let found = format!("`{}` from {} to {} s", window.name, window.start, window.end);
        let expected = format!("within {} to {} s of {}", self.start, self.end(), self.path);
        Err(Error::setting("stimuli", found, expected)
            .with_help("times are seconds from the first sample of a recording"))
    }

    pub(super) fn align(&mut self, name: &str) -> Result<()> {
        let onsets = self.windows.iter().filter(|window| window.name == name);
        let first = onsets.map(|window| window.start).fold(f64::INFINITY, f64::min);
        if !first.is_finite() {
            let mut known: Vec<&str> = self.windows.iter().map(|w| w.name.as_str()).collect();
            known.dedup();
            let expected = if known.is_empty() {
                "a stimulus, of which the recording tells none".to_owned()
            } else {
                format!("one of {}", known.join(", "))
            };
            return Err(Error::file(&self.path, "align", name, expected));
        }
        self.start -= first;
        for window in &mut self.windows {
            window.start -= first;
            window.end -= first;
        }
        Ok(())
    }

    pub(super) fn close_gaps(&mut self, neurons: &[String], gaps: Gaps) -> Result<()> {
        let mut dropped = Vec::new();
        for (name, trace) in &mut self.traces {
            let Some(at) = trace.iter().position(|value| value.is_nan()) else { continue };
            if neurons.binary_search(name).is_err() {
                continue;
            }
            match gaps {
                Gaps::Refuse => {
                    let field = format!("activity of {name}");
                    return Err(Error::file(&self.path, field, format!("NaN at sample {at}"),
                        "numbers throughout, or NaN throughout for a neuron that is missing")
                    .with_help("--gaps fill draws straight lines, --gaps drop leaves the neuron out of that animal"));
                }
                Gaps::Drop => dropped.push(name.clone()),
                Gaps::Fill => fill(trace),
            }
        }
        for name in dropped {
            self.traces.remove(&name);
        }
        Ok(())
    }
}

/// Straight lines over gaps, and the nearest number at the ends.
fn fill(trace: &mut [f32]) {
    let known: Vec<usize> = (0..trace.len()).filter(|&at| !trace[at].is_nan()).collect();
    for at in 0..trace.len() {
        if !trace[at].is_nan() {
            continue;
        }
        let after = known.partition_point(|&place| place < at);
        trace[at] = match (after.checked_sub(1).map(|n| known[n]), known.get(after)) {
            (Some(from), Some(&to)) => {
                let share = (at - from) as f32 / (to - from) as f32;
                trace[from] + share * (trace[to] - trace[from])
            }
            (Some(only), None) | (None, Some(&only)) => trace[only],
            (None, None) => 0.0,
        };
    }
}

/// The name of each unit: `name`, else site and index.
fn unit_names(recording: &Recording) -> Result<Vec<String>> {
    let table = recording.unit_table();
    let names = if let Some(Column::Text(names)) = table.get("name") {
        names.clone()
    } else {
        let sites = table.texts("site")?;
        let index = table.u32s("index")?;
        sites.iter().zip(index).map(|(site, index)| format!("{site}:{index}")).collect()
    };
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (unit, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        if let Some(first) = seen.insert(name, unit) {
            let found = format!("`{name}` for units {first} and {unit}");
            return Err(Error::file(
                recording.path().join("units.parquet"),
                "name",
                found,
                "a name of its own for each unit",
            ));
        }
    }
    Ok(names)
}

fn times(table: &Table, path: &Path) -> Result<Vec<f64>> {
    let times: Vec<f64> = match table.get("time_s") {
        Some(Column::F32(times)) => times.iter().map(|&time| f64::from(time)).collect(),
        _ => table.f64s("time_s")?.to_vec(),
    };
    match times.iter().position(|time| !time.is_finite()) {
        None => Ok(times),
        Some(at) => Err(Error::file(
            path.join("samples.parquet"),
            "time_s",
            format!("{} at sample {at}", times[at]),
            "seconds",
        )),
    }
}

/// Seconds between samples.
fn interval(times: &[f64], path: &Path) -> Result<f64> {
    let file = path.join("samples.parquet");
    if times.len() < 3 {
        return Err(Error::file(file, "rows", times.len(), "three samples or more"));
    }
    let steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    if let Some(at) = steps.iter().position(|&step| step <= 0.0) {
        let found = format!("{} after {} at sample {}", times[at + 1], times[at], at + 1);
        return Err(Error::file(file, "time_s", found, "times that rise from sample to sample"));
    }
    let mut sorted = steps.clone();
    sorted.sort_by(f64::total_cmp);
    let dt = sorted[sorted.len() / 2];
    let [least, most] = PLAUSIBLE;
    if !(least..=most).contains(&dt) {
        return Err(Error::file(
            file,
            "time_s",
            format!("{dt} s from sample to sample"),
            format!("{least} to {most} s"),
        )
        .with_help("time_s is in seconds; were these milliseconds?"));
    }
    match steps.iter().position(|step| (step - dt).abs() > JITTER * dt) {
        None => Ok((times[times.len() - 1] - times[0]) / steps.len() as f64),
        Some(at) => Err(Error::file(
            file,
            "time_s",
            format!("a step of {} s at sample {}, {dt} s elsewhere", steps[at], at + 1),
            "even steps",
        )
        .with_help("resample the recording to a common grid of time")),
    }
}

pub(super) fn common_interval(raw: &[Raw]) -> Result<f64> {
    let first = &raw[0];
    match raw.iter().find(|one| (one.dt - first.dt).abs() > DRIFT * first.dt) {
        None => Ok(first.dt),
        Some(other) => Err(Error::file(
            &other.path,
            "time_s",
            format!("{} s from sample to sample", other.dt),
            format!("{} s, as in {}", first.dt, first.path),
        )
        .with_help("resample the recordings to a common grid of time")),
    }
}

/// Neurons that enough animals have, sorted by name.
pub(super) fn common_neurons(raw: &[Raw], reading: &Reading) -> Result<Vec<String>> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for name in raw.iter().flat_map(|one| one.traces.keys()) {
        *counts.entry(name).or_default() += 1;
    }
    if reading.min_animals == 0 {
        return Err(Error::setting("min_animals", 0, "at least 1"));
    }
    let least = reading.min_animals.min(raw.len());
    let neurons: Vec<String> = counts
        .iter()
        .filter(|(_, count)| **count >= least)
        .map(|(name, _)| (*name).clone())
        .collect();
    if neurons.len() < 2 {
        let found = format!("{} in {least} animals or more", neurons.len());
        return Err(Error::setting("common neurons", found, "two or more").with_help(
            "units are matched by the column `name` of units.parquet, or by site and index without it",
        ));
    }
    Ok(neurons)
}

/// The windows that the stimulus columns of a sample table tell.
fn windows(table: &Table, times: &[f64], dt: f64) -> Vec<Window> {
    let mut out = Vec::new();
    for (name, column) in table.columns() {
        let own = name.trim_start_matches("stimulus").trim_start_matches(['_', '.', ':']);
        let own = if own.is_empty() { "stimulus" } else { own };
        let number = |on: bool| if on { own.to_owned() } else { String::new() };
        let states: Vec<String> = match column {
            Column::Text(names) => names
                .iter()
                .map(|name| if name == "none" { String::new() } else { name.clone() })
                .collect(),
            Column::Bool(on) => on.iter().map(|&on| number(on)).collect(),
            Column::F32(on) => on.iter().map(|&on| number(on > 0.0)).collect(),
            Column::F64(on) => on.iter().map(|&on| number(on > 0.0)).collect(),
            Column::U32(on) => on.iter().map(|&on| number(on > 0)).collect(),
            _ => continue,
        };
        let mut from = 0;
        for at in 1..=states.len() {
            if at < states.len() && states[at] == states[from] {
                continue;
            }
            if !states[from].is_empty() {
                let (start, end) = (times[from], times[at - 1] + dt);
                out.push(Window { name: states[from].clone(), start, end });
            }
            from = at;
        }
    }
    out.sort_by(|a, b| a.start.total_cmp(&b.start).then_with(|| a.name.cmp(&b.name)));
    out
}
