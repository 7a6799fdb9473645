//! Neurons as rates.
//!
//! `dx/dt = (−x + tanh(M x) + g Σ_j G_ij (x_j − x_i))/τ + σ ξ`, τ = 1 s, by Euler and Maruyama in three steps a sample
//! (more where samples are far apart). `M_ij = √n_ij sign_j` is scaled to a spectral radius; `G` to a largest row sum of 1.
//! Source: the study of structure from function on homogenised worms.
//! Memory: the samples of one worm as f64.

use ndarray::Array2;
use rand_chacha::ChaCha8Rng;

use super::{SETTLE, Wiring, WormWorld, normal};

/// The time constant, in seconds.
const TAU: f64 = 1.0;
/// The longest step, in seconds.
const STEP: f64 = 0.15;

pub(super) fn simulate(world: &WormWorld, wiring: &Wiring, rng: &mut ChaCha8Rng) -> Array2<f64> {
    let neurons = wiring.neurons();
    let synapses = scaled(wiring, world.spectral_radius);
    let sums = wiring.electrical.iter().map(|list| list.iter().map(|(_, w)| w).sum::<f64>());
    let largest = sums.fold(0.0, f64::max);
    let gap = if largest > 0.0 { world.gap / largest } else { 0.0 };
    let steps = ((world.interval / STEP).ceil() as usize).max(3);
    let step = world.interval / steps as f64;
    let kick = world.noise * step.sqrt();
    let mut x: Vec<f64> = (0..neurons).map(|_| 0.1 * normal(rng)).collect();
    let mut next = x.clone();
    let mut advance = |x: &mut Vec<f64>, rng: &mut ChaCha8Rng| {
        for (neuron, value) in next.iter_mut().enumerate() {
            let drive: f64 = synapses[neuron].iter().map(|&(from, weight)| weight * x[from]).sum();
            let even: f64 =
                wiring.electrical[neuron].iter().map(|&(from, w)| w * (x[from] - x[neuron])).sum();
            let slope = (-x[neuron] + drive.tanh() + gap * even) / TAU;
            *value = x[neuron] + step * slope + kick * normal(rng);
        }
        std::mem::swap(x, &mut next);
    };
    for _ in 0..(SETTLE / step) as usize {
        advance(&mut x, rng);
    }
    let mut activity = Array2::zeros((world.samples, neurons));
    for mut row in activity.rows_mut() {
        for _ in 0..steps {
            advance(&mut x, rng);
        }
        for (value, &x) in row.iter_mut().zip(&x) {
            *value = x;
        }
    }
    activity
}

/// What each neuron receives, signed and scaled to spectral radius `radius`.
fn scaled(wiring: &Wiring, radius: f64) -> Vec<Vec<(usize, f64)>> {
    let mut synapses: Vec<Vec<(usize, f64)>> = wiring
        .chemical
        .iter()
        .map(|list| list.iter().map(|&(from, n)| (from, n.sqrt() * wiring.sign[from])).collect())
        .collect();
    let found = spectral_radius(&synapses);
    let sums = synapses.iter().map(|list| list.iter().map(|(_, w)| w.abs()).sum::<f64>());
    // Wiring without a loop has no eigenvalue but 0: its strongest neuron is scaled instead.
    let scale = if found > 0.0 { found } else { sums.fold(0.0, f64::max) };
    if scale > 0.0 {
        for (_, weight) in synapses.iter_mut().flatten() {
            *weight *= radius / scale;
        }
    }
    synapses
}

/// The spectral radius, from how a vector grows: `lim ‖M^k v‖^(1/k)`, which complex eigenvalues do not
/// disturb.
pub(super) fn spectral_radius(matrix: &[Vec<(usize, f64)>]) -> f64 {
    const BEGIN: usize = 400;
    const END: usize = 1600;
    let mut v: Vec<f64> =
        (0..matrix.len()).map(|row| 1.0 + 0.1 * ((row * 7 + 3) % 11) as f64).collect();
    let mut growth = 0.0;
    for round in 0..END {
        let next: Vec<f64> = matrix
            .iter()
            .map(|list| list.iter().map(|&(from, weight)| weight * v[from]).sum())
            .collect();
        let norm = next.iter().map(|value: &f64| value * value).sum::<f64>().sqrt();
        let before = v.iter().map(|value| value * value).sum::<f64>().sqrt();
        if norm < 1e-200 || before == 0.0 {
            return 0.0;
        }
        if round >= BEGIN {
            growth += (norm / before).ln();
        }
        v = next.into_iter().map(|value| value / norm).collect();
    }
    (growth / (END - BEGIN) as f64).exp()
}
