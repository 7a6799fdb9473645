//! What chance gives: the same analysis of traces that were shifted on their own.

use nissl_core::stats::agreement::normalized_mutual_information;
use nissl_core::{Progress, Result};
use nissl_decompose::ntf::{Animals, Ranks, Restarts, components_of};
use rayon::prelude::*;

use super::RANK;
use super::found::{Community, Found, affinities, communities, settings};

/// Refits of shifted data.
const REFITS: u64 = 20;

/// Chance beside one world.
pub(crate) struct Chance {
    /// Of each component of the world: the p of its groups' contrast.
    pub(crate) p: Vec<f64>,
    /// The same of the control's components.
    pub(crate) null_p: Vec<f64>,
    pub(crate) null_stability: f64,
    /// The best agreement of each of the control's components with a planted motif.
    pub(crate) null_nmi: Vec<f64>,
}

/// A factorisation of `animals` with the groups of its components.
fn refit(
    animals: &Animals,
    seed: u64,
    restarts: usize,
    progress: &Progress,
) -> Result<(Restarts, Vec<Community>)> {
    let affinities = affinities(animals, progress)?;
    let ntf = settings(seed, restarts, Ranks::one(RANK));
    let found = ntf.fit(&affinities.tensor, RANK, None, progress)?;
    let components = components_of(&affinities, animals, &found.best, Vec::new());
    let groups = communities(&components, seed, progress)?;
    Ok((found, groups))
}

impl Chance {
    pub(crate) fn of(found: &Found, progress: &Progress) -> Result<Self> {
        let shifted = |number: u64| found.recorded.shifted(found.seed * 1000 + number);
        let null: Vec<Vec<f64>> = (1..=REFITS)
            .into_par_iter()
            .map(|number| {
                let (_, groups) = refit(&shifted(number), found.seed, 2, progress)?;
                Ok(groups.iter().map(|group| group.contrast.contrast).collect())
            })
            .collect::<Result<_>>()?;
        let null: Vec<f64> = null.concat();
        let (control, groups) = refit(&shifted(0), found.seed, 6, progress)?;
        let units = found.components.units.len();
        let nmi = |group: &Community| {
            let planted = found.world.motifs.iter().map(|motif| motif.labels(units));
            let scores =
                planted.map(|labels| normalized_mutual_information(&group.labels, &labels));
            scores.fold(0.0, f64::max)
        };
        let p = |groups: &[Community]| -> Vec<f64> {
            groups.iter().map(|group| group.contrast.p_value(&null)).collect()
        };
        Ok(Self {
            p: p(&found.communities),
            null_p: p(&groups),
            null_stability: control.stability,
            null_nmi: groups.iter().map(nmi).collect(),
        })
    }
}
