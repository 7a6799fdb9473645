//! What every feature, error and token adds to targets directly: through heads and skip connections, but
//! no other feature.
//!
//! A target's direction is carried down the stream, `G ← G + LN'(A W_V W_O)ᵀ G + LN'(W_skip)ᵀ G`, with
//! patterns and denominators held fixed; a source's effect is what it writes along `G`.
//!
//! Source: Ameisen et al. 2025, "Circuit Tracing", §3 (frozen direct effects).
//! Memory: `targets · positions · residual` numbers of 8 bytes, three times.

use ndarray::{Array2, Array3, ArrayView2, s};
use nissl_core::Progress;
use nissl_core::Result;
use nissl_core::features::product;
use nissl_core::network::Half;

use super::run::FrozenRun;
use super::target::Target;
use super::wiring::{Reads, dot};

/// An active feature of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureSite {
    /// The layer, from 0.
    pub layer: usize,
    /// The token position, from 0.
    pub position: usize,
    /// Its number in the layer's dictionary.
    pub feature: u32,
    /// Its activation.
    pub activation: f32,
}

/// Direct effects on a batch of targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Effects {
    /// `[target, feature]`, in the order of [`FrozenRun::active_features`].
    pub features: Array2<f64>,
    /// `[target, layer · position]`, layers outermost.
    pub errors: Array2<f64>,
    /// `[target, position]`: the embeddings of token and place.
    pub tokens: Array2<f64>,
    /// `[target]`: all biases on the way, and the target's own.
    pub biases: Vec<f64>,
    /// `[target]`: what all of it should come to.
    pub values: Vec<f64>,
}

impl Effects {
    /// `[target]`: `|sum − value| / |value|`, how far the effects are from complete.
    pub fn gaps(&self) -> Vec<f64> {
        let rows = self.features.rows().into_iter().zip(self.errors.rows()).zip(self.tokens.rows());
        rows.zip(self.biases.iter().zip(&self.values))
            .map(|(((features, errors), tokens), (bias, value))| {
                let gap = (features.sum() + errors.sum() + tokens.sum() + bias - value).abs();
                if gap == 0.0 { 0.0 } else { gap / value.abs() }
            })
            .collect()
    }
}

impl FrozenRun<'_> {
    /// Every active feature, by layer, position and number.
    pub fn active_features(&self) -> Vec<FeatureSite> {
        let mut all = Vec::new();
        for layer in self.wiring().dictionary_layers() {
            for position in 0..self.tokens().len() {
                all.extend(self.active(layer, position).iter().map(|&(feature, activation)| {
                    FeatureSite { layer, position, feature, activation }
                }));
            }
        }
        all
    }

    /// The direct effects on `targets`. Exact with frozen norms; under the paper's ratio the sum need not
    /// be complete, since one constant cannot stand for all directions.
    ///
    /// # Errors
    /// When the user wants to stop.
    pub fn effects(&self, targets: &[Target], progress: &Progress) -> Result<Effects> {
        let (positions, layers) = (self.tokens().len(), self.wiring().layers());
        let starts: Vec<usize> = self.first_features();
        let mut found = Effects {
            features: Array2::zeros((targets.len(), starts[layers])),
            errors: Array2::zeros((targets.len(), layers * positions)),
            tokens: Array2::zeros((targets.len(), positions)),
            biases: targets.iter().map(|target| target.constant).collect(),
            values: targets.iter().map(|target| self.value(target)).collect(),
        };
        let mut carried = Array3::zeros((targets.len(), positions, self.wiring().width()));
        for layer in (0..=layers).rev() {
            progress.check(|| format!("effects down to layer {layer}"))?;
            if layer < layers {
                let skipped = self.mlp_effects(layer, starts[layer], &carried, &mut found);
                // Halves side by side read the same residual: what passes through the MLP does not pass
                // the attention too.
                let parallel = self.wiring().form().parallel;
                if parallel {
                    self.attention_effects(layer, &mut carried, &mut found);
                }
                if let Some(skipped) = skipped {
                    add(&mut carried, &skipped);
                }
                begin(targets, layer, Half::Mlp, &mut carried);
                if !parallel {
                    self.attention_effects(layer, &mut carried, &mut found);
                }
            }
            begin(targets, layer, Half::Attention, &mut carried);
        }
        let embedded = self.token_rows() + self.place_rows();
        for (along, mut row) in carried.outer_iter().zip(found.tokens.rows_mut()) {
            for (position, effect) in row.iter_mut().enumerate() {
                *effect = along.row(position).dot(&embedded.row(position));
            }
        }
        Ok(found)
    }

    /// The place of each layer's first feature among the active ones, and their number.
    fn first_features(&self) -> Vec<usize> {
        let mut starts = vec![0];
        let mut total = 0;
        for layer in 0..self.wiring().layers() {
            total += self.layer(layer).active.iter().map(Vec::len).sum::<usize>();
            starts.push(total);
        }
        starts
    }

    /// Reads the MLP's parts along `carried`, and gives what of it passes a skip connection.
    fn mlp_effects(
        &self,
        layer: usize,
        start: usize,
        carried: &Array3<f64>,
        found: &mut Effects,
    ) -> Option<Array2<f64>> {
        let positions = self.tokens().len();
        let frozen = self.layer(layer);
        let dictionary = self.wiring().dictionary(layer);
        let mut first = start;
        for position in 0..positions {
            let along = carried.slice(s![.., position, ..]).to_owned();
            let errors = along.dot(&frozen.errors.row(position));
            found.errors.column_mut(layer * positions + position).assign(&errors);
            let Some(dictionary) = dictionary else { continue };
            let active = &frozen.active[position];
            let mut written = Array2::zeros((active.len(), self.wiring().width()));
            for (mut row, &(feature, value)) in written.rows_mut().into_iter().zip(active) {
                let decoder = dictionary.written();
                row.zip_mut_with(&decoder.row(feature as usize), |to, &from| {
                    *to = f64::from(from) * f64::from(value);
                });
            }
            let effects = product(along.view(), written.t());
            found.features.slice_mut(s![.., first..first + active.len()]).assign(&effects);
            first += active.len();
            if let Some(bias) = &dictionary.output_bias {
                for (total, along) in found.biases.iter_mut().zip(along.rows()) {
                    *total += dot(bias.view(), along);
                }
            }
        }
        let skip = dictionary?.skip.as_ref()?;
        let mut read = product(flat(carried).view(), skip.mapv(f64::from).view());
        if self.wiring().replaced(layer).is_none_or(|one| one.reads != Reads::Stream) {
            self.back_through_norm(layer, Half::Mlp, &mut read, &mut found.biases);
        }
        Some(read)
    }

    /// Carries `carried` through the layer's heads.
    fn attention_effects(&self, layer: usize, carried: &mut Array3<f64>, found: &mut Effects) {
        let positions = self.tokens().len();
        let shape = self.wiring().form().heads;
        let (wiring, frozen) = (self.wiring().layer(layer), self.layer(layer));
        let mut along = flat(carried);
        for (row, mut along) in along.rows_mut().into_iter().enumerate() {
            along *= frozen.after[row % positions];
        }
        if let Some(bias) = &wiring.out_bias {
            for (row, along) in along.rows().into_iter().enumerate() {
                found.biases[row / positions] += along.dot(bias);
            }
        }
        // [target · position, head · unit]
        let units = product(along.view(), wiring.out().t());
        let mut values = Array2::zeros((along.nrows(), shape.key_heads * shape.width));
        for head in 0..shape.heads {
            let pattern: Array2<f64> = frozen.pattern.slice(s![head, .., ..]).mapv(f64::from);
            let from = shape.key_head(head) * shape.width;
            for target in 0..found.biases.len() {
                let rows = target * positions..(target + 1) * positions;
                let columns = head * shape.width..(head + 1) * shape.width;
                let moved = pattern.t().dot(&units.slice(s![rows.clone(), columns]));
                let mut to = values.slice_mut(s![rows, from..from + shape.width]);
                to += &moved;
            }
        }
        if let Some(bias) = &wiring.value_bias {
            for (row, values) in values.rows().into_iter().enumerate() {
                found.biases[row / positions] += values.dot(bias);
            }
        }
        let mut read = product(values.view(), wiring.value().view());
        self.back_through_norm(layer, Half::Attention, &mut read, &mut found.biases);
        add(carried, &read);
    }

    fn back_through_norm(
        &self,
        layer: usize,
        half: Half,
        read: &mut Array2<f64>,
        biases: &mut [f64],
    ) {
        let positions = self.tokens().len();
        let norm = self.wiring().layer(layer).norm(half);
        let denominators = &self.layer(layer).denominators[usize::from(half == Half::Mlp)];
        for (row, mut read) in read.rows_mut().into_iter().enumerate() {
            biases[row / positions] += norm.bias_along(read.view());
            norm.back_row(read.view_mut(), denominators[row % positions]);
        }
    }
}

/// Adds the targets that read before a half of a layer.
fn begin(targets: &[Target], layer: usize, half: Half, carried: &mut Array3<f64>) {
    for (target, mut along) in targets.iter().zip(carried.outer_iter_mut()) {
        if target.depth.layer == layer && target.depth.half == half {
            let mut row = along.row_mut(target.position);
            row += &target.vector;
        }
    }
}

/// `[target · position, residual]`.
fn flat(carried: &Array3<f64>) -> Array2<f64> {
    let (targets, positions, width) = carried.dim();
    let view: ArrayView2<'_, f64> =
        match carried.view().into_shape_with_order((targets * positions, width)) {
            Ok(view) => view,
            Err(_) => return Array2::zeros((targets * positions, width)),
        };
    view.to_owned()
}

fn add(carried: &mut Array3<f64>, read: &Array2<f64>) {
    for (to, from) in carried.iter_mut().zip(read) {
        *to += from;
    }
}
