//! The search itself.

use nissl_core::{Error, Progress, Result};
use serde::Serialize;

use super::step::{Component, Path, Step};
use super::{Caution, TranscoderPaths, Worth};
use crate::frozen::{Contributions, FrozenRun, Target};

/// Above this share of errors a trace is doubtful.
const UNEXPLAINED: f64 = 0.3;
/// Below this cosine of a vector and the residual, the norm's constant rests on almost nothing.
const TINY: f64 = 1e-4;

/// What a search starts from.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// A feature at a token.
    Feature {
        /// The layer, from 0.
        layer: usize,
        /// Its number.
        feature: u32,
        /// The token position, from 0.
        position: usize,
    },
    /// A weighted sum of logits, such as one token's less another's.
    Logits {
        /// Tokens with their weights.
        tokens: Vec<(u32, f64)>,
        /// The token position, from 0.
        position: usize,
    },
}

/// How complete the contributions to the start are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Completeness {
    /// The start's pre-activation or logit difference.
    pub value: f64,
    /// All contributions, errors and biases.
    pub sum: f64,
    /// `|sum − value| / |value|`.
    pub gap: f64,
    /// What dictionaries leave unexplained, and MLPs without one.
    pub error: f64,
    /// Biases.
    pub bias: f64,
    /// The share of errors in all absolute contributions, 0 to 1.
    pub unexplained: f64,
}

/// A path that the search went on from, with what it did not follow there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expanded {
    /// The path.
    pub path: Path,
    /// What its last step's own causes come to, before any cap.
    pub value: f64,
    /// `[layer]`: what dictionaries leave unexplained; 0 where there is none.
    pub errors: Vec<f64>,
    /// Biases.
    pub bias: f64,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Traced {
    /// The start.
    pub start: Step,
    /// Paths of every length, the shortest first; of one length by the size of what they give.
    pub paths: Vec<Path>,
    /// How complete the contributions to the start are.
    pub completeness: Completeness,
    /// What each path that was gone on from did not follow.
    pub expanded: Vec<Expanded>,
    /// Doubts.
    pub cautions: Vec<Caution>,
}

impl Traced {
    /// The paths of `steps` steps from the start, the largest first.
    pub fn of_length(&self, steps: usize) -> impl Iterator<Item = &Path> {
        self.paths.iter().filter(move |path| path.steps.len() == steps + 1)
    }
}

/// A path in the making.
struct Open {
    path: Path,
    target: Target,
}

impl TranscoderPaths {
    /// Searches the paths to `start` on a frozen run.
    ///
    /// # Errors
    /// A setting outside its range, a start that is not there, or when the user wants to stop.
    pub fn run(&self, run: &FrozenRun<'_>, start: &Start, progress: &Progress) -> Result<Traced> {
        self.validate()?;
        let (component, position, target) = begin(run, start)?;
        let mut cautions = Vec::new();
        if let Start::Feature { layer, feature, position } = *start
            && run.activation(layer, position, feature) == 0.0
        {
            cautions.push(Caution::Silent { layer, feature });
        }
        if self.first_token {
            cautions.push(Caution::FirstToken);
        }
        let first = Step { component, position, contribution: run.value(&target) };
        let mut open = vec![Open { path: Path { steps: vec![first] }, target }];
        let mut traced = Traced {
            start: first,
            paths: Vec::new(),
            completeness: Completeness {
                value: 0.0,
                sum: 0.0,
                gap: 0.0,
                error: 0.0,
                bias: 0.0,
                unexplained: 0.0,
            },
            expanded: Vec::new(),
            cautions,
        };
        let (mut doubtful, mut vectors) = (0, 0);
        for iteration in 0..self.iterations {
            progress.check(|| format!("{iteration} of {} steps", self.iterations))?;
            let targets: Vec<Target> = open.iter().map(|one| one.target.clone()).collect();
            vectors += targets.len();
            doubtful += targets.iter().filter(|target| is_doubtful(run, target)).count();
            let all = run.contributions(&targets);
            if let ([only], 0) = (all.as_slice(), iteration) {
                traced.completeness = completeness(only);
            }
            let mut candidates: Vec<(usize, Step)> = Vec::new();
            for (at, (one, contributions)) in open.iter().zip(&all).enumerate() {
                candidates.extend(self.branch(run, one, contributions).map(|step| (at, step)));
                traced.expanded.push(expanded(run, &one.path, contributions));
            }
            sort(&mut candidates, |(_, step)| step.contribution);
            candidates.truncate(self.beam);
            let mut next = Vec::new();
            for (at, step) in candidates {
                let mut path = open[at].path.clone();
                path.steps.push(step);
                traced.paths.push(path.clone());
                if step.component.goes_on() {
                    let target = follow(run, &open[at].target, &step)?;
                    next.push(Open { path, target });
                }
            }
            if next.is_empty() {
                break;
            }
            open = next;
        }
        if doubtful > 0 {
            traced.cautions.push(Caution::Ratios { doubtful, vectors });
        }
        let share = traced.completeness.unexplained;
        if share > UNEXPLAINED {
            traced.cautions.push(Caution::Unexplained { share });
        }
        Ok(traced)
    }

    /// The steps by which a path may go on, the largest first.
    fn branch(
        &self,
        run: &FrozenRun<'_>,
        one: &Open,
        contributions: &Contributions,
    ) -> impl Iterator<Item = Step> + use<> {
        let position = one.target.position;
        let mut steps = Vec::new();
        let mut offer = |component, position, contribution: f64| {
            let contribution = self.worth_of(contribution, &one.path);
            let step = Step { component, position, contribution };
            let followed = if self.signed { contribution != 0.0 } else { contribution > 0.0 };
            if followed && self.filters.iter().all(|filter| filter.allows(&step)) {
                steps.push(step);
            }
        };
        offer(Component::Token, position, contributions.token);
        offer(Component::Place, position, contributions.place);
        for (layer, heads) in contributions.heads.iter().enumerate() {
            for ((head, source), &term) in heads.indexed_iter() {
                if source > 0 || self.first_token {
                    offer(Component::Head { layer, head }, source, term);
                }
            }
        }
        for (layer, features) in contributions.features.iter().enumerate() {
            for &(feature, term) in features {
                offer(Component::Feature { layer, feature }, position, term);
            }
            offer(Component::Skip { layer }, position, contributions.skips[layer]);
            if run.wiring().dictionary(layer).is_none() {
                offer(Component::Mlp { layer }, position, contributions.errors[layer]);
            }
        }
        sort(&mut steps, |step| step.contribution);
        steps.truncate(self.branches);
        steps.into_iter()
    }

    /// What a step is worth: by zero ablation, at most what each feature on its path gives. What holds a
    /// feature back is not bounded by it.
    fn worth_of(&self, contribution: f64, path: &Path) -> f64 {
        if self.worth == Worth::Raw {
            return contribution;
        }
        let features =
            path.steps.iter().filter(|step| matches!(step.component, Component::Feature { .. }));
        features.fold(contribution, |worth, feature| {
            let same = worth * feature.contribution > 0.0;
            if same && worth.abs() > feature.contribution.abs() {
                feature.contribution
            } else {
                worth
            }
        })
    }
}

/// By size, the largest first; of equal ones the first stay first.
fn sort<T>(values: &mut [T], key: impl Fn(&T) -> f64) {
    values.sort_by(|a, b| key(b).abs().total_cmp(&key(a).abs()));
}

fn begin(run: &FrozenRun<'_>, start: &Start) -> Result<(Component, usize, Target)> {
    match start {
        Start::Feature { layer, feature, position } => {
            let target = run.feature(*layer, *position, *feature as usize)?;
            let component = Component::Feature { layer: *layer, feature: *feature };
            Ok((component, *position, target))
        }
        Start::Logits { tokens, position } => {
            Ok((Component::Logit, *position, run.logits(*position, tokens)?))
        }
    }
}

fn follow(run: &FrozenRun<'_>, target: &Target, step: &Step) -> Result<Target> {
    match step.component {
        Component::Feature { layer, feature } => {
            run.through_feature(target, layer, feature as usize)
        }
        Component::Head { layer, head } => run.through_head(target, layer, head, step.position),
        Component::Skip { layer } => run.through_skip(target, layer),
        other => Err(Error::setting("step", other, "one that a path can go on from")),
    }
}

fn is_doubtful(run: &FrozenRun<'_>, target: &Target) -> bool {
    let Some(ratio) = target.ratio else { return false };
    let residual = run.residual(target.depth, target.position);
    let size = residual.dot(&residual).sqrt() * target.vector.dot(&target.vector).sqrt();
    ratio <= 0.0 || residual.dot(&target.vector).abs() < TINY * size
}

fn completeness(contributions: &Contributions) -> Completeness {
    Completeness {
        value: contributions.value,
        sum: contributions.sum(),
        gap: contributions.gap(),
        error: contributions.error(),
        bias: contributions.bias(),
        unexplained: contributions.unexplained(),
    }
}

fn expanded(run: &FrozenRun<'_>, path: &Path, contributions: &Contributions) -> Expanded {
    let errors = contributions.errors.iter().enumerate();
    let errors = errors.map(|(layer, &error)| {
        // A whole MLP is a step of its own.
        if run.wiring().dictionary(layer).is_some() { error } else { 0.0 }
    });
    Expanded {
        path: path.clone(),
        value: contributions.value,
        errors: errors.collect(),
        bias: contributions.bias(),
    }
}
