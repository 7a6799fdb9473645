//! Where a training stands, on disk: with it, an interrupted run ends in the same bytes.
//!
//! `training.unfinished` holds parameters, both moments, counters and figures, and the settings they
//! belong to. Memory: two copies of these.

use std::path::{Path, PathBuf};

use nissl_core::numbers::{Block, NumberFile, to_bytes};
use nissl_core::{Error, Result, store};
use serde_json::Value;

use super::parameters::{PARTS, Parameters, Scale};

/// The file of an interrupted training; ends as those that a killed run leaves behind.
pub const UNFINISHED: &str = "training.unfinished";

/// Figures of a training at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Samples up to here.
    pub samples: u64,
    /// Squared error, penalty and auxiliary losses, as a mean since the figures before.
    pub loss: f64,
    /// Squared error as a share of the variance of the target, since the figures before.
    pub fvu: f64,
    /// Active features of a sample, on average since the figures before.
    pub l0: f64,
    /// Share of the features that count as dead.
    pub dead: f64,
    /// The learning rate.
    pub rate: f64,
}

/// All that a training carries from step to step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub(super) parameters: Parameters,
    pub(super) first: Parameters,
    pub(super) second: Parameters,
    pub(super) input_scale: Scale,
    pub(super) target_scale: Scale,
    /// Steps done.
    pub(super) step: u64,
    /// Samples since each feature was active.
    pub(super) silent: Vec<u32>,
    /// Samples in which each was active since `counted` began.
    pub(super) fired: Vec<u32>,
    /// Samples over which `fired` counts.
    pub(super) counted: u64,
    /// The running mean of the least activation kept in a batch.
    pub(super) least: f64,
    /// Resamplings done.
    pub(super) resampled: u64,
    /// Sums since the last figures: samples, loss, squared error, squares of the target, activations.
    pub(super) sums: [f64; 5],
    pub(super) figures: Vec<Figures>,
}

impl State {
    pub(super) fn write(&self, folder: &Path, settings: &Value) -> Result<()> {
        let text: Vec<u32> = settings.to_string().bytes().map(u32::from).collect();
        let mut counters = vec![self.step as i64, self.counted as i64, self.resampled as i64];
        counters.extend([self.least].iter().chain(&self.sums).map(|value| value.to_bits() as i64));
        let figures: Vec<i64> = self
            .figures
            .iter()
            .flat_map(|it| {
                let rest = [it.loss, it.fvu, it.l0, it.dead, it.rate];
                std::iter::once(it.samples as i64).chain(rest.map(|value| value.to_bits() as i64))
            })
            .collect();
        let scales = [self.input_scale.scale, self.target_scale.scale];
        let mut blocks = vec![
            ("settings", Block::u32s(&text, &[text.len()])),
            ("counters", Block::i64s(&counters)),
            ("figures", Block::i64s(&figures)),
            ("scales", Block::f32s(&scales, &[2])),
            ("silent", Block::u32s(&self.silent, &[self.silent.len()])),
            ("fired", Block::u32s(&self.fired, &[self.fired.len()])),
        ];
        let mut named: Vec<(String, &Vec<f32>)> = vec![
            ("input_mean".to_owned(), &self.input_scale.mean),
            ("target_mean".to_owned(), &self.target_scale.mean),
        ];
        for (kind, parts) in self.kinds() {
            for (name, part) in PARTS.iter().zip(parts.parts()) {
                named.push((format!("{kind}.{name}"), part));
            }
        }
        for (name, part) in named.iter().filter(|(_, part)| !part.is_empty()) {
            blocks.push((name.as_str(), Block::f32s(part, &[part.len()])));
        }
        store::write_bytes(&file(folder), &to_bytes(&blocks)?)
    }

    fn kinds(&self) -> [(&'static str, &Parameters); 3] {
        [("parameters", &self.parameters), ("first", &self.first), ("second", &self.second)]
    }

    /// The state that an interrupted run left in `folder`; `like` is that of the beginning.
    ///
    /// # Errors
    /// Other settings than those of the interrupted run, or a file that is damaged.
    pub(super) fn read(folder: &Path, settings: &Value, like: &Self) -> Result<Option<Self>> {
        let path = file(folder);
        if !path.exists() {
            return Ok(None);
        }
        let file = NumberFile::open(&path)?;
        let numbers = |name: &str| -> Result<Vec<u32>> {
            file.u32s(name, 0, file.shape(name).map_or(0, |shape| shape[0]))
        };
        let text: Vec<u8> = numbers("settings")?.into_iter().map(|byte| byte as u8).collect();
        let before: Value = serde_json::from_slice(&text).unwrap_or_default();
        same(&path, &before, settings)?;
        let damaged = |field: &str| {
            Error::file(&path, field, "another number of values", "as many as at the start")
                .with_help("begin anew with --overwrite")
        };
        let fill = |name: &str, to: &mut [f32]| -> Result<()> {
            if to.is_empty() {
                return Ok(());
            }
            let count = file.shape(name).and_then(|shape| shape.first().copied()).unwrap_or(0);
            if count != to.len() {
                return Err(damaged(name));
            }
            to.copy_from_slice(&file.f32s(name, 0, count)?);
            Ok(())
        };
        let mut state = like.clone();
        let Self { parameters, first, second, .. } = &mut state;
        for (kind, parts) in [("parameters", parameters), ("first", first), ("second", second)] {
            for (name, part) in PARTS.iter().zip(parts.parts_mut()) {
                fill(&format!("{kind}.{name}"), part)?;
            }
        }
        fill("input_mean", &mut state.input_scale.mean)?;
        fill("target_mean", &mut state.target_scale.mean)?;
        let mut scales = [0f32; 2];
        fill("scales", &mut scales)?;
        [state.input_scale.scale, state.target_scale.scale] = scales;
        (state.silent, state.fired) = (numbers("silent")?, numbers("fired")?);
        if state.silent.len() != like.silent.len() || state.fired.len() != like.fired.len() {
            return Err(damaged("silent"));
        }
        let counters = file.i64s("counters")?;
        let [step, counted, resampled, rest @ ..] = counters.as_slice() else {
            return Err(damaged("counters"));
        };
        let rest: Vec<f64> = rest.iter().map(|&bits| f64::from_bits(bits as u64)).collect();
        let [least, sums @ ..] = rest.as_slice() else { return Err(damaged("counters")) };
        (state.step, state.counted, state.resampled) =
            (*step as u64, *counted as u64, *resampled as u64);
        state.least = *least;
        state.sums = sums.try_into().map_err(|_length| damaged("counters"))?;
        state.figures = file.i64s("figures")?.chunks_exact(6).map(figures).collect();
        Ok(Some(state))
    }
}

fn figures(numbers: &[i64]) -> Figures {
    let at = |place: usize| f64::from_bits(numbers[place] as u64);
    let samples = numbers[0] as u64;
    Figures { samples, loss: at(1), fvu: at(2), l0: at(3), dead: at(4), rate: at(5) }
}

fn file(folder: &Path) -> PathBuf {
    folder.join(UNFINISHED)
}

/// Takes away what an interrupted training left in `folder`.
///
/// # Errors
/// A file that cannot be removed.
pub fn forget(folder: &Path) -> Result<()> {
    match std::fs::remove_file(file(folder)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(file(folder), "remove", error))
        }
        _ => Ok(()),
    }
}

/// # Errors
/// The first setting in which an interrupted run differs from this one.
fn same(path: &Path, before: &Value, now: &Value) -> Result<()> {
    let empty = serde_json::Map::new();
    let (old, new) = (before.as_object().unwrap_or(&empty), now.as_object().unwrap_or(&empty));
    for (field, value) in new {
        let found = old.get(field).unwrap_or(&Value::Null);
        if found != value {
            return Err(Error::file(path, field, found, format!("{value}, as this command asks"))
                .with_help("resume with the settings of the interrupted run, or use --overwrite"));
        }
    }
    Ok(())
}
