//! What switches a feature on: its strongest samples, and a draw from each part of its range.
//!
//! The strongest examples and a fair draw of the active samples (activation above 0) are kept for
//! each feature while the activations stream by; the draw is cut into equal parts by activation,
//! from each of which a few are taken. A second pass fetches the windows of tokens and activations.
//! Ties go to the lower sample; the draw depends on seed, feature and sample only.
//!
//! Left out: examples of negative activations.
//! Memory: features × kept examples, the sequence and position of every sample, and the windows of
//! as many features as fit into 4 Mi tokens.

use std::ops::Range;

use nissl_core::features::{Annotation, Features};
use nissl_core::recording::Csr;
use nissl_core::stats::selection::{Example as Kept, Reservoir, Strongest, from_quantiles};
use nissl_core::table::TableWriter;
use nissl_core::{Column, Error, Progress, Recording, Result, Table};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Hyperparameters of example selection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Examples {
    /// Strongest examples of each feature, 1 or more
    #[arg(long, default_value_t = Examples::default().strongest)]
    pub strongest: usize,
    /// Equal parts of the active samples by activation, from each of which examples are drawn
    #[arg(long, default_value_t = Examples::default().quantiles)]
    pub quantiles: usize,
    /// Examples from each part
    #[arg(long, default_value_t = Examples::default().each)]
    pub each: usize,
    /// Tokens shown before and after, at most
    #[arg(long, default_value_t = Examples::default().window)]
    pub window: usize,
    /// Seed of the draw
    #[arg(id = "example-seed", long, default_value_t = Examples::default().seed)]
    pub seed: u64,
}

impl Default for Examples {
    fn default() -> Self {
        Self { strongest: 25, quantiles: 5, each: 4, window: 15, seed: 0 }
    }
}

impl Examples {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        let &Self { strongest, quantiles, window, .. } = self;
        if strongest == 0 {
            return Err(Error::setting("strongest", strongest, "1 or more"));
        }
        if quantiles == 0 {
            return Err(Error::setting("quantiles", quantiles, "1 or more"));
        }
        if window > 1000 {
            return Err(Error::setting("window", window, "at most 1000"));
        }
        Ok(())
    }
}

/// A sample that activates a feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// 0 for the strongest; 1 for a draw from the strongest part of the active samples, and so on.
    pub quantile: u32,
    /// Its place within that part, the strongest first.
    pub rank: u32,
    /// Its number in the recording.
    pub sample: u64,
    /// The sequence it belongs to.
    pub sequence: u32,
    /// Its position there.
    pub position: u32,
    /// The feature's activation.
    pub activation: f32,
    /// Tokens around it, from the same sequence; empty texts where a recording has none.
    pub tokens: Vec<String>,
    /// The feature's activations there.
    pub activations: Vec<f32>,
    /// The place of this sample among them.
    pub focus: usize,
}

/// Tokens in windows held at once.
const TOKENS_AT_ONCE: usize = 4 << 20;
/// Samples read at once.
const BLOCK: usize = 4096;
/// Active samples drawn for each example that is shown of a part.
const DRAWN_FOR_EACH: usize = 4;
/// Features in a row group of `examples.parquet`.
const FEATURES_IN_GROUP: usize = 32;

/// Finds the examples of every feature and hands them, feature after feature, to `each`.
///
/// # Errors
/// A setting outside its range, features of another recording, or a file that cannot be read.
pub fn for_each(
    features: &Features,
    recording: &Recording,
    settings: &Examples,
    progress: &Progress,
    mut each: impl FnMut(usize, Vec<Example>) -> Result<()>,
) -> Result<()> {
    settings.validate()?;
    if features.samples() != recording.samples() {
        return Err(Error::file(
            features.path(),
            "samples",
            features.samples(),
            format!("{}, as in {}", recording.samples(), recording.path().display()),
        ));
    }
    let chosen = choose(features, settings, progress)?;
    let places = Places::of(recording)?;
    let longest = 2 * settings.window + 1;
    let widest = settings.strongest + settings.quantiles * settings.each;
    let at_once = (TOKENS_AT_ONCE / (longest * widest)).max(FEATURES_IN_GROUP);
    let all: Vec<usize> = (0..chosen.len()).collect();
    for (some, numbers) in chosen.chunks(at_once).zip(all.chunks(at_once)) {
        let mut examples: Vec<Vec<Example>> =
            some.par_iter().map(|kept| places.examples(kept, settings.window)).collect();
        fill_activations(features, numbers, &mut examples, progress)?;
        fill_tokens(recording, &mut examples)?;
        for (&number, examples) in numbers.iter().zip(examples) {
            each(number, examples)?;
        }
    }
    Ok(())
}

/// The examples of every feature `[feature][example]`.
///
/// # Errors
/// As [`for_each`].
pub fn find(
    features: &Features,
    recording: &Recording,
    settings: &Examples,
    progress: &Progress,
) -> Result<Vec<Vec<Example>>> {
    let mut all = Vec::with_capacity(features.features());
    for_each(features, recording, settings, progress, |_, examples| {
        all.push(examples);
        Ok(())
    })?;
    Ok(all)
}

/// The strongest and the drawn samples of a feature, with their quantile.
pub(crate) type Chosen = Vec<(u32, Vec<Kept>)>;

fn choose(features: &Features, settings: &Examples, progress: &Progress) -> Result<Vec<Chosen>> {
    let &Examples { strongest, quantiles, each, seed, .. } = settings;
    let drawn = DRAWN_FOR_EACH * quantiles * each;
    let seed_of = |feature: usize| seed.wrapping_add((feature as u64) << 32);
    let mut states: Vec<(Strongest, Reservoir)> = (0..features.features())
        .map(|feature| (Strongest::new(strongest), Reservoir::new(drawn, seed_of(feature))))
        .collect();
    let stage = progress.stage("examples", features.samples() as u64, "samples");
    for block in features.sparse_blocks(BLOCK) {
        let (start, csr) = block?;
        progress.check(|| format!("{start} samples"))?;
        let columns = ByFeature::new(&csr);
        states.par_iter_mut().enumerate().for_each(|(feature, (strongest, drawn))| {
            for &(row, value) in columns.of(feature) {
                if value > 0.0 {
                    strongest.push((start + row as usize) as u64, value);
                    drawn.push((start + row as usize) as u64, value);
                }
            }
        });
        stage.advance(csr.rows() as u64);
    }
    let choose = |(feature, (strongest, drawn)): (usize, (Strongest, Reservoir))| {
        let mut chosen = vec![(0, strongest.examples())];
        let parts = from_quantiles(&drawn.examples(), quantiles, each, seed_of(feature));
        chosen.extend((1..).zip(parts));
        chosen
    };
    Ok(states.into_par_iter().enumerate().map(choose).collect())
}

/// A block's values, feature by feature.
pub(crate) struct ByFeature {
    starts: Vec<usize>,
    values: Vec<(u32, f32)>,
}

impl ByFeature {
    pub(crate) fn new(csr: &Csr) -> Self {
        let mut starts = vec![0; csr.columns + 1];
        for &feature in &csr.indices {
            starts[feature as usize + 1] += 1;
        }
        for feature in 0..csr.columns {
            starts[feature + 1] += starts[feature];
        }
        let mut next = starts.clone();
        let mut values = vec![(0, 0.0); csr.values.len()];
        for row in 0..csr.rows() {
            for at in csr.starts[row] as usize..csr.starts[row + 1] as usize {
                let place = &mut next[csr.indices[at] as usize];
                values[*place] = (row as u32, csr.values[at]);
                *place += 1;
            }
        }
        Self { starts, values }
    }

    /// `(row, value)` of a feature, rows ascending.
    pub(crate) fn of(&self, feature: usize) -> &[(u32, f32)] {
        &self.values[self.starts[feature]..self.starts[feature + 1]]
    }
}

/// Where each sample stands.
pub(crate) struct Places {
    sequences: Vec<u32>,
    positions: Vec<u32>,
}

impl Places {
    pub(crate) fn of(recording: &Recording) -> Result<Self> {
        let table = recording.sample_columns(&["sequence", "position"])?;
        Ok(Self {
            sequences: table.u32s("sequence")?.to_vec(),
            positions: table.u32s("position")?.to_vec(),
        })
    }

    /// The samples of the same sequence that are at most `window` away.
    fn around(&self, sample: usize, window: usize) -> Range<usize> {
        let same = |other: &usize| self.sequences[*other] == self.sequences[sample];
        let before = (sample.saturating_sub(window)..sample).rev().take_while(same).count();
        let end = (sample + 1 + window).min(self.sequences.len());
        let after = (sample + 1..end).take_while(same).count();
        sample - before..sample + 1 + after
    }

    pub(crate) fn examples(&self, chosen: &Chosen, window: usize) -> Vec<Example> {
        let mut examples = Vec::new();
        for (quantile, kept) in chosen {
            for (rank, kept) in (0..).zip(kept) {
                let sample = kept.sample as usize;
                let around = self.around(sample, window);
                examples.push(Example {
                    quantile: *quantile,
                    rank,
                    sample: kept.sample,
                    sequence: self.sequences[sample],
                    position: self.positions[sample],
                    activation: kept.value,
                    tokens: vec![String::new(); around.len()],
                    activations: vec![0.0; around.len()],
                    focus: sample - around.start,
                });
            }
        }
        examples
    }
}

impl Example {
    fn window(&self) -> Range<usize> {
        let start = self.sample as usize - self.focus;
        start..start + self.tokens.len()
    }
}

pub(crate) fn fill_activations(
    features: &Features,
    numbers: &[usize],
    examples: &mut [Vec<Example>],
    progress: &Progress,
) -> Result<()> {
    let stage = progress.stage("windows", features.samples() as u64, "samples");
    for block in features.sparse_blocks(BLOCK) {
        let (start, csr) = block?;
        progress.check(|| format!("{start} samples"))?;
        let columns = ByFeature::new(&csr);
        examples.par_iter_mut().enumerate().for_each(|(place, examples)| {
            let values = columns.of(numbers[place]);
            for example in examples {
                let window = example.window();
                let from =
                    values.partition_point(|(row, _)| start + (*row as usize) < window.start);
                for &(row, value) in &values[from..] {
                    let sample = start + row as usize;
                    if sample >= window.end {
                        break;
                    }
                    example.activations[sample - window.start] = value;
                }
            }
        });
        stage.advance(csr.rows() as u64);
    }
    Ok(())
}

/// The column that shows a sample to people: `token`, for images `stimulus`; `None` without either.
pub(crate) fn token_column(recording: &Recording) -> Result<Option<&'static str>> {
    let names = recording.sample_column_names()?;
    Ok(["token", "stimulus"].into_iter().find(|wanted| names.iter().any(|name| name == wanted)))
}

pub(crate) fn fill_tokens(recording: &Recording, examples: &mut [Vec<Example>]) -> Result<()> {
    let Some(column) = token_column(recording)? else { return Ok(()) };
    let mut places: Vec<(usize, usize, usize)> = Vec::new();
    for (feature, examples) in examples.iter().enumerate() {
        places.extend(
            examples.iter().enumerate().map(|(n, example)| (example.window().start, feature, n)),
        );
    }
    places.sort_unstable();
    let longest = examples.iter().flatten().map(|example| example.tokens.len()).max().unwrap_or(0);
    let file = recording.path().join("samples.parquet");
    let mut start = 0;
    for group in Table::read_groups(&file, Some(&[column]))? {
        let group = group?;
        let tokens = group.texts(column)?;
        let end = start + tokens.len();
        let from = places.partition_point(|(begin, ..)| begin + longest <= start);
        for &(begin, feature, n) in places[from..].iter().take_while(|(begin, ..)| *begin < end) {
            let example = &mut examples[feature][n];
            let window = example.window();
            for sample in window.start.max(start)..window.end.min(end) {
                example.tokens[sample - begin].clone_from(&tokens[sample - start]);
            }
        }
        start = end;
    }
    Ok(())
}

/// Writes `examples.parquet` feature by feature.
pub struct ExamplesWriter {
    writer: TableWriter,
    pending: Vec<(u32, Example)>,
    features: usize,
}

impl ExamplesWriter {
    /// A writer beside `features`; the file appears when all is written.
    pub fn create(features: &Features) -> Self {
        let file = format!("{}.parquet", Annotation::Examples.name());
        let writer = TableWriter::create(&features.path().join(file));
        Self { writer, pending: Vec::new(), features: 0 }
    }

    /// Appends the examples of the next feature.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn push(&mut self, feature: usize, examples: &[Example]) -> Result<()> {
        self.pending.extend(examples.iter().map(|example| (feature as u32, example.clone())));
        self.features += 1;
        if self.features.is_multiple_of(FEATURES_IN_GROUP) { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.push(&table(&self.pending))?;
        self.pending.clear();
        self.writer.end_group()
    }

    /// Writes the rest and gives the file its name.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.writer.finish()
    }
}

fn table(rows: &[(u32, Example)]) -> Table {
    fn column<T>(rows: &[(u32, Example)], of: impl Fn(&Example) -> T) -> Vec<T> {
        rows.iter().map(|(_, example)| of(example)).collect()
    }
    Table::new()
        .with("feature", Column::U32(rows.iter().map(|(feature, _)| *feature).collect()))
        .with("rank", Column::U32(column(rows, |e| e.rank)))
        .with("quantile", Column::U32(column(rows, |e| e.quantile)))
        .with("sample", Column::U64(column(rows, |e| e.sample)))
        .with("sequence", Column::U32(column(rows, |e| e.sequence)))
        .with("position", Column::U32(column(rows, |e| e.position)))
        .with("activation", Column::F32(column(rows, |e| e.activation)))
        .with("focus", Column::U32(column(rows, |e| e.focus as u32)))
        .with("tokens", Column::Texts(column(rows, |e| e.tokens.clone())))
        .with("activations", Column::Numbers(column(rows, |e| e.activations.clone())))
}
