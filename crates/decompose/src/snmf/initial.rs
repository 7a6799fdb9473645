//! Where a restart begins: random coefficients, clusters, or singular vectors.
//!
//! Only `G` is needed: the first step of the first iteration makes `Z` from it.

use ndarray::Array2;
use nissl_core::features::product;
use nissl_core::seed::rng;
use nissl_core::{Progress, Result};
use rand::RngExt;
use rand::seq::index::sample;
use serde::{Deserialize, Serialize};

use super::Snmf;
use crate::activity::Activity;
use crate::kmeans::{Rounds, lloyd};
use crate::subspace::{Subspace, leading};

/// Where a restart begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Initial {
    /// Random and k-means in turn
    #[default]
    Mixed,
    /// Coefficients uniform in 0 to 1
    Random,
    /// Clusters of 15 Lloyd rounds from random samples
    Kmeans,
    /// The positive parts of the right singular vectors; the same for every restart
    Svd,
}

/// No coefficient begins lower: multiplicative steps never leave zero.
const FLOOR: f32 = 1e-6;
/// Rounds of k-means.
const ROUNDS: usize = 15;

impl Initial {
    /// `Gᵀ` `[k, sample]` in tiles.
    pub(super) fn start(
        self,
        activity: &Activity<'_>,
        settings: &Snmf,
        restart: usize,
        progress: &Progress,
    ) -> Result<Vec<Array2<f32>>> {
        let &Snmf { k, seed, .. } = settings;
        let stream = restart as u64;
        match self {
            Self::Mixed => {
                let kind = if restart.is_multiple_of(2) { Self::Random } else { Self::Kmeans };
                kind.start(activity, settings, restart, progress)
            }
            Self::Random => {
                let mut rng = rng(seed, stream);
                let mut uniform = || rng.random_range(0.0..1f32).max(FLOOR);
                Ok(activity
                    .tiles()
                    .map(|(_, samples)| Array2::from_shape_simple_fn((k, samples), &mut uniform))
                    .collect())
            }
            Self::Kmeans => {
                let mut rng = rng(seed, stream);
                let mut places = sample(&mut rng, activity.samples(), k).into_vec();
                places.sort_unstable();
                let centres = activity.pick(&places)?;
                let until = Rounds { rounds: ROUNDS, tolerance: 0.0 };
                let clusters = lloyd(activity, centres, until, &mut rng, progress)?;
                Ok(activity
                    .tiles()
                    .map(|(first, samples)| {
                        let mut tile = Array2::from_elem((k, samples), FLOOR);
                        for at in 0..samples {
                            tile[[clusters.places[first + at] as usize, at]] = 1.0;
                        }
                        tile
                    })
                    .collect())
            }
            Self::Svd => {
                let seed = (seed, stream);
                let wanted = Subspace { k, oversample: 10, passes: 6, seed, means: None };
                let (mut left, squares) = leading(activity, &wanted, progress)?;
                for (mut row, square) in left.rows_mut().into_iter().zip(&squares) {
                    // V√Σ = AᵀU/√σ, with the sign that leaves more of it above zero.
                    let along: f64 =
                        row.iter().zip(activity.sums()).map(|(&u, sum)| f64::from(u) * sum).sum();
                    let root = square.sqrt().sqrt().max(f64::MIN_POSITIVE);
                    let factor = if along < 0.0 { -1.0 / root } else { 1.0 / root };
                    row.mapv_inplace(|value| value * factor as f32);
                }
                let mut tiles = Vec::new();
                activity.pass(|_, tile| {
                    tiles.push(product(left.view(), tile).mapv_into(|value| value.max(FLOOR)));
                    Ok(())
                })?;
                Ok(tiles)
            }
        }
    }
}
