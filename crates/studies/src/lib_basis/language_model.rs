//! Part C: a language network, where the paper found no gain over principal components.
//!
//! A network of two blocks is trained on stories of the language world; bases and edges of its residual
//! stream come from some stories, what is needed of them from others. A node layer's edges are those that
//! keep the cross-entropy within 0.05 nats a token of the whole network's.

use nissl_core::Result;
use nissl_core::store::{Existing, Provenance};
use nissl_decompose::interaction_basis::{BasisKind, LocalInteractionBasis};
use nissl_networks::language::TextTokenizer;
use nissl_networks::language::training::{Baselines, Packed, TrainLanguage, TrainingData};
use nissl_networks::sections::{Outputs, Transformer};
use nissl_trace::interaction::{Ablate, Edges, Measure, Required, Schedule};
use nissl_worlds::language::LanguageWorld;

use crate::report::{Bar, Bound, Cell, Section, Table};
use crate::study::{Findings, Setting};

/// Tokens of a sequence, and sequences for the bases and for the ablations each.
const CONTEXT: usize = 12;
const SEQUENCES: usize = 100;
/// Tokens to train on.
const TOKENS: usize = 300_000;
/// The cross-entropy that an ablation may cost, in nats a token.
const TOLERANCE: f64 = 0.05;
/// The node layers; edges are followed from the first two. The normalised stream is one of its own, as
/// the unembedding after it has a closed form.
const LAYERS: [&str; 5] =
    ["layers.0.resid.pre", "layers.1.resid.pre", "layers.1.resid.post", "final.norm", "logits"];

/// Token sequences of a world's stories, each from a story's beginning, and their next tokens.
fn sequences(world: &LanguageWorld) -> (Vec<Vec<u32>>, Vec<u32>) {
    let stories = world.stories().filter(|story| story.tokens.len() > CONTEXT);
    let mut answers = Vec::new();
    let read = stories.take(SEQUENCES).map(|story| {
        let tokens: Vec<u32> = story.tokens[..=CONTEXT].iter().map(|it| it.id).collect();
        answers.extend_from_slice(&tokens[1..]);
        tokens[..CONTEXT].to_vec()
    });
    let read = read.collect();
    (read, answers)
}

pub(super) fn language_model(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let train = TrainLanguage {
        layers: 2,
        width: 32,
        heads: 2,
        context: 32,
        batch: 16,
        steps: 500,
        learning_rate: 3e-3,
        warmup: 50,
        evaluate_every: 500,
        checkpoint_every: 500,
        seed: setting.seed,
        ..TrainLanguage::default()
    };
    let told = |first: u64, tokens: usize| LanguageWorld {
        tokens,
        seed: setting.seed,
        first,
        ..LanguageWorld::default()
    };
    let world = told(0, TOKENS);
    let tokens = |world: &LanguageWorld| -> Vec<u32> {
        world.stories().flat_map(|it| it.tokens.into_iter().map(|it| it.id)).collect()
    };
    let held_out = tokens(&told(1_000_000, 5_000));
    let json = world.tokenizer_json().into_bytes();
    let tokenizer = TextTokenizer::parse("the tokenizer of the world", json, None)?;
    let corpus = Packed::new(tokens(&world), setting.seed);
    let data = TrainingData {
        corpus: &corpus,
        held_out: &held_out,
        tokenizer: &tokenizer,
        baselines: Baselines::default(),
        provenance: Provenance::here(&train, setting.seed, "cpu"),
    };
    let folder = setting.folder.join("language-model");
    let device = burn::tensor::Device::flex();
    let trained = train.fit(&data, &folder, Existing::Refuse, &device, setting.progress)?;

    let network = Transformer::open(&folder)?;
    let cut = network.cut(&LAYERS.map(str::to_owned), CONTEXT, Outputs::All)?;
    let (fitted, _) = sequences(&told(2_000_000, usize::MAX));
    let (judged, answers) = sequences(&told(3_000_000, usize::MAX));
    let (fitted, judged) =
        (cut.samples(network.tokens(fitted)?), cut.samples(network.tokens(judged)?));
    let ablate = Ablate {
        measure: Measure::CrossEntropy,
        tolerance: TOLERANCE,
        vector_schedule: Schedule::Bisection,
        ..Ablate::default()
    };
    let mut required: Vec<Vec<Required>> = Vec::new();
    for basis in [BasisKind::Lib, BasisKind::Pca] {
        let settings =
            LocalInteractionBasis { basis, seed: setting.seed, ..LocalInteractionBasis::default() };
        let bases = settings.fit(&cut.chain, &fitted, setting.progress)?;
        let between =
            |layer| Edges::default().between(&cut.chain, &fitted, &bases, layer, setting.progress);
        let edges = [between(0)?, between(1)?];
        required.push(ablate.required(
            &cut.chain,
            &judged,
            &answers,
            (&bases, &edges),
            setting.progress,
        )?);
    }
    report(&required, trained.held_out, findings);
    Ok(())
}

fn report(required: &[Vec<Required>], loss: Option<f32>, findings: &mut Findings) {
    let mut table = Table::new(
        "Needed for a cross-entropy within 0.05 nats a token",
        [
            "from",
            "whole network",
            "LIB vectors",
            "LIB edges",
            "PCA vectors",
            "PCA edges",
            "ratio of edges",
        ],
    );
    let count = |it: Option<usize>| it.map_or(f64::NAN, |it| it as f64);
    let mut ratios = Vec::new();
    for (lib, pca) in required[0].iter().zip(&required[1]) {
        let ratio = count(lib.edges) / count(pca.edges);
        ratios.push(ratio);
        table = table.with_row([
            Cell::text(&lib.node_layer),
            Cell::Number(lib.full),
            Cell::Number(count(lib.vectors)),
            Cell::Number(count(lib.edges)),
            Cell::Number(count(pca.vectors)),
            Cell::Number(count(pca.edges)),
            Cell::Number(ratio),
        ]);
    }
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    // The ratio itself has no bar; that both searches end with a count has.
    let counted = ratios.iter().filter(|it| it.is_finite()).count() as f64;
    let name = "C: node layers whose edges were counted in both bases";
    findings.bars.bars.push(Bar::new(name, counted, Bound::AtLeast(ratios.len() as f64)));
    let loss = loss.map_or(f64::NAN, f64::from);
    findings.sections.push(
        Section::new("C. A language network, where the basis saves little")
            .says(format!(
                "Two blocks of 32 units, trained on 300,000 tokens of the language world to {loss:.2} nats \
                 a token on other stories. LIB needs {mean:.2} edges for each of principal components; \
                 the paper found no substantial gain in language models, and there is no bar."
            ))
            .with(table),
    );
}
