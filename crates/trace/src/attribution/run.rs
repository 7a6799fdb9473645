//! A [`FrozenRun`] as attribution reads it.

use ndarray::{Array1, Array2, s};
use nissl_core::{Error, Progress, Result};

use super::{Effects, Frozen, Node};
use crate::frozen::{self, FrozenRun, NormTreatment, Target};

/// A frozen run with the sources of its graph.
pub struct FrozenPrompt<'r, 'w> {
    run: &'r FrozenRun<'w>,
    sources: Vec<Node>,
    features: usize,
    logits: Vec<f32>,
    mean: Target,
    progress: Progress,
}

impl<'r, 'w> FrozenPrompt<'r, 'w> {
    /// The graph of the token after the last of `run`'s prompt.
    ///
    /// # Errors
    /// Norms that are not frozen as they are, or weights that cannot be read.
    pub fn new(run: &'r FrozenRun<'w>, progress: &Progress) -> Result<Self> {
        if run.norm_treatment() != NormTreatment::Frozen {
            let expected = "`frozen`: with one constant for each direction effects do not add up";
            return Err(Error::setting("norms", "ratio", expected));
        }
        let active = run.active_features();
        let features = active.len();
        let mut sources: Vec<Node> = active
            .iter()
            .map(|site| Node::Feature {
                layer: site.layer,
                position: site.position,
                feature: site.feature as usize,
                activation: site.activation,
            })
            .collect();
        let positions = run.tokens().len();
        for layer in 0..run.wiring().layers() {
            sources.extend((0..positions).map(|position| Node::Error { layer, position }));
        }
        let tokens = run.tokens().iter().enumerate();
        sources.extend(tokens.map(|(position, &token)| Node::Token { position, token }));
        let rows = run.logit_rows();
        let logits = rows.row(positions - 1).to_vec();
        let all: Vec<(u32, f64)> =
            (0..logits.len() as u32).map(|token| (token, 1.0 / logits.len() as f64)).collect();
        let mean = run.logits(positions - 1, &all)?;
        Ok(Self { run, sources, features, logits, mean, progress: progress.clone() })
    }

    fn of(&self, targets: &[Target]) -> Result<Effects> {
        let found: frozen::Effects = self.run.effects(targets, &self.progress)?;
        let mut weights = Array2::zeros((targets.len(), self.sources.len()));
        let parts = [&found.features, &found.errors, &found.tokens];
        let mut start = 0;
        for part in parts {
            let end = start + part.ncols();
            weights.slice_mut(s![.., start..end]).assign(&part.mapv(|effect| effect as f32));
            start = end;
        }
        Ok(Effects { weights, bias: found.biases, value: found.values })
    }
}

impl Frozen for FrozenPrompt<'_, '_> {
    fn sources(&self) -> &[Node] {
        &self.sources
    }

    fn layers(&self) -> usize {
        self.run.wiring().layers()
    }

    fn logits(&self) -> &[f32] {
        &self.logits
    }

    fn on_features(&self, first: usize, count: usize) -> Result<Effects> {
        let end = (first + count).min(self.features);
        let targets = self.sources[first..end].iter().filter_map(|node| match *node {
            Node::Feature { layer, position, feature, .. } => {
                Some(self.run.feature(layer, position, feature))
            }
            _ => None,
        });
        self.of(&targets.collect::<Result<Vec<_>>>()?)
    }

    fn on_logits(&self, tokens: &[u32]) -> Result<Effects> {
        let last = self.run.tokens().len() - 1;
        let targets = tokens.iter().map(|&token| {
            let mut target = self.run.logits(last, &[(token, 1.0)])?;
            let less: Array1<f64> = &target.vector - &self.mean.vector;
            target.vector = less;
            target.constant -= self.mean.constant;
            Ok(target)
        });
        self.of(&targets.collect::<Result<Vec<_>>>()?)
    }
}
