//! What the families of language networks have in common.

use std::fmt;

use burn::tensor::{Int, Tensor};
use nissl_core::Site;
use nissl_core::network::{FinalNorm, KeyValueCache};
use nissl_core::taps::Taps;

/// A family's computation. The wrapper has checked the input before.
pub(crate) trait Family: Send + Sync {
    /// Sizes and form.
    fn shape(&self) -> &Shape;

    /// Logits `[batch, position, token]`, or an encoder's last residual `[batch, position, unit]`;
    /// `None` when the taps have seen all they want.
    fn run(&self, input: Input<'_>, taps: &mut Taps<'_>) -> Option<Tensor<3>>;

    /// `[unit, residual]` of a layer that exists.
    fn down_projection(&self, layer: usize) -> Tensor<2>;

    /// Logits `[direction, token]` of `[direction, residual]`; `None` for encoders.
    fn unembed(&self, directions: Tensor<2>, norm: FinalNorm) -> Option<Tensor<2>>;
}

/// One batch for a family.
pub(crate) struct Input<'a> {
    /// `[batch, position]`.
    pub tokens: Tensor<2, Int>,
    /// True lengths, when some sequence is padded.
    pub lengths: Option<&'a [usize]>,
    /// Positions before the first of `tokens`, which the cache holds.
    pub past: usize,
    /// Extended by the run.
    pub cache: Option<&'a mut KeyValueCache>,
}

/// Sizes and form of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub layers: usize,
    /// Units of the residual stream.
    pub width: usize,
    pub heads: usize,
    pub key_heads: usize,
    /// Units of a head.
    pub head_width: usize,
    /// Units of an MLP's hidden layer.
    pub hidden: usize,
    pub vocabulary: usize,
    pub context: usize,
    pub form: Form,
}

/// How a layer's two halves are joined, and what stands at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Attention, then the MLP; a head over the vocabulary.
    Sequential,
    /// Both read the layer's input, so that there is no `resid.mid`; a head.
    Parallel,
    /// Attention, then the MLP, to both sides; no head.
    Encoder,
}

/// The sites of a layer in the order of their computation.
const PARTS: [&str; 13] = [
    "resid.pre",
    "attn.q",
    "attn.k",
    "attn.v",
    "attn.pattern",
    "attn.z",
    "attn.out",
    "resid.mid",
    "mlp.in",
    "mlp.pre",
    "mlp.act",
    "mlp.out",
    "resid.post",
];

impl Shape {
    /// Every site, in the order of computation.
    pub(crate) fn sites(&self) -> Vec<Site> {
        let mut sites = vec![Site::new("embed")];
        for n in 0..self.layers {
            let parts =
                PARTS.iter().filter(|part| self.form != Form::Parallel || **part != "resid.mid");
            sites.extend(parts.map(|part| Site::new(format!("layers.{n}.{part}"))));
        }
        if self.form != Form::Encoder {
            sites.extend(["final.norm", "logits"].map(Site::new));
        }
        sites
    }

    /// Units of a site; `None` for patterns.
    pub(crate) fn units(&self, site: &Site) -> Option<usize> {
        match site.part() {
            "attn.q" | "attn.z" => Some(self.heads * self.head_width),
            "attn.k" | "attn.v" => Some(self.key_heads * self.head_width),
            "attn.pattern" => None,
            "mlp.pre" | "mlp.act" => Some(self.hidden),
            "logits" => Some(self.vocabulary),
            _ => Some(self.width),
        }
    }
}

/// Hands a site to the taps; `None` when they have now seen all they want.
pub(crate) fn pass(
    taps: &mut Taps<'_>,
    site: fmt::Arguments<'_>,
    x: Tensor<3>,
) -> Option<Tensor<3>> {
    let x = taps.visit(site, x);
    if taps.finished() { None } else { Some(x) }
}
