//! `Target`: a direction of the residual stream at one place, of which the causes are asked.

use ndarray::{Array1, ArrayView1};
use nissl_core::network::Half;
use nissl_core::{Error, Result};

use super::run::{FrozenRun, NormTreatment};
use super::wiring::Reads;

/// How far up the stream a target reads: everything before this half of this layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Depth {
    /// The layer, from 0; the number of layers for the end of the stream.
    pub layer: usize,
    /// The half.
    pub half: Half,
}

/// A direction of the residual stream at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What comes before it.
    pub depth: Depth,
    /// The token position, from 0.
    pub position: usize,
    /// `[residual]`: the direction, the norm done.
    pub vector: Array1<f64>,
    /// What biases of the norm and of the reader add.
    pub constant: f64,
    /// The norm's constant `(v · LN(x)) / (v · x)` under [`NormTreatment::Ratio`].
    pub ratio: Option<f64>,
}

impl FrozenRun<'_> {
    /// The pre-activation of a feature at a position.
    ///
    /// # Errors
    /// A layer without a dictionary, a feature it has not, or a position beyond the prompt.
    pub fn feature(&self, layer: usize, position: usize, feature: usize) -> Result<Target> {
        self.check_position("position", position)?;
        self.read_feature(layer, position, feature, 1.0)
    }

    /// A weighted sum of logits at a position.
    ///
    /// # Errors
    /// A token beyond the vocabulary, a position beyond the prompt, or no token at all.
    pub fn logits(&self, position: usize, tokens: &[(u32, f64)]) -> Result<Target> {
        self.check_position("position", position)?;
        if tokens.is_empty() {
            return Err(Error::setting("logit", "no token", "at least one token"));
        }
        let mut vector = Array1::zeros(self.wiring().width());
        let mut constant = 0.0;
        for &(token, weight) in tokens {
            let (row, bias) = self.wiring().unembedding(token)?;
            vector.scaled_add(weight, &row);
            constant += weight * bias;
        }
        let depth = self.end();
        let mut target = self.through_norm(depth, position, vector);
        target.constant += constant;
        Ok(target)
    }

    /// The end of the stream.
    pub fn end(&self) -> Depth {
        Depth { layer: self.wiring().layers(), half: Half::Attention }
    }

    /// What moves `target` through a head from a source position: the pattern's weight held fixed.
    ///
    /// # Errors
    /// A head that is not there or does not come before the target, or a source beyond the prompt.
    pub fn through_head(
        &self,
        target: &Target,
        layer: usize,
        head: usize,
        source: usize,
    ) -> Result<Target> {
        self.wiring().check_head(layer, head)?;
        self.check_position("source", source)?;
        if !self.attention_before(layer, target.depth) {
            return Err(before("head", layer));
        }
        let weight = self.pattern(layer, head, target.position, source)
            * self.layer(layer).after[target.position];
        let read = self.wiring().through_head(layer, head, target.vector.view())? * weight;
        Ok(self.through_norm(Depth { layer, half: Half::Attention }, source, read))
    }

    /// What moves `target` through a feature at its position: the feature's encoder, scaled by how much
    /// its decoder moves the target; the activation is not multiplied in.
    ///
    /// # Errors
    /// As [`Self::feature`], or a layer that does not come before the target.
    pub fn through_feature(&self, target: &Target, layer: usize, feature: usize) -> Result<Target> {
        if layer >= target.depth.layer {
            return Err(before("feature", layer));
        }
        let along = self.wiring().writing(layer, feature)?.dot(&target.vector);
        if self.wiring().replaced(layer).map(|one| one.reads) == Some(Reads::Neurons) {
            let expected =
                "transcoders, or neurons of relu: others do not pass on what they read unchanged";
            return Err(Error::setting("features", "neurons", expected));
        }
        self.read_feature(layer, target.position, feature, along)
    }

    /// What moves `target` through the skip connection of a layer's dictionary.
    ///
    /// # Errors
    /// A layer whose dictionary has none, or that does not come before the target.
    pub fn through_skip(&self, target: &Target, layer: usize) -> Result<Target> {
        if layer >= target.depth.layer {
            return Err(before("skip", layer));
        }
        let skip = self.wiring().dictionary(layer).and_then(|dictionary| dictionary.skip.as_ref());
        let Some(skip) = skip else {
            return Err(Error::setting("skip", layer, "a layer whose dictionary has one"));
        };
        let mut read = Array1::zeros(target.vector.len());
        for (row, &along) in skip.rows().into_iter().zip(&target.vector) {
            read.zip_mut_with(&row, |sum, &value| *sum += along * f64::from(value));
        }
        Ok(self.read_before_mlp(layer, target.position, read))
    }

    fn read_feature(
        &self,
        layer: usize,
        position: usize,
        feature: usize,
        scale: f64,
    ) -> Result<Target> {
        let (row, constant) = self.wiring().reading(layer, feature)?;
        let mut target = self.read_before_mlp(layer, position, row * scale);
        target.constant += constant * scale;
        Ok(target)
    }

    /// A direction of what a layer's dictionary reads.
    fn read_before_mlp(&self, layer: usize, position: usize, read: Array1<f64>) -> Target {
        let depth = Depth { layer, half: Half::Mlp };
        match self.wiring().replaced(layer).map_or(Reads::Normed, |one| one.reads) {
            Reads::Normed | Reads::Neurons => self.through_norm(depth, position, read),
            Reads::Stream => Target { depth, position, vector: read, constant: 0.0, ratio: None },
        }
    }

    /// A direction `v` of the normed space at `depth`.
    fn through_norm(&self, depth: Depth, position: usize, v: Array1<f64>) -> Target {
        let (norm, denominator) = self.norm_at(depth, position);
        let constant = norm.bias_along(v.view());
        match self.norm_treatment() {
            NormTreatment::Frozen => {
                let vector = norm.back(v, denominator);
                Target { depth, position, vector, constant, ratio: None }
            }
            NormTreatment::Ratio => {
                let residual = self.residual(depth, position);
                let v = norm.gained(v);
                let seen = norm.unit(residual, denominator).dot(&v);
                let raw = residual.dot(&v);
                let ratio = if raw == 0.0 { 0.0 } else { seen / raw };
                Target { depth, position, vector: v * ratio, constant, ratio: Some(ratio) }
            }
        }
    }

    /// What a target's sum should come to: its direction on the captured residual, and its constant.
    pub fn value(&self, target: &Target) -> f64 {
        self.residual(target.depth, target.position).dot(&target.vector) + target.constant
    }

    /// The residual that a target reads `[residual]`.
    pub fn residual(&self, depth: Depth, position: usize) -> ArrayView1<'_, f64> {
        if depth.layer >= self.wiring().layers() {
            return self.last().row(position);
        }
        let layer = self.layer(depth.layer);
        match depth.half {
            Half::Attention => layer.pre.row(position),
            Half::Mlp => layer.mid.row(position),
        }
    }

    /// Whether the attention of a layer comes before a depth.
    pub fn attention_before(&self, layer: usize, depth: Depth) -> bool {
        layer < depth.layer
            || (layer == depth.layer && depth.half == Half::Mlp && !self.wiring().form().parallel)
    }

    /// # Errors
    /// A position beyond the prompt.
    pub(crate) fn check_position(&self, field: &str, position: usize) -> Result<()> {
        let positions = self.tokens().len();
        if position < positions {
            return Ok(());
        }
        let expected = format!("0 to {}, the prompt's tokens", positions.saturating_sub(1));
        Err(Error::setting(field, position, expected))
    }
}

fn before(what: &str, layer: usize) -> Error {
    Error::setting(what, format!("of layer {layer}"), "one that comes before its target")
}
