//! What to take of worms: by name, by neuron, by time.

use clap::Args;
use ndarray::Array2;
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::worm::form::Worm;

/// What to take of a table of worms; nothing named means all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// Only this worm of each data set, such as `worm0`; may be given several times
    #[arg(long = "worm", value_name = "NAME")]
    pub worms: Vec<String>,
    /// Only this neuron, such as `AVAL`; may be given several times
    #[arg(long = "neuron", value_name = "NAME")]
    pub neurons: Vec<String>,
    /// Only samples from this time on, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub from: Option<f64>,
    /// Only samples before this time, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub to: Option<f64>,
}

impl Selection {
    /// # Errors
    /// A range of times that holds nothing.
    pub fn validate(&self) -> Result<()> {
        let bad = |value: Option<f64>| value.is_some_and(|value| !value.is_finite());
        if bad(self.from) || bad(self.to) {
            return Err(Error::setting("from", "not finite", "seconds"));
        }
        match (self.from, self.to) {
            (Some(from), Some(to)) if from >= to => {
                Err(Error::setting("to", to, format!("more than --from, {from}")))
            }
            _ => Ok(()),
        }
    }

    /// Takes of `worm` what is asked for; `None` when nothing is left.
    pub fn of(&self, mut worm: Worm) -> Option<Worm> {
        let wanted =
            |list: &[String], name: &str| list.is_empty() || list.iter().any(|n| n == name);
        if !wanted(&self.worms, &worm.worm) {
            return None;
        }
        let rows: Vec<usize> = (0..worm.neurons.len())
            .filter(|&row| wanted(&self.neurons, &worm.neurons[row].name))
            .collect();
        let inside = |time: f64| {
            self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
        };
        let columns: Vec<usize> =
            (0..worm.time.len()).filter(|&at| inside(worm.time[at])).collect();
        if rows.is_empty() || columns.is_empty() {
            return None;
        }
        let cut = |values: &Array2<f32>| {
            values.select(ndarray::Axis(0), &rows).select(ndarray::Axis(1), &columns)
        };
        worm.calcium = cut(&worm.calcium);
        worm.signals = worm.signals.iter().map(|(signal, values)| (*signal, cut(values))).collect();
        worm.behaviour = worm
            .behaviour
            .into_iter()
            .map(|(name, values)| (name, columns.iter().map(|&at| values[at]).collect()))
            .collect();
        if !worm.original.is_empty() {
            worm.original = worm.original.select(ndarray::Axis(0), &rows);
        }
        worm.neurons = rows.iter().map(|&row| worm.neurons[row].clone()).collect();
        worm.time = columns.iter().map(|&at| worm.time[at]).collect();
        Some(worm)
    }
}
