//! Neurons as membranes with graded synapses, which never spike.
//!
//! `C dV_i/dt = −g_l (V_i − E_l) − Σ_j g n^gap_ij (V_i − V_j) − Σ_j g n^chem_ji s_j (V_i − E_j) + I_i`,
//! `ds_j/dt = a_r φ_j (1 − s_j) − a_d s_j`, `φ_j = 1 / (1 + exp(−β (V_j − V_j*)))`; `V*` is the rest at which all
//! `φ = ½`. `I_i` is noise with a time constant of one second. Activity is `V`, z-scored for each neuron.
//! Source: Wicks, Roehrig, Rankin 1996, J. Neurosci. 16:4017–4031; Kunert, Shlizerman, Kutz 2014,
//! Phys. Rev. E 89:052805, equations 1–4 and table I.
//! Differs: steps are implicit and solved by sweeps, so that strong junctions need no short steps.
//! Memory: the samples of one worm as f64.

use ndarray::Array2;
use rand_chacha::ChaCha8Rng;

use super::{SETTLE, Wiring, WormWorld, normal};

/// Capacity, in pF.
const CAPACITY: f64 = 1.0;
/// Leak, in pS.
const LEAK: f64 = 10.0;
/// Conductance of one junction or synapse, in pS.
const EACH: f64 = 100.0;
/// Potentials, in mV: of the leak, of excitation, of inhibition.
const REST: f64 = -35.0;
const EXCITE: f64 = 0.0;
const INHIBIT: f64 = -48.0;
/// How steep synapses are, per mV.
const BETA: f64 = 0.125;
/// Rise and decay of synapses, per second.
const RISE: f64 = 1.0 / 1.5;
const DECAY: f64 = 5.0 / 1.5;
/// Standard deviation of the driving current for a noise of 1, in fA.
const CURRENT: f64 = 10_000.0;
/// Its time constant, in seconds.
const SLOW: f64 = 1.0;
/// The longest step, in seconds.
const STEP: f64 = 0.012;
/// Sweeps of a step.
const SWEEPS: usize = 4;
/// pS · mV = fA, and fA s / pF = mV / 1000: capacities count in these units.
const MILLI: f64 = 1e3;

pub(super) fn simulate(world: &WormWorld, wiring: &Wiring, rng: &mut ChaCha8Rng) -> Array2<f64> {
    let neurons = wiring.neurons();
    let reversal: Vec<f64> =
        wiring.sign.iter().map(|&sign| if sign < 0.0 { INHIBIT } else { EXCITE }).collect();
    let threshold = rest(wiring, &reversal);
    let steps = (world.interval / STEP).ceil().max(1.0) as usize;
    let step = world.interval / steps as f64;
    let keep = (-step / SLOW).exp();
    let kick = world.noise * CURRENT * (1.0 - keep * keep).sqrt();
    let mut potential = threshold.clone();
    let mut open = vec![RISE / (RISE + 2.0 * DECAY); neurons];
    let mut current = vec![0.0; neurons];
    let mut advance = |potential: &mut Vec<f64>, rng: &mut ChaCha8Rng| {
        for neuron in 0..neurons {
            current[neuron] = keep * current[neuron] + kick * normal(rng);
            let phi = 1.0 / (1.0 + (-BETA * (potential[neuron] - threshold[neuron])).exp());
            let rise = RISE * phi;
            open[neuron] = (open[neuron] + step * rise) / (1.0 + step * (rise + DECAY));
        }
        let inertia = MILLI * CAPACITY / step;
        let before = potential.clone();
        for _ in 0..SWEEPS {
            for neuron in 0..neurons {
                let (pull, hold) = pulls(wiring, &reversal, &open, potential, neuron);
                let total = inertia * before[neuron] + pull + current[neuron];
                potential[neuron] = total / (inertia + hold);
            }
        }
    };
    for _ in 0..(SETTLE / step) as usize {
        advance(&mut potential, rng);
    }
    let mut activity = Array2::zeros((world.samples, neurons));
    for mut row in activity.rows_mut() {
        for _ in 0..steps {
            advance(&mut potential, rng);
        }
        for (value, &potential) in row.iter_mut().zip(&potential) {
            *value = potential;
        }
    }
    standardise(&mut activity);
    activity
}

/// `Σ g E` and `Σ g` of what pulls at a neuron.
fn pulls(
    wiring: &Wiring,
    reversal: &[f64],
    open: &[f64],
    potential: &[f64],
    neuron: usize,
) -> (f64, f64) {
    let (mut pull, mut hold) = (LEAK * REST, LEAK);
    for &(other, count) in &wiring.electrical[neuron] {
        pull += EACH * count * potential[other];
        hold += EACH * count;
    }
    for &(from, count) in &wiring.chemical[neuron] {
        let conductance = EACH * count * open[from];
        pull += conductance * reversal[from];
        hold += conductance;
    }
    (pull, hold)
}

/// The potentials at which nothing moves while all synapses are half driven.
pub(super) fn rest(wiring: &Wiring, reversal: &[f64]) -> Vec<f64> {
    let neurons = wiring.neurons();
    let open = vec![RISE / (RISE + 2.0 * DECAY); neurons];
    let mut potential = vec![REST; neurons];
    for _ in 0..2000 {
        let mut moved: f64 = 0.0;
        for neuron in 0..neurons {
            let (pull, hold) = pulls(wiring, reversal, &open, &potential, neuron);
            moved = moved.max((pull / hold - potential[neuron]).abs());
            potential[neuron] = pull / hold;
        }
        if moved < 1e-9 {
            break;
        }
    }
    potential
}

fn standardise(activity: &mut Array2<f64>) {
    for mut column in activity.columns_mut() {
        let count = column.len() as f64;
        let mean = column.sum() / count;
        let variance = column.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count;
        let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        column.mapv_inplace(|value| (value - mean) / deviation);
    }
}
