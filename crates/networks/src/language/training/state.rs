//! What a run must keep to go on as if it had never stopped: weights, moments, step and curve.
//!
//! The numbers are written first, under a name of their own; `state.json`, written last and renamed
//! into place, says which file counts.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use nissl_core::error::IoContext;
use nissl_core::numbers::{Block, NumberFile, to_bytes};
use nissl_core::store::{sha256_bytes, sha256_file, write_bytes};
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::super::gpt2::Gpt2;
use super::adamw::AdamW;
use super::parameters::{Parameters, Visit, export, floats};
use super::{Point, TrainLanguage};

const STATE: &str = "state.json";

/// A run between two steps.
pub(super) struct State {
    /// The checksum of the network it began from.
    pub begun_from: Option<String>,
    pub network: Gpt2,
    pub optimizer: AdamW,
    /// Steps made.
    pub step: usize,
    pub curve: Vec<Point>,
    /// Losses of the steps since the last point of the curve.
    pub losses: Vec<f32>,
    /// Seconds of training so far.
    pub seconds: f64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    config: TrainLanguage,
    #[serde(default)]
    begun_from: Option<String>,
    step: usize,
    file: String,
    sha256: String,
    curve: Vec<Point>,
    losses: Vec<f32>,
    seconds: f64,
}

impl State {
    /// Writes the state into `folder` and removes the one before.
    pub(super) fn save(&mut self, config: &TrainLanguage, folder: &Path) -> Result<()> {
        let mut arrays = export(&mut self.network)?;
        for (name, (first, second)) in &self.optimizer.moments {
            for (kind, moment) in [("first", first), ("second", second)] {
                let values = floats(moment.clone())?;
                let size = values.len();
                arrays.push((format!("{kind}.{name}"), values, vec![size]));
            }
        }
        let blocks: Vec<_> = arrays
            .iter()
            .map(|(name, values, shape)| (name.as_str(), Block::f32s(values, shape)))
            .collect();
        let bytes = to_bytes(&blocks)?;
        let file = format!("state-{:08}.safetensors", self.step);
        write_bytes(&folder.join(&file), &bytes)?;
        let before = read(folder)?;
        let saved = Saved {
            config: config.clone(),
            begun_from: self.begun_from.clone(),
            step: self.step,
            sha256: sha256_bytes(&bytes),
            curve: self.curve.clone(),
            losses: self.losses.clone(),
            seconds: self.seconds,
            file,
        };
        let path = folder.join(STATE);
        let text = serde_json::to_vec_pretty(&saved)
            .map_err(|error| Error::file(&path, "content", error, "JSON"))?;
        write_bytes(&path, &text)?;
        if let Some(before) = before.filter(|before| before.file != saved.file) {
            let old = folder.join(before.file);
            std::fs::remove_file(&old).at(&old, "remove")?;
        }
        Ok(())
    }

    /// Goes on from what is in `folder`; `None` when no state was written yet.
    pub(super) fn resume(
        config: &TrainLanguage,
        begun_from: Option<&str>,
        fresh: Gpt2,
        folder: &Path,
        device: &Device,
    ) -> Result<Option<Self>> {
        let Some(saved) = read(folder)? else { return Ok(None) };
        let path = folder.join(STATE);
        if saved.config != *config {
            return Err(Error::file(&path, "config", "of another run", "the settings given now")
                .with_help("give the settings it was begun with, or another output folder"));
        }
        if saved.begun_from.as_deref() != begun_from {
            return Err(Error::file(&path, "begun_from", "another network", "the one given now")
                .with_help("begin from the same network, or choose another output folder"));
        }
        let numbers = folder.join(&saved.file);
        let found = sha256_file(&numbers)?;
        if found != saved.sha256 {
            let path = numbers.display().to_string();
            return Err(Error::Checksum { path, found, expected: saved.sha256 });
        }
        let file = NumberFile::open(&numbers)?;
        let mut restore = Restore { file: &file, device, moments: AdamW::default(), error: None };
        let mut network = fresh;
        network.each(&mut restore);
        let Restore { mut moments, error, .. } = restore;
        if let Some(error) = error {
            return Err(error);
        }
        moments.steps = saved.step;
        let Saved { begun_from, step, curve, losses, seconds, .. } = saved;
        Ok(Some(Self { begun_from, network, optimizer: moments, step, curve, losses, seconds }))
    }

    /// Removes the state of a run that is done.
    pub(super) fn remove(folder: &Path) -> Result<()> {
        let Some(saved) = read(folder)? else { return Ok(()) };
        for path in [folder.join(STATE), folder.join(saved.file)] {
            std::fs::remove_file(&path).at(&path, "remove")?;
        }
        Ok(())
    }
}

fn read(folder: &Path) -> Result<Option<Saved>> {
    let path = folder.join(STATE);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).at(&path, "open")?;
    let saved: Saved = serde_json::from_slice(&bytes)
        .map_err(|error| Error::file(&path, "content", error, "the state of a training run"))?;
    if saved.file.contains(['/', '\\']) {
        return Err(Error::file(&path, "file", saved.file, "a name in the same folder"));
    }
    Ok(Some(saved))
}

struct Restore<'a> {
    file: &'a NumberFile,
    device: &'a Device,
    moments: AdamW,
    error: Option<Error>,
}

impl Restore<'_> {
    fn flat(&self, name: &str, size: usize) -> Result<Tensor<1>> {
        let values = self.file.f32s(name, 0, size)?;
        Ok(Tensor::from_data(TensorData::new(values, [size]), self.device))
    }
}

impl Visit for Restore<'_> {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>) {
        let shape = parameter.dims();
        let size = shape.iter().product();
        let read = || -> Result<_> {
            let value = self.flat(name, size)?;
            let first = self.flat(&format!("first.{name}"), size)?;
            Ok((value, first, self.flat(&format!("second.{name}"), size)?))
        };
        match read() {
            Ok((value, first, second)) => {
                *parameter = value.reshape(shape);
                self.moments.moments.insert(name.to_owned(), (first, second));
            }
            Err(error) => self.error = Some(error),
        }
    }
}
