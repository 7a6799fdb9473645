//! Which features are dead, and when something is done about it.

use super::gradient::{Batch, Outcome};
use super::parameters::Parameters;
use super::revival::{Dead, Draw, resample};
use super::settings::Revival;
use super::state::State;
use super::steps::Course;

/// Counts in how many samples each feature was active, and since how many it was not.
pub(super) fn count(course: &Course<'_>, state: &mut State, batch: &Batch, outcome: &Outcome) {
    let rows = batch.rows() as u32;
    // Frequencies are those of the last tenth of the training.
    if state.step == course.steps - course.steps.div_ceil(10) {
        state.fired.fill(0);
        state.counted = 0;
    }
    let before = state.fired.clone();
    for &feature in &outcome.code.indices {
        state.fired[feature as usize] += 1;
    }
    state.counted += u64::from(rows);
    for ((silent, fired), before) in state.silent.iter_mut().zip(&state.fired).zip(before) {
        *silent = if *fired > before { 0 } else { silent.saturating_add(rows) };
    }
}

/// Brings dead features back; gives the loss that this adds.
pub(super) fn revive(
    course: &Course<'_>,
    state: &mut State,
    batch: &Batch,
    outcome: &Outcome,
    by: &mut Parameters,
) -> f64 {
    let &Course { training, shape, steps } = course;
    let revival = training.revival();
    if revival == Revival::None {
        return 0.0;
    }
    let patience = course.patience();
    let dead: Vec<usize> = (0..shape.features)
        .filter(|&feature| u64::from(state.silent[feature]) >= patience)
        .collect();
    if dead.is_empty() {
        return 0.0;
    }
    let parameters = &state.parameters;
    let those = Dead { parameters, shape, features: &dead, batch, outcome };
    match revival {
        Revival::AuxK => those.auxiliary(training.auxiliary, by),
        Revival::Ghost => those.ghost(by),
        _ => {
            // Late ones would not have the time to settle.
            let done = state.step * training.batch as u64;
            let due = done / patience > state.resampled && 4 * state.step < 3 * steps;
            if due {
                let draw = Draw {
                    seed: training.seed,
                    stream: 0x4e5a ^ (state.step << 16),
                    log_threshold: training.threshold.ln() as f32,
                };
                let moments = [&mut state.first, &mut state.second];
                let error = &outcome.error;
                let begun =
                    resample(&mut state.parameters, moments, shape, &dead, batch, error, draw);
                for feature in begun {
                    state.silent[feature] = 0;
                }
                state.resampled = done / patience;
            }
            0.0
        }
    }
}
