//! Edges that are kept or not, tried again and again.
//!
//! Memory: one node layer's values of all samples in the new coordinates, and what [`Masked`] keeps.

use ndarray::Array2;
use nissl_core::section::{Basis, InteractionBasis};
use nissl_core::{Error, Result};

use super::ablate::Ablation;
use super::edges::{EdgeMatrix, ends};
use super::masked::{Group, Masked};

/// Edges that are kept or not, tried again and again.
pub(super) struct Trial<'a> {
    ablation: &'a Ablation<'a>,
    masked: Masked<'a>,
    target: &'a Basis,
    new: Vec<Array2<f64>>,
    edges: &'a EdgeMatrix,
    /// Edges as `[target, source]`, largest first, without those from the constant.
    pub(super) order: Vec<[usize; 2]>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(
        ablation: &'a Ablation<'a>,
        bases: &'a InteractionBasis,
        edges: &'a EdgeMatrix,
    ) -> Result<Self> {
        let pair = ends(ablation.chain, bases, ablation.layer)?;
        let [source, target] = pair;
        let expected = [target.vectors(), source.vectors()];
        if edges.weights.shape() != expected {
            let found = format!("{:?}", edges.weights.shape());
            return Err(Error::setting("edges", found, format!("{expected:?}, as the bases")));
        }
        let section = ablation.chain.sections[ablation.layer].as_ref();
        let mut order: Vec<[usize; 2]> = (0..target.vectors())
            .flat_map(|i| (0..source.vectors()).map(move |j| [i, j]))
            .filter(|&[_, j]| edges.constant != Some(j))
            .collect();
        let weight = |&[i, j]: &[usize; 2]| edges.weights[[i, j]];
        order.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        let new = ablation.blocks.iter().map(|block| source.project(block.rows.view()));
        let new = new.collect::<Result<_>>()?;
        Ok(Self { ablation, masked: Masked::new(section, pair), target, new, edges, order })
    }

    /// How many edges are as large as the `kept`th.
    pub(super) fn as_large(&self, kept: usize) -> usize {
        let Some(&[i, j]) = kept.checked_sub(1).and_then(|last| self.order.get(last)) else {
            return kept.min(self.order.len());
        };
        let least = self.edges.weights[[i, j]];
        let more = self.order[kept..].iter().take_while(|at| self.edges.weights[**at] >= least);
        kept + more.count()
    }

    fn groups(&self, kept: usize) -> Vec<Group> {
        let mut inputs: Vec<Vec<usize>> =
            vec![self.edges.constant.into_iter().collect(); self.target.vectors()];
        for &[i, j] in &self.order[..kept] {
            inputs[i].push(j);
        }
        let mut groups: Vec<Group> = Vec::new();
        for (i, mut inputs) in inputs.into_iter().enumerate() {
            inputs.sort_unstable();
            match groups.iter_mut().find(|(mask, _)| *mask == inputs) {
                Some((_, outputs)) => outputs.push(i),
                None => groups.push((inputs, vec![i])),
            }
        }
        groups
    }

    pub(super) fn score(&mut self, kept: usize, tolerance: f64) -> Result<(f64, usize)> {
        let kept = self.as_large(kept.min(self.order.len()));
        let groups = self.groups(kept);
        let Self { ablation, masked, new, target, .. } = self;
        let score = ablation.score(
            tolerance,
            |block, _| target.restore(masked.outputs(block, &new[block], &groups)?.view()),
            ablation.layer + 1,
        )?;
        Ok((score, kept))
    }
}
