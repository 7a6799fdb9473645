//! A network's answers with some vectors of a node layer alone, or some edges to the next.
//!
//! Vectors: `f ← f C_{:,1..k} C⁺_{1..k,:}`. Edges: the `m` largest, and those from the constant, which
//! are free; each coordinate of the next node layer is computed from the inputs whose edge to it is
//! kept. Of equally strong edges all stay. One node layer at a time.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3 (ablations).
//! Memory: one node layer's values of all samples.

use ndarray::{Array2, ArrayView2, Axis};
use nissl_core::section::{Basis, Chain, InteractionBasis, Samples};
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::edges::EdgeMatrix;
use super::trial::Trial;

/// How the network's answers are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// The share of right answers
    #[default]
    Accuracy,
    /// The mean negative log probability of the right answers, in nats
    CrossEntropy,
}

/// A network whose answers are judged after ablations at one node layer.
pub struct Ablation<'a> {
    pub(super) chain: &'a Chain,
    pub(super) layer: usize,
    measure: Measure,
    pub(super) blocks: Vec<Block>,
    rows: usize,
    full: f64,
}

/// Every so-manieth sample: each block stands for all.
pub(super) struct Block {
    /// `[sample · position, coordinate]`
    pub(super) rows: Array2<f64>,
    /// Of each output row.
    answers: Vec<u32>,
}

/// Samples of a block, about.
const SAMPLES: usize = 1000;

impl<'a> Ablation<'a> {
    /// The network from node layer `layer` on. `answers` are the right outputs, one for each sample and
    /// position at the end.
    ///
    /// # Errors
    /// No samples, another number of answers, or an answer that is no output.
    pub fn new(
        chain: &'a Chain,
        samples: &dyn Samples,
        answers: &[u32],
        measure: Measure,
        layer: usize,
    ) -> Result<Self> {
        chain.validate()?;
        let count = samples.samples();
        if count == 0 {
            let what = "the data".to_owned();
            return Err(Error::Empty { what, expected: "at least one sample".to_owned() });
        }
        let Some(section) = chain.sections.get(layer) else {
            let expected = format!("0 to {}", chain.sections.len() - 1);
            return Err(Error::setting("layer", layer, expected));
        };
        let last = chain.sections[chain.sections.len() - 1].extent();
        if answers.len() != count * last.positions_out {
            let expected = format!("{}, one for each output row", count * last.positions_out);
            return Err(Error::setting("answers", answers.len(), expected));
        }
        if let Some(answer) = answers.iter().find(|it| **it as usize >= last.outputs - 1) {
            let expected = format!("below {}, the outputs", last.outputs - 1);
            return Err(Error::setting("answers", answer, expected));
        }
        let mut rows = samples.rows(0..count)?;
        for before in &chain.sections[..layer] {
            rows = before.forward(rows.view())?;
        }
        let strides = count.div_ceil(SAMPLES);
        let (inside, outside) = (section.extent().positions_in, last.positions_out);
        let block = |first: usize| {
            let chosen: Vec<usize> = (first..count).step_by(strides).collect();
            let at: Vec<usize> =
                chosen.iter().flat_map(|&n| n * inside..(n + 1) * inside).collect();
            let answers =
                chosen.iter().flat_map(|&n| &answers[n * outside..(n + 1) * outside]).copied();
            Block { rows: rows.select(Axis(0), &at), answers: answers.collect() }
        };
        let blocks = (0..strides).map(block).collect();
        let mut ablation = Self { chain, layer, measure, blocks, rows: answers.len(), full: 0.0 };
        ablation.full = ablation.score(f64::INFINITY, |_, block| Ok(block.to_owned()), layer)?;
        Ok(ablation)
    }

    /// Accuracy or cross-entropy of the network as it is.
    pub fn full(&self) -> f64 {
        self.full
    }

    /// Accuracy or cross-entropy with the first `kept` vectors of `basis`.
    ///
    /// # Errors
    /// A basis of another node layer.
    pub fn with_vectors(&self, basis: &Basis, kept: usize) -> Result<f64> {
        self.projected(basis, kept, f64::INFINITY)
    }

    /// Accuracy or cross-entropy with the `kept` largest edges, and how many are as large as those.
    ///
    /// # Errors
    /// Edges or bases of other node layers.
    pub fn with_edges(
        &self,
        bases: &InteractionBasis,
        edges: &EdgeMatrix,
        kept: usize,
    ) -> Result<(f64, usize)> {
        let mut trial = Trial::new(self, bases, edges)?;
        trial.score(kept, f64::INFINITY)
    }

    pub(super) fn is_enough(&self, score: f64, tolerance: f64) -> bool {
        match self.measure {
            Measure::Accuracy => score >= self.full - tolerance,
            Measure::CrossEntropy => score <= self.full + tolerance,
        }
    }

    pub(super) fn projected(&self, basis: &Basis, kept: usize, tolerance: f64) -> Result<f64> {
        let extent = self.chain.sections[self.layer].extent();
        if basis.coordinates() != extent.inputs {
            let found = format!("{} coordinates", basis.coordinates());
            let what = format!("basis of {}", basis.node_layer);
            return Err(Error::setting(what, found, format!("{}", extent.inputs)));
        }
        let projector = basis.projector(kept);
        let change = |_: usize, rows: ArrayView2<'_, f64>| {
            Ok(nissl_core::features::product(rows, projector.view()))
        };
        self.score(tolerance, change, self.layer)
    }

    /// The score with each block changed by `change` and run on from node layer `from`. Ends early,
    /// with a score that is not enough, once the errors are more than `tolerance` allows.
    pub(super) fn score(
        &self,
        tolerance: f64,
        mut change: impl FnMut(usize, ArrayView2<'_, f64>) -> Result<Array2<f64>>,
        from: usize,
    ) -> Result<f64> {
        let rows = self.rows as f64;
        let allowed = match self.measure {
            Measure::Accuracy => 1.0 - self.full + tolerance,
            Measure::CrossEntropy => self.full + tolerance,
        };
        let mut lost = 0.0;
        for (n, block) in self.blocks.iter().enumerate() {
            let mut now = change(n, block.rows.view())?;
            for section in &self.chain.sections[from..] {
                now = section.forward(now.view())?;
            }
            for (row, &answer) in now.rows().into_iter().zip(&block.answers) {
                lost += self.measure.loss(row.as_slice().unwrap_or_default(), answer as usize);
            }
            // Half a row of slack, for rounding.
            if lost > allowed * rows + 0.5 {
                break;
            }
        }
        Ok(match self.measure {
            Measure::Accuracy => 1.0 - lost / rows,
            Measure::CrossEntropy => lost / rows,
        })
    }
}

impl Measure {
    /// What an answer costs: 1 for a wrong one, or its negative log probability. The last output is the
    /// constant.
    fn loss(self, row: &[f64], answer: usize) -> f64 {
        let outputs = &row[..row.len().saturating_sub(1)];
        match self {
            Self::Accuracy => {
                let best = (0..outputs.len()).max_by(|&a, &b| outputs[a].total_cmp(&outputs[b]));
                if best == Some(answer) { 0.0 } else { 1.0 }
            }
            Self::CrossEntropy => {
                let most = outputs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = outputs.iter().map(|it| (it - most).exp()).sum();
                sum.ln() + most - outputs[answer]
            }
        }
    }
}
