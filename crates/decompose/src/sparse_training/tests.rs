//! Gradients against finite differences of the formulas, written anew in double precision.

use nissl_core::seed::rng;
use rand::RngExt;

use super::gradient::{Batch, Objective, gradient};
use super::parameters::{PARTS, Parameters, Shape};
use super::revival::Dead;
use super::settings::{Architecture, Training};

const UNITS: usize = 5;
const FEATURES: usize = 12;
const ROWS: usize = 7;

fn shape(tied: bool, skip: bool) -> Shape {
    Shape { units: UNITS, outputs: if tied { UNITS } else { 4 }, features: FEATURES, tied, skip }
}

/// Parameters and samples at random.
fn case(architecture: Architecture, shape: Shape, seed: u64) -> (Parameters, Batch) {
    let mut rng = rng(seed, 1);
    let training = Training { architecture, threshold: 0.3, seed, ..Training::default() };
    let mut parameters = Parameters::initial(shape, &training);
    let of = |part: &mut Vec<f32>, rng: &mut rand_chacha::ChaCha8Rng, size: f32| {
        for value in part {
            *value += rng.random_range(-size..=size);
        }
    };
    of(&mut parameters.encoder, &mut rng, 0.6);
    of(&mut parameters.encoder_bias, &mut rng, 0.3);
    of(&mut parameters.output_bias, &mut rng, 0.3);
    of(&mut parameters.gate_bias, &mut rng, 0.3);
    of(&mut parameters.log_magnitude, &mut rng, 0.3);
    of(&mut parameters.log_threshold, &mut rng, 0.3);
    of(&mut parameters.skip, &mut rng, 0.3);
    let mut draw =
        |count: usize| -> Vec<f32> { (0..count).map(|_| rng.random_range(-1.0..=1.0)).collect() };
    let input = draw(ROWS * UNITS);
    let target = if shape.tied { input.clone() } else { draw(ROWS * shape.outputs) };
    let weights = draw(ROWS).iter().map(|weight| 0.2 + weight.abs()).collect();
    (parameters, Batch { input, target, weights })
}

/// Parameters in double precision, as vectors by the place of their part.
type Wide = [Vec<f64>; 8];

fn wide(parameters: &Parameters) -> Wide {
    parameters.parts().map(|part| part.iter().map(|&value| f64::from(value)).collect())
}

/// The products `W_enc (x − [tied] b)` `[row][feature]`.
fn products(p: &Wide, shape: Shape, batch: &Batch) -> Vec<Vec<f64>> {
    let rows = batch.input.chunks_exact(shape.units);
    rows.map(|row| {
        (0..shape.features)
            .map(|feature| {
                (0..shape.units)
                    .map(|unit| {
                        let bias = if shape.tied { p[3][unit] } else { 0.0 };
                        p[0][feature * shape.units + unit] * (f64::from(row[unit]) - bias)
                    })
                    .sum()
            })
            .collect()
    })
    .collect()
}

/// The weighted squared error of activations `z` `[row][feature]`.
fn error(p: &Wide, shape: Shape, batch: &Batch, z: &[Vec<f64>]) -> f64 {
    let mut loss = 0.0;
    for (row, z) in z.iter().enumerate() {
        for output in 0..shape.outputs {
            let mut guess = p[3][output];
            for (feature, z) in z.iter().enumerate() {
                guess += z * p[2][feature * shape.outputs + output];
            }
            if shape.skip {
                for unit in 0..shape.units {
                    let x = f64::from(batch.input[row * shape.units + unit]);
                    guess += p[7][output * shape.units + unit] * x;
                }
            }
            let gap = guess - f64::from(batch.target[row * shape.outputs + output]);
            loss += f64::from(batch.weights[row]) * gap * gap;
        }
    }
    loss
}

/// Which features of which row are active: found once, since it is no part of a gradient.
fn active(u: &[Vec<f64>], objective: Objective, thresholds: &[f64]) -> Vec<Vec<bool>> {
    let k = objective.k;
    let mut all: Vec<f64> = u.iter().flatten().copied().collect();
    all.sort_by(|a, b| b.total_cmp(a));
    let in_row = |row: &Vec<f64>, feature: usize| match objective.architecture {
        Architecture::TopK => row.iter().filter(|&&other| other > row[feature]).count() < k,
        Architecture::BatchTopK => row[feature] >= all[k * ROWS - 1],
        Architecture::GroupMax => {
            let size = FEATURES / k;
            let group = feature / size * size;
            row[group..group + size].iter().all(|&other| other <= row[feature])
        }
        Architecture::JumpRelu => row[feature] > thresholds[feature],
        _ => true,
    };
    u.iter().map(|row| (0..FEATURES).map(|i| row[i] > 0.0 && in_row(row, i)).collect()).collect()
}

/// Loss of the kinds without straight-through estimators, by the formulas, with the activity fixed.
fn plain(p: &Wide, shape: Shape, batch: &Batch, objective: Objective, on: &[Vec<bool>]) -> f64 {
    let mut u = products(p, shape, batch);
    let mut sum = 0.0;
    for (u, on) in u.iter_mut().zip(on) {
        for (feature, u) in u.iter_mut().enumerate() {
            *u = if on[feature] { *u + p[1][feature] } else { 0.0 };
            sum += *u;
        }
    }
    error(p, shape, batch, &u) + f64::from(objective.penalty) / ROWS as f64 * sum
}

/// The derivative of `loss` by every parameter.
fn differences(p: &Wide, loss: impl Fn(&Wide) -> f64) -> Wide {
    let step = 1e-5;
    let mut by = p.clone();
    for part in 0..8 {
        for place in 0..p[part].len() {
            let mut moved = p.clone();
            moved[part][place] += step;
            let above = loss(&moved);
            moved[part][place] -= 2.0 * step;
            by[part][place] = (above - loss(&moved)) / (2.0 * step);
        }
    }
    by
}

fn assert_near(found: &Parameters, truth: &Wide, parts: &[usize]) {
    for &part in parts {
        for (place, (&found, &truth)) in found.parts()[part].iter().zip(&truth[part]).enumerate() {
            let gap = (f64::from(found) - truth).abs();
            assert!(gap < 2e-4 * (1.0 + truth.abs()), "{} {place}: {found} {truth}", PARTS[part]);
        }
    }
}

fn objective(architecture: Architecture) -> Objective {
    Objective { architecture, k: 3, penalty: 0.7, bandwidth: 0.4 }
}

#[test]
fn gradients_of_relu_and_top_k_kinds_are_those_of_finite_differences() {
    let kinds =
        [Architecture::Relu, Architecture::TopK, Architecture::BatchTopK, Architecture::GroupMax];
    for architecture in kinds {
        for (tied, skip) in [(true, false), (false, false), (false, true)] {
            let shape = shape(tied, skip);
            let (parameters, batch) = case(architecture, shape, 3);
            let objective = objective(architecture);
            let p = wide(&parameters);
            let mut u = products(&p, shape, &batch);
            for row in &mut u {
                row.iter_mut().zip(&p[1]).for_each(|(u, b)| *u += b);
            }
            let on = active(&u, objective, &[]);
            let mut by = parameters.zeros();
            let outcome = gradient(&parameters, shape, &batch, objective, &mut by);
            let count = on.iter().flatten().filter(|&&on| on).count();
            assert_eq!(outcome.code.values.len(), count, "{architecture:?}");
            let loss = plain(&p, shape, &batch, objective, &on);
            assert!((outcome.loss - loss).abs() < 1e-4 * loss, "{} {loss}", outcome.loss);
            let truth = differences(&p, |p| plain(p, shape, &batch, objective, &on));
            assert_near(&by, &truth, &[0, 1, 2, 3, 4, 5, 6, 7]);
        }
    }
}

#[test]
fn gated_gradients_hold_the_decoder_fixed_under_the_gates() {
    for tied in [true, false] {
        let shape = shape(tied, false);
        let (parameters, batch) = case(Architecture::Gated, shape, 4);
        let objective = objective(Architecture::Gated);
        let p = wide(&parameters);
        let gates = |p: &Wide| -> Vec<Vec<f64>> {
            let mut u = products(p, shape, &batch);
            for row in &mut u {
                row.iter_mut().zip(&p[4]).for_each(|(u, b)| *u = (*u + b).max(0.0));
            }
            u
        };
        let open = gates(&p);
        let loss = |p: &Wide, fixed: &Wide| {
            let u = products(p, shape, &batch);
            let z: Vec<Vec<f64>> = u
                .iter()
                .zip(&open)
                .map(|(row, open)| {
                    (0..FEATURES)
                        .map(|i| {
                            let size = p[5][i].exp() * row[i] + p[1][i];
                            if open[i] > 0.0 { size.max(0.0) } else { 0.0 }
                        })
                        .collect()
                })
                .collect();
            let gates = gates(p);
            let sum: f64 = gates.iter().flatten().sum();
            let penalty = f64::from(objective.penalty) / ROWS as f64 * sum;
            // Under the gates, decoder and output bias are those that do not move.
            error(p, shape, &batch, &z) + error(fixed, shape, &batch, &gates) + penalty
        };
        let mut by = parameters.zeros();
        let outcome = gradient(&parameters, shape, &batch, objective, &mut by);
        let whole = loss(&p, &p);
        assert!((outcome.loss - whole).abs() < 1e-4 * whole, "{} {whole}", outcome.loss);
        let truth = differences(&p, |moved| loss(moved, &p));
        assert_near(&by, &truth, &[0, 1, 2, 3, 4, 5]);
    }
}

#[test]
fn thresholds_learn_by_the_formula_of_the_straight_through_estimator() {
    for tied in [true, false] {
        let shape = shape(tied, false);
        let (parameters, batch) = case(Architecture::JumpRelu, shape, 5);
        let objective = objective(Architecture::JumpRelu);
        let p = wide(&parameters);
        let theta: Vec<f64> = p[6].iter().map(|log| log.exp()).collect();
        let mut u = products(&p, shape, &batch);
        for row in &mut u {
            row.iter_mut().zip(&p[1]).for_each(|(u, b)| *u += b);
        }
        let on = active(&u, objective, &theta);
        let count = on.iter().flatten().filter(|&&on| on).count();
        let mut by = parameters.zeros();
        let outcome = gradient(&parameters, shape, &batch, objective, &mut by);
        assert_eq!(outcome.code.values.len(), count);
        // With the activity fixed, all but the thresholds follow the squared error alone.
        let error_only = Objective { penalty: 0.0, ..objective };
        let truth = differences(&p, |p| plain(p, shape, &batch, error_only, &on));
        assert_near(&by, &truth, &[0, 1, 2, 3]);
        // ∂L/∂θ = Σ over |u − θ| < ε/2 of −(θ ∂L/∂z + λ/B)/ε.
        let z: Vec<Vec<f64>> = u
            .iter()
            .zip(&on)
            .map(|(u, on)| u.iter().zip(on).map(|(&u, &on)| if on { u } else { 0.0 }).collect())
            .collect();
        let (width, mut near) = (f64::from(objective.bandwidth), 0);
        let each = f64::from(objective.penalty) / ROWS as f64;
        for (feature, &theta) in theta.iter().enumerate() {
            let mut truth = 0.0;
            for (row, u) in u.iter().enumerate() {
                if (u[feature] - theta).abs() >= width / 2.0 {
                    continue;
                }
                near += 1;
                let mut by_z = [0.0; 2];
                for (by, sign) in by_z.iter_mut().zip([1.0, -1.0]) {
                    let mut moved = z.clone();
                    moved[row][feature] += sign * 1e-5;
                    *by = error(&p, shape, &batch, &moved);
                }
                let by_z = (by_z[0] - by_z[1]) / 2e-5;
                truth -= (theta * by_z + each) / width;
            }
            let found = f64::from(by.log_threshold[feature]);
            assert!((found - theta * truth).abs() < 1e-3, "{feature}: {found} {}", theta * truth);
        }
        assert!(near > 10, "{near}");
        let penalty = each * count as f64;
        assert!((outcome.loss - outcome.error_loss - penalty).abs() < 1e-5);
    }
}

/// `W_enc x + b` of a dead feature in a row.
fn dead_product(p: &Wide, shape: Shape, input: &[f64], feature: usize) -> f64 {
    let units = shape.units;
    let row = &p[0][feature * units..][..units];
    p[1][feature] + row.iter().zip(input).map(|(w, x)| w * x).sum::<f64>()
}

#[test]
fn dead_features_learn_the_error_by_both_ways() {
    for tied in [true, false] {
        let shape = shape(tied, false);
        let (parameters, batch) = case(Architecture::TopK, shape, 6);
        let mut unused = parameters.zeros();
        let outcome =
            gradient(&parameters, shape, &batch, objective(Architecture::TopK), &mut unused);
        let features = [1, 4, 5, 9];
        let dead = Dead {
            parameters: &parameters,
            shape,
            features: &features,
            batch: &batch,
            outcome: &outcome,
        };
        let p = wide(&parameters);
        let outputs = shape.outputs;
        let missing: Vec<Vec<f64>> = outcome
            .error
            .chunks(outputs)
            .map(|row| row.iter().map(|&e| -f64::from(e)).collect())
            .collect();
        let read: Vec<Vec<f64>> = batch
            .input
            .chunks(UNITS)
            .map(|row| {
                let bias = |unit: usize| if tied { p[3][unit] } else { 0.0 };
                row.iter().enumerate().map(|(unit, &x)| f64::from(x) - bias(unit)).collect()
            })
            .collect();
        // AuxK, with the features that it picks fixed.
        let wanted = outputs / 2;
        let pick = |row: usize| -> Vec<usize> {
            let mut sorted = features.to_vec();
            let size = |&i: &usize| dead_product(&p, shape, &read[row], i);
            sorted.sort_by(|a, b| size(b).total_cmp(&size(a)));
            sorted.into_iter().take(wanted).filter(|i| size(i) > 0.0).collect()
        };
        let picked: Vec<Vec<usize>> = (0..ROWS).map(pick).collect();
        let squares: f64 = missing.iter().flatten().map(|e| e * e).sum();
        let auxiliary = |p: &Wide| -> f64 {
            let mut loss = 0.0;
            for row in 0..ROWS {
                for output in 0..outputs {
                    let guess: f64 = picked[row]
                        .iter()
                        .map(|&i| {
                            dead_product(p, shape, &read[row], i) * p[2][i * outputs + output]
                        })
                        .sum();
                    loss += 0.5 * (guess - missing[row][output]).powi(2) / squares;
                }
            }
            loss
        };
        let mut by = parameters.zeros();
        let loss = dead.auxiliary(0.5, &mut by);
        assert!((loss - auxiliary(&p)).abs() < 1e-5, "{loss}");
        let mut truth = differences(&p, auxiliary);
        truth[3].fill(0.0);
        assert_near(&by, &truth, &[0, 1, 2]);
        assert!(by.output_bias.iter().all(|&value| value == 0.0));
        // Ghosts, with their lengths and the size of the loss fixed.
        let ghost = |p: &Wide, row: usize, output: usize| -> f64 {
            let sizes = features.map(|i| dead_product(p, shape, &read[row], i).exp());
            features.iter().zip(sizes).map(|(i, size)| size * p[2][i * outputs + output]).sum()
        };
        let norm = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
        let factors: Vec<f64> = (0..ROWS)
            .map(|row| {
                let all: Vec<f64> = (0..outputs).map(|output| ghost(&p, row, output)).collect();
                norm(&missing[row]) / (2.0 * norm(&all) + 1e-6)
            })
            .collect();
        let bare = |p: &Wide| -> f64 {
            let mut sum = 0.0;
            for row in 0..ROWS {
                for output in 0..outputs {
                    let gap = factors[row] * ghost(p, row, output) - missing[row][output];
                    sum += gap * gap / norm(&missing[row]);
                }
            }
            sum / (ROWS * outputs) as f64
        };
        let ratio = outcome.error_loss / (bare(&p) + 1e-6);
        let mut by = parameters.zeros();
        let loss = dead.ghost(&mut by);
        assert!((loss - ratio * bare(&p)).abs() < 1e-4 * loss, "{loss}");
        let truth = differences(&p, |p| ratio * bare(p));
        assert_near(&by, &truth, &[0, 1, 2]);
    }
}
