//! `Wiring`: a network's linear parts and the dictionaries that stand for its MLPs.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayView1, s};
use nissl_core::features::{Dictionary, Encoding, InputNorm};
use nissl_core::network::{Half, HeadShape, Part, ResidualWeights, StreamForm, TokenTable};
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::norm::Norm;

/// What a dictionary of an MLP reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reads {
    /// What the MLP reads, after the norm (`mlp.in`).
    #[default]
    Normed,
    /// The residual stream before the norm (`resid.mid`; `resid.pre` where the halves are parallel).
    Stream,
    /// What the MLP reads, of which the network's own neurons make what they make (`mlp.act`): features are
    /// the neurons that write most at a position, [`STRONGEST`](super::STRONGEST) of them; the others are unexplained.
    Neurons,
}

/// A dictionary in the place of a layer's MLP.
#[derive(Clone, Debug)]
pub struct Replaced {
    /// The layer, from 0.
    pub layer: usize,
    /// A transcoder: what its features read, and what they write to `mlp.out`.
    pub dictionary: Arc<Dictionary>,
    /// What it reads.
    pub reads: Reads,
}

/// A network's linear parts and the dictionaries that stand for its MLPs.
pub struct Wiring<'a> {
    weights: &'a dyn ResidualWeights,
    form: StreamForm,
    layers: Vec<LayerWiring>,
    replaced: BTreeMap<usize, Replaced>,
    pub(crate) final_norm: Norm,
    head_bias: Option<Vec<f32>>,
    pub(crate) embedding_scale: f64,
}

pub(crate) struct LayerWiring {
    pub norms: [Norm; 2],
    /// `[key head · unit, residual]`.
    value: Array2<f32>,
    /// `[head · unit, residual]`.
    out: Array2<f32>,
    pub value_bias: Option<Array1<f64>>,
    pub out_bias: Option<Array1<f64>>,
}

impl LayerWiring {
    /// `[key head · unit, residual]`: what the units of values read.
    pub(crate) fn value(&self) -> Array2<f64> {
        self.value.mapv(f64::from)
    }

    /// `[head · unit, residual]`: what the units of heads write.
    pub(crate) fn out(&self) -> Array2<f64> {
        self.out.mapv(f64::from)
    }

    pub(crate) fn norm(&self, half: Half) -> &Norm {
        &self.norms[usize::from(half == Half::Mlp)]
    }
}

impl<'a> Wiring<'a> {
    /// Reads the linear parts of `weights`, and checks `dictionaries` against them.
    ///
    /// # Errors
    /// Weights that do not tell their heads and norms, files that cannot be read, two dictionaries of one
    /// layer or one of a layer that is not there, of another width, with a number that is not finite, or
    /// that is no transcoder.
    pub fn new(weights: &'a dyn ResidualWeights, dictionaries: Vec<Replaced>) -> Result<Self> {
        let form = weights.stream_form()?;
        check_heads(weights, form.heads)?;
        let mut replaced = BTreeMap::new();
        for one in dictionaries {
            check(weights, &one)?;
            let layer = one.layer;
            if replaced.insert(layer, one).is_some() {
                return Err(Error::setting("features", format!("two of layer {layer}"), "one"));
            }
        }
        let mut layers = Vec::with_capacity(weights.layers());
        for layer in 0..weights.layers() {
            let wide = |part| -> Result<Option<Array1<f64>>> {
                let bias = weights.part_bias(layer, part)?;
                Ok(bias.map(|bias| bias.into_iter().map(f64::from).collect()))
            };
            let norm = |half| weights.norm_before(layer, half).map(|norm| Norm::of(&norm));
            layers.push(LayerWiring {
                norms: [norm(Half::Attention)?, norm(Half::Mlp)?],
                value: matrix(weights, layer, Part::Value)?,
                out: matrix(weights, layer, Part::AttentionOut)?,
                value_bias: wide(Part::Value)?,
                out_bias: wide(Part::AttentionOut)?,
            });
        }
        Ok(Self {
            form,
            layers,
            replaced,
            final_norm: Norm::of(&weights.final_norm()?),
            head_bias: weights.head_bias()?,
            embedding_scale: f64::from(weights.embedding_scale()?),
            weights,
        })
    }

    /// The weights it was read from.
    pub fn weights(&self) -> &'a dyn ResidualWeights {
        self.weights
    }

    /// How the layers are joined to the residual stream.
    pub fn form(&self) -> &StreamForm {
        &self.form
    }

    /// The number of layers.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// The width of the residual stream.
    pub fn width(&self) -> usize {
        self.weights.residual_width()
    }

    /// The dictionary in the place of a layer's MLP.
    pub fn dictionary(&self, layer: usize) -> Option<&Dictionary> {
        self.replaced.get(&layer).map(|one| one.dictionary.as_ref())
    }

    /// The layers with a dictionary, ascending.
    pub fn dictionary_layers(&self) -> impl Iterator<Item = usize> + '_ {
        self.replaced.keys().copied()
    }

    pub(crate) fn replaced(&self, layer: usize) -> Option<&Replaced> {
        self.replaced.get(&layer)
    }

    pub(crate) fn layer(&self, layer: usize) -> &LayerWiring {
        &self.layers[layer]
    }

    /// What a feature reads `[residual]`, and what is added to it.
    ///
    /// # Errors
    /// A layer without a dictionary, or a feature that it has not.
    pub fn reading(&self, layer: usize, feature: usize) -> Result<(Array1<f64>, f64)> {
        let dictionary = self.feature_of(layer, feature)?;
        let encoder = dictionary.encoder.as_ref().unwrap_or(&dictionary.decoder);
        let scale =
            dictionary.log_magnitude.as_ref().map_or(1.0, |log| f64::from(log[feature]).exp());
        let row = encoder.row(feature).mapv(|value| f64::from(value) * scale);
        let mut constant = dictionary.encoder_bias.as_ref().map_or(0.0, |b| f64::from(b[feature]));
        if let (Encoding::Sparse { centred: true, .. }, Some(bias)) =
            (dictionary.encoding, &dictionary.decoder_bias)
        {
            constant -= dot(bias.view(), row.view());
        }
        Ok((row, constant))
    }

    /// What a feature writes to the residual stream `[residual]`.
    ///
    /// # Errors
    /// As [`Self::reading`].
    pub fn writing(&self, layer: usize, feature: usize) -> Result<Array1<f64>> {
        let dictionary = self.feature_of(layer, feature)?;
        Ok(dictionary.written().row(feature).mapv(f64::from))
    }

    fn feature_of(&self, layer: usize, feature: usize) -> Result<&Dictionary> {
        let Some(dictionary) = self.dictionary(layer) else {
            let known: Vec<_> = self.replaced.keys().map(ToString::to_string).collect();
            let expected = match known.len() {
                0 => "a layer with a dictionary; none was given".to_owned(),
                _ => format!("a layer with a dictionary: {}", known.join(", ")),
            };
            return Err(Error::setting("layer", layer, expected));
        };
        if feature >= dictionary.features() {
            let last = dictionary.features().saturating_sub(1);
            let expected = format!("0 to {last}, the features of layer {layer}");
            return Err(Error::setting("feature", feature, expected));
        }
        Ok(dictionary)
    }

    /// `W_V W_O v` of a head: the direction of what its attention reads by which it moves `v`, for a
    /// weight 1 on the source `[residual]`; both ends in the spaces of their norms.
    ///
    /// # Errors
    /// A layer or head that is not there.
    pub fn through_head(
        &self,
        layer: usize,
        head: usize,
        v: ArrayView1<'_, f64>,
    ) -> Result<Array1<f64>> {
        self.check_head(layer, head)?;
        let HeadShape { width, .. } = self.form.heads;
        let from = self.form.heads.key_head(head) * width;
        let wiring = &self.layers[layer];
        let out = wiring.out.slice(s![head * width..(head + 1) * width, ..]);
        let value = wiring.value.slice(s![from..from + width, ..]);
        let mut found = Array1::zeros(v.len());
        for (out, value) in out.rows().into_iter().zip(value.rows()) {
            let along = dot(out, v);
            found.zip_mut_with(&value, |sum, &value| *sum += along * f64::from(value));
        }
        Ok(found)
    }

    /// # Errors
    /// A layer or head that is not there.
    pub(crate) fn check_head(&self, layer: usize, head: usize) -> Result<()> {
        self.check_layer(layer)?;
        let heads = self.form.heads.heads;
        if head < heads {
            return Ok(());
        }
        Err(Error::setting("head", head, format!("0 to {}", heads.saturating_sub(1))))
    }

    /// # Errors
    /// A layer that is not there.
    pub(crate) fn check_layer(&self, layer: usize) -> Result<()> {
        if layer < self.layers() {
            return Ok(());
        }
        let expected = format!("0 to {}", self.layers().saturating_sub(1));
        Err(Error::setting("layer", layer, expected))
    }

    /// A row of the head `[residual]` and its bias.
    ///
    /// # Errors
    /// A token beyond the vocabulary, or a file that cannot be read.
    pub fn unembedding(&self, token: u32) -> Result<(Array1<f64>, f64)> {
        let row = self.token_row(TokenTable::Head, token)?;
        let bias = self.head_bias.as_ref().map_or(0.0, |bias| f64::from(bias[token as usize]));
        Ok((row, bias))
    }

    /// What a token puts into the stream `[residual]`, without its place.
    ///
    /// # Errors
    /// As [`Self::unembedding`].
    pub fn embedding(&self, token: u32) -> Result<Array1<f64>> {
        Ok(self.token_row(TokenTable::Embed, token)? * self.embedding_scale)
    }

    fn token_row(&self, table: TokenTable, token: u32) -> Result<Array1<f64>> {
        let vocabulary = self.weights.vocabulary();
        let token = token as usize;
        if token >= vocabulary {
            let expected = format!("below {vocabulary}, the network's vocabulary");
            return Err(Error::setting("token", token, expected));
        }
        let mut row = vec![0.0; self.width()];
        self.weights.read_tokens(table, token..token + 1, &mut row)?;
        Ok(row.into_iter().map(f64::from).collect())
    }
}

pub(super) fn matrix(
    weights: &dyn ResidualWeights,
    layer: usize,
    part: Part,
) -> Result<Array2<f32>> {
    weights.check(layer, part)?;
    let (units, width) = (weights.units(part), weights.residual_width());
    let mut out = Array2::zeros((units, width));
    if let Some(out) = out.as_slice_mut() {
        weights.read_units(layer, part, 0..units, out)?;
    }
    Ok(out)
}

fn check_heads(weights: &dyn ResidualWeights, shape: HeadShape) -> Result<()> {
    for (part, heads) in [(Part::AttentionOut, shape.heads), (Part::Value, shape.key_heads)] {
        let (found, expected) = (weights.units(part), heads * shape.width);
        if found != expected {
            let expected = format!("{expected}, {heads} heads of {} units", shape.width);
            return Err(Error::setting(part.name(), found, expected));
        }
    }
    Ok(())
}

/// # Errors
/// A dictionary that cannot stand for an MLP of the network.
fn check(weights: &dyn ResidualWeights, one: &Replaced) -> Result<()> {
    let (layers, width) = (weights.layers(), weights.residual_width());
    let name = format!("features of layer {}", one.layer);
    if one.layer >= layers {
        let expected = format!("a layer from 0 to {}", layers.saturating_sub(1));
        return Err(Error::setting("features", name, expected));
    }
    let dictionary = one.dictionary.as_ref();
    match dictionary.encoding {
        Encoding::Sparse { norm: InputNorm::None, .. } => {}
        Encoding::Sparse { .. } => {
            return Err(Error::setting(
                "features",
                name,
                "a dictionary that reads its input as it is, any norm folded into its encoder",
            ));
        }
        _ => {
            let expected = "a transcoder: other features do not say what each of them reads";
            return Err(Error::setting("features", name, expected));
        }
    }
    if dictionary.output_decoder.is_none() {
        let expected = "a transcoder, from `mlp.in` to `mlp.out`, not an autoencoder of one site";
        return Err(Error::setting("features", name, expected));
    }
    for (found, side) in [(dictionary.units(), "read"), (dictionary.output_units(), "written")] {
        if found != width {
            return Err(Error::Units {
                left: format!("{name}, {side}"),
                found,
                right: format!("the residual stream of {}", weights.id()),
                expected: width,
                help: Some("is this a transcoder of this network?".to_owned()),
            });
        }
    }
    let matrices = [
        Some(&dictionary.decoder),
        dictionary.encoder.as_ref(),
        dictionary.output_decoder.as_ref(),
    ];
    if matrices.into_iter().flatten().any(|matrix| matrix.iter().any(|value| !value.is_finite())) {
        return Err(Error::setting("features", name, "finite numbers"));
    }
    Ok(())
}

/// `a · b` summed in f64.
pub(crate) fn dot(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(&a, b)| f64::from(a) * b).sum()
}
