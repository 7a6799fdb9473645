//! The steps of a training, from the first samples to the dictionary.

use std::time::{Duration, Instant};

use nissl_core::features::Warning;
use nissl_core::recording::ActivityStream;
use nissl_core::table::{Column, Table};
use nissl_core::{Error, Result};
use nissl_kernels::sparse_code::{AdamStep, adam, remove_along_rows, unit_rows};

use super::dead::{count, revive};
use super::gradient::{Batch, Objective, Outcome, gradient};
use super::parameters::{Parameters, Scale, Shape, dictionary};
use super::settings::{Architecture, Loss, Training};
use super::state::{Figures, State};
use super::{Run, Trained};

/// Samples from which centre and scale are taken, at least.
const FIRST: usize = 8192;
/// How many figures a training leaves.
const FIGURES: u64 = 100;
/// Steps over which the least kept activation is averaged, about.
const THRESHOLD_STEPS: f64 = 100.0;

/// What does not change from step to step.
pub(super) struct Course<'a> {
    pub(super) training: &'a Training,
    pub(super) shape: Shape,
    pub(super) steps: u64,
}

impl Course<'_> {
    /// The learning rate of a step, from 0.
    fn rate(&self, step: u64) -> f64 {
        let (step, steps) = (step as f64, self.steps as f64);
        let up = ramp(step + 1.0, self.training.warm_up * steps);
        let down = ramp(steps - step, self.training.decay * steps);
        self.training.rate * up.min(down)
    }

    /// λ at a step.
    fn penalty(&self, step: u64) -> f64 {
        let over = self.training.sparsity_warm_up * self.steps as f64;
        self.training.penalty() * ramp(step as f64 + 1.0, over)
    }

    /// Samples after which a silent feature counts as dead.
    pub(super) fn patience(&self) -> u64 {
        let all = self.steps * self.training.batch as u64;
        self.training.dead_after.min(all / 20).max(self.training.batch as u64)
    }
}

/// 1 from `over` on, and proportional before.
fn ramp(step: f64, over: f64) -> f64 {
    if step >= over { 1.0 } else { step / over }
}

/// Samples that were read ahead for centre and scale, before those of the stream.
struct Ahead<'a> {
    stream: &'a mut dyn ActivityStream,
    input: Vec<f32>,
    target: Vec<f32>,
    taken: usize,
}

impl Ahead<'_> {
    /// As [`ActivityStream::next`].
    fn next(&mut self, rows: usize, input: &mut Vec<f32>, target: &mut Vec<f32>) -> Result<usize> {
        let units = self.stream.units();
        let outputs = self.stream.target_units().unwrap_or(0);
        let there = (self.input.len() / units - self.taken).min(rows);
        if there == 0 {
            (self.input, self.target, self.taken) = (Vec::new(), Vec::new(), 0);
            input.clear();
            target.clear();
            return self.stream.next(rows, input, target);
        }
        input.clear();
        input.extend_from_slice(&self.input[self.taken * units..][..there * units]);
        target.clear();
        target.extend_from_slice(&self.target[self.taken * outputs..][..there * outputs]);
        self.taken += there;
        Ok(there)
    }
}

pub(super) fn train(
    training: &Training,
    stream: &mut dyn ActivityStream,
    run: &Run<'_>,
) -> Result<Trained> {
    training.validate()?;
    let units = stream.units();
    let target = stream.target_units();
    if run.skip && target.is_none() {
        let expected = "a target beside the input: what passes straight would rebuild the input";
        return Err(Error::setting("skip", true, expected));
    }
    let shape = Shape {
        units,
        outputs: target.unwrap_or(units),
        features: training.features(units)?,
        tied: target.is_none(),
        skip: run.skip,
    };
    let steps = run.samples / training.batch as u64;
    if steps == 0 {
        let expected = format!("at most {}, the samples of the whole training", run.samples);
        return Err(Error::setting("batch", training.batch, expected));
    }
    let course = Course { training, shape, steps };
    let settings = settings(training, shape, run.samples)?;
    let mut ahead = Ahead { stream, input: Vec::new(), target: Vec::new(), taken: 0 };
    let begun = begin(&course, run, &settings, &mut ahead)?;
    go(&course, run, &settings, ahead, begun)
}

/// What must be the same in a run that goes on.
fn settings(training: &Training, shape: Shape, samples: u64) -> Result<serde_json::Value> {
    let mut settings = serde_json::to_value(training)
        .map_err(|error| Error::setting("training", error, "settings that JSON can hold"))?;
    if let Some(fields) = settings.as_object_mut() {
        fields.remove("checkpoint");
        fields.insert("samples".to_owned(), samples.into());
        fields.insert("units".to_owned(), shape.units.into());
        fields.insert("output_units".to_owned(), shape.outputs.into());
        fields.insert("skip".to_owned(), shape.skip.into());
    }
    Ok(settings)
}

/// The state that was left, or that of the beginning.
fn begin(
    course: &Course<'_>,
    run: &Run<'_>,
    settings: &serde_json::Value,
    ahead: &mut Ahead<'_>,
) -> Result<State> {
    let &Course { training, shape, steps } = course;
    let parameters = Parameters::initial(shape, training);
    let none = |width| Scale { mean: vec![0.0; width], scale: 1.0 };
    let mut state = State {
        first: parameters.zeros(),
        second: parameters.zeros(),
        parameters,
        input_scale: none(shape.units),
        target_scale: none(shape.outputs),
        step: 0,
        silent: vec![0; shape.features],
        fired: vec![0; shape.features],
        counted: 0,
        least: 0.0,
        resampled: 0,
        sums: [0.0; 5],
        figures: Vec::new(),
    };
    if let (Some(folder), true) = (run.folder, run.resume)
        && let Some(before) = State::read(folder, settings, &state)?
    {
        ahead.stream.skip(before.step * training.batch as u64)?;
        return Ok(before);
    }
    let wanted = FIRST.div_ceil(training.batch).min(steps as usize) * training.batch;
    ahead.stream.next(wanted, &mut ahead.input, &mut ahead.target)?;
    finite(&ahead.input, shape.units)?;
    finite(&ahead.target, shape.outputs)?;
    let keep = training.loss == Loss::Dunefsky;
    state.input_scale = Scale::of(&ahead.input, shape.units, keep);
    state.target_scale = if shape.tied {
        state.input_scale.clone()
    } else {
        Scale::of(&ahead.target, shape.outputs, keep)
    };
    let sides =
        [("the input", &ahead.input, shape.units), ("the target", &ahead.target, shape.outputs)];
    for (what, samples, width) in sides.into_iter().filter(|(_, samples, _)| !samples.is_empty()) {
        if samples.chunks_exact(width).all(|row| row == &samples[..width]) {
            let expected = "samples that differ".to_owned();
            return Err(Error::Empty { what: format!("the variance of {what}"), expected });
        }
    }
    Ok(state)
}

/// # Errors
/// The first value that is not finite.
fn finite(samples: &[f32], width: usize) -> Result<()> {
    match samples.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(place) => Err(Error::NotFinite {
            sample: (place / width) as u64,
            unit: (place % width) as u64,
            found: samples[place],
        }),
    }
}

fn go(
    course: &Course<'_>,
    run: &Run<'_>,
    settings: &serde_json::Value,
    mut ahead: Ahead<'_>,
    mut state: State,
) -> Result<Trained> {
    let &Course { training, shape, steps } = course;
    let mut by = state.parameters.zeros();
    let stage = run.progress.stage("train", steps * training.batch as u64, "samples");
    stage.advance(state.step * training.batch as u64);
    let mut written = Instant::now();
    let every = (steps / FIGURES).max(1);
    let mut batch = Batch::default();
    while state.step < steps {
        let save = |state: &State| match run.folder {
            Some(folder) if training.checkpoint > 0 => state.write(folder, settings).map(|()| true),
            _ => Ok(false),
        };
        if run.progress.interrupted() {
            let done = state.step * training.batch as u64;
            let kept = if save(&state)? { "kept" } else { "not kept" };
            return Err(Error::Interrupted { done: format!("{done} samples trained, {kept}") });
        }
        if written.elapsed() > Duration::from_secs(training.checkpoint) && save(&state)? {
            written = Instant::now();
        }
        let rows = ahead.next(training.batch, &mut batch.input, &mut batch.target)?;
        if rows == 0 {
            break;
        }
        prepare(&mut batch, course, &state)?;
        step(course, &mut state, &batch, &mut by)?;
        stage.advance(rows as u64);
        if state.step.is_multiple_of(every) || state.step == steps {
            figures(course, &mut state);
            if let Some(last) = state.figures.last() {
                stage.show("fvu", last.fvu);
                stage.show("l0", last.l0);
                stage.show("dead", last.dead);
                tracing::debug!(
                    samples = last.samples,
                    fvu = last.fvu,
                    l0 = last.l0,
                    dead = last.dead,
                    "training"
                );
            }
        }
    }
    if let (Some(folder), true) = (run.folder, training.checkpoint > 0) {
        state.write(folder, settings)?;
    }
    let scales = [&state.input_scale, &state.target_scale];
    let mut dictionary = dictionary(&state.parameters, shape, training, scales, state.least);
    dictionary.loss = state.figures.iter().map(|figures| figures.loss as f32).collect();
    let dead = state.fired.iter().filter(|&&fired| fired == 0).count();
    if 2 * dead > shape.features {
        dictionary.warnings.push(Warning::DeadFeatures { dead, features: shape.features });
    }
    let counted = state.counted.max(1) as f32;
    let frequency = state.fired.iter().map(|&fired| fired as f32 / counted).collect();
    Ok(Trained { dictionary, figures: state.figures, frequency })
}

/// Centres and scales, and says what each sample counts.
fn prepare(batch: &mut Batch, course: &Course<'_>, state: &State) -> Result<()> {
    let Shape { units, outputs, tied, .. } = course.shape;
    finite(&batch.input, units)?;
    finite(&batch.target, outputs)?;
    let rows = batch.input.len() / units;
    let dunefsky = course.training.loss == Loss::Dunefsky;
    let target = if tied { &batch.input } else { &batch.target };
    batch.weights = if dunefsky {
        let each = 1.0 / (rows * outputs) as f64;
        let lengths = target
            .chunks_exact(outputs)
            .map(|row| row.iter().map(|&y| f64::from(y).powi(2)).sum::<f64>().sqrt());
        lengths.map(|length| (each / length.max(1e-6)) as f32).collect()
    } else {
        vec![1.0 / rows as f32; rows]
    };
    state.input_scale.apply(&mut batch.input);
    if tied {
        batch.target.clone_from(&batch.input);
    } else {
        state.target_scale.apply(&mut batch.target);
    }
    Ok(())
}

/// One step.
fn step(course: &Course<'_>, state: &mut State, batch: &Batch, by: &mut Parameters) -> Result<()> {
    let &Course { training, shape, .. } = course;
    by.clear();
    let objective = Objective {
        architecture: training.architecture,
        k: training.k,
        penalty: course.penalty(state.step) as f32,
        bandwidth: training.bandwidth as f32,
    };
    let mut outcome = gradient(&state.parameters, shape, batch, objective, by);
    if !outcome.loss.is_finite() {
        return Err(Error::setting("rate", training.rate, "lower: the loss is no longer finite"));
    }
    count(course, state, batch, &outcome);
    outcome.loss += revive(course, state, batch, &outcome, by);
    if training.architecture == Architecture::BatchTopK {
        average_least(&outcome, state);
    }
    remove_along_rows(&mut by.decoder, &state.parameters.decoder, shape.outputs);
    let rule = AdamStep {
        rate: course.rate(state.step) as f32,
        betas: [0.9, 0.999],
        // Small enough for the gradients of features that are seldom active.
        epsilon: 6.25e-10,
        number: u32::try_from(state.step + 1).unwrap_or(u32::MAX),
    };
    let State { parameters, first, second, .. } = state;
    let moments = first.parts_mut().into_iter().zip(second.parts_mut());
    for ((part, by), (first, second)) in
        parameters.parts_mut().into_iter().zip(by.parts()).zip(moments)
    {
        if !part.is_empty() {
            adam(part, by, first, second, rule);
        }
    }
    unit_rows(&mut state.parameters.decoder, shape.outputs);
    let squares = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    let rows = batch.rows() as f64;
    let more = [
        rows,
        rows * outcome.loss,
        squares(&outcome.error),
        squares(&batch.target),
        outcome.code.values.len() as f64,
    ];
    for (sum, more) in state.sums.iter_mut().zip(more) {
        *sum += more;
    }
    state.step += 1;
    Ok(())
}

/// The mean of the least kept activation, which new steps move.
fn average_least(outcome: &Outcome, state: &mut State) {
    let least = outcome.code.values.iter().copied().reduce(f32::min);
    if let Some(least) = least {
        let share = (1.0 / THRESHOLD_STEPS).max(1.0 / (state.step + 1) as f64);
        state.least += share * (f64::from(least) - state.least);
    }
}

/// Closes the sums since the figures before.
fn figures(course: &Course<'_>, state: &mut State) {
    let [rows, loss, error, squares, active] = state.sums;
    let patience = course.patience();
    let dead = state.silent.iter().filter(|&&silent| u64::from(silent) >= patience).count();
    state.figures.push(Figures {
        samples: state.step * course.training.batch as u64,
        loss: loss / rows,
        fvu: error / squares.max(f64::MIN_POSITIVE),
        l0: active / rows,
        dead: dead as f64 / course.shape.features as f64,
        rate: course.rate(state.step.saturating_sub(1)),
    });
    state.sums = [0.0; 5];
}

pub(super) fn table(figures: &[Figures]) -> Table {
    let column = |of: &dyn Fn(&Figures) -> f64| Column::F64(figures.iter().map(of).collect());
    Table::new()
        .with("samples", Column::U64(figures.iter().map(|it| it.samples).collect()))
        .with("loss", column(&|it| it.loss))
        .with("fvu", column(&|it| it.fvu))
        .with("l0", column(&|it| it.l0))
        .with("dead", column(&|it| it.dead))
        .with("rate", column(&|it| it.rate))
}

pub(super) fn columns(frequency: &[f32]) -> Table {
    let logs = frequency.iter().map(|share| (share + 1e-10).log10()).collect();
    Table::new().with("log10_frequency", Column::F32(logs))
}
