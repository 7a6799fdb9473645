//! Concept trees: from a coarse feature down to the finest features and words that it is made of.
//!
//! The tokens of feature `a` of level `L` are the samples of largest entries in column `a` of
//! `W_1 W_2 … W_L`, from `τ` of the largest; its children are the features of the level below of
//! largest weight, from `τ` of the largest. A feature with fewer than two children is a leaf.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, §5. Differs: of several samples with the
//! same token only the strongest is listed.
//! Memory: a column of the finest level for each feature in the trees, and a few hundred samples of
//! each.

use std::collections::HashMap;

use ndarray::Array2;
use nissl_core::features::Features;
use nissl_core::stats::selection::Strongest;
use nissl_core::{Error, Progress, Recording, Result, Table};
use serde::{Deserialize, Serialize};

use super::{Levels, shares};

/// What a concept tree shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tree {
    /// The least share of the strongest for a child or a token, above 0 and below 1 (the paper's τ).
    pub threshold: f64,
    /// Children of a feature at most, at least 2.
    pub children: usize,
    /// Tokens of a feature at most.
    pub tokens: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self { threshold: 0.5, children: 3, tokens: 10 }
    }
}

impl Tree {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            return Err(Error::setting("threshold", self.threshold, "above 0 and below 1"));
        }
        if self.children < 2 {
            return Err(Error::setting("children", self.children, "at least 2"));
        }
        Ok(())
    }
}

/// A feature in a concept tree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Branch {
    /// Its level, 1 for the finest.
    pub level: usize,
    /// Its number within the level.
    pub feature: usize,
    /// Its weight in the feature above; none for a root.
    pub weight: Option<f32>,
    /// Its tokens, the strongest first.
    pub tokens: Vec<Concept>,
    /// Its parts one level down, the strongest first; none for a leaf.
    pub children: Vec<Self>,
}

/// A token that a feature stands for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Concept {
    /// The token; empty where the recording has none.
    pub token: String,
    /// The sample in which it is strongest.
    pub sample: u64,
    /// How strong it is there.
    pub value: f32,
}

/// Samples kept of each feature, among which distinct tokens are looked for.
const KEPT: usize = 512;
/// Samples read at once.
const BLOCK: usize = 4096;

/// The trees below some features, given as level (1 for the finest) and number; `recording` tells
/// the tokens of the samples.
///
/// # Errors
/// A setting outside its range, a root that is not there, or files that cannot be read.
pub fn trees(
    levels: &Levels,
    roots: &[(usize, usize)],
    recording: Option<&Recording>,
    settings: &Tree,
    progress: &Progress,
) -> Result<Vec<Branch>> {
    settings.validate()?;
    let mut nodes = Vec::new();
    let mut trees = Vec::with_capacity(roots.len());
    for &(level, feature) in roots {
        let depth = levels.depth();
        let Some(features) = level.checked_sub(1).and_then(|level| levels.features.get(level))
        else {
            return Err(Error::setting("root", level, format!("a level from 1 to {depth}")));
        };
        if feature >= features.features() {
            let last = features.features() - 1;
            let expected = format!("a feature from 0 to {last} of level {level}");
            return Err(Error::setting("root", feature, expected));
        }
        trees.push(grow(levels, level, feature, None, settings, &mut nodes));
    }
    let mut concepts = concepts(levels, &nodes, recording, settings, progress)?;
    for tree in &mut trees {
        tree.label(&mut concepts);
    }
    Ok(trees)
}

/// The tree below a feature, without tokens; its features are added to `nodes`.
fn grow(
    levels: &Levels,
    level: usize,
    feature: usize,
    weight: Option<f32>,
    settings: &Tree,
    nodes: &mut Vec<(usize, usize)>,
) -> Branch {
    nodes.push((level, feature));
    let parts = match level {
        1 => Vec::new(),
        _ => parts(&levels.weights[level - 2].column(feature).to_vec(), settings),
    };
    let children = parts
        .into_iter()
        .map(|(child, weight)| grow(levels, level - 1, child, Some(weight), settings, nodes))
        .collect();
    Branch { level, feature, weight, tokens: Vec::new(), children }
}

/// The children of a feature by their weights, the strongest first; none where there is only one.
fn parts(weights: &[f32], settings: &Tree) -> Vec<(usize, f32)> {
    let most = weights.iter().copied().fold(0.0, f32::max);
    let enough =
        |weight: f32| weight > 0.0 && f64::from(weight) >= settings.threshold * f64::from(most);
    let mut parts: Vec<(usize, f32)> =
        weights.iter().copied().enumerate().filter(|&(_, weight)| enough(weight)).collect();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    parts.truncate(settings.children);
    if parts.len() < 2 { Vec::new() } else { parts }
}

impl Branch {
    fn label(&mut self, concepts: &mut HashMap<(usize, usize), Vec<Concept>>) {
        self.tokens = concepts.get(&(self.level, self.feature)).cloned().unwrap_or_default();
        for child in &mut self.children {
            child.label(concepts);
        }
    }
}

/// The tokens of some features.
fn concepts(
    levels: &Levels,
    nodes: &[(usize, usize)],
    recording: Option<&Recording>,
    settings: &Tree,
    progress: &Progress,
) -> Result<HashMap<(usize, usize), Vec<Concept>>> {
    let finest = &levels.features[0];
    let strongest = strongest(levels, finest, nodes, progress)?;
    let mut samples: Vec<u64> = strongest.iter().flatten().map(|&(sample, _)| sample).collect();
    samples.sort_unstable();
    samples.dedup();
    let words = recording.map(|recording| words(recording, &samples)).transpose()?.flatten();
    let mut found = HashMap::with_capacity(nodes.len());
    for (&node, samples) in nodes.iter().zip(&strongest) {
        let most = samples.first().map_or(0.0, |&(_, value)| f64::from(value));
        let mut concepts: Vec<Concept> = Vec::new();
        for &(sample, value) in samples {
            if f64::from(value) < settings.threshold * most || concepts.len() >= settings.tokens {
                break;
            }
            let token = words.as_ref().and_then(|words| words.get(&sample)).cloned();
            let token = token.unwrap_or_default();
            let new = token.is_empty() || concepts.iter().all(|other| other.token != token);
            if new {
                concepts.push(Concept { token, sample, value });
            }
        }
        found.insert(node, concepts);
    }
    Ok(found)
}

/// The samples of largest positive entries in the columns of `W_1 … W_L` `[node][sample, value]`.
fn strongest(
    levels: &Levels,
    finest: &Features,
    nodes: &[(usize, usize)],
    progress: &Progress,
) -> Result<Vec<Vec<(u64, f32)>>> {
    let mut columns = Array2::<f32>::zeros((finest.features(), nodes.len()));
    for (mut column, &(level, feature)) in columns.columns_mut().into_iter().zip(nodes) {
        for (to, share) in
            column.iter_mut().zip(shares(&levels.weights, finest.features(), level - 1, feature))
        {
            *to = share;
        }
    }
    let mut kept: Vec<Strongest> = nodes.iter().map(|_| Strongest::new(KEPT)).collect();
    let stage = progress.stage("tokens", finest.samples() as u64, "samples");
    let mut sums = vec![0f32; nodes.len()];
    for block in finest.sparse_blocks(BLOCK) {
        let (start, csr) = block?;
        progress.check(|| format!("{start} samples"))?;
        for row in 0..csr.rows() {
            sums.fill(0.0);
            for at in csr.starts[row] as usize..csr.starts[row + 1] as usize {
                let shares = columns.row(csr.indices[at] as usize);
                for (sum, share) in sums.iter_mut().zip(shares) {
                    *sum += csr.values[at] * share;
                }
            }
            for (kept, &sum) in kept.iter_mut().zip(&sums).filter(|(_, sum)| **sum > 0.0) {
                kept.push((start + row) as u64, sum);
            }
        }
        stage.advance(csr.rows() as u64);
    }
    let list = |kept: Strongest| kept.examples().iter().map(|it| (it.sample, it.value)).collect();
    Ok(kept.into_iter().map(list).collect())
}

/// The tokens of some samples, sorted by number; none where the recording has no tokens.
fn words(recording: &Recording, samples: &[u64]) -> Result<Option<HashMap<u64, String>>> {
    if !recording.sample_column_names()?.iter().any(|name| name == "token") {
        return Ok(None);
    }
    let mut words = HashMap::with_capacity(samples.len());
    let mut wanted = samples.iter().copied().peekable();
    let mut start = 0u64;
    for group in Table::read_groups(&recording.path().join("samples.parquet"), Some(&["token"]))? {
        let group = group?;
        let tokens = group.texts("token")?;
        let end = start + tokens.len() as u64;
        while let Some(sample) = wanted.next_if(|&sample| sample < end) {
            words.insert(sample, tokens[(sample - start) as usize].trim().to_owned());
        }
        start = end;
    }
    Ok(Some(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_the_strongest_and_one_alone_is_none() {
        let settings = Tree::default();
        assert_eq!(parts(&[0.4, 1.0, 0.5, 0.9, 0.8], &settings), [(1, 1.0), (3, 0.9), (4, 0.8)]);
        assert_eq!(parts(&[0.5, 1.0, 0.0], &settings), [(1, 1.0), (0, 0.5)]);
        assert!(parts(&[0.49, 1.0, 0.0], &settings).is_empty());
        assert!(parts(&[0.0, 0.0], &settings).is_empty());
        let wide = Tree { threshold: 0.1, children: 5, ..settings };
        assert_eq!(parts(&[0.4, 1.0, 0.05], &wide).len(), 2);
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        for threshold in [0.0, 1.0, -0.1, f64::NAN] {
            let error = Tree { threshold, ..Tree::default() }.validate().expect_err("outside");
            assert!(error.to_string().contains("threshold"), "{error}");
        }
        assert!(Tree { children: 1, ..Tree::default() }.validate().is_err());
    }
}
