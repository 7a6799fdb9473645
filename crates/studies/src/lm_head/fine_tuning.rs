//! Part D: what fine-tuning changes.

use std::path::PathBuf;

use burn::tensor::Device;
use nissl_core::Result;
use nissl_core::store::{Existing, Provenance};
use nissl_explain::lm_head::{Compare, LmHead, compare};
use nissl_networks::language::TextTokenizer;
use nissl_networks::language::training::{
    Base, Baselines, Packed, TrainLanguage, Trained, TrainingData,
};
use nissl_networks::weights::CheckpointWeights;
use nissl_worlds::language::{Language, LanguageWorld};

use crate::report::{Bar, Bound, Cell, Note, Section, Table};
use crate::study::{Findings, Setting};

/// The paper's share of neurons with the same first token in a base and an instructed network.
const PAPER: f64 = 0.754;
/// Stories that the base is trained on and told to be fine-tuned on.
const BASE: [Language; 2] = [Language::English, Language::French];
const SHIFTED: [Language; 2] = [Language::English, Language::German];
/// Training steps of the base; the fine-tuning takes a tenth.
const STEPS: usize = 600;

/// Trains a small network, fine-tunes it on other stories, and compares both.
pub(super) fn fine_tuning(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let settings = TrainLanguage {
        layers: 2,
        width: 64,
        heads: 4,
        context: 64,
        batch: 16,
        steps: STEPS,
        warmup: STEPS / 20,
        evaluate_every: STEPS,
        checkpoint_every: STEPS,
        seed: setting.seed,
        ..TrainLanguage::default()
    };
    let (base, before) = trained("base", &settings, &BASE, None, setting)?;
    let tuning = TrainLanguage { steps: STEPS / 10, warmup: STEPS / 100, ..settings };
    let from = Base::open(&base, &Device::flex())?;
    let (tuned, after) = trained("fine-tuned", &tuning, &SHIFTED, Some(&from), setting)?;

    let [base, tuned] = [base, tuned].map(|folder| CheckpointWeights::open(&folder));
    let (base, tuned) = (base?, tuned?);
    let (decoding, listing) = (LmHead::default(), Compare::default());
    let compared = compare(&base, &tuned, &decoding, &listing, setting.progress)?;
    let mut table = Table::new(
        "Likeness of base and fine-tuned network",
        [
            "layer",
            "same first token",
            "overlap of the first five",
            "divergence",
            "permuted",
            "noise",
        ],
    );
    for layer in &compared.layers {
        table = table.with_row([
            Cell::Number(f64::from(layer.layer)),
            Cell::Number(layer.observed.same_first),
            Cell::Number(layer.observed.jaccard),
            Cell::Number(layer.observed.divergence),
            Cell::Number(layer.permuted.same_first),
            Cell::Number(layer.noise.same_first),
        ]);
    }
    let (same, permuted) = (compared.observed.same_first, compared.permuted.same_first);
    let loss = |loss: Option<f32>| loss.map_or(f64::NAN, f64::from);
    findings.bars.bars.extend([
        Bar::new(
            "D: neurons with the same first token after fine-tuning",
            same,
            Bound::AtLeast(0.5),
        )
        .with_paper(PAPER),
        Bar::new(
            "D: the same, as a multiple of permuted neurons",
            same / permuted,
            Bound::AtLeast(5.0),
        ),
        Bar::new(
            "D: loss on the new stories, after fine-tuning less before",
            loss(after.held_out) - loss(after.held_out_before),
            Bound::AtMost(-0.1),
        )
        .with_note("it did learn something"),
    ]);
    findings.sections.push(
        Section::new("D: what fine-tuning changes")
            .says(format!(
                "A network of two layers learns stories in English and French (loss {:.2} nats a \
                 token), then for a tenth of the steps stories in English and German (from {:.2} to \
                 {:.2}). The paper has {:.1} % for Llama-3.1-8B and its instructed form.",
                loss(before.held_out),
                loss(after.held_out_before),
                loss(after.held_out),
                100.0 * PAPER
            ))
            .with(Note::how_to_read(
                "Permuted: neurons of the fine-tuned network in random order. Noise: the base with \
                 random changes as large as those of the fine-tuning.",
            ))
            .with(table),
    );
    Ok(())
}

fn trained(
    name: &str,
    settings: &TrainLanguage,
    languages: &[Language],
    from: Option<&Base>,
    setting: &Setting<'_>,
) -> Result<(PathBuf, Trained)> {
    let world = LanguageWorld {
        tokens: 200_000,
        languages: languages.to_vec(),
        seed: setting.seed,
        ..LanguageWorld::default()
    };
    let tokens: Vec<u32> =
        world.stories().flat_map(|story| story.tokens).map(|token| token.id).collect();
    let (training, held_out) = tokens.split_at(tokens.len() - 10_000);
    let json = world.tokenizer_json().into_bytes();
    let tokenizer = TextTokenizer::parse("tokenizer.json", json, None)?.ending_with("<end>");
    let corpus = Packed::new(training.to_vec(), setting.seed);
    let data = TrainingData {
        corpus: &corpus,
        held_out,
        tokenizer: &tokenizer,
        baselines: Baselines::default(),
        provenance: Provenance::here(settings, setting.seed, "cpu"),
    };
    let out = setting.folder.join(name);
    let (new, progress) = (Existing::Refuse, setting.progress);
    let trained = match from {
        None => settings.fit(&data, &out, new, &Device::flex(), progress)?,
        Some(base) => settings.fine_tune(base, &data, &out, new, progress)?,
    };
    Ok((out, trained))
}
