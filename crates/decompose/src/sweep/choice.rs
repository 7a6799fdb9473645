//! Which of several settings is chosen, and why.

use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Outcome;

/// How a setting is chosen for each site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Choose {
    /// The first that explains the held-out samples within 0.01 as well as the best does
    #[default]
    HeldOut,
    /// Of those within 0.01 of the most stable over seeds, the one that explains most
    Stability,
}

/// Differences in explained variance or stability that do not count.
const MARGIN: f64 = 0.01;

impl Choose {
    /// # Errors
    /// A choice by what is not measured.
    pub(super) fn validate(self, seeds: usize, held_out: f64) -> Result<()> {
        if self == Self::Stability && seeds < 2 {
            return Err(Error::setting("seeds", seeds, "at least 2 to choose by stability"));
        }
        if self == Self::HeldOut && held_out == 0.0 {
            let expected = "above 0 to choose by held-out samples; `--choose stability` needs none";
            return Err(Error::setting("held_out", 0, expected));
        }
        Ok(())
    }

    /// The place of the chosen outcome of one site, and the reason; none where nothing is defined.
    pub(super) fn of(self, outcomes: &[&Outcome]) -> Option<(usize, String)> {
        if outcomes.len() == 1 {
            return Some((0, "the only setting".to_owned()));
        }
        let explained = |outcome: &Outcome| outcome.held_out.unwrap_or(f64::NEG_INFINITY);
        match self {
            Self::HeldOut => {
                let most = outcomes.iter().filter_map(|outcome| outcome.held_out);
                let most = most.reduce(f64::max)?;
                let near = |outcome: &&Outcome| explained(outcome) >= most - MARGIN;
                let place = outcomes.iter().position(near)?;
                let own = explained(outcomes[place]);
                Some((
                    place,
                    if own >= most {
                        format!("explains most of the held-out variance, {own:.3}")
                    } else {
                        format!(
                            "explains {own:.3} of the held-out variance, the first within {MARGIN} of \
                             the most, {most:.3}"
                        )
                    },
                ))
            }
            Self::Stability => {
                let stable = |outcome: &Outcome| outcome.stability.filter(|value| !value.is_nan());
                let most =
                    outcomes.iter().filter_map(|outcome| stable(outcome)).reduce(f64::max)?;
                let near = |place: &usize| {
                    stable(outcomes[*place]).is_some_and(|value| value >= most - MARGIN)
                };
                let better = |best: usize, place: usize| {
                    let gain = explained(outcomes[place]) > explained(outcomes[best]);
                    if gain { place } else { best }
                };
                let place = (0..outcomes.len()).filter(near).reduce(better)?;
                let own = stable(outcomes[place])?;
                Some((
                    place,
                    if own >= most {
                        format!("most stable over seeds, cosine {own:.3}")
                    } else {
                        format!(
                            "stable over seeds, cosine {own:.3} within {MARGIN} of the most, \
                             {most:.3}; of these it explains most"
                        )
                    },
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(held_out: f64, stability: f64) -> Outcome {
        let (held_out, stability) = (Some(held_out), Some(stability));
        Outcome { held_out, stability, ..Outcome::default() }
    }

    fn chosen(by: Choose, outcomes: &[Outcome]) -> Option<(usize, String)> {
        by.of(&outcomes.iter().collect::<Vec<_>>())
    }

    #[test]
    fn the_first_that_explains_as_much_is_taken() {
        let all =
            [outcome(0.5, 0.9), outcome(0.792, 0.99), outcome(0.8, 0.7), outcome(0.79, 0.985)];
        let (place, reason) = chosen(Choose::HeldOut, &all).expect("one");
        assert_eq!(place, 1, "{reason}");
        assert!(reason.contains("0.792") && reason.contains("0.800"), "{reason}");
        let (place, reason) = chosen(Choose::HeldOut, &all[..1]).expect("one");
        assert_eq!((place, reason.as_str()), (0, "the only setting"));
        let (place, reason) = chosen(Choose::HeldOut, &all[1..3]).expect("one");
        assert_eq!(place, 0, "{reason}");
        let none = [Outcome::default(), Outcome::default()];
        assert_eq!(chosen(Choose::HeldOut, &none), None);
    }

    #[test]
    fn of_equally_stable_ones_the_one_that_explains_most_is_taken() {
        let all =
            [outcome(0.5, 0.991), outcome(0.79, 0.99), outcome(0.8, 0.7), outcome(0.6, 0.985)];
        let (place, reason) = chosen(Choose::Stability, &all).expect("one");
        assert_eq!(place, 1, "{reason}");
        assert!(reason.contains("0.990") && reason.contains("0.991"), "{reason}");
        let (place, reason) =
            chosen(Choose::Stability, &[outcome(0.1, 0.9), outcome(0.9, 0.5)]).expect("one");
        assert!(place == 0 && reason.contains("most stable"), "{reason}");
    }

    #[test]
    fn what_is_not_measured_cannot_choose() {
        assert!(Choose::Stability.validate(1, 0.1).is_err());
        assert!(Choose::HeldOut.validate(1, 0.0).is_err());
        assert!(Choose::Stability.validate(2, 0.0).is_ok());
        assert!(Choose::HeldOut.validate(1, 0.1).is_ok());
    }
}
