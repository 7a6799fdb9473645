//! Part C: steering with truth.
//!
//! Every direction is added to the activity at the strength at which the distribution of the next
//! word moves by 0.25 nats; it steers rightly when of all words the planted one gains most.

use ndarray::Array2;
use nissl_core::features::Dictionary;
use nissl_core::seed::rng;
use nissl_core::stats::matching::{Sign, match_rows};
use nissl_core::{Result, Site};
use nissl_probe::steer::random_direction;
use nissl_probe::strength::{Response, Sign as Side, StrengthMatch};
use nissl_worlds::planted::Planted;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::FOUND;
use super::read_out::{ReadOut, SITE};
use crate::report::{Bar, Bound, Cell, Note, Section, Table};
use crate::study::{Findings, Setting};

/// Words of the network; the first are read out of planted features.
const WORDS: usize = 300;
/// The divergence at which directions are compared, in nats.
const DIVERGENCE: f64 = 0.25;
/// Sentences on each side from which a difference of means is made.
const SENTENCES: usize = 5;
/// Tokens of the prompt.
const PROMPT: usize = 3;

/// Steers a network that reads part A's planted features out as words, by what part A found.
pub(super) fn steering(
    setting: &Setting<'_>,
    (planted, dictionary): &(Planted, Dictionary),
    findings: &mut Findings,
) -> Result<()> {
    let (features, units) = planted.dictionary.dim();
    let pairs = match_rows(dictionary.decoder.view(), planted.dictionary.view(), Sign::Signed);
    let network = ReadOut::new(planted.activity.view(), &words(planted, setting.seed));

    let mut table = Table::new(
        "Each matched feature",
        ["word", "cosine", "rank by SNMF", "by difference of means", "by a random direction"],
    );
    let (mut matched, mut hits) = (0_u32, [0_u32; 3]);
    for pair in pairs.iter().filter(|pair| pair.score >= FOUND) {
        let word = pair.planted;
        let difference = difference_of_means(planted, word, setting.seed);
        let random = random_direction(units, setting.seed, word as u64);
        let found = dictionary.decoder.row(pair.found).to_vec();
        let mut row = vec![Cell::Number(word as f64), Cell::Number(pair.score)];
        for (direction, hits) in [found, difference, random].iter().zip(&mut hits) {
            let rank = rank_of(&network, direction, word, setting.seed)?;
            *hits += u32::from(rank == Some(1));
            row.push(rank.map_or(Cell::Number(f64::NAN), |rank| Cell::Number(rank as f64)));
        }
        table = table.with_row(row);
        matched += 1;
    }
    let [snmf, means, random] = hits.map(|hits| f64::from(hits) / f64::from(matched));
    let bars = [
        Bar::new("C: planted word gains most, steered by SNMF, share", snmf, Bound::AtLeast(0.95)),
        Bar::new("C: by random directions, share", random, Bound::AtMost(0.1))
            .with_note("must fail"),
        Bar::new(
            "C: SNMF above difference of means, share of features",
            snmf - means,
            Bound::AtLeast(0.05),
        )
        .with_note("a second concept stands in half of the positive sentences"),
    ];
    findings.bars.bars.extend(bars);
    findings.sections.push(
        Section::new("C: steering with truth")
            .says(format!(
                "Feature j of part A's world raises the logit of word j; the other {} words are read \
                 out of random directions. Each direction is added at the strength that moves the \
                 next word's distribution by {DIVERGENCE} nats. The difference of means is made from \
                 {SENTENCES} positive and {SENTENCES} neutral samples.",
                WORDS - features
            ))
            .with(Note::how_to_read("Rank 1: of all words the planted one gained most."))
            .with(table),
    );
    Ok(())
}

/// The read-out `[word, unit]`, rows of unit length: planted features first, then random directions.
fn words(planted: &Planted, seed: u64) -> Array2<f32> {
    let (features, units) = planted.dictionary.dim();
    let mut words = Array2::zeros((WORDS, units));
    words.slice_mut(ndarray::s![..features, ..]).assign(&planted.dictionary);
    for word in features..WORDS {
        let direction = random_direction(units, seed, (1 << 20) + word as u64);
        words.row_mut(word).assign(&ndarray::aview1(&direction));
    }
    words
}

/// The place of `word` among all words by how much their logits rise, 1 for the first; `None` when
/// no strength reaches the divergence.
fn rank_of(network: &ReadOut, direction: &[f32], word: usize, seed: u64) -> Result<Option<usize>> {
    let site = Site::new(SITE);
    let mut rng = rng(seed, 0x57ee_0001 + word as u64);
    let prompt: Vec<u32> = (0..PROMPT).map(|_| rng.random_range(0..1000)).collect();
    let response = Response::new(network, &site, direction, &prompt)?;
    let settings = StrengthMatch { targets: vec![DIVERGENCE], ..StrengthMatch::default() };
    let matched = response.match_strengths(&settings)?;
    let strength =
        matched.iter().find(|matched| matched.sign == Side::Plus).and_then(|found| found.strength);
    let Some(strength) = strength else { return Ok(None) };
    let change = response.logit_change(strength)?;
    Ok(Some(1 + change.iter().filter(|&&other| other > change[word]).count()))
}

/// Mean activity of samples with the feature minus that of samples without it, from few samples:
/// another feature stands in half of the positive samples, and in none of the neutral ones.
fn difference_of_means(planted: &Planted, feature: usize, seed: u64) -> Vec<f32> {
    let mut rng = rng(seed, 0xd1ff_0000 + feature as u64);
    let features = planted.coefficients.ncols();
    let other = (feature + rng.random_range(1..features)) % features;
    let mut order: Vec<usize> = (0..planted.coefficients.nrows()).collect();
    order.shuffle(&mut rng);
    let active = |sample: usize, feature: usize| planted.coefficients[[sample, feature]] > 0.0;
    let pick = |wanted: bool, also: bool, count: usize| {
        order
            .iter()
            .copied()
            .filter(move |&sample| active(sample, feature) == wanted)
            .filter(move |&sample| active(sample, other) == also)
            .take(count)
            .collect::<Vec<_>>()
    };
    let half = SENTENCES / 2 + rng.random_range(0..=1);
    let positive = [pick(true, true, half), pick(true, false, SENTENCES - half)].concat();
    let neutral = pick(false, false, SENTENCES);
    let mean = |samples: &[usize], unit: usize| {
        samples.iter().map(|&sample| planted.activity[[sample, unit]]).sum::<f32>()
            / samples.len() as f32
    };
    (0..planted.activity.ncols()).map(|unit| mean(&positive, unit) - mean(&neutral, unit)).collect()
}
