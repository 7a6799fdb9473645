//! Transformers with learnt positions, causal attention and a plain MLP: state dicts of TransformerLens
//! with layer norms or without, and the GPT-2 family.
//!
//! Without norms: `layers.N.resid.pre` –attention→ `layers.N.resid.mid` –MLP→ `layers.N+1.resid.pre` …
//! `layers.L.resid.post` –unembedding→ `logits`. With norms each of the three is preceded by the
//! variance (`layers.N.attn.variance`) and the normalised stream (`layers.N.attn.normed`) beside the
//! residual stream.

use std::ops::Range;
use std::path::Path;

use ndarray::{Array2, s};
use nissl_core::section::{Affine, Hidden, Nonlinearity, Samples, Section};
use nissl_core::{Error, Result};

use super::attention::Attention;
use super::norm::{Normalise, Variance};
use super::{Cut, folded, with_bias};

/// A transformer in f64.
#[derive(Clone, Debug)]
pub struct Transformer {
    pub(super) heads: usize,
    pub(super) nonlinearity: Nonlinearity,
    /// `[token, residual]`
    pub(super) embed: Array2<f64>,
    /// `[position, residual]`
    pub(super) places: Array2<f64>,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Option<Norm>,
    /// `[residual, token]`
    pub(super) head: Array2<f64>,
    pub(super) head_bias: Vec<f64>,
}

/// A block.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) attn_norm: Option<Norm>,
    /// `[residual + 1, 3 · head · unit]`
    pub(super) qkv: Array2<f64>,
    /// `[head · unit, residual]`
    pub(super) out: Array2<f64>,
    pub(super) out_bias: Vec<f64>,
    pub(super) mlp_norm: Option<Norm>,
    /// `[residual, hidden]`
    pub(super) up: Array2<f64>,
    pub(super) up_bias: Vec<f64>,
    /// `[hidden, residual]`
    pub(super) down: Array2<f64>,
    pub(super) down_bias: Vec<f64>,
}

/// A layer norm.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    pub(super) gain: Vec<f64>,
    pub(super) bias: Vec<f64>,
    pub(super) epsilon: f64,
}

/// Which positions are followed to the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outputs {
    /// All.
    #[default]
    All,
    /// The last one: from the last attention on no other is computed.
    Last,
}

/// The node layer at the end.
const END: &str = "logits";

impl Transformer {
    /// Opens the checkpoint at `path`, as [`crate::language::Language::load`] takes.
    ///
    /// # Errors
    /// An architecture that cannot be cut into sections, or weights that are absent or do not fit.
    pub fn open(path: &Path) -> Result<Self> {
        super::load::transformer(path)
    }

    /// The names of all node layers.
    pub fn node_layers(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (n, layer) in self.layers.iter().enumerate() {
            names.push(format!("layers.{n}.resid.pre"));
            if layer.attn_norm.is_some() {
                names.extend(["variance", "normed"].map(|it| format!("layers.{n}.attn.{it}")));
            }
            names.push(format!("layers.{n}.resid.mid"));
            if layer.mlp_norm.is_some() {
                names.extend(["variance", "normed"].map(|it| format!("layers.{n}.mlp.{it}")));
            }
        }
        names.push(format!("layers.{}.resid.post", self.layers.len().saturating_sub(1)));
        if self.final_norm.is_some() {
            names.extend(["final.variance", "final.norm"].map(str::to_owned));
        }
        names.push(END.to_owned());
        names
    }

    /// The usual node layers: the residual stream before every attention, MLP and unembedding, and the
    /// logits.
    pub fn usual_node_layers(&self) -> Vec<String> {
        let names = self.node_layers();
        names.into_iter().filter(|name| name.contains("resid") || name == END).collect()
    }

    /// Positions of a sequence at most.
    pub fn context(&self) -> usize {
        self.places.nrows()
    }

    /// The number of tokens.
    pub fn vocabulary(&self) -> usize {
        self.embed.nrows()
    }

    /// Our name of a node layer: those of the paper and equal sites are understood.
    fn canonical(&self, name: &str) -> String {
        let layers = self.layers.len();
        let numbered = |stem: &str| -> Option<usize> { name.strip_prefix(stem)?.parse().ok() };
        let after = |stem: &str| -> Option<usize> {
            name.strip_prefix("layers.")?.strip_suffix(stem)?.parse().ok()
        };
        if let Some(n) = numbered("ln1.") {
            return format!("layers.{n}.resid.pre");
        }
        if let Some(n) = numbered("ln2.") {
            return format!("layers.{n}.resid.mid");
        }
        if let Some(n) = numbered("ln1_out.") {
            return format!("layers.{n}.attn.variance");
        }
        if let Some(n) = numbered("ln2_out.") {
            return format!("layers.{n}.mlp.variance");
        }
        match (name, after(".resid.post")) {
            (_, Some(n)) if n + 1 < layers => format!("layers.{}.resid.pre", n + 1),
            ("embed", _) => "layers.0.resid.pre".to_owned(),
            ("unembed", _) if self.final_norm.is_some() => "final.norm".to_owned(),
            ("ln_final" | "unembed", _) => format!("layers.{}.resid.post", layers - 1),
            ("ln_final_out", _) => "final.variance".to_owned(),
            ("output", _) => END.to_owned(),
            _ => name.to_owned(),
        }
    }

    /// Cuts it at node layers, for sequences of `positions` tokens.
    ///
    /// # Errors
    /// Node layers that are not there or not in order, or more positions than the context.
    pub fn cut(&self, node_layers: &[String], positions: usize, outputs: Outputs) -> Result<Cut> {
        if positions == 0 || positions > self.context() {
            let expected = format!("1 to {}, the context", self.context());
            return Err(Error::setting("positions", positions, expected));
        }
        let chosen: Vec<String> = node_layers.iter().map(|name| self.canonical(name)).collect();
        Cut::at(self.sections(positions, outputs), END, &chosen)
    }

    /// All sections in order, named as [`Self::node_layers`] says.
    fn sections(&self, positions: usize, outputs: Outputs) -> Vec<Box<dyn Section>> {
        let width = self.embed.ncols();
        let mut sections: Vec<Box<dyn Section>> = Vec::new();
        let mut after = positions;
        let norm = |sections: &mut Vec<Box<dyn Section>>,
                    norm: &Option<Norm>,
                    [first, variance, normed]: [String; 3],
                    positions: usize| {
            let Some(Norm { gain, bias, epsilon }) = norm.clone() else { return (first, 0) };
            sections.push(Box::new(Variance { name: first, positions, width }));
            let name = variance;
            sections.push(Box::new(Normalise { name, positions, gain, bias, epsilon }));
            (normed, width)
        };
        for (n, layer) in self.layers.iter().enumerate() {
            let names = ["resid.pre", "attn.variance", "attn.normed"];
            let names = names.map(|name| format!("layers.{n}.{name}"));
            let (name, reads) = norm(&mut sections, &layer.attn_norm, names, positions);
            let last_only = outputs == Outputs::Last && n + 1 == self.layers.len();
            after = if last_only { 1 } else { positions };
            sections.push(Box::new(Attention {
                name,
                positions,
                last_only,
                inputs: reads + width + 1,
                reads,
                heads: self.heads,
                into: layer.qkv.clone(),
                out: layer.out.clone(),
                out_bias: layer.out_bias.clone(),
            }));
            let names = ["resid.mid", "mlp.variance", "mlp.normed"];
            let names = names.map(|name| format!("layers.{n}.{name}"));
            let (name, reads) = norm(&mut sections, &layer.mlp_norm, names, after);
            sections.push(Box::new(self.mlp(layer, name, after, reads)));
        }
        let last = self.layers.len().saturating_sub(1);
        let first = format!("layers.{last}.resid.post");
        let names = [first, "final.variance".to_owned(), "final.norm".to_owned()];
        let (name, reads) = norm(&mut sections, &self.final_norm, names, after);
        let unembed = folded(self.head.view(), &self.head_bias);
        let weight = behind(&unembed, reads);
        sections.push(Box::new(Affine { name, positions: after, weight }));
        sections
    }

    fn mlp(&self, layer: &Layer, name: String, positions: usize, reads: usize) -> Hidden {
        let (width, hidden) = layer.up.dim();
        let inputs = reads + width + 1;
        let mut straight = Array2::zeros((inputs, width + 1));
        straight.slice_mut(s![..width, ..width]).assign(&Array2::eye(width));
        for (n, bias) in layer.down_bias.iter().enumerate() {
            straight[[inputs - 1, n]] = *bias;
        }
        straight[[inputs - 1, width]] = 1.0;
        let mut out = Array2::zeros((hidden, width + 1));
        out.slice_mut(s![.., ..width]).assign(&layer.down);
        let into = behind(&with_bias(layer.up.view(), &layer.up_bias, hidden), reads);
        let nonlinearity = self.nonlinearity;
        Hidden { name, positions, straight, into, out, nonlinearity }
    }

    /// The residual stream before the first block of token sequences, each of as many tokens.
    ///
    /// # Errors
    /// No sequences, ones of different lengths, or a token beyond the vocabulary.
    pub fn tokens(&self, sequences: Vec<Vec<u32>>) -> Result<Tokens<'_>> {
        let Some(positions) = sequences.first().map(Vec::len) else {
            let what = "the data".to_owned();
            return Err(Error::Empty { what, expected: "at least one sequence".to_owned() });
        };
        for (n, sequence) in sequences.iter().enumerate() {
            if sequence.len() != positions {
                let found = format!("{} tokens in sequence {n}", sequence.len());
                let expected = format!("{positions} tokens, as in the first");
                return Err(Error::setting("sequences", found, expected));
            }
            if let Some(token) = sequence.iter().find(|it| **it as usize >= self.vocabulary()) {
                let expected = format!("below {}, the vocabulary", self.vocabulary());
                return Err(Error::setting(format!("token of sequence {n}"), token, expected));
            }
        }
        if positions == 0 || positions > self.context() {
            let expected = format!("1 to {}, the context", self.context());
            return Err(Error::setting("positions", positions, expected));
        }
        Ok(Tokens { transformer: self, sequences })
    }
}

/// Zero rows put before all of a map, for columns that it does not read.
fn behind(map: &Array2<f64>, skipped: usize) -> Array2<f64> {
    let mut out = Array2::zeros((skipped + map.nrows(), map.ncols()));
    out.slice_mut(s![skipped.., ..]).assign(map);
    out
}

/// Embedded token sequences: rows of the node layer `layers.0.resid.pre`.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    transformer: &'a Transformer,
    sequences: Vec<Vec<u32>>,
}

impl Tokens<'_> {
    /// The sequences.
    pub fn sequences(&self) -> &[Vec<u32>] {
        &self.sequences
    }
}

impl Samples for Tokens<'_> {
    fn samples(&self) -> usize {
        self.sequences.len()
    }

    fn rows(&self, range: Range<usize>) -> Result<Array2<f64>> {
        let Transformer { embed, places, .. } = self.transformer;
        let (width, positions) = (embed.ncols(), self.sequences[0].len());
        let mut out = Array2::ones((range.len() * positions, width + 1));
        let tokens = self.sequences[range].iter().flat_map(|tokens| tokens.iter().enumerate());
        for (mut row, (place, &token)) in out.rows_mut().into_iter().zip(tokens) {
            let sum = &embed.row(token as usize) + &places.row(place);
            row.slice_mut(s![..width]).assign(&sum);
        }
        Ok(out)
    }
}
