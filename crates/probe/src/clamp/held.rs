//! Runs of a prompt with units held at values, and the linear prediction of what that does.
//!
//! The prediction is the direct path of a unit's write vector to the logits, with the scale of the
//! final norm as it stands without the clamp:
//! `Δlogit_t ≈ (c − h_i) · u_t · (γ_f ∘ D_{:,i}) / rms(x_final)`; for the last layer, with that scale
//! kept, it is exact.
//!
//! Source: Davies 2025, arXiv:2501.02688, clamping; Elhage et al. 2021 for the direct path.
//! Differs: the norm's scale is found by least squares from the network's own read-out, so that it
//! holds for layer norms too. Left out: the norm after Gemma 2's MLP counts by its gain alone.
//! Memory: the logits of the prompt for each value tried at once, at most 64 MiB.

use burn::tensor::{Tensor, TensorData};
use nissl_core::network::{FinalNorm, LanguageNetwork, TokenBatch};
use nissl_core::taps::{Change, Edit, Positions, Selection, Taps};
use nissl_core::{Error, Result, Site};
use serde::{Deserialize, Serialize};

use super::unit::{Unit, check_units};
use crate::likelihood::{logits, values};
use crate::strength::LOGITS_AT_ONCE;

/// At which positions units are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ClampedPositions {
    /// At every position
    #[default]
    All,
    /// At the last position of the prompt and no other
    Last,
    /// Where text is written: at the last position of the prompt and at all after it
    Generated,
}

/// What one run of the prompt left at its last position.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldRun {
    /// The logits after the prompt `[token]`.
    pub logits: Vec<f32>,
    /// The residual stream after the last layer `[residual]`; empty where the network has no such
    /// site.
    pub residual: Vec<f32>,
    /// What enters the residual stream by each unit `[unit]`: its activity behind the non-linearity.
    pub activity: Vec<f32>,
}

/// Units of a network and a prompt, ready to be run at any values.
pub struct HeldUnits<'a> {
    network: &'a dyn LanguageNetwork,
    units: Vec<Unit>,
    prompt: &'a [u32],
    positions: ClampedPositions,
    /// Where each unit's activity enters the stream, and its number there.
    writes: Vec<Unit>,
    residual: Option<Site>,
    plain: HeldRun,
    /// What each unit at 1 adds to the logits `[unit][token]`, the norm's scale included.
    effects: Option<Vec<Vec<f32>>>,
    /// One over the scale of the final norm.
    scale: f64,
}

impl<'a> HeldUnits<'a> {
    /// Runs `prompt` without a clamp.
    ///
    /// # Errors
    /// Units that the network has not, or a prompt it refuses.
    pub fn new(
        network: &'a dyn LanguageNetwork,
        units: &[Unit],
        prompt: &'a [u32],
        positions: ClampedPositions,
    ) -> Result<Self> {
        check_units(network, units)?;
        let last = format!("layers.{}.resid.post", network.layers().saturating_sub(1));
        let writes = units.iter().map(|unit| entry(network, unit)).collect();
        let mut held = Self {
            network,
            units: units.to_vec(),
            prompt,
            positions,
            writes,
            residual: network.sites().iter().find(|site| site.name() == last).cloned(),
            plain: HeldRun { logits: Vec::new(), residual: Vec::new(), activity: Vec::new() },
            effects: None,
            scale: 1.0,
        };
        let plain = held.batch(1, Taps::none())?.pop();
        held.plain = plain.ok_or_else(|| Error::setting("prompt", "empty", "a text"))?;
        held.effects = held.directions()?;
        Ok(held)
    }

    /// The run without a clamp.
    pub fn plain(&self) -> &HeldRun {
        &self.plain
    }

    /// The units that are held.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Edits that hold the units at `values` `[unit]`, for runs that begin with the prompt.
    ///
    /// # Errors
    /// A value that is not finite.
    pub fn taps(&self, values: &[f32]) -> Result<Taps<'static>> {
        self.edits(Taps::none(), values, None)
    }

    fn edits<'t>(
        &self,
        mut taps: Taps<'t>,
        values: &[f32],
        sample: Option<usize>,
    ) -> Result<Taps<'t>> {
        let last = self.prompt.len().saturating_sub(1);
        let positions = match self.positions {
            ClampedPositions::All => Positions::All,
            ClampedPositions::Last => Positions::These(vec![last]),
            ClampedPositions::Generated => Positions::From(last),
        };
        for (unit, &value) in self.units.iter().zip(values) {
            if !value.is_finite() {
                return Err(Error::setting("to", value, "a finite number"));
            }
            let selection = Selection {
                samples: sample.map(|sample| vec![sample]),
                positions: positions.clone(),
                units: Some(vec![unit.unit]),
            };
            let edit = Edit::new(unit.site.name().parse()?, Change::Set(value)).on(selection);
            taps = taps.edit(edit);
        }
        Ok(taps)
    }

    /// A run for each of `values` `[run][unit]`.
    ///
    /// # Errors
    /// A value that is not finite, or a run that the network refuses.
    pub fn runs(&self, values: &[Vec<f32>]) -> Result<Vec<HeldRun>> {
        let room = LOGITS_AT_ONCE / (self.prompt.len() * self.network.vocabulary()).max(1);
        let mut runs = Vec::with_capacity(values.len());
        for some in values.chunks(room.clamp(1, 32)) {
            let mut taps = Taps::none();
            for (sample, values) in some.iter().enumerate() {
                taps = self.edits(taps, values, Some(sample))?;
            }
            runs.extend(self.batch(some.len(), taps)?);
        }
        Ok(runs)
    }

    /// Runs the prompt `count` times at once.
    fn batch(&self, count: usize, taps: Taps<'_>) -> Result<Vec<HeldRun>> {
        let batch = TokenBatch::new(&vec![self.prompt; count])?;
        let mut wanted: Vec<&str> = self.writes.iter().map(|unit| unit.site.name()).collect();
        wanted.extend(self.residual.as_ref().map(Site::name));
        wanted.sort_unstable();
        wanted.dedup();
        let mut seen: Vec<(String, Tensor<3>)> = Vec::new();
        let mut taps = taps.read(format!("{{{}}}", wanted.join(",")).parse()?, |site, x| {
            seen.push((site.to_owned(), last_position(x.clone())));
        });
        let all = logits(self.network, &batch, &mut taps)?;
        drop(taps);
        let tokens = all.dims()[2];
        let all = values(last_position(all))?;
        let mut rows = Vec::with_capacity(seen.len());
        for (site, x) in seen {
            let width = x.dims()[2];
            rows.push((site, width, values(x)?));
        }
        let row = |site: &Site, run: usize| {
            rows.iter()
                .find(|(name, ..)| name == site.name())
                .map_or(&[][..], |(_, width, values)| &values[run * width..(run + 1) * width])
        };
        Ok((0..count)
            .map(|run| HeldRun {
                logits: all[run * tokens..(run + 1) * tokens].to_vec(),
                residual: self.residual.as_ref().map_or(Vec::new(), |site| row(site, run).to_vec()),
                activity: self
                    .writes
                    .iter()
                    .map(|unit| row(&unit.site, run).get(unit.unit).copied().unwrap_or(f32::NAN))
                    .collect(),
            })
            .collect())
    }

    /// The linear prediction of the change of every logit `[token]` in a run; `None` where a unit
    /// does not write to the residual stream by itself.
    pub fn predicted(&self, run: &HeldRun) -> Option<Vec<f64>> {
        let effects = self.effects.as_ref()?;
        let mut change = vec![0.0; self.plain.logits.len()];
        for ((effect, now), before) in effects.iter().zip(&run.activity).zip(&self.plain.activity) {
            let by = f64::from(now - before) * self.scale;
            change.iter_mut().zip(effect).for_each(|(sum, &u)| *sum += by * f64::from(u));
        }
        Some(change)
    }

    /// The change of every logit `[token]` in a run, read from its residual stream with the scale of
    /// the final norm kept as it stands without the clamp; `None` without that site or a read-out.
    ///
    /// # Errors
    /// Logits that cannot be read.
    pub fn with_frozen_norm(&self, run: &HeldRun) -> Result<Option<Vec<f64>>> {
        if self.effects.is_none() || run.residual.is_empty() {
            return Ok(None);
        }
        let change: Vec<f32> =
            run.residual.iter().zip(&self.plain.residual).map(|(a, b)| a - b).collect();
        let logits = self.read_out(vec![change], FinalNorm::Gain)?;
        let logits = logits.into_iter().next().unwrap_or_default();
        Ok(Some(logits.iter().map(|&logit| f64::from(logit) * self.scale).collect()))
    }

    /// The logits `[direction][token]` of directions of the residual stream.
    fn read_out(&self, directions: Vec<Vec<f32>>, norm: FinalNorm) -> Result<Vec<Vec<f32>>> {
        let shape = [directions.len(), self.network.residual_width()];
        let data = TensorData::new(directions.concat(), shape);
        let rows = Tensor::<2>::from_data(data, self.network.device());
        let logits = self.network.unembed(rows, norm)?;
        let tokens = logits.dims()[1];
        Ok(values(logits)?.chunks(tokens.max(1)).map(<[f32]>::to_vec).collect())
    }

    /// What each unit at 1 adds to the logits but for the norm's scale, which is set here.
    fn directions(&mut self) -> Result<Option<Vec<Vec<f32>>>> {
        let width = self.network.residual_width();
        if self.plain.residual.len() != width {
            return Ok(None);
        }
        let mut written = Vec::with_capacity(self.writes.len());
        for unit in &self.writes {
            let Some(vector) = write_vector(self.network, unit)? else { return Ok(None) };
            written.push(vector);
        }
        let residual = self.plain.residual.clone();
        let linear = self.read_out(vec![residual.clone()], FinalNorm::Gain)?;
        // Zero leaves the norm's bias alone.
        let whole = self.read_out(vec![residual, vec![0.0; width]], FinalNorm::Apply)?;
        let (mut over, mut under) = (0.0, 0.0);
        for ((&linear, &whole), &bias) in linear[0].iter().zip(&whole[0]).zip(&whole[1]) {
            over += f64::from(linear) * f64::from(whole - bias);
            under += f64::from(linear).powi(2);
        }
        if under == 0.0 {
            return Ok(None);
        }
        self.scale = over / under;
        self.read_out(written, FinalNorm::Gain).map(Some)
    }
}

/// Where a unit's activity enters the residual stream: a hidden unit's behind its non-linearity.
fn entry(network: &dyn LanguageNetwork, unit: &Unit) -> Unit {
    if unit.site.part() == "mlp.pre"
        && let Some(layer) = unit.site.layer()
    {
        let entry = Unit::neuron(layer, unit.unit);
        if network.sites().contains(&entry.site) {
            return entry;
        }
    }
    unit.clone()
}

/// What a unit at 1 writes to the residual stream `[residual]`; `None` where it does not write by
/// itself.
///
/// # Errors
/// A down projection that cannot be read.
pub fn write_vector(network: &dyn LanguageNetwork, unit: &Unit) -> Result<Option<Vec<f32>>> {
    let width = network.residual_width();
    match (unit.site.part(), unit.site.layer()) {
        ("mlp.act" | "mlp.pre", Some(layer)) => {
            let row = network.down_projection(layer)?.slice([unit.unit..unit.unit + 1, 0..width]);
            values(row).map(Some)
        }
        ("embed" | "attn.out" | "mlp.out" | "resid.pre" | "resid.mid" | "resid.post", _)
            if unit.unit < width =>
        {
            let mut basis = vec![0.0; width];
            basis[unit.unit] = 1.0;
            Ok(Some(basis))
        }
        _ => Ok(None),
    }
}

fn last_position(x: Tensor<3>) -> Tensor<3> {
    let [batch, positions, width] = x.dims();
    x.slice([0..batch, positions - 1..positions, 0..width])
}
