//! Outputs of a section of which each is computed from its own choice of inputs.
//!
//! `f̂′_i = [F((f̂ ∘ mask_i) C⁺) C′]_i`: outputs that share a mask share one computation, which reads
//! the chosen inputs alone. Of a general section, computed columns are kept while a search goes on.

use std::collections::HashMap;

use ndarray::{Array1, Array2, Axis};
use nissl_core::Result;
use nissl_core::features::{add_product, product};
use nissl_core::section::{Basis, Form, Section};

use super::edges::seen;

/// Outputs of one mask: the inputs that are read and the outputs that are computed of them.
pub(super) type Group = (Vec<usize>, Vec<usize>);

/// Columns kept for each output of each block.
const KEPT: usize = 4;

/// The inputs of a mask, and the outputs that were computed with it.
type Answered = (Vec<usize>, Array1<f64>);

/// A section in the coordinates of its bases.
pub(super) struct Masked<'a> {
    section: &'a dyn Section,
    source: &'a Basis,
    target: &'a Basis,
    map: Map,
    kept: HashMap<(usize, usize), Vec<Answered>>,
}

enum Map {
    Linear(Array2<f64>),
    Relu { beside: Array2<f64>, into: Array2<f64>, out: Array2<f64> },
    General,
}

impl<'a> Masked<'a> {
    pub(super) fn new(section: &'a dyn Section, [source, target]: [&'a Basis; 2]) -> Self {
        let map = match section.form() {
            Form::Linear(weight) => Map::Linear(seen(source, weight, target)),
            Form::Relu { straight, into, out } => Map::Relu {
                beside: seen(source, straight, target),
                into: product(source.back.view(), into),
                out: product(out, target.into.view()),
            },
            Form::General => Map::General,
        };
        Self { section, source, target, map, kept: HashMap::new() }
    }

    /// Outputs `[row, target vector]` of block `block`, whose new coordinates are `new`.
    pub(super) fn outputs(
        &mut self,
        block: usize,
        new: &Array2<f64>,
        groups: &[Group],
    ) -> Result<Array2<f64>> {
        let extent = self.section.extent();
        let rows = new.nrows() / extent.positions_in * extent.positions_out;
        let mut all = Array2::zeros((rows, self.target.vectors()));
        if let Map::Linear(map) = &self.map {
            let mut chosen = Array2::zeros(map.dim());
            for (inputs, outputs) in groups {
                for &j in inputs {
                    for &i in outputs {
                        chosen[[j, i]] = map[[j, i]];
                    }
                }
            }
            return Ok(product(new.view(), chosen.view()));
        }
        for (inputs, outputs) in groups {
            let missing: Vec<usize> = match self.map {
                Map::General => self.recall(block, inputs, outputs, &mut all),
                _ => outputs.clone(),
            };
            if missing.is_empty() {
                continue;
            }
            let read = new.select(Axis(1), inputs);
            let given = match &self.map {
                Map::Linear(_) => continue,
                Map::Relu { beside, into, out } => {
                    let mut hidden = product(read.view(), into.select(Axis(0), inputs).view());
                    hidden.mapv_inplace(|it| it.max(0.0));
                    let out = out.select(Axis(1), &missing);
                    let beside = beside.select(Axis(0), inputs).select(Axis(1), &missing);
                    let mut given = product(hidden.view(), out.view());
                    add_product(given.view_mut(), read.view(), beside.view());
                    given
                }
                Map::General => {
                    let back = self.source.back.select(Axis(0), inputs);
                    let into = self.target.into.select(Axis(1), &missing);
                    self.section.between(read.view(), back.view(), into.view())?
                }
            };
            for (column, &i) in given.columns().into_iter().zip(&missing) {
                all.column_mut(i).assign(&column);
                if matches!(self.map, Map::General) {
                    let kept = self.kept.entry((block, i)).or_default();
                    if kept.len() == KEPT {
                        kept.remove(0);
                    }
                    kept.push((inputs.clone(), column.to_owned()));
                }
            }
        }
        Ok(all)
    }

    /// Fills in what is kept; gives the outputs that are not.
    fn recall(
        &self,
        block: usize,
        inputs: &[usize],
        outputs: &[usize],
        all: &mut Array2<f64>,
    ) -> Vec<usize> {
        let mut missing = Vec::new();
        for &i in outputs {
            let mut kept = self.kept.get(&(block, i)).into_iter().flatten();
            match kept.find(|(mask, _)| mask == inputs) {
                None => missing.push(i),
                Some((_, column)) => all.column_mut(i).assign(column),
            }
        }
        missing
    }
}
