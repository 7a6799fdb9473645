//! Running means and scatter matrices of node layers, which can be saved, merged and continued.
//!
//! Of two parts with `n` and `m` rows, `δ` between their means: `μ = μ_a + δ m/(n + m)`,
//! `S = S_a + S_b + δᵀδ n m/(n + m)`.
//!
//! Source: Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance", equation 2.1.

use std::ops::Range;
use std::path::Path;

use ndarray::{Array1, Array2, ArrayView2, Axis};
use nissl_core::features::add_product;
use nissl_core::section::{Arrays, Chain, Samples, fits};
use nissl_core::{Error, Progress, Result};
use serde::{Deserialize, Serialize};

use super::{LocalInteractionBasis, Precision};

/// Mean and scatter of one node layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerMoments {
    /// Its name.
    pub node_layer: String,
    /// Samples times positions.
    pub rows: u64,
    /// `μ` `[coordinate]`
    pub mean: Array1<f64>,
    /// `Σ (f − μ)ᵀ(f − μ)` `[coordinate, coordinate]`; `None` where the basis does not need it.
    pub scatter: Option<Array2<f64>>,
}

/// Means and scatters of all node layers of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Samples they were taken over.
    pub samples: u64,
    /// In the order of the chain, its end included.
    pub node_layers: Vec<LayerMoments>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kind: String,
    samples: u64,
    node_layers: Vec<(String, u64)>,
}

const KIND: &str = "node-layer-moments";

/// Numbers of a block of rows.
const BLOCK: usize = 1 << 19;

/// Ranges of samples whose rows fit a block.
pub(super) fn blocks(chain: &Chain, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let widest = chain.sections.iter().map(|section| {
        let extent = section.extent();
        (extent.positions_in * extent.inputs).max(extent.positions_out * extent.outputs)
    });
    let size = (BLOCK / widest.max().unwrap_or(1).max(1)).max(1);
    let end = range.end;
    range.step_by(size).map(move |from| from..(from + size).min(end))
}

/// `sum += rowsᵀ rows`.
pub(super) fn add_gram(sum: &mut Array2<f64>, rows: ArrayView2<'_, f64>, precision: Precision) {
    if precision == Precision::F64 {
        add_product(sum.view_mut(), rows.t(), rows);
        return;
    }
    let rows = rows.mapv(|value| value as f32);
    let part = nissl_core::features::product(rows.t(), rows.view());
    sum.zip_mut_with(&part, |sum, &part| *sum += f64::from(part));
}

impl LayerMoments {
    fn empty(node_layer: &str, coordinates: usize, scatter: bool) -> Self {
        Self {
            node_layer: node_layer.to_owned(),
            rows: 0,
            mean: Array1::zeros(coordinates),
            scatter: scatter.then(|| Array2::zeros((coordinates, coordinates))),
        }
    }

    fn add_rows(&mut self, rows: ArrayView2<'_, f64>, precision: Precision) {
        let Some(mean) = rows.mean_axis(Axis(0)) else { return };
        let mut part = Self::empty(&self.node_layer, mean.len(), self.scatter.is_some());
        part.rows = rows.nrows() as u64;
        if let Some(scatter) = &mut part.scatter {
            add_gram(scatter, (&rows - &mean).view(), precision);
        }
        part.mean = mean;
        self.add(&part);
    }

    fn add(&mut self, part: &Self) {
        let rows = self.rows + part.rows;
        if rows == 0 {
            return;
        }
        let share = part.rows as f64 / rows as f64;
        let apart = &part.mean - &self.mean;
        if let (Some(scatter), Some(other)) = (&mut self.scatter, &part.scatter) {
            *scatter += other;
            let weight = self.rows as f64 * share;
            let column = apart.view().insert_axis(Axis(1));
            let row = &apart.view().insert_axis(Axis(0)) * weight;
            add_product(scatter.view_mut(), column, row.view());
        }
        self.mean.scaled_add(share, &apart);
        self.rows = rows;
    }

    /// # Errors
    /// A number that is not finite.
    fn check(&self) -> Result<()> {
        let scatter = self.scatter.iter().flat_map(|scatter| scatter.iter());
        let wrong = self.mean.iter().chain(scatter).find(|value| !value.is_finite());
        let Some(&found) = wrong else { return Ok(()) };
        Err(Error::Diverged {
            what: format!("the Gram matrix of {}", self.node_layer),
            found,
            step: self.rows as usize,
            help: Some("look for samples with missing or huge numbers".to_owned()),
        })
    }
}

impl Moments {
    pub(super) fn of(
        settings: &LocalInteractionBasis,
        chain: &Chain,
        samples: &dyn Samples,
        range: Range<usize>,
        progress: &Progress,
    ) -> Result<Self> {
        let mut moments = Self::empty(settings, chain);
        moments.extend(settings, chain, samples, range, progress)?;
        Ok(moments)
    }

    fn empty(settings: &LocalInteractionBasis, chain: &Chain) -> Self {
        let first = chain.sections.iter().map(|section| section.extent().inputs);
        let last = chain.sections.last().map(|section| section.extent().outputs);
        let widths: Vec<usize> = first.chain(last).collect();
        let names = chain.node_layers();
        let node_layers = names.iter().zip(&widths).enumerate().map(|(n, (name, &width))| {
            // The last node layer may be as wide as a vocabulary.
            let scatter = n + 1 < names.len() || settings.rotate_final;
            LayerMoments::empty(name, width, scatter)
        });
        Self { samples: 0, node_layers: node_layers.collect() }
    }

    /// Continues with more samples.
    ///
    /// # Errors
    /// No samples, moments of other node layers, or numbers that are not finite.
    pub fn extend(
        &mut self,
        settings: &LocalInteractionBasis,
        chain: &Chain,
        samples: &dyn Samples,
        range: Range<usize>,
        progress: &Progress,
    ) -> Result<()> {
        self.fits(chain)?;
        if range.is_empty() {
            let what = "the data".to_owned();
            return Err(Error::Empty { what, expected: "at least one sample".to_owned() });
        }
        let stage = progress.stage("moments", range.len() as u64, "samples");
        for part in blocks(chain, range) {
            progress.check(|| format!("{} samples of the moments", self.samples))?;
            let mut rows = samples.rows(part.clone())?;
            if let Some(first) = chain.sections.first() {
                let extent = first.extent();
                fits(first.name(), "samples", rows.view(), extent.positions_in, extent.inputs)?;
            }
            for (section, layer) in chain.sections.iter().zip(&mut self.node_layers) {
                layer.add_rows(rows.view(), settings.precision);
                rows = section.forward(rows.view())?;
            }
            if let Some(last) = self.node_layers.last_mut() {
                last.add_rows(rows.view(), settings.precision);
            }
            self.samples += part.len() as u64;
            stage.advance(part.len() as u64);
        }
        self.node_layers.iter().try_for_each(LayerMoments::check)
    }

    /// Adds those of other samples of the same node layers.
    ///
    /// # Errors
    /// Moments of other node layers.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let key = |moments: &Self| -> Vec<(String, usize, bool)> {
            let layers = moments.node_layers.iter();
            layers.map(|it| (it.node_layer.clone(), it.mean.len(), it.scatter.is_some())).collect()
        };
        if key(self) != key(other) {
            let found = format!("{:?}", key(other));
            return Err(Error::setting("moments", found, format!("{:?}", key(self))));
        }
        for (own, other) in self.node_layers.iter_mut().zip(&other.node_layers) {
            own.add(other);
        }
        self.samples += other.samples;
        Ok(())
    }

    /// # Errors
    /// Moments of other node layers than the chain's.
    pub(super) fn fits(&self, chain: &Chain) -> Result<()> {
        let names: Vec<_> = self.node_layers.iter().map(|it| it.node_layer.as_str()).collect();
        let sizes = chain.sections.iter().zip(&self.node_layers);
        let fit = sizes.into_iter().all(|(a, b)| a.extent().inputs == b.mean.len());
        if names == chain.node_layers() && fit {
            return Ok(());
        }
        let expected = format!("those of {}", chain.node_layers().join(", "));
        Err(Error::setting("moments", format!("those of {}", names.join(", ")), expected))
    }

    /// Writes them as one file.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn save(&self, path: &Path) -> Result<()> {
        let layers = self.node_layers.iter().map(|it| (it.node_layer.clone(), it.rows));
        let kind = KIND.to_owned();
        let header = Header { kind, samples: self.samples, node_layers: layers.collect() };
        let mut file = Arrays::new(&header)?;
        for (n, layer) in self.node_layers.iter().enumerate() {
            file.arrays.insert(format!("{n}.mean"), layer.mean.clone().into_dyn());
            if let Some(scatter) = &layer.scatter {
                file.arrays.insert(format!("{n}.scatter"), scatter.clone().into_dyn());
            }
        }
        file.write(path)
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// A file that is damaged or of another kind.
    pub fn load(path: &Path) -> Result<Self> {
        let mut file = Arrays::read(path)?;
        let header: Header = file.typed(path)?;
        if header.kind != KIND {
            return Err(Error::file(path, "kind", header.kind, KIND));
        }
        let mut node_layers = Vec::with_capacity(header.node_layers.len());
        for (n, (node_layer, rows)) in header.node_layers.into_iter().enumerate() {
            let mean = file.vector(path, &format!("{n}.mean"))?;
            let name = format!("{n}.scatter");
            let there = file.arrays.contains_key(&name);
            let scatter = there.then(|| file.matrix(path, &name)).transpose()?;
            let size = mean.len();
            if scatter.as_ref().is_some_and(|scatter| scatter.dim() != (size, size)) {
                return Err(Error::file(
                    path,
                    name,
                    "of another size",
                    format!("{size} by {size}"),
                ));
            }
            node_layers.push(LayerMoments { node_layer, rows, mean, scatter });
        }
        Ok(Self { samples: header.samples, node_layers })
    }
}
