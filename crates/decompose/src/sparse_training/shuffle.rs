//! Samples of a recording or a matrix in a seeded order that is shuffled anew in every pass.
//!
//! What fits into memory is read once and permuted. Else runs of neighbouring samples go, in shuffled
//! order, through a buffer from which single samples are drawn, so that a batch mixes many texts.
//! Memory: the bound, and a permutation of the runs.

use ndarray::{Array2, ArrayView2, Axis};
use nissl_core::recording::ActivityStream;
use nissl_core::seed::rng;
use nissl_core::{Error, Recording, Result};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Samples that are read together.
const RUN: usize = 1024;

/// Samples without end, each once in every pass.
pub struct Shuffled<'a> {
    input: Source<'a>,
    target: Option<Source<'a>>,
    samples: usize,
    capacity: usize,
    seed: u64,
    pass: u64,
    drawn: usize,
    rng: ChaCha8Rng,
    runs: Vec<usize>,
    /// Samples that may be drawn, each with the place of its numbers.
    waiting: Vec<(usize, usize)>,
    free: Vec<usize>,
    held: bool,
    inputs: Vec<f32>,
    targets: Vec<f32>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Recording { recording: &'a Recording, rows: &'a [usize] },
    Matrix(ArrayView2<'a, f32>),
}

impl Source<'_> {
    fn units(&self) -> usize {
        match self {
            Self::Recording { recording, .. } => recording.units(),
            Self::Matrix(matrix) => matrix.ncols(),
        }
    }

    /// Samples by their sorted places.
    fn read(&self, places: &[usize]) -> Result<Array2<f32>> {
        let found = match self {
            Self::Recording { recording, rows } => {
                let rows: Vec<usize> = places.iter().map(|&place| rows[place]).collect();
                recording.rows(&rows)?
            }
            Self::Matrix(matrix) => matrix.select(Axis(0), places),
        };
        match found.indexed_iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(found),
            Some(((row, unit), &found)) => {
                let place = places[row];
                let sample = match self {
                    Self::Recording { rows, .. } => rows[place],
                    Self::Matrix(_) => place,
                };
                Err(Error::NotFinite { sample: sample as u64, unit: unit as u64, found })
            }
        }
    }
}

impl<'a> Shuffled<'a> {
    /// The samples `rows` of `input`, which are sorted, and the same of `target` where there is one.
    ///
    /// # Errors
    /// No samples, or a target of other samples.
    pub fn recording(
        input: &'a Recording,
        target: Option<&'a Recording>,
        rows: &'a [usize],
        memory_mib: usize,
        seed: u64,
    ) -> Result<Self> {
        if let Some(target) = target.filter(|target| target.samples() != input.samples()) {
            let expected = format!("{}, as in {}", input.samples(), input.path().display());
            let field = format!("samples of {}", target.path().display());
            return Err(Error::setting(field, target.samples(), expected));
        }
        let source = |recording| Source::Recording { recording, rows };
        let what = || input.path().display().to_string();
        Self::new(source(input), target.map(source), rows.len(), memory_mib, seed, what)
    }

    /// The rows of `input` `[sample, unit]`, and those of `target` where there is one.
    ///
    /// # Errors
    /// No samples, or a target of another number of samples.
    pub fn matrix(
        input: ArrayView2<'a, f32>,
        target: Option<ArrayView2<'a, f32>>,
        seed: u64,
    ) -> Result<Self> {
        let samples = input.nrows();
        if let Some(target) = target.filter(|target| target.nrows() != samples) {
            let expected = format!("{samples}, as of the input");
            return Err(Error::setting("samples of the target", target.nrows(), expected));
        }
        let all = usize::MAX >> 20;
        let target = target.map(Source::Matrix);
        Self::new(Source::Matrix(input), target, samples, all, seed, || "the matrix".to_owned())
    }

    fn new(
        input: Source<'a>,
        target: Option<Source<'a>>,
        samples: usize,
        memory_mib: usize,
        seed: u64,
        what: impl Fn() -> String,
    ) -> Result<Self> {
        if samples == 0 {
            let expected = "at least one sample to fit".to_owned();
            return Err(Error::Empty { what: what(), expected });
        }
        let bytes = 4 * (input.units() + target.map_or(0, |target| target.units())).max(1);
        let capacity = ((memory_mib << 20) / bytes).max(4 * RUN).min(samples);
        let mut shuffled = Self {
            input,
            target,
            samples,
            capacity,
            seed,
            pass: 0,
            drawn: 0,
            rng: rng(seed, 0),
            runs: Vec::new(),
            waiting: Vec::new(),
            free: (0..capacity).rev().collect(),
            held: capacity == samples,
            inputs: Vec::new(),
            targets: Vec::new(),
        };
        shuffled.begin(0);
        Ok(shuffled)
    }

    /// The number of different samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    fn begin(&mut self, pass: u64) {
        self.pass = pass;
        self.drawn = 0;
        self.rng = rng(self.seed, 0x5_4aff ^ (pass << 20));
        self.runs = (0..self.samples.div_ceil(RUN)).collect();
        self.runs.shuffle(&mut self.rng);
        self.waiting.clear();
        self.free = (0..self.capacity).rev().collect();
    }

    /// Lets runs in while there is room; gives the samples that came.
    fn fill(&mut self) -> Vec<(usize, usize)> {
        let mut come = Vec::new();
        while let Some(&run) = self.runs.last() {
            let samples = run * RUN..((run + 1) * RUN).min(self.samples);
            if self.free.len() < samples.len() {
                break;
            }
            self.runs.pop();
            for sample in samples {
                let Some(place) = self.free.pop() else { break };
                // What is held stays where it is.
                come.push((sample, if self.held { sample } else { place }));
            }
        }
        self.waiting.extend(&come);
        come
    }

    /// The place of the next sample, and what must be read before.
    fn draw(&mut self) -> (usize, Vec<(usize, usize)>) {
        if self.drawn == self.samples {
            self.begin(self.pass + 1);
        }
        let mut come = Vec::new();
        if self.waiting.len() <= self.capacity / 2 && !self.runs.is_empty() {
            come = self.fill();
        }
        let (_, place) = self.waiting.swap_remove(self.rng.random_range(0..self.waiting.len()));
        self.free.push(place);
        self.drawn += 1;
        (place, come)
    }

    /// Reads samples to their places.
    fn load(&mut self, mut wanted: Vec<(usize, usize)>) -> Result<()> {
        let (units, outputs) = (self.input.units(), self.target.map_or(0, |it| it.units()));
        self.inputs.resize(self.capacity * units, 0.0);
        self.targets.resize(self.capacity * outputs, 0.0);
        wanted.sort_unstable();
        for part in wanted.chunks(RUN) {
            let samples: Vec<usize> = part.iter().map(|&(sample, _)| sample).collect();
            let sides = [(Some(self.input), &mut self.inputs), (self.target, &mut self.targets)];
            for (source, numbers) in sides {
                let Some(source) = source else { continue };
                let width = source.units();
                let found = source.read(&samples)?;
                for (row, &(_, place)) in found.rows().into_iter().zip(part) {
                    let to = &mut numbers[place * width..][..width];
                    to.iter_mut().zip(row).for_each(|(to, &from)| *to = from);
                }
            }
        }
        Ok(())
    }

    /// Reads everything once, where it is held.
    fn hold(&mut self) -> Result<()> {
        if self.held && self.inputs.is_empty() {
            self.load((0..self.samples).map(|sample| (sample, sample)).collect())?;
        }
        Ok(())
    }
}

impl ActivityStream for Shuffled<'_> {
    fn units(&self) -> usize {
        self.input.units()
    }

    fn target_units(&self) -> Option<usize> {
        self.target.map(|target| target.units())
    }

    fn next(&mut self, rows: usize, input: &mut Vec<f32>, target: &mut Vec<f32>) -> Result<usize> {
        self.hold()?;
        let (units, outputs) = (self.input.units(), self.target.map_or(0, |it| it.units()));
        input.clear();
        target.clear();
        for _ in 0..rows {
            let (place, come) = self.draw();
            if !come.is_empty() && !self.held {
                self.load(come)?;
            }
            input.extend_from_slice(&self.inputs[place * units..][..units]);
            target.extend_from_slice(&self.targets[place * outputs..][..outputs]);
        }
        Ok(rows)
    }

    fn skip(&mut self, rows: u64) -> Result<()> {
        let samples = self.samples as u64;
        let place = self.pass * samples + self.drawn as u64 + rows;
        if place / samples > self.pass {
            self.begin(place / samples);
        }
        for _ in self.drawn as u64..place % samples {
            self.draw();
        }
        if !self.held {
            self.load(self.waiting.clone())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(samples: usize) -> Array2<f32> {
        Array2::from_shape_fn((samples, 2), |(sample, unit)| (2 * sample + unit) as f32)
    }

    fn small(matrix: &Array2<f32>, capacity: usize) -> Shuffled<'_> {
        let mut stream = Shuffled::matrix(matrix.view(), Some(matrix.view()), 5).expect("a stream");
        stream.capacity = capacity;
        stream.held = capacity == stream.samples;
        stream.begin(0);
        stream
    }

    #[test]
    fn every_pass_gives_each_sample_once_in_another_order_and_mixes_runs() {
        let matrix = numbers(9000);
        for capacity in [9000, 4096] {
            let mut stream = small(&matrix, capacity);
            let (mut input, mut target) = (Vec::new(), Vec::new());
            let mut passes = Vec::new();
            for _ in 0..3 {
                stream.next(9000, &mut input, &mut target).expect("samples");
                assert_eq!(input, target);
                let order: Vec<usize> = input.chunks(2).map(|row| row[0] as usize / 2).collect();
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..9000).collect::<Vec<_>>());
                let runs: std::collections::BTreeSet<usize> =
                    order[..64].iter().map(|sample| sample / RUN).collect();
                assert!(runs.len() >= 3, "{runs:?}");
                passes.push(order);
            }
            assert_ne!(passes[0], passes[1]);
            assert_ne!(passes[1], passes[2]);
        }
    }

    #[test]
    fn what_follows_skipped_samples_is_what_would_have_followed_them() {
        let matrix = numbers(6000);
        for capacity in [6000, 4096] {
            for skipped in [0, 1, 3000, 5999, 6000, 13_500] {
                let (mut input, mut target) = (Vec::new(), Vec::new());
                let mut whole = small(&matrix, capacity);
                let mut left = skipped;
                while left > 0 {
                    let rows = left.min(700);
                    whole.next(rows, &mut input, &mut target).expect("samples");
                    left -= rows;
                }
                whole.next(500, &mut input, &mut target).expect("samples");
                let mut jumped = small(&matrix, capacity);
                let (mut other, mut other_target) = (Vec::new(), Vec::new());
                jumped.skip(skipped as u64).expect("skips");
                jumped.next(500, &mut other, &mut other_target).expect("samples");
                assert_eq!(input, other, "{capacity} {skipped}");
            }
        }
    }

    #[test]
    fn a_missing_value_is_told_by_its_sample() {
        let mut matrix = numbers(50);
        matrix[[37, 1]] = f32::NAN;
        let mut stream = Shuffled::matrix(matrix.view(), None, 0).expect("a stream");
        let found = stream.next(10, &mut Vec::new(), &mut Vec::new());
        assert!(matches!(found, Err(Error::NotFinite { sample: 37, unit: 1, .. })), "{found:?}");
    }
}
