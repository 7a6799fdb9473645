//! What a network needs: vectors of a node layer, and edges to the next, without which it gets worse.
//!
//! Vectors: `f ← f C_{:,1..k} C⁺_{1..k,:}`. Edges: the `m` largest, and those from the constant, which
//! are free; each coordinate of the next node layer is computed from the inputs whose edge to it is
//! kept. Of equally strong edges all stay. One node layer at a time.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3 (ablations).
//! Bisection as in the authors' runs: between none and as many edges as the node layers have pairs of
//! coordinates, those included that the bases dropped. Where more edges are not always better, the
//! answer depends on the path, so it is theirs.
//! Differs: a trial ends once its errors are more than can be made good (exact).
//! Memory: one node layer's values of all samples.

use ndarray::{Array2, ArrayView2, Axis};
use nissl_core::section::{Basis, Chain, InteractionBasis, Samples};
use nissl_core::{Error, Progress, Result};
use serde::{Deserialize, Serialize};

use super::edges::{EdgeMatrix, ends};
use super::masked::{Group, Masked};

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

/// What one node layer needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Required {
    /// The node layer.
    pub node_layer: String,
    /// The next one.
    pub to: String,
    /// Accuracy or cross-entropy of the network as it is.
    pub full: f64,
    /// Vectors needed, the constant among them; `None` where not even all are enough.
    pub vectors: Option<usize>,
    /// Edges needed, without those from the constant; `None` where not even all are enough.
    pub edges: Option<usize>,
}

/// A network whose answers are judged after ablations at one node layer.
pub struct Ablation<'a> {
    chain: &'a Chain,
    layer: usize,
    measure: Measure,
    blocks: Vec<Block>,
    rows: usize,
    full: f64,
}

/// Every so-manieth sample: each block stands for all.
struct Block {
    /// `[sample · position, coordinate]`
    rows: Array2<f64>,
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

    /// The fewest first vectors that cost no more than `tolerance`.
    ///
    /// # Errors
    /// A basis of another node layer, or an interruption.
    pub fn vectors_needed(
        &self,
        basis: &Basis,
        tolerance: f64,
        progress: &Progress,
    ) -> Result<Option<usize>> {
        for kept in (1..=basis.vectors()).chain([basis.coordinates()]) {
            progress.check(|| format!("{kept} vectors"))?;
            if self.is_enough(self.projected(basis, kept, tolerance)?, tolerance) {
                return Ok(Some(kept));
            }
        }
        Ok(None)
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

    /// The fewest largest edges that cost no more than `tolerance`.
    ///
    /// # Errors
    /// Edges or bases of other node layers, or an interruption.
    pub fn edges_needed(
        &self,
        bases: &InteractionBasis,
        edges: &EdgeMatrix,
        tolerance: f64,
        progress: &Progress,
    ) -> Result<Option<usize>> {
        let mut trial = Trial::new(self, bases, edges)?;
        let mut enough = |kept: usize| -> Result<bool> {
            progress.check(|| format!("{kept} edges"))?;
            let (score, _) = trial.score(kept, tolerance)?;
            Ok(self.is_enough(score, tolerance))
        };
        let extent = self.chain.sections[self.layer].extent();
        let (mut fails, mut does) = (0, extent.inputs * extent.outputs);
        let mut known = false;
        while does - fails > 1 {
            let middle = fails + (does - fails).div_ceil(2);
            if enough(middle)? {
                (does, known) = (middle, true);
            } else {
                fails = middle;
            }
        }
        if !known && !enough(does)? {
            return Ok(None);
        }
        if does == 1 && enough(0)? {
            return Ok(Some(0));
        }
        Ok(Some(trial.as_large(does.min(trial.order.len()))))
    }

    fn is_enough(&self, score: f64, tolerance: f64) -> bool {
        match self.measure {
            Measure::Accuracy => score >= self.full - tolerance,
            Measure::CrossEntropy => score <= self.full + tolerance,
        }
    }

    fn projected(&self, basis: &Basis, kept: usize, tolerance: f64) -> Result<f64> {
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
    fn score(
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

/// Edges that are kept or not, tried again and again.
struct Trial<'a> {
    ablation: &'a Ablation<'a>,
    masked: Masked<'a>,
    target: &'a Basis,
    new: Vec<Array2<f64>>,
    edges: &'a EdgeMatrix,
    /// Edges as `[target, source]`, largest first, without those from the constant.
    order: Vec<[usize; 2]>,
}

impl<'a> Trial<'a> {
    fn new(
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
    fn as_large(&self, kept: usize) -> usize {
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

    fn score(&mut self, kept: usize, tolerance: f64) -> Result<(f64, usize)> {
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

/// What every node layer but the last needs, with `edges` as [`super::Edges::all`] gives them.
///
/// # Errors
/// As [`Ablation`].
pub fn required(
    chain: &Chain,
    samples: &dyn Samples,
    answers: &[u32],
    (bases, edges): (&InteractionBasis, &[EdgeMatrix]),
    (measure, tolerance): (Measure, f64),
    progress: &Progress,
) -> Result<Vec<Required>> {
    let mut all = Vec::with_capacity(edges.len());
    for (layer, edges) in edges.iter().enumerate() {
        let ablation = Ablation::new(chain, samples, answers, measure, layer)?;
        let basis = bases.of(&edges.from)?;
        all.push(Required {
            node_layer: edges.from.clone(),
            to: edges.to.clone(),
            full: ablation.full(),
            vectors: ablation.vectors_needed(basis, tolerance, progress)?,
            edges: ablation.edges_needed(bases, edges, tolerance, progress)?,
        });
    }
    Ok(all)
}
