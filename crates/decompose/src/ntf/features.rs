//! From recordings of several animals to features of pairs on disk.
//!
//! The dictionary's rows are `f_a` (unit 2-norm) over pairs; its samples are the time bins of the first animal,
//! then those of the second, and so on, with activations `λ_r f_t f_w`. Beside them lie the factors
//! (`components.safetensors`), the tables of neurons, animals, times and stimuli, the criteria at each rank
//! (`ranks.parquet`) and the atlas (`atlas.csv`).

use std::path::Path;

use ndarray::Array2;
use nissl_core::components::{StimulusWindow, TensorComponents};
use nissl_core::features::{
    Dictionary, Encoding, ExplainedVariance, Features, FeaturesPlan, FeaturesWriter, Warning,
};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Error, Progress, Recording, Result, Table};
use serde::{Deserialize, Serialize};

use super::Ntf;
use super::affinity::{Affinities, Affinity};
use super::animals::{Animals, Reading, Window};
use super::atlas::{atlas, write_atlas};
use super::factors::Factors;
use super::hals::coordinate;
use super::pass::pass;
use super::rank::Scan;
use super::restarts::Fit;
use super::tensor::PairTensor;

/// Coordinate sweeps with which the pairs of shifted data are fitted.
const SWEEPS: usize = 50;

/// All settings from recordings to components.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Factorisation {
    /// Recordings as animals
    #[command(flatten)]
    pub reading: Reading,
    /// Traces to affinities
    #[command(flatten)]
    pub affinity: Affinity,
    /// Affinities to components
    #[command(flatten)]
    pub ntf: Ntf,
    /// Circularly shifted copies of the data in which chance loadings are measured, 0 for none
    #[arg(long, default_value_t = 0)]
    pub shifted: usize,
}

/// What was written.
pub struct Written {
    /// The features of pairs.
    pub features: Features,
    /// The components.
    pub components: TensorComponents,
    /// The criteria at each rank.
    pub scan: Scan,
}

impl Factorisation {
    /// The same settings with every draw from `seed`.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.ntf.seed = seed;
        self.affinity.seed = seed;
        self
    }

    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        self.affinity.validate()?;
        self.ntf.validate()
    }

    /// Factorises the affinities of `animals` and gives the components with the criteria at each rank.
    ///
    /// # Errors
    /// As [`Affinity::of`] and [`Ntf::scan`].
    pub fn components(
        &self,
        animals: &Animals,
        progress: &Progress,
    ) -> Result<(TensorComponents, Scan, Affinities)> {
        self.validate()?;
        let affinities = self.affinity.of(animals, progress)?;
        let scan = self.ntf.scan(&affinities.tensor, progress)?;
        let shifted = self.shifted_percentiles(animals, &scan.chosen.best, progress)?;
        let components = components_of(&affinities, animals, &scan.chosen.best, shifted);
        Ok((components, scan, affinities))
    }

    /// For each component the 95th percentile of its loadings when time course and animals are kept and the
    /// pairs are fitted to shifted data, in units of the component's own loadings.
    fn shifted_percentiles(
        &self,
        animals: &Animals,
        fit: &Fit,
        progress: &Progress,
    ) -> Result<Vec<f32>> {
        let rank = fit.factors.rank();
        let mut loadings: Vec<Vec<f32>> = vec![Vec::new(); if self.shifted > 0 { rank } else { 0 }];
        for copy in 0..self.shifted {
            progress.check(|| format!("{copy} shifted copies"))?;
            let moved = animals.shifted(self.ntf.seed.wrapping_add(copy as u64));
            let tensor = self.affinity.of(&moved, progress)?.tensor;
            let pairs = fitted_pairs(&tensor, &fit.factors)?;
            for (component, loadings) in loadings.iter_mut().enumerate() {
                let scale = fit.lambda[component];
                let own = pairs.column(component);
                loadings
                    .extend(own.iter().map(|x| if scale > 0.0 { (x / scale) as f32 } else { 0.0 }));
            }
        }
        let percentile =
            |loadings: &Vec<f32>| nissl_core::stats::ranks::quantiles(loadings, &[0.95])[0] as f32;
        Ok(loadings.iter().map(percentile).collect())
    }

    /// Reads `recordings` as animals, factorises and writes features to `out`.
    ///
    /// # Errors
    /// As [`Animals::read`] and [`Self::components`], an output folder that is there, or a failed file
    /// operation.
    pub fn decompose(
        &self,
        recordings: &[Recording],
        stimuli: &[(Option<String>, Window)],
        out: &Path,
        existing: Existing,
        progress: &Progress,
    ) -> Result<Written> {
        self.validate()?;
        let seed = self.ntf.seed;
        let mut provenance = Provenance::here(&serde_json::json!({ "ntf": self }), seed, "cpu");
        for recording in recordings {
            provenance = provenance.with_input(recording.path())?;
        }
        // All is found in one go, so an interrupted run begins anew.
        let existing = match existing {
            Existing::Resume if Features::open(out).is_ok() => {
                return Err(Error::Exists { path: out.display().to_string() });
            }
            Existing::Resume => Existing::Overwrite,
            other => other,
        };
        if existing == Existing::Refuse && out.exists() {
            nissl_core::store::prepare(out, existing)?;
        }
        let animals = Animals::read(recordings, &self.reading, stimuli)?;
        let (components, scan, affinities) = self.components(&animals, progress)?;
        let mut method = serde_json::json!({ "method": "ntf" });
        let settings = serde_json::to_value(self)
            .map_err(|error| Error::setting("method", error, "settings that JSON can hold"))?;
        if let (Some(method), Some(settings)) = (method.as_object_mut(), settings.as_object()) {
            method.extend(settings.clone());
        }
        let plan = FeaturesPlan::new(components.pair_table(), method, provenance);
        let dictionary = dictionary(&components, &scan, &affinities);
        let mut writer = FeaturesWriter::create(out, &plan, existing, || Ok(dictionary))?;
        let fit = &scan.chosen.best;
        components.save(out)?;
        samples(&components).write(&out.join("samples.parquet"))?;
        scan.table().write(&out.join("ranks.parquet"))?;
        if !components.windows.is_empty() {
            write_atlas(&atlas(&components), &out.join("atlas.csv"))?;
        }
        writer.push(activations(fit).view())?;
        let explained =
            ExplainedVariance { fit: Some(fit.explained(&affinities.tensor)), held_out: None };
        let mut features = writer.finish(explained)?;
        let stability = scan.chosen.component_stability.iter().map(|&score| score as f32);
        features.set_columns(
            &Table::new()
                .with("lambda", Column::F32(components.lambda.clone()))
                .with("stability", Column::F32(stability.collect())),
        )?;
        Ok(Written { features, components, scan })
    }
}

/// The pair factor of least squares with times and animals held fixed.
fn fitted_pairs(tensor: &PairTensor, factors: &Factors) -> Result<Array2<f64>> {
    let mut fitted = factors.clone();
    pass(tensor, &mut fitted, |row, product, gram| coordinate(row, product, gram, SWEEPS))?;
    Ok(fitted.pairs)
}

/// The components of a fit, with the names of all axes.
pub fn components_of(
    affinities: &Affinities,
    animals: &Animals,
    fit: &Fit,
    shifted: Vec<f32>,
) -> TensorComponents {
    let single = |factor: &Array2<f64>| factor.mapv(|x| x as f32);
    let windows = animals.animals.iter().enumerate().flat_map(|(number, animal)| {
        animal.windows.iter().map(move |window| StimulusWindow {
            animal: number,
            name: window.name.clone(),
            start: window.start,
            end: window.end,
        })
    });
    TensorComponents {
        lambda: fit.lambda.iter().map(|&x| x as f32).collect(),
        times: single(&fit.factors.times),
        animals: single(&fit.factors.animals),
        pairs: single(&fit.factors.pairs),
        units: affinities.neurons.clone(),
        animal_names: affinities.animals.clone(),
        present: affinities.present.clone(),
        seconds: affinities.times.clone(),
        windows: windows.collect(),
        shifted,
    }
}

fn dictionary(components: &TensorComponents, scan: &Scan, affinities: &Affinities) -> Dictionary {
    let decoder = components.pairs.t().as_standard_layout().into_owned();
    let mut dictionary = Dictionary::new(decoder, Encoding::NonNegativeExact);
    let best = &scan.chosen.best;
    dictionary.loss = best.errors.iter().map(|&error| error as f32).collect();
    dictionary.restarts.clone_from(&scan.chosen.errors);
    if !best.converged {
        let iterations = best.errors.len() - 1;
        dictionary.warnings.push(Warning::NotConverged { iterations });
    }
    if scan.chosen.stability < 0.95 {
        let stability = scan.chosen.stability;
        dictionary.warnings.push(Warning::UnstableRestarts { stability });
    }
    if !affinities.constant.is_empty() {
        let name = |&(animal, neuron): &(usize, usize)| {
            format!("{} in {}", affinities.neurons[neuron], affinities.animals[animal])
        };
        let units = affinities.constant.iter().map(name).collect();
        dictionary.warnings.push(Warning::ConstantUnits { units });
    }
    dictionary
}

/// `λ_r f_w f_t` `[animal × time, component]`.
fn activations(fit: &Fit) -> Array2<f32> {
    let (animals, times) = (&fit.factors.animals, &fit.factors.times);
    let count = times.nrows();
    Array2::from_shape_fn((animals.nrows() * count, fit.factors.rank()), |(row, r)| {
        (fit.lambda[r] * animals[[row / count, r]] * times[[row % count, r]]) as f32
    })
}

/// A row for each animal and time bin: `sample`, `sequence` (the animal), `position` (the bin), `animal`, `time_s`.
fn samples(components: &TensorComponents) -> Table {
    let (animals, bins) = (components.animal_names.len(), components.seconds.len());
    let rows = 0..animals * bins;
    let name = |row: usize| components.animal_names[row / bins].clone();
    Table::new()
        .with("sample", Column::U64(rows.clone().map(|row| row as u64).collect()))
        .with("sequence", Column::U32(rows.clone().map(|row| (row / bins) as u32).collect()))
        .with("position", Column::U32(rows.clone().map(|row| (row % bins) as u32).collect()))
        .with("animal", Column::Text(rows.clone().map(name).collect()))
        .with("time_s", Column::F64(rows.map(|row| components.seconds[row % bins]).collect()))
}
