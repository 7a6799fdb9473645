//! Part A: planted weights.

use std::collections::BTreeMap;

use nissl_core::network::{HeadNorm, Part};
use nissl_core::seed::rng;
use nissl_core::{Progress, Result};
use nissl_explain::lm_head::{Centre, Decoded, LmHead, MatrixWeights, Search, decode, search};
use nissl_worlds::planted_head::{PlantedHead, PlantedHeadWeights, PlantedNeuron};
use rand::seq::SliceRandom;

use crate::report::{Bar, Bound, Cell, Note, Section, Table};
use crate::study::{Findings, Setting};

/// Strengths at which neurons are planted.
const STRENGTHS: [f32; 3] = [2.0, 4.0, 8.0];
/// Length of the direction that all rows share in one of the worlds.
const COMMON: f32 = 12.0;
/// Standard deviations from which a unit counts as specialised under the recommended preset.
pub(super) const LEAST_Z: f32 = 5.5;

/// Plants neurons that read a token and decodes them.
pub(super) fn planted(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let world =
        PlantedHead { writers: 0, noise_row: 0.0, seed: setting.seed, ..Default::default() };
    let progress = setting.progress;
    let paper = LmHead::default();
    let mut table = Table::new(
        "How clearly planted neurons stand out",
        [
            "strength",
            "right first token",
            "median probability of it",
            "background, 99th percentile",
        ],
    );
    let mut least = 1.0_f64;
    for strength in STRENGTHS {
        let planted = PlantedHead { strength, ..world.clone() }.weights()?;
        let found = Map::of(&planted, &head(&planted)?, &paper, progress)?;
        least = least.min(found.right());
        table = table.with_row([
            Cell::Number(f64::from(strength)),
            Cell::Number(found.right()),
            Cell::Number(quantile(found.planted().map(Decoded::probability), 0.5)),
            Cell::Number(quantile(found.background().map(Decoded::probability), 0.99)),
        ]);
    }
    let strong = world.weights()?;
    let called = |settings: &LmHead, found: &Map<'_>| {
        let special = |one: &Decoded| settings.is_special(one.probability(), one.z);
        let count = found.planted().filter(|one| special(one)).count() as f64;
        let wrong = found.background().filter(|one| special(one)).count() as f64;
        (count / found.truth.len() as f64, wrong)
    };
    let (recall, false_calls) = {
        let found = Map::of(&strong, &head(&strong)?, &paper, progress)?;
        called(&paper, &found)
    };
    let middle = PlantedHead { strength: 4.0, ..world.clone() };
    let first = searched(&middle.weights()?, progress)?;
    let shuffled = {
        let mut rows: Vec<usize> = (0..world.vocabulary).collect();
        rows.shuffle(&mut rng(setting.seed, 0x5aff));
        let mixed = strong.head.select(ndarray::Axis(0), &rows);
        let planted = PlantedHeadWeights { head: mixed, ..strong.clone() };
        Map::of(&planted, &head(&planted)?, &paper, progress)?.right()
    };
    let common = PlantedHead { common: COMMON, ..middle.clone() }.weights()?;
    let raw = Map::of(&common, &head(&common)?, &paper, progress)?.right();
    let centred = LmHead { centre: Centre::Rows, ..LmHead::default() };
    let centred = Map::of(&common, &head(&common)?, &centred, progress)?.right();
    let noisy = PlantedHead { noise_row: 20.0, ..middle }.weights()?;
    let preset = LmHead { least_z: Some(LEAST_Z), ..LmHead::recommended() };
    let (preset_recall, preset_false) =
        called(&preset, &Map::of(&noisy, &head(&noisy)?, &preset, progress)?);
    findings.bars.bars.extend([
        Bar::new(
            "A: planted neurons with the right first token, least share",
            least,
            Bound::AtLeast(1.0),
        ),
        Bar::new("A: called specialised at strength 8, share", recall, Bound::AtLeast(0.98)),
        Bar::new("A: background called specialised", false_calls, Bound::AtMost(0.0)),
        Bar::new("A: found first by a search for their token, share", first, Bound::AtLeast(0.99)),
        Bar::new("A: right with the head's rows shuffled, share", shuffled, Bound::AtMost(0.02))
            .with_note("must fail"),
        Bar::new("A: right under a common direction, raw, share", raw, Bound::AtMost(0.5))
            .with_note("must fail"),
        Bar::new("A: the same, centred, share", centred, Bound::AtLeast(0.98)),
        Bar::new(
            "A: called under the recommended preset, share",
            preset_recall,
            Bound::AtLeast(0.95),
        ),
        Bar::new("A: background and noise called under it", preset_false, Bound::AtMost(0.0)),
    ]);
    findings.sections.push(
        Section::new("A: planted weights")
            .says(format!(
                "{} of {} neurons read a token of their own ({} tokens, residual stream of width {}); \
                 all other rows are noise. In one world every row also holds the same direction, of \
                 length {COMMON}; in another one row is noise of length 20.",
                world.planted,
                world.layers * world.neurons,
                world.vocabulary,
                world.width
            ))
            .with(Note::how_to_read(
                "A uniform distribution gives each token 0.002. The strength is how often the \
                 token's own vector was added.",
            ))
            .with(table),
    );
    Ok(())
}

/// The rows that planted neurons read by, with a norm before the head as the preset wants it.
fn head(planted: &PlantedHeadWeights) -> Result<MatrixWeights> {
    let norm = HeadNorm { gain: None, centres: false, scales: true };
    Ok(MatrixWeights::new("planted", planted.head.clone())
        .with_part(Part::Up, planted.up.clone())?
        .with_head_norm(norm))
}

/// All decoded neurons, by layer and number.
struct Map<'a> {
    truth: &'a [PlantedNeuron],
    units: BTreeMap<(usize, usize), Decoded>,
}

impl<'a> Map<'a> {
    fn of(
        planted: &'a PlantedHeadWeights,
        weights: &MatrixWeights,
        settings: &LmHead,
        progress: &Progress,
    ) -> Result<Self> {
        let mut units = BTreeMap::new();
        decode(weights, settings, progress, |decoded| {
            let place = |one: &Decoded| (one.layer as usize, one.unit as usize);
            units.extend(decoded.iter().map(|one| (place(one), one.clone())));
            Ok(())
        })?;
        Ok(Self { truth: &planted.planted, units })
    }

    fn planted(&self) -> impl Iterator<Item = &Decoded> {
        self.truth.iter().filter_map(|one| self.units.get(&(one.layer, one.neuron)))
    }

    fn background(&self) -> impl Iterator<Item = &Decoded> {
        let planted =
            |place: &(usize, usize)| self.truth.iter().any(|one| (one.layer, one.neuron) == *place);
        self.units.iter().filter(move |(place, _)| !planted(place)).map(|(_, one)| one)
    }

    /// The share of planted neurons whose first token is the one they read.
    fn right(&self) -> f64 {
        let right = self.truth.iter().zip(self.planted());
        let right = right.filter(|(truth, one)| one.first() == Some(truth.reads as u32));
        right.count() as f64 / self.truth.len() as f64
    }
}

/// The share of planted neurons that a search for their token finds before all others.
fn searched(planted: &PlantedHeadWeights, progress: &Progress) -> Result<f64> {
    let weights = head(planted)?;
    let first = Search { hits: 1, ..Search::default() };
    let mut right = 0;
    for truth in &planted.planted {
        let hits = search(&weights, &LmHead::default(), &[truth.reads as u32], &first, progress)?;
        let place = hits.first().map(|hit| (hit.layer as usize, hit.unit as usize));
        right += usize::from(place == Some((truth.layer, truth.neuron)));
    }
    Ok(right as f64 / planted.planted.len() as f64)
}

fn quantile(values: impl Iterator<Item = f32>, fraction: f64) -> f64 {
    let values: Vec<f32> = values.collect();
    nissl_core::stats::ranks::quantiles(&values, &[fraction]).first().copied().unwrap_or(f64::NAN)
}
