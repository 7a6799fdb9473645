//! Every unit as it is: the baseline that any decomposition must beat.
//!
//! `z = x`, or the `k` units of greatest variance. Source: none needed.
//! Memory: the dictionary, `k` times the number of units.

use ndarray::Array2;
use nissl_core::features::{Decompose, Dictionary, Encoding};
use nissl_core::{Error, Progress, Recording, Result};
use serde::{Deserialize, Serialize};

use crate::activity::Activity;

/// Hyperparameters of the identity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Neurons {
    /// Keep only the units of greatest variance, 1 to all units (default: all units)
    #[arg(short, long)]
    pub k: Option<usize>,
}

impl Decompose for Neurons {
    fn name(&self) -> &'static str {
        "neurons"
    }

    fn validate(&self) -> Result<()> {
        match self.k {
            Some(0) => Err(Error::setting("k", 0, "at least 1")),
            _ => Ok(()),
        }
    }

    fn fit(
        &self,
        recording: &Recording,
        rows: &[usize],
        progress: &Progress,
    ) -> Result<Dictionary> {
        self.validate()?;
        let activity = Activity::read(recording, rows, 0, progress)?;
        let units = activity.units();
        let chosen = match self.k {
            None => (0..units).collect(),
            Some(k) if k > units => {
                return Err(Error::setting("k", k, format!("at most {units}, the units")));
            }
            Some(k) => of_greatest_variance(&activity, k)?,
        };
        let mut decoder = Array2::zeros((chosen.len(), units));
        for (feature, &unit) in chosen.iter().enumerate() {
            decoder[[feature, unit]] = 1.0;
        }
        Ok(Dictionary::new(decoder, Encoding::Identity))
    }
}

fn of_greatest_variance(activity: &Activity<'_>, k: usize) -> Result<Vec<usize>> {
    let means = activity.means();
    let mut squares = vec![0f64; activity.units()];
    activity.pass(|_, tile| {
        for ((square, mean), row) in squares.iter_mut().zip(&means).zip(tile.rows()) {
            *square += row.iter().map(|value| f64::from(value - mean).powi(2)).sum::<f64>();
        }
        Ok(())
    })?;
    let mut order: Vec<usize> = (0..squares.len()).collect();
    order.sort_by(|&a, &b| squares[b].total_cmp(&squares[a]).then(a.cmp(&b)));
    order.truncate(k);
    order.sort_unstable();
    Ok(order)
}
