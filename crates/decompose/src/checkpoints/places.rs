//! The sites of a recording that a dictionary belongs to, and how well it fits them.

use ndarray::{Array2, ArrayView2};
use nissl_core::features::Dictionary;
use nissl_core::recording::require_finite;
use nissl_core::site::{Site, SiteGlob};
use nissl_core::{Column, Error, Recording, Result, Table};
use serde::Serialize;

use super::{Checkpoint, Role, Source};

/// Samples on which a dictionary is tried before all are encoded.
const TRIED: usize = 1024;

/// How well a dictionary fits sites of a recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// The site it reads.
    pub site: Site,
    /// The site it describes.
    pub target: Site,
    /// The fraction of variance it leaves unexplained; more than 1 is worse than the mean.
    pub unexplained: f64,
}

/// The parts of a recording that a dictionary reads and describes.
pub(super) struct Places {
    pub input: Recording,
    targets: Vec<Recording>,
}

impl Places {
    pub(super) fn of(
        recording: &Recording,
        checkpoint: &Checkpoint,
        source: &Source,
    ) -> Result<Self> {
        let dictionary = &checkpoint.dictionary;
        let sites = recording.sites();
        let site = match &source.site {
            Some(site) => site.clone(),
            None if sites.len() == 1 && checkpoint.role() == Role::Autoencoder => sites[0].clone(),
            None => {
                let found = "unknown: the checkpoint does not tell";
                return Err(asked("site", found, recording, checkpoint));
            }
        };
        let input = part(recording, &site)?;
        same(dictionary.units(), &input, recording, checkpoint)?;
        if checkpoint.role() == Role::Autoencoder {
            return Ok(Self { targets: vec![input.clone()], input });
        }
        if source.targets.is_empty() {
            let found = "unknown: the checkpoint does not tell";
            return Err(asked("target_site", found, recording, checkpoint));
        }
        let targets: Vec<Recording> =
            source.targets.iter().map(|site| part(recording, site)).collect::<Result<_>>()?;
        let width: usize = targets.iter().map(Recording::units).sum();
        if width != dictionary.output_units() {
            return Err(Error::Units {
                left: "the output of the dictionary".to_owned(),
                found: dictionary.output_units(),
                right: "its target sites in the recording".to_owned(),
                expected: width,
                help: Some("name the site it predicts with --target-site".to_owned()),
            });
        }
        Ok(Self { input, targets })
    }

    /// The units of the targets, side by side.
    pub(super) fn target_table(&self) -> Result<Table> {
        let mut table = Table::new();
        for (number, target) in self.targets.iter().enumerate() {
            let part = target.unit_table().clone();
            if number == 0 {
                table = part;
            } else {
                table.append(part)?;
            }
        }
        let units = (0..table.rows() as u32).collect();
        Ok(table.with("unit", Column::U32(units)))
    }

    /// # Errors
    /// On some samples the dictionary is worse than the mean.
    pub(super) fn explains(&self, recording: &Recording, checkpoint: &Checkpoint) -> Result<()> {
        let unexplained = unexplained(&checkpoint.dictionary, &self.input, &self.targets)?;
        let Some(unexplained) = unexplained.filter(|share| share.is_nan() || *share > 1.0) else {
            return Ok(());
        };
        let site = self.input.sites().first().map(ToString::to_string).unwrap_or_default();
        let found = format!(
            "`{site}`, of which the dictionary leaves {unexplained:.3} of the variance unexplained"
        );
        let advice = advice(recording, checkpoint);
        let expected = format!("a site it was trained on, below 1; {advice}, or --force");
        Err(Error::setting("site", found, expected))
    }

    /// The samples of both sides, block by block.
    pub(super) fn blocks(
        &self,
        rows: usize,
    ) -> impl Iterator<Item = Result<(Array2<f32>, Array2<f32>)>> + '_ {
        let same = self.targets.len() == 1 && self.targets[0].sites() == self.input.sites();
        let mut others: Vec<_> = if same { &[][..] } else { self.targets.as_slice() }
            .iter()
            .map(|target| target.blocks(rows))
            .collect();
        self.input.blocks(rows).map(move |block| {
            let block = block?;
            require_finite(&block)?;
            if others.is_empty() {
                return Ok((block.activity.clone(), block.activity));
            }
            let mut parts = Vec::new();
            for other in &mut others {
                if let Some(part) = other.next() {
                    let part = part?;
                    require_finite(&part)?;
                    parts.push(part.activity);
                }
            }
            let views: Vec<ArrayView2<'_, f32>> = parts.iter().map(|part| part.view()).collect();
            let target = ndarray::concatenate(ndarray::Axis(1), &views)
                .map_err(|error| Error::setting("target_site", error, "sites of one recording"))?;
            Ok((block.activity, target))
        })
    }
}

/// The sites of a recording that a dictionary fits, the best first, by some of its samples. A transcoder is
/// tried from each site to each of the same layer, and to the target it says.
///
/// # Errors
/// Activity that cannot be read.
pub fn best_sites(recording: &Recording, checkpoint: &Checkpoint) -> Result<Vec<Fit>> {
    let dictionary = &checkpoint.dictionary;
    let sites = recording.sites();
    let mut parts = Vec::new();
    for site in sites {
        // Sites that do not stand side by side are none to read from.
        if let Ok(part) = part(recording, &site) {
            parts.push((site, part));
        }
    }
    let autoencoder = checkpoint.role() == Role::Autoencoder;
    let mut fits = Vec::new();
    for (site, input) in parts.iter().filter(|(_, part)| part.units() == dictionary.units()) {
        for (target, output) in &parts {
            let related = if autoencoder {
                site == target
            } else {
                site != target
                    && output.units() == dictionary.output_units()
                    && (site.layer() == target.layer()
                        || checkpoint.source.targets.contains(target))
            };
            if !related {
                continue;
            }
            let share = unexplained(dictionary, input, std::slice::from_ref(output))?;
            if let Some(unexplained) = share.filter(|share| share.is_finite()) {
                fits.push(Fit { site: site.clone(), target: target.clone(), unexplained });
            }
        }
    }
    fits.sort_by(|a, b| a.unexplained.total_cmp(&b.unexplained));
    Ok(fits)
}

/// The part of a recording at one site.
fn part(recording: &Recording, site: &Site) -> Result<Recording> {
    recording.only(&site.name().parse::<SiteGlob>()?)
}

fn same(
    units: usize,
    input: &Recording,
    recording: &Recording,
    checkpoint: &Checkpoint,
) -> Result<()> {
    if units == input.units() {
        return Ok(());
    }
    let site = input.sites().first().map(ToString::to_string).unwrap_or_default();
    Err(Error::Units {
        left: "the dictionary".to_owned(),
        found: units,
        right: format!("the recording at {site}"),
        expected: input.units(),
        help: Some(advice(recording, checkpoint)),
    })
}

/// Asks for a site, with those that fit.
fn asked(field: &str, found: &str, recording: &Recording, checkpoint: &Checkpoint) -> Error {
    let flag = field.replace('_', "-");
    let advice = advice(recording, checkpoint);
    Error::setting(field, found, format!("a site of the recording, with --{flag}; {advice}"))
}

/// What to try, in words.
fn advice(recording: &Recording, checkpoint: &Checkpoint) -> String {
    match best_sites(recording, checkpoint) {
        Ok(fits) if !fits.is_empty() => {
            let listed = fits.iter().take(3).map(|fit| {
                let target = if fit.site == fit.target {
                    String::new()
                } else {
                    format!(" to {}", fit.target)
                };
                format!("{}{target} (unexplained {:.3})", fit.site, fit.unexplained)
            });
            format!("the best of this recording: {}", listed.collect::<Vec<_>>().join(", "))
        }
        Ok(_) => format!(
            "no site of this recording has the dictionary's {} units",
            checkpoint.dictionary.units()
        ),
        Err(error) => format!("the sites of this recording could not be tried ({error})"),
    }
}

/// The fraction of the variance of some samples that a dictionary leaves unexplained.
fn unexplained(
    dictionary: &Dictionary,
    input: &Recording,
    targets: &[Recording],
) -> Result<Option<f64>> {
    let places = Places { input: input.clone(), targets: targets.to_vec() };
    let mut gap = Gap::new(dictionary.output_units());
    let rows = block_rows(dictionary).min(TRIED);
    for block in places.blocks(rows).take(TRIED.div_ceil(rows)) {
        let (samples, target) = block?;
        let activations = dictionary.encode(samples.view())?;
        gap.add(&target, &dictionary.predict(samples.view(), activations.view())?);
    }
    Ok(gap.unexplained())
}

/// Samples encoded at once: tens of megabytes of them.
pub(super) fn block_rows(dictionary: &Dictionary) -> usize {
    let widest =
        dictionary.units().max(dictionary.features()).max(dictionary.output_units()).max(1);
    ((4 << 20) / widest).clamp(64, 8192)
}

/// Running sums for the variance left unexplained.
pub(super) struct Gap {
    samples: f64,
    errors: f64,
    squares: f64,
    sums: Vec<f64>,
}

impl Gap {
    pub(super) fn new(units: usize) -> Self {
        Self { samples: 0.0, errors: 0.0, squares: 0.0, sums: vec![0.0; units] }
    }

    pub(super) fn add(&mut self, target: &Array2<f32>, predicted: &Array2<f32>) {
        for (target, predicted) in target.rows().into_iter().zip(predicted.rows()) {
            self.samples += 1.0;
            for ((&value, &made), sum) in target.iter().zip(predicted).zip(&mut self.sums) {
                let (value, made) = (f64::from(value), f64::from(made));
                *sum += value;
                self.squares += value * value;
                self.errors += (value - made) * (value - made);
            }
        }
    }

    /// `Σ‖y − ŷ‖² / Σ‖y − ȳ‖²`; `None` without variance.
    pub(super) fn unexplained(&self) -> Option<f64> {
        let means: f64 = self.sums.iter().map(|sum| sum * sum / self.samples).sum();
        let variance = self.squares - means;
        (variance > 1e-12 * self.squares).then(|| self.errors / variance)
    }
}
