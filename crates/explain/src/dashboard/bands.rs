//! Bands of equal width of a feature's activations: how many samples each holds, and a few of them.

use nissl_core::features::Features;
use nissl_core::stats::selection::{Reservoir, Strongest};
use nissl_core::{Error, Progress, Recording, Result};
use rayon::prelude::*;
use serde::Serialize;

use super::Dashboards;
use crate::examples::{ByFeature, Chosen, Example, Places, fill_activations, fill_tokens};

/// A band of a feature's activations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Band {
    /// Its lower end, not included.
    pub low: f32,
    /// Its upper end.
    pub high: f32,
    /// The samples whose activation is in it.
    pub samples: u64,
    /// Their share of the active samples, 0 to 1.
    pub share: f64,
}

/// Samples read at once.
const BLOCK: usize = 4096;

/// What is kept of a feature while its activations stream by.
struct State {
    max: f32,
    strongest: Strongest,
    counts: Vec<u64>,
    drawn: Vec<Reservoir>,
}

impl State {
    fn new(feature: usize, max: f32, settings: &Dashboards) -> Self {
        let seed = |band: usize| {
            settings.seed.wrapping_add((feature as u64) << 32).wrapping_add((band as u64) << 20)
        };
        Self {
            max,
            strongest: Strongest::new(settings.strongest),
            counts: vec![0; settings.bands],
            drawn: (0..settings.bands).map(|b| Reservoir::new(settings.each, seed(b))).collect(),
        }
    }

    fn push(&mut self, sample: u64, value: f32) {
        let bands = self.counts.len();
        let band = band_of(value, self.max, bands);
        self.strongest.push(sample, value);
        self.counts[band] += 1;
        self.drawn[band].push(sample, value);
    }

    fn bands(&self) -> Vec<Band> {
        let active: u64 = self.counts.iter().sum();
        let width = self.max / self.counts.len() as f32;
        let band = |(place, &samples): (usize, &u64)| Band {
            low: width * place as f32,
            high: width * (place + 1) as f32,
            samples,
            share: samples as f64 / (active.max(1)) as f64,
        };
        self.counts.iter().enumerate().map(band).collect()
    }

    fn chosen(&self) -> Chosen {
        let mut chosen = vec![(0, self.strongest.examples())];
        chosen.extend((1..).zip(self.drawn.iter().map(Reservoir::examples)));
        chosen
    }
}

/// The band of an activation above 0, of `bands` equal ones that end at `max`.
pub(super) fn band_of(value: f32, max: f32, bands: usize) -> usize {
    // A value on a border belongs to the band below it, so that the largest is in the last.
    let place = (f64::from(value) / f64::from(max) * bands as f64).ceil() as usize;
    place.clamp(1, bands) - 1
}

/// The bands and the examples of the features `numbers`.
pub(super) fn find(
    features: &Features,
    numbers: &[usize],
    recording: &Recording,
    settings: &Dashboards,
    progress: &Progress,
) -> Result<Vec<(Vec<Band>, Vec<Example>)>> {
    features.require_samples()?;
    if features.samples() != recording.samples() {
        return Err(Error::file(
            features.path(),
            "samples",
            features.samples(),
            format!("{}, as in {}", recording.samples(), recording.path().display()),
        ));
    }
    let max = features.table().f32s("max")?;
    let mut states: Vec<State> =
        numbers.iter().map(|&number| State::new(number, max[number], settings)).collect();
    let stage = progress.stage("bands", features.samples() as u64, "samples");
    for block in features.sparse_blocks(BLOCK) {
        let (start, csr) = block?;
        progress.check(|| format!("{start} samples"))?;
        let columns = ByFeature::new(&csr);
        states.par_iter_mut().zip(numbers).for_each(|(state, &number)| {
            for &(row, value) in columns.of(number).iter().filter(|(_, value)| *value > 0.0) {
                state.push((start + row as usize) as u64, value);
            }
        });
        stage.advance(csr.rows() as u64);
    }
    let places = Places::of(recording)?;
    let mut examples: Vec<Vec<Example>> =
        states.iter().map(|state| places.examples(&state.chosen(), settings.window)).collect();
    fill_activations(features, numbers, &mut examples, progress)?;
    fill_tokens(recording, &mut examples)?;
    Ok(states.iter().map(State::bands).zip(examples).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_equally_wide_and_hold_every_active_sample() {
        let settings = Dashboards { bands: 4, each: 1, ..Dashboards::default() };
        let mut state = State::new(3, 8.0, &settings);
        for (sample, value) in [0.1, 2.0, 2.1, 4.0, 7.9, 8.0, 8.0, 0.5].into_iter().enumerate() {
            state.push(sample as u64, value);
        }
        let bands = state.bands();
        let counts: Vec<u64> = bands.iter().map(|band| band.samples).collect();
        assert_eq!(counts, [3, 2, 0, 3]);
        assert!((bands[1].low - 2.0).abs() < 1e-6 && (bands[1].high - 4.0).abs() < 1e-6);
        assert!((bands.iter().map(|band| band.share).sum::<f64>() - 1.0).abs() < 1e-12);
        let chosen = state.chosen();
        assert_eq!(chosen.len(), 5);
        assert_eq!(chosen[0].1[0].sample, 5);
        for (quantile, kept) in &chosen[1..] {
            for one in kept {
                assert_eq!(band_of(one.value, 8.0, 4) as u32 + 1, *quantile);
            }
        }
        assert!(chosen[3].1.is_empty(), "an empty band has no examples");
    }

    #[test]
    fn odd_activations_have_a_band() {
        for value in [1e-30, f32::MAX, f32::INFINITY, f32::NAN] {
            assert!(band_of(value, 1.0, 10) < 10, "{value}");
        }
        assert_eq!(band_of(1.0, 0.0, 10), 9);
    }
}
