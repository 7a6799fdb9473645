//! EDF and BDF: signals of electrodes, in physical units, a unit each.
//!
//! Signals of another rate than most, and annotations, are left out with a warning.
//!
//! Source: Kemp et al. 1992, Electroenceph. clin. Neurophysiol. 82:391; BioSemi's 24-bit variant.
//! Memory: one block of records.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use ndarray::Array2;
use nissl_core::{Column, Error, IoContext, Result, Table};

use super::{Chunk, Import, Matrix, checked_shape, rows_in_block};

const HEAD: usize = 256;

struct Signal {
    label: String,
    /// Samples in a record.
    samples: usize,
    /// Physical value of a digital one: `offset + scale · digital`.
    scale: f64,
    offset: f64,
    annotations: bool,
}

pub(super) fn open(path: &Path, _settings: &Import) -> Result<Matrix> {
    let file = super::open_file(path)?;
    let length = file.metadata().at(path, "look at")?.len();
    let mut reader = BufReader::new(file);
    let mut head = [0; HEAD];
    reader.read_exact(&mut head).map_err(|_end| cut(path, length, HEAD as u64))?;
    let bytes = if head[0] == 0xff { 3 } else { 2 };
    let count = number(path, "number of signals", &head[252..256])?;
    let records = number(path, "number of records", &head[236..244])?;
    let duration = number(path, "duration of a record", &head[244..252])?;
    let whole = |value: f64| (1.0..=4096.0).contains(&value) && value.fract() == 0.0;
    if !whole(count) {
        return Err(Error::file(path, "number of signals", count, "1 to 4,096"));
    }
    if duration.is_nan() || duration <= 0.0 {
        return Err(Error::file(path, "duration of a record", duration, "more than 0 seconds"));
    }
    let count = count as usize;
    let mut fields = vec![0; count * HEAD];
    reader
        .read_exact(&mut fields)
        .map_err(|_end| cut(path, length, (HEAD * (count + 1)) as u64))?;
    let signals = signals(path, &fields, count)?;
    let record: usize = signals.iter().map(|signal| signal.samples * bytes).sum();
    let begins = (HEAD * (count + 1)) as u64;
    let there = length.saturating_sub(begins) / record.max(1) as u64;
    // A recorder that was stopped leaves -1: as many as there are.
    let records = if records < 0.0 { there } else { records as u64 };
    if record == 0 || records == 0 || records > there {
        let found = format!("{there} records of {record} bytes");
        return Err(Error::file(path, "content", found, format!("{records} records, as it says"))
            .with_help("the file is cut off; copy it again from its source"));
    }
    let usual = usual(&signals);
    let kept: Vec<bool> = signals.iter().map(|s| s.samples == usual && !s.annotations).collect();
    for (signal, _) in signals.iter().zip(&kept).filter(|(_, kept)| !**kept) {
        tracing::warn!("signal `{}` has another rate or is no signal, left out", signal.label);
    }
    let names: Vec<String> = signals
        .iter()
        .zip(&kept)
        .filter(|(_, kept)| **kept)
        .map(|(signal, _)| signal.label.clone())
        .collect();
    let samples = records.saturating_mul(usual as u64);
    let (_, units) = checked_shape(path, samples, names.len() as u64)?;
    let together = (rows_in_block(units) / usual.max(1)).clamp(1, 1 << 16) as u64;
    let blocks = Blocks {
        path: path.to_owned(),
        reader,
        signals,
        kept,
        bytes,
        record,
        usual,
        rate: usual as f64 / duration,
        together,
        left: records,
        row: 0,
        units,
    };
    Ok(Matrix { units, names: Some(names), total: (samples, "samples"), chunks: Box::new(blocks) })
}

fn cut(path: &Path, found: u64, expected: u64) -> Error {
    Error::file(path, "content", format!("{found} bytes"), format!("a head of {expected}"))
        .with_help("the file is cut off; copy it again from its source")
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).trim_matches(['\0', ' ']).to_owned()
}

fn number(path: &Path, name: &str, field: &[u8]) -> Result<f64> {
    let text = text(field);
    text.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite())
        .ok_or_else(|| Error::file(path, name, format!("`{text}`"), "a number"))
}

fn signals(path: &Path, fields: &[u8], count: usize) -> Result<Vec<Signal>> {
    // Each kind of field stands for all signals before the next kind begins.
    let place = |before: usize, width: usize, at: usize| {
        let start = before * count + at * width;
        &fields[start..start + width]
    };
    (0..count)
        .map(|at| {
            let label = text(place(0, 16, at));
            let told = |what: &str| format!("{what} of signal `{label}`");
            let of = |what: &str, before: usize| number(path, &told(what), place(before, 8, at));
            let (low, high) = (of("physical minimum", 104)?, of("physical maximum", 112)?);
            let (least, most) = (of("digital minimum", 120)?, of("digital maximum", 128)?);
            let samples = of("samples in a record", 216)?;
            let annotations = label.ends_with("Annotations");
            if (most <= least || most.is_nan() || least.is_nan()) && !annotations {
                let found = format!("{least} to {most}");
                return Err(Error::file(path, told("digital range"), found, "a rising range"));
            }
            if !(0.0..=1e6).contains(&samples) || samples.fract() != 0.0 {
                let name = told("samples in a record");
                return Err(Error::file(path, name, samples, "0 to 1,000,000"));
            }
            let scale = if annotations { 0.0 } else { (high - low) / (most - least) };
            let (samples, offset) = (samples as usize, low - scale * least);
            Ok(Signal { label, samples, scale, offset, annotations })
        })
        .collect()
}

/// The samples in a record that most signals have; more where two are as frequent.
fn usual(signals: &[Signal]) -> usize {
    let counts = signals.iter().filter(|signal| !signal.annotations).map(|signal| signal.samples);
    let frequency = |samples: usize| signals.iter().filter(|s| s.samples == samples).count();
    counts.max_by_key(|&samples| (frequency(samples), samples)).unwrap_or(0)
}

struct Blocks {
    path: PathBuf,
    reader: BufReader<File>,
    signals: Vec<Signal>,
    kept: Vec<bool>,
    bytes: usize,
    record: usize,
    usual: usize,
    rate: f64,
    together: u64,
    left: u64,
    row: u64,
    units: usize,
}

impl Iterator for Blocks {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        let records = self.together.min(self.left) as usize;
        if records == 0 {
            return None;
        }
        let mut raw = vec![0; records * self.record];
        if let Err(error) = self.reader.read_exact(&mut raw) {
            self.left = 0;
            return Some(Err(Error::io(&self.path, "read", error)));
        }
        self.left -= records as u64;
        let rows = records * self.usual;
        let mut activity = Array2::zeros((rows, self.units));
        for (number, record) in raw.chunks_exact(self.record).enumerate() {
            let (mut at, mut unit) = (0, 0);
            for (signal, &kept) in self.signals.iter().zip(&self.kept) {
                let width = signal.samples * self.bytes;
                if kept {
                    for (sample, digital) in record[at..at + width].chunks(self.bytes).enumerate() {
                        let digital = match *digital {
                            [low, high] => i32::from(i16::from_le_bytes([low, high])),
                            // The sign of 24 bits is that of 32 after a shift.
                            [a, b, c] => i32::from_le_bytes([0, a, b, c]) >> 8,
                            _ => 0,
                        };
                        activity[[number * self.usual + sample, unit]] =
                            (signal.offset + signal.scale * f64::from(digital)) as f32;
                    }
                    unit += 1;
                }
                at += width;
            }
        }
        let first = self.row;
        self.row += rows as u64;
        let times = (first..self.row).map(|row| row as f64 / self.rate).collect();
        let samples = Table::new().with("time_s", Column::F64(times));
        Some(Ok(Chunk { activity, samples, progress: rows as u64 }))
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use nissl_core::Progress;
    use nissl_core::store::{Existing, write_bytes};

    use super::*;

    /// Two signals of four samples a record, one of two, and annotations; three records of 2 s.
    fn file(bytes: usize) -> Vec<u8> {
        let pad = |text: &str, width: usize| format!("{text:<width$}").into_bytes();
        let mut out = if bytes == 3 { b"\xffBIOSEMI".to_vec() } else { pad("0", 8) };
        out.extend(pad("patient", 80));
        out.extend(pad("recording", 80));
        out.extend(pad("01.01.2601.01.00", 16));
        out.extend(pad(&(256 * 5).to_string(), 8));
        out.extend(pad("", 44));
        out.extend(pad("3", 8));
        out.extend(pad("2", 8));
        out.extend(pad("4", 4));
        let each = |out: &mut Vec<u8>, width: usize, texts: [&str; 4]| {
            for text in texts {
                out.extend(pad(text, width));
            }
        };
        each(&mut out, 16, ["Fp1", "Cz", "slow", "EDF Annotations"]);
        each(&mut out, 80, [""; 4]);
        each(&mut out, 8, ["uV"; 4]);
        each(&mut out, 8, ["-100", "0", "0", "-1"]);
        each(&mut out, 8, ["100", "10", "1", "1"]);
        each(&mut out, 8, ["-1000", "0", "0", "-32768"]);
        each(&mut out, 8, ["1000", "100", "1", "32767"]);
        each(&mut out, 80, [""; 4]);
        each(&mut out, 8, ["4", "4", "2", "3"]);
        each(&mut out, 32, [""; 4]);
        for record in 0..3i32 {
            let first = (0..4).map(|t| -1000 + 10 * (4 * record + t));
            let second = (0..4).map(|t| 4 * record + t);
            for value in first.chain(second).chain([0; 5]) {
                out.extend(&value.to_le_bytes()[..bytes]);
            }
        }
        out
    }

    #[test]
    fn physical_values_of_both_widths_with_their_times() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in [("a.edf", 2), ("a.bdf", 3)] {
            let path = folder.path().join(name);
            write_bytes(&path, &file(bytes)).expect("writes");
            let out = folder.path().join(format!("{name}.rec"));
            let made = super::super::import(
                &path,
                &Import::default(),
                &out,
                Existing::Refuse,
                &Progress::silent(),
            );
            let recording = made.expect("imports");
            let names = recording.unit_table().texts("name").expect("names").to_vec();
            assert_eq!(names, ["Fp1", "Cz"], "{name}: other rates and annotations are left out");
            let rows = recording.rows(&[0, 5, 11]).expect("reads");
            assert_eq!(rows.column(0).to_vec(), [-100.0, -95.0, -89.0]);
            assert!((rows[[1, 1]] - 0.5).abs() < 1e-6 && (rows[[2, 1]] - 1.1).abs() < 1e-6);
            let times = recording.sample_columns(&["time_s"]).expect("times");
            assert_eq!(times.f64s("time_s").expect("times")[5], 2.5);
        }
    }

    #[test]
    fn what_is_cut_off_or_lies_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.edf");
        let whole = file(2);
        for cut in [8, 200, 300, 1279, 1280, whole.len() - 1] {
            write_bytes(&path, &whole[..cut]).expect("writes");
            assert!(super::super::matrix(&path, &Import::default()).is_err(), "{cut}");
        }
        for (at, text) in [(252, b"9999"), (244, b"0   "), (252, b"x   "), (256 + 480, b"5   ")] {
            let mut lying = whole.clone();
            lying[at..at + 4].copy_from_slice(text);
            write_bytes(&path, &lying).expect("writes");
            super::super::matrix(&path, &Import::default()).err();
        }
    }
}
