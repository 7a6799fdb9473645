//! What would change without a neuron: the prediction that a silencing experiment can test.
//!
//! The pairs of the neuron are taken for missing, the factors go on from where they were, and the communities are found
//! anew. Told are, for each component, the agreement of the remaining neurons' communities with those before and
//! the share of the loading within the communities before that is lost.
//!
//! Source: Dyballa et al. 2024, arXiv:2402.14102, §5 (a neuron class predicted, then silenced).
//! Memory: as the factorisation.

use ndarray::Array2;
use nissl_core::components::TensorComponents;
use nissl_core::stats::agreement::normalized_mutual_information;
use nissl_core::{Error, Progress, Result};
use nissl_decompose::ntf::{Affinities, Factors, Fit, Ntf};
use serde::Serialize;

use super::found::{Community, community};

/// What the removal of one neuron changes in one component.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Removal {
    /// The neuron.
    pub neuron: String,
    /// The component.
    pub component: usize,
    /// Agreement of the others' communities with those before (NMI), 0 to 1.
    pub agreement: f64,
    /// The share of loading within the communities before that is lost.
    pub lost: f64,
}

/// Removes each of `neurons` in turn, strongest change first.
///
/// # Errors
/// A neuron that is not there, affinities that are not those of the components, or an interruption.
pub fn removals(
    components: &TensorComponents,
    affinities: &Affinities,
    communities: &[Community],
    neurons: &[String],
    ntf: &Ntf,
    progress: &Progress,
) -> Result<Vec<Removal>> {
    if affinities.neurons != components.units || affinities.times.len() != components.seconds.len()
    {
        return Err(Error::setting(
            "recordings",
            "others",
            "those that the components were found in",
        ));
    }
    let fit = fit_of(components);
    let before: Vec<Array2<f64>> =
        (0..components.rank()).map(|number| components.matrix(number).mapv(f64::from)).collect();
    let stage = progress.stage("remove", neurons.len() as u64, "neurons");
    let mut removals = Vec::new();
    for name in neurons {
        let Some(neuron) = components.units.iter().position(|unit| unit == name) else {
            let near =
                nissl_core::error::nearest(name, components.units.iter().map(String::as_str));
            return Err(Error::setting("neuron", name, format!("one of {}", near.join(", "))));
        };
        let tensor = affinities.tensor.without(&affinities.pairs_of(neuron))?;
        let after = ntf.refit(&tensor, &fit, progress)?;
        for (component, labels) in communities.iter().map(|one| &one.labels).enumerate() {
            let matrix = matrix_of(&after, component, components.units.len());
            let scales = [f64::from(components.lambda[component]), after.lambda[component]];
            let within = |matrix: &Array2<f64>, scale: f64| {
                let mut sum = 0.0;
                for ((a, b), &x) in matrix.indexed_iter() {
                    sum += if a < b && labels[a] > 0 && labels[a] == labels[b] { x } else { 0.0 };
                }
                scale * sum
            };
            let held = within(&before[component], scales[0]);
            // Without an edge there are no communities left: nothing agrees but the background.
            let now = community(&matrix, ntf.seed, progress)
                .map_or_else(|_none| vec![0; labels.len()], |found| found.labels);
            let others = |labels: &[u32]| -> Vec<u32> {
                let rest = labels.iter().enumerate().filter(|(unit, _)| *unit != neuron);
                rest.map(|(_, &label)| label).collect()
            };
            removals.push(Removal {
                neuron: name.clone(),
                component,
                agreement: normalized_mutual_information(&others(labels), &others(&now)),
                lost: if held > 0.0 { 1.0 - within(&matrix, scales[1]) / held } else { 0.0 },
            });
        }
        stage.advance(1);
    }
    removals.sort_by(|a, b| {
        let change = |one: &Removal| one.lost + (1.0 - one.agreement);
        change(b).total_cmp(&change(a))
    });
    Ok(removals)
}

/// Components as the fit that they come from.
fn fit_of(components: &TensorComponents) -> Fit {
    let double = |factor: &Array2<f32>| factor.mapv(f64::from);
    Fit {
        factors: Factors {
            times: double(&components.times),
            animals: double(&components.animals),
            pairs: double(&components.pairs),
        },
        lambda: components.lambda.iter().map(|&x| f64::from(x)).collect(),
        error: f64::NAN,
        errors: Vec::new(),
        converged: true,
    }
}

fn matrix_of(fit: &Fit, component: usize, units: usize) -> Array2<f64> {
    let mut matrix = Array2::zeros((units, units));
    for (pair, &x) in fit.factors.pairs.column(component).iter().enumerate() {
        let [a, b] = nissl_core::components::pair_at(pair, units);
        matrix[[a, b]] = x;
        matrix[[b, a]] = x;
    }
    matrix
}
