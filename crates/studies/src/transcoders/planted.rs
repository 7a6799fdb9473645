//! Part B: a planted sparse map, which transcoders must find and neurons and directions must not.

use ndarray::{Array2, ArrayView2};
use nissl_core::Result;
use nissl_core::features::{Decompose, Dictionary, product};
use nissl_core::recording::ActivityStream;
use nissl_decompose::Pca;
use nissl_decompose::sparse_training::{Architecture, Run, Training, train};
use nissl_worlds::sparse_mlp::{MlpSamples, PlantedMlp, SparseMlp};

use super::recovered::{FOUND, found, links_told, nearest, reads_its_own, unexplained};
use super::teacher::Teacher;
use crate::matrix::recording_of;
use crate::report::{Bar, Bound, Cell, Note, Section, Table};
use crate::study::{Findings, Setting};

/// Features of every dictionary.
const FEATURES: usize = 128;
/// Samples on which dictionaries are judged.
const JUDGED: usize = 8192;
/// Neurons of the dense layers: as the specification has it, and half as many as planted units, as in
/// language models, whose neurons are fewer than what they stand for.
const WIDE: usize = 128;
const NARROW: usize = 32;
/// Samples that a dictionary learns from, all of them fresh.
const SAMPLES: u64 = 3_000_000;
/// Active features of a sample. About twelve of the 64 planted units fire on a sample: three whose
/// directions are in it, and others through the overlap of directions.
const K: usize = 8;

/// What a dictionary sees of the world.
#[derive(Clone, Copy)]
enum Of {
    /// From the input to the output: a transcoder.
    Map,
    /// The input alone.
    Input,
    /// The output alone.
    Output,
}

/// Fresh samples without end.
struct Fresh<'a> {
    world: &'a PlantedMlp,
    of: Of,
    drawn: u64,
}

impl ActivityStream for Fresh<'_> {
    fn units(&self) -> usize {
        self.world.reads.ncols()
    }

    fn target_units(&self) -> Option<usize> {
        matches!(self.of, Of::Map).then(|| self.world.writes.ncols())
    }

    fn next(&mut self, rows: usize, input: &mut Vec<f32>, target: &mut Vec<f32>) -> Result<usize> {
        let samples = self.world.samples(rows, self.drawn);
        self.drawn += 1;
        input.clear();
        target.clear();
        match self.of {
            Of::Map => {
                input.extend(&samples.input);
                target.extend(&samples.output);
            }
            Of::Input => input.extend(&samples.input),
            Of::Output => input.extend(&samples.output),
        }
        Ok(rows)
    }

    fn skip(&mut self, _rows: u64) -> Result<()> {
        Ok(()) // Nothing is resumed here.
    }
}

/// Trains dictionaries on the planted map and compares them with neurons, PCA and autoencoders.
pub(super) fn planted(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let world = SparseMlp { seed: setting.seed, ..SparseMlp::default() }.plant()?;
    let judged = world.samples(JUDGED, u64::from(u32::MAX));
    let top_k = learn(&world, Of::Map, Architecture::TopK, setting)?;
    let relu = learn(&world, Of::Map, Architecture::Relu, setting)?;
    let on_output = learn(&world, Of::Output, Architecture::TopK, setting)?;
    let on_input = learn(&world, Of::Input, Architecture::TopK, setting)?;
    let mut drawn = u64::from(u32::MAX) + 1;
    let mut fresh = |rows: usize| {
        drawn += 1;
        let MlpSamples { input, output, .. } = world.samples(rows, drawn);
        Ok((input, output))
    };
    let widths = |hidden| [world.reads.ncols(), hidden, world.writes.ncols()];
    let teacher = Teacher::fit(widths(WIDE), &mut fresh, setting.seed, setting.progress)?;
    let narrow = Teacher::fit(widths(NARROW), &mut fresh, setting.seed, setting.progress)?;

    let truth = || (world.writes.view(), judged.hidden.view());
    let of_dictionary = |dictionary: &Dictionary, input: ArrayView2<'_, f32>| -> Result<_> {
        let codes = dictionary.encode(input)?;
        let share = found(dictionary.written(), codes.view(), truth());
        let said = dictionary.predict(input, codes.view())?;
        let active = codes.iter().filter(|&&z| z > 0.0).count() as f64 / JUDGED as f64;
        Ok(Row { share, unexplained: unexplained(&said, &judged.output), active })
    };
    let top_k_row = of_dictionary(&top_k, judged.input.view())?;
    let relu_row = of_dictionary(&relu, judged.input.view())?;
    let output_row = of_dictionary(&on_output, judged.output.view())?;
    let of_neurons = |teacher: &Teacher| -> Result<Row> {
        let (neurons, said) = teacher.run(judged.input.view())?;
        Ok(Row {
            share: found(teacher.written()?.view(), neurons.view(), truth()),
            unexplained: unexplained(&said, &judged.output),
            active: f64::NAN,
        })
    };
    let (wide_row, narrow_row) = (of_neurons(&teacher)?, of_neurons(&narrow)?);
    let components = principal(&judged.output, setting)?;
    let scores = product(judged.output.view(), components.t());
    let flipped = -&components;
    let pca = found(components.view(), scores.view(), truth())
        + found(flipped.view(), (-&scores).view(), truth());

    let near = nearest(top_k.written(), world.writes.view());
    let own = reads_its_own(&near, top_k.decoder.view(), world.reads.view());
    let links = pulled_back(&top_k, &world);
    let by_jacobian = {
        let jacobian = teacher.mean_jacobian(judged.input.view())?;
        through(&on_input, &on_output, &jacobian, &world)
    };
    let (told, told_by_jacobian) = (links_told(&links), links_told(&by_jacobian));
    let undefined = links_told(&pulled_back(&on_output, &world));

    findings.bars.bars.extend([
        Bar::new("B: planted units found, top-k transcoder", top_k_row.share, Bound::AtLeast(0.85)),
        Bar::new("B: planted units found, ReLU transcoder", relu_row.share, Bound::AtLeast(0.75)),
        Bar::new("B: variance unexplained, top-k", top_k_row.unexplained, Bound::AtMost(0.05)),
        Bar::new("B: variance unexplained, ReLU", relu_row.unexplained, Bound::AtMost(0.05)),
        Bar::new("B: found among 32 neurons", narrow_row.share, Bound::AtMost(0.15))
            .with_note("must fail"),
        Bar::new("B: found among 128 neurons", wide_row.share, Bound::AtMost(0.75))
            .with_note("twice as many neurons as planted units, so that many get one of their own"),
        Bar::new("B: planted units found by PCA", pca, Bound::AtMost(0.10)).with_note("must fail"),
        Bar::new("B: found features that read their own direction most", own, Bound::AtLeast(0.9)),
        Bar::new("B: links told by the transcoder's weights, AUROC", told, Bound::AtLeast(0.98)),
        Bar::new("B: by the weights of the output's autoencoder", undefined, Bound::AtMost(0.7))
            .with_note("must fail: its encoder reads outputs, not inputs"),
    ]);
    let table = table_of(&[
        ("top-k transcoder", top_k_row),
        ("ReLU transcoder", relu_row),
        ("top-k autoencoder of the output", output_row),
        ("neurons of a dense layer of 128", wide_row),
        ("neurons of a dense layer of 32", narrow_row),
        ("PCA of the output", Row { share: pca, unexplained: 0.0, active: f64::NAN }),
    ]);
    findings.sections.push(
        Section::new("B: a planted sparse map")
            .says(format!(
                "Of {} planted units about {:.1} fire on a sample; each reads one direction of the \
                 input and writes one of the output. A unit counts as found when a feature writes \
                 along its direction (cosine {FOUND}) and fires with it (correlation {FOUND}). The \
                 neurons are those of dense GELU layers that were fitted to the same map.",
                world.writes.nrows(),
                judged.hidden.iter().filter(|&&h| h > 0.0).count() as f64 / JUDGED as f64,
            ))
            .says(format!(
                "Which input direction drives which output direction? The encoder of the feature \
                 that writes an output direction says so by its weights alone (AUROC {told:.3}). An \
                 autoencoder of the output has no such weights: pulled onto input directions, its \
                 encoder says {undefined:.3}. With a second autoencoder of the input and the dense \
                 network's Jacobian, averaged over samples, its links are told too \
                 ({told_by_jacobian:.3}): on this map, which is the same everywhere, nothing is lost \
                 by averaging."
            ))
            .with(Note::how_to_read(
                "The specification names k = 4, with which the top-k transcoder cannot do well: it \
                 leaves a tenth of the variance, since three times as many units fire. k is 8 here; \
                 the bars are those of the specification.",
            ))
            .with(table),
    );
    Ok(())
}

/// A method's figures.
#[derive(Clone, Copy)]
struct Row {
    share: f64,
    unexplained: f64,
    active: f64,
}

fn table_of(rows: &[(&str, Row)]) -> Table {
    let table = Table::new(
        "What was found of the planted units",
        ["method", "found, share", "variance unexplained", "active on a sample"],
    );
    rows.iter().fold(table, |table, &(name, row)| {
        table.with_row([
            Cell::text(name),
            Cell::Number(row.share),
            Cell::Number(row.unexplained),
            if row.active.is_nan() { Cell::Empty } else { Cell::Number(row.active) },
        ])
    })
}

fn learn(
    world: &PlantedMlp,
    of: Of,
    architecture: Architecture,
    setting: &Setting<'_>,
) -> Result<Dictionary> {
    let training = Training {
        architecture,
        features: Some(FEATURES),
        k: K,
        lambda: (architecture == Architecture::Relu).then_some(0.03),
        batch: 1024,
        rate: 2e-3,
        dead_after: 50_000,
        seed: setting.seed,
        ..Training::default()
    };
    let mut stream = Fresh { world, of, drawn: 0 };
    let run = Run::of(SAMPLES, setting.progress);
    Ok(train(&training, &mut stream, &run)?.dictionary)
}

/// All directions of greatest variance `[component, unit]`.
fn principal(samples: &Array2<f32>, setting: &Setting<'_>) -> Result<Array2<f32>> {
    let recording = recording_of(samples.view(), &setting.folder.join("outputs"))?;
    let rows: Vec<usize> = (0..recording.samples()).collect();
    let pca = Pca { k: samples.ncols(), seed: setting.seed, ..Pca::default() };
    Ok(pca.fit(&recording, &rows, setting.progress)?.decoder)
}

/// `[source, target]`: how much the feature that writes target direction `j` reads direction `i`.
fn pulled_back(dictionary: &Dictionary, world: &PlantedMlp) -> Array2<f32> {
    let writers = nearest(dictionary.written(), world.writes.view());
    let chosen: Vec<usize> = writers.iter().map(|(feature, _)| *feature).collect();
    let reading = dictionary.encoder.as_ref().unwrap_or(&dictionary.decoder);
    world.reads.dot(&reading.select(ndarray::Axis(0), &chosen).t())
}

/// `[source, target]` by autoencoders of both sides: decoder of the input's feature nearest to `w_i`,
/// through the mean Jacobian `[input, output]`, to the encoder of the output's nearest to `v_j`.
fn through(
    on_input: &Dictionary,
    on_output: &Dictionary,
    jacobian: &Array2<f32>,
    world: &PlantedMlp,
) -> Array2<f32> {
    let of = |dictionary: &Dictionary, planted: &Array2<f32>| -> Vec<usize> {
        nearest(dictionary.decoder.view(), planted.view()).into_iter().map(|pair| pair.0).collect()
    };
    let sources = of(on_input, &world.reads);
    let targets = of(on_output, &world.writes);
    let encoder = on_output.encoder.as_ref().unwrap_or(&on_output.decoder);
    let axis = ndarray::Axis(0);
    let out = on_input.decoder.select(axis, &sources).dot(jacobian);
    out.dot(&encoder.select(axis, &targets).t())
}
