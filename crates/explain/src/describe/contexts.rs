//! Recorded contexts in the place of written sentences, where no language model is at hand.
//!
//! Sequences are cut into windows. Activating: the windows in which a feature is strongest, of those
//! that hold none of the examples from which it was described. Neutral: windows in which it is silent
//! throughout, drawn evenly.
//!
//! Differs: written sentences test what a description says; contexts only that a feature fires again
//! where it fires. They say nothing about the description.
//! Memory: 4 bytes for each chosen feature and window.

use std::collections::BTreeSet;

use nissl_core::features::Features;
use nissl_core::seed::rng;
use nissl_core::{Error, Progress, Recording, Result, Table};
use nissl_judge::sentences::Sentences;
use rand::seq::SliceRandom;

use super::{Describe, Sources, prompts};
use crate::examples::token_column;

/// Samples read at once.
const BLOCK: usize = 4096;
/// Windows of fewer tokens are left out, unless they are a whole sequence.
const SHORTEST: usize = 8;

/// A stretch of samples of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Window {
    start: usize,
    end: usize,
}

/// At most `each` contexts of either kind for every chosen feature, in the order of
/// [`Sources::chosen`]; `settings` say which examples were shown and how long a window is.
///
/// # Errors
/// No recording, one without tokens, a feature that is not there, or a file that cannot be read.
pub fn contexts(
    sources: Sources<'_>,
    settings: &Describe,
    (each, seed): (usize, u64),
    progress: &Progress,
) -> Result<Vec<Sentences>> {
    let recording = sources.recording.ok_or_else(|| {
        Error::setting("recording", "absent", "the recording in which contexts are looked for")
    })?;
    let column = token_column(recording)?.ok_or_else(|| {
        Error::file(recording.path(), "samples.parquet", "without `token`", "tokens to show")
    })?;
    let sequences = recording.sample_columns(&["sequence"])?;
    let windows = cut(sequences.u32s("sequence")?, 2 * settings.window + 1);
    let largest = largest(sources.features, sources.chosen, &windows, progress)?;
    let mut shown: Vec<BTreeSet<usize>> = Vec::with_capacity(sources.chosen.len());
    super::inputs(sources, settings, progress, |_, examples| {
        let strongest = super::strongest(&examples, settings.shown);
        let window = |sample: u64| windows.partition_point(|w| w.end <= sample as usize);
        shown.push(strongest.into_iter().map(|example| window(example.sample)).collect());
        Ok(())
    })?;
    let mut wanted: Vec<(usize, usize)> = Vec::new();
    for (place, (feature, largest)) in sources.chosen.iter().zip(&largest).enumerate() {
        let mut strong: Vec<usize> = (0..windows.len())
            .filter(|window| largest[*window] > 0.0 && !shown[place].contains(window))
            .collect();
        strong.sort_by(|a, b| largest[*b].total_cmp(&largest[*a]).then_with(|| a.cmp(b)));
        let mut silent: Vec<usize> =
            (0..windows.len()).filter(|window| largest[*window] <= 0.0).collect();
        silent.shuffle(&mut rng(seed, 0xc0_7e87 + ((*feature as u64) << 32)));
        wanted.extend(strong.into_iter().take(each).map(|window| (window, 2 * place)));
        wanted.extend(silent.into_iter().take(each).map(|window| (window, 2 * place + 1)));
    }
    let texts = texts(recording, column, &windows, wanted.iter().map(|(window, _)| *window))?;
    let mut found = vec![Sentences::default(); sources.chosen.len()];
    for (text, (_, place)) in texts.into_iter().zip(wanted) {
        let of = &mut found[place / 2];
        if place % 2 == 0 { of.activating.push(text) } else { of.neutral.push(text) }
    }
    Ok(found)
}

/// Windows of at most `length` samples.
fn cut(sequences: &[u32], length: usize) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut start = 0;
    for sequence in sequences.chunk_by(|a, b| a == b) {
        let end = start + sequence.len();
        for from in (start..end).step_by(length) {
            let window = Window { start: from, end: (from + length).min(end) };
            // A short rest goes to the window before.
            match windows.last_mut() {
                Some(Window { end, .. }) if from > start && window.end - from < SHORTEST => {
                    *end = window.end;
                }
                _ => windows.push(window),
            }
        }
        start = end;
    }
    windows
}

/// The largest activation of each chosen feature in each window `[feature][window]`.
fn largest(
    features: &Features,
    chosen: &[usize],
    windows: &[Window],
    progress: &Progress,
) -> Result<Vec<Vec<f32>>> {
    let mut largest = vec![vec![0.0_f32; windows.len()]; chosen.len()];
    let stage = progress.stage("contexts", features.samples() as u64, "samples");
    let mut window = 0;
    for block in features.sparse_blocks(BLOCK) {
        let (start, csr) = block?;
        progress.check(|| format!("{start} samples"))?;
        for row in 0..csr.rows() {
            while windows.get(window).is_some_and(|window| window.end <= start + row) {
                window += 1;
            }
            for at in csr.starts[row] as usize..csr.starts[row + 1] as usize {
                if let Ok(place) = chosen.binary_search(&(csr.indices[at] as usize))
                    && let Some(most) = largest[place].get_mut(window)
                {
                    *most = most.max(csr.values[at]);
                }
            }
        }
        stage.advance(csr.rows() as u64);
    }
    Ok(largest)
}

/// The texts of some windows, in their order.
fn texts(
    recording: &Recording,
    column: &str,
    windows: &[Window],
    wanted: impl Iterator<Item = usize>,
) -> Result<Vec<String>> {
    let wanted: Vec<Window> = wanted.map(|window| windows[window]).collect();
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&place| wanted[place]);
    let mut tokens: Vec<Vec<String>> = vec![Vec::new(); wanted.len()];
    let file = recording.path().join("samples.parquet");
    let (mut start, mut first) = (0, 0);
    for group in Table::read_groups(&file, Some(&[column]))? {
        let group = group?;
        let here = group.texts(column)?;
        let end = start + here.len();
        while first < order.len() && wanted[order[first]].end <= start {
            first += 1;
        }
        for &place in order[first..].iter().take_while(|place| wanted[**place].start < end) {
            let window = wanted[place];
            let part = window.start.max(start)..window.end.min(end);
            tokens[place]
                .extend_from_slice(&here[part.start - start..part.end.max(part.start) - start]);
        }
        start = end;
    }
    Ok(tokens.iter().map(|tokens| prompts::text(tokens)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_stay_within_their_sequence_and_are_never_tiny() {
        let mut sequences = vec![0; 65];
        sequences.extend([1; 3]);
        sequences.extend([2; 31]);
        let windows = cut(&sequences, 31);
        let expected = [(0, 31), (31, 65), (65, 68), (68, 99)];
        assert_eq!(windows, expected.map(|(start, end)| Window { start, end }));
    }
}
