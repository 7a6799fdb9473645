//! `FrozenRun`: one prompt's residuals, attention, norms and features, held fixed.

use std::collections::BTreeMap;

use ndarray::{Array2, Array3, ArrayView2};
use nissl_core::network::{Half, LanguageNetwork};
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::capture::Activity;
use super::neurons::strongest;
use super::norm::Norm;
use super::target::Depth;
use super::wiring::{Reads, Wiring};

/// How a norm of the residual stream is made linear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum NormTreatment {
    /// Centring and gain as they are, with the denominator of this prompt
    #[default]
    Frozen,
    /// One constant (v·LN(x)) / (v·x) for each direction v, as in the paper
    Ratio,
}

/// How a run is frozen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Freeze {
    /// How norms are made linear
    #[arg(long, value_enum, default_value_t)]
    pub norms: NormTreatment,
    /// Take dictionaries that explain nothing of their MLP on this prompt
    #[arg(long)]
    pub force: bool,
}

/// One prompt's run with attention, norms and features held fixed.
pub struct FrozenRun<'w> {
    wiring: &'w Wiring<'w>,
    tokens: Vec<u32>,
    norms: NormTreatment,
    layers: Vec<FrozenLayer>,
    token_rows: Array2<f64>,
    place_rows: Array2<f64>,
    last: Array2<f64>,
    final_denominators: Vec<f64>,
    logits: Array2<f32>,
    unexplained: BTreeMap<usize, f64>,
}

pub(crate) struct FrozenLayer {
    /// `[position, residual]` before the attention.
    pub pre: Array2<f64>,
    /// `[position, residual]` before the MLP.
    pub mid: Array2<f64>,
    /// `[head, target, source]`.
    pub pattern: Array3<f32>,
    /// `[position]`: what a norm after the attention divides by and multiplies with.
    pub after: Vec<f64>,
    /// `[position, key head · unit]` without their bias.
    pub values: Array2<f64>,
    /// Of the norms before both halves, `[position]`.
    pub denominators: [Vec<f64>; 2],
    /// `[position, residual]`.
    pub mlp_in: Array2<f32>,
    /// `[position, residual]`.
    pub mlp_out: Array2<f32>,
    /// Active features by position, and their activations.
    pub active: Vec<Vec<(u32, f32)>>,
    /// `[position, residual]`: `MLP(x) − ŷ`.
    pub errors: Array2<f64>,
    /// `[position, residual]`: what passes straight through the dictionary.
    pub skip: Option<Array2<f64>>,
}

impl<'w> FrozenRun<'w> {
    /// Runs `tokens` once and keeps what a circuit is made of.
    ///
    /// # Errors
    /// A prompt of fewer than two tokens, a network that is not that of the wiring or misses a site,
    /// activity that is not finite, and a dictionary that explains nothing of its MLP
    /// (FVU above 1), unless forced.
    pub fn new(
        wiring: &'w Wiring<'w>,
        network: &dyn LanguageNetwork,
        tokens: &[u32],
        freeze: &Freeze,
    ) -> Result<Self> {
        if tokens.len() < 2 {
            let found = format!("{} tokens", tokens.len());
            return Err(Error::setting(
                "prompt",
                found,
                "at least two tokens, a cause and an effect",
            ));
        }
        if network.residual_width() != wiring.width() || network.layers() != wiring.layers() {
            let shape = |layers: usize, width: usize| format!("{layers} layers of {width}");
            let found = shape(network.layers(), network.residual_width());
            let expected = shape(wiring.layers(), wiring.width());
            return Err(Error::setting(
                "network",
                found,
                format!("that of the weights, {expected}"),
            ));
        }
        let mut activity = Activity::capture(network, tokens)?;
        let (positions, width) = (tokens.len(), wiring.width());
        let embed = activity.take("embed", width)?.mapv(f64::from);
        let mut token_rows = Array2::zeros((positions, width));
        for (mut row, &token) in token_rows.rows_mut().into_iter().zip(tokens) {
            row.assign(&wiring.embedding(token)?);
        }
        let place_rows = &embed - &token_rows;
        let mut layers = Vec::with_capacity(wiring.layers());
        for n in 0..wiring.layers() {
            layers.push(layer(wiring, n, &mut activity, positions)?);
        }
        let last = format!("layers.{}.resid.post", wiring.layers().saturating_sub(1));
        let last = activity.take(&last, width)?.mapv(f64::from);
        let final_denominators = denominators(&wiring.final_norm, &last);
        let logits = activity.take("logits", network.vocabulary())?;
        let mut run = Self {
            wiring,
            tokens: tokens.to_vec(),
            norms: freeze.norms,
            layers,
            token_rows,
            place_rows,
            last,
            final_denominators,
            logits,
            unexplained: BTreeMap::new(),
        };
        run.measure(freeze.force)?;
        Ok(run)
    }

    /// Keeps each dictionary's FVU, and refuses one above 1.
    fn measure(&mut self, force: bool) -> Result<()> {
        for layer in self.wiring.dictionary_layers() {
            let own = self.fraction_unexplained(layer, layer)?;
            let is_the_network =
                self.wiring.replaced(layer).map(|one| one.reads) == Some(Reads::Neurons);
            if own > 1.0 && !force && !is_the_network {
                let mut best = (layer, own);
                for other in 0..self.layers.len() {
                    let fraction = self.fraction_unexplained(layer, other)?;
                    if fraction < best.1 {
                        best = (other, fraction);
                    }
                }
                let help = if best.0 == layer || best.1 > 1.0 {
                    "it fits no layer: is it of this network, and of the MLP's input? It is taken all the same with `force`".to_owned()
                } else {
                    format!("it fits layer {} best, with {:.3}", best.0, best.1)
                };
                let found = format!("unexplained {own:.3} of the MLP of layer {layer}");
                return Err(Error::setting("features", found, format!("at most 1; {help}")));
            }
            self.unexplained.insert(layer, own);
        }
        Ok(())
    }

    /// The fraction of variance of an MLP's output that a dictionary leaves unexplained here: without the
    /// first position, whose norms are often huge, where there are more than two.
    fn fraction_unexplained(&self, dictionary: usize, layer: usize) -> Result<f64> {
        let Some(one) = self.wiring.replaced(dictionary) else { return Ok(1.0) };
        let frozen = &self.layers[layer];
        let read = match one.reads {
            Reads::Normed | Reads::Neurons => frozen.mlp_in.clone(),
            Reads::Stream => frozen.mid.mapv(|value| value as f32),
        };
        let predicted = if one.reads == Reads::Neurons {
            // The network's neurons are those of their own layer alone.
            let own = &self.layers[dictionary];
            own.mlp_out.mapv(f64::from) - &own.errors
        } else {
            let activations = one.dictionary.encode(read.view())?;
            one.dictionary.predict(read.view(), activations.view())?.mapv(f64::from)
        };
        let from = usize::from(self.tokens.len() > 2);
        let rows = self.tokens.len() - from;
        let (mut wrong, mut all) = (0.0, 0.0);
        for unit in 0..self.wiring.width() {
            let truth = |row: usize| f64::from(frozen.mlp_out[[from + row, unit]]);
            let mean = (0..rows).map(truth).sum::<f64>() / rows as f64;
            for row in 0..rows {
                wrong += (truth(row) - predicted[[from + row, unit]]).powi(2);
                all += (truth(row) - mean).powi(2);
            }
        }
        Ok(if wrong == 0.0 { 0.0 } else { wrong / all })
    }

    /// The wiring.
    pub fn wiring(&self) -> &'w Wiring<'w> {
        self.wiring
    }

    /// The prompt.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// How norms are made linear.
    pub fn norm_treatment(&self) -> NormTreatment {
        self.norms
    }

    /// Logits `[position, token]`.
    pub fn logit_rows(&self) -> ArrayView2<'_, f32> {
        self.logits.view()
    }

    /// The active features of a layer at a position, by number, and their activations; none without a
    /// dictionary.
    ///
    /// # Panics
    /// When there is no such layer or position.
    pub fn active(&self, layer: usize, position: usize) -> &[(u32, f32)] {
        &self.layers[layer].active[position]
    }

    /// The activation of a feature, 0 where it is silent.
    ///
    /// # Panics
    /// When there is no such layer or position.
    pub fn activation(&self, layer: usize, position: usize, feature: u32) -> f32 {
        let active = self.active(layer, position);
        let at = active.binary_search_by_key(&feature, |&(feature, _)| feature);
        at.map_or(0.0, |at| active[at].1)
    }

    /// The weight that a head at `target` gives to `source`.
    ///
    /// # Panics
    /// When there is no such layer, head or position.
    pub fn pattern(&self, layer: usize, head: usize, target: usize, source: usize) -> f64 {
        f64::from(self.layers[layer].pattern[[head, target, source]])
    }

    /// `MLP(x) − ŷ` `[position, residual]` of a layer; the whole MLP without a dictionary.
    ///
    /// # Panics
    /// When there is no such layer.
    pub fn errors(&self, layer: usize) -> ArrayView2<'_, f64> {
        self.layers[layer].errors.view()
    }

    /// The fraction of variance that each dictionary leaves unexplained on this prompt, by layer.
    pub fn unexplained(&self) -> &BTreeMap<usize, f64> {
        &self.unexplained
    }

    pub(crate) fn layer(&self, layer: usize) -> &FrozenLayer {
        &self.layers[layer]
    }

    pub(crate) fn last(&self) -> &Array2<f64> {
        &self.last
    }

    pub(crate) fn token_rows(&self) -> &Array2<f64> {
        &self.token_rows
    }

    pub(crate) fn place_rows(&self) -> &Array2<f64> {
        &self.place_rows
    }

    /// The norm at a depth, and its denominator at a position.
    pub(crate) fn norm_at(&self, depth: Depth, position: usize) -> (&Norm, f64) {
        if depth.layer >= self.layers.len() {
            return (&self.wiring.final_norm, self.final_denominators[position]);
        }
        let half = usize::from(depth.half == Half::Mlp);
        let denominator = self.layers[depth.layer].denominators[half][position];
        (self.wiring.layer(depth.layer).norm(depth.half), denominator)
    }
}

fn layer(
    wiring: &Wiring<'_>,
    n: usize,
    activity: &mut Activity,
    positions: usize,
) -> Result<FrozenLayer> {
    let (width, shape) = (wiring.width(), wiring.form().heads);
    let parts = wiring.layer(n);
    let mut take = |part: &str, units: usize| activity.take(&format!("layers.{n}.{part}"), units);
    let pre = take("resid.pre", width)?.mapv(f64::from);
    let mid = if wiring.form().parallel {
        pre.clone()
    } else {
        take("resid.mid", width)?.mapv(f64::from)
    };
    let flat = take("attn.pattern", shape.heads * positions)?;
    let pattern = Array3::from_shape_fn((shape.heads, positions, positions), |(head, to, from)| {
        flat[[to, head * positions + from]]
    });
    let mut values = take("attn.v", shape.key_heads * shape.width)?.mapv(f64::from);
    if let Some(bias) = &parts.value_bias {
        values -= bias;
    }
    let z = take("attn.z", shape.heads * shape.width)?;
    let out = take("attn.out", width)?;
    let after = if wiring.form().norm_after_attention {
        // The norm only scales what the heads write, the gain being in their matrix already.
        let written = nissl_core::features::product(z.mapv(f64::from).view(), parts.out().view());
        let scale =
            |(out, written): (ndarray::ArrayView1<'_, f32>, ndarray::ArrayView1<'_, f64>)| {
                let square = written.dot(&written);
                if square > 0.0 { super::wiring::dot(out, written) / square } else { 1.0 }
            };
        out.rows().into_iter().zip(written.rows()).map(scale).collect()
    } else {
        vec![1.0; positions]
    };
    let (mlp_in, mlp_out) = (take("mlp.in", width)?, take("mlp.out", width)?);
    let denominators = [
        denominators(parts.norm(Half::Attention), &pre),
        denominators(parts.norm(Half::Mlp), &mid),
    ];
    let mut errors = mlp_out.mapv(f64::from);
    let mut active = vec![Vec::new(); positions];
    let mut skip = None;
    if let Some(one) = wiring.replaced(n) {
        let read = match one.reads {
            Reads::Normed | Reads::Neurons => mlp_in.clone(),
            Reads::Stream => mid.mapv(|value| value as f32),
        };
        let dictionary = &one.dictionary;
        let activations = if one.reads == Reads::Neurons {
            strongest(one, take("mlp.act", dictionary.features())?)
        } else {
            dictionary.encode(read.view())?
        };
        for (list, row) in active.iter_mut().zip(activations.rows()) {
            let values = row.iter().enumerate().filter(|(_, value)| **value != 0.0);
            list.extend(values.map(|(feature, &value)| (feature as u32, value)));
        }
        skip = dictionary.skip.as_ref().map(|skip| {
            nissl_core::features::product(read.mapv(f64::from).view(), skip.mapv(f64::from).t())
        });
        for (mut row, list) in errors.rows_mut().into_iter().zip(&active) {
            for &(feature, value) in list {
                let written = dictionary.written();
                row.zip_mut_with(&written.row(feature as usize), |left, &wrote| {
                    *left -= f64::from(wrote) * f64::from(value);
                });
            }
            if let Some(bias) = &dictionary.output_bias {
                row.zip_mut_with(bias, |left, &bias| *left -= f64::from(bias));
            }
        }
        if let Some(skip) = &skip {
            errors -= skip;
        }
    }
    Ok(FrozenLayer {
        pre,
        mid,
        pattern,
        after,
        values,
        denominators,
        mlp_in,
        mlp_out,
        active,
        errors,
        skip,
    })
}

fn denominators(norm: &Norm, residual: &Array2<f64>) -> Vec<f64> {
    residual.rows().into_iter().map(|row| norm.denominator(row)).collect()
}
