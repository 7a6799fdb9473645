//! State dicts in TransformerLens's naming: a tiny one with norms, and the five modular-addition
//! transformers that others trained and published figures about.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use nissl_core::Site;
use nissl_core::network::{FinalNorm, KeyValueCache, LanguageNetwork, Network, Sampling};
use nissl_core::store::write_bytes;
use nissl_core::taps::Taps;
use nissl_networks::language::Language;

use crate::common::{batch, floats, record, values};
use crate::torch::folder;

fn load(path: &Path) -> Language {
    Language::load(path, "lens", &Device::flex()).expect("loads")
}

fn tokens(path: &Path) -> Vec<Vec<u32>> {
    let bytes = std::fs::read(path).expect("reads");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let view = file.tensor("tokens").expect("there");
    let all: Vec<u32> =
        view.data().as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
    all.chunks(view.shape()[1]).map(<[u32]>::to_vec).collect()
}

#[test]
fn a_network_with_norms_matches_the_reference() {
    let network = load(&folder().join("lens/lens.pt"));
    let golden = folder().join("lens/golden.safetensors");
    let rows = tokens(&golden);
    let golden = nissl_core::numbers::NumberFile::open(&golden).expect("opens");
    let expected = floats(&golden, "logits");
    let seen = record(&network, &rows);
    let far = |found: &[f32]| {
        found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max)
    };
    assert!(far(&values(&seen["logits"])) < 1e-4, "{}", far(&values(&seen["logits"])));
    // The lens on the last residual gives the logits, and a cache changes nothing.
    let last = seen["layers.1.resid.post"].clone().flatten::<2>(0, 1);
    let lens = network.unembed(last, FinalNorm::Apply).expect("a head");
    assert!(far(&values(&lens)) < 1e-4);
    let mut cache = KeyValueCache::default();
    let mut found = Vec::new();
    for step in [0..3, 3..4, 4..5] {
        let part: Vec<_> = rows.iter().map(|row| row[step.clone()].to_vec()).collect();
        let logits = network.forward_cached(&batch(&part), &mut cache, &mut Taps::none());
        found.push(logits.expect("runs"));
    }
    assert!(far(&values(&burn::tensor::Tensor::cat(found, 1))) < 1e-4);
    // The down projection is the map from the hidden layer to what is added, less the bias.
    let act = seen["layers.1.mlp.act"].clone().narrow(0, 0, 1);
    let between = act.clone().narrow(1, 2, 1) - act.narrow(1, 4, 1);
    let added = seen["layers.1.mlp.out"].clone().narrow(0, 0, 1);
    let added = added.clone().narrow(1, 2, 1) - added.narrow(1, 4, 1);
    let through = between.squeeze_dim::<2>(0).matmul(network.down_projection(1).expect("a layer"));
    let apart = (through - added.squeeze_dim::<2>(0)).abs().max().into_scalar::<f32>();
    assert!(apart < 1e-4, "{apart}");
    assert_eq!(network.width(&Site::new("layers.0.attn.q")), Some(6));
    let sampling = Sampling { tokens: 2, temperature: 0.0, ..Sampling::default() };
    assert!(network.generate(&[1, 2], &sampling, &mut Taps::none()).is_ok());
}

#[test]
fn what_the_weights_do_not_say_must_be_said() {
    let copy = tempfile::tempdir().expect("a folder");
    let path = copy.path().join("lens.pt");
    std::fs::copy(folder().join("lens/lens.pt"), &path).expect("copies");
    let refusal = || match Language::load(&path, "lens", &Device::flex()) {
        Ok(_) => panic!("it loaded"),
        Err(error) => error.to_string(),
    };
    let text = refusal();
    assert!(text.contains("act_fn"), "{text}");
    let say = |config: &str| {
        write_bytes(&copy.path().join("config.json"), config.as_bytes()).expect("writes");
    };
    say(r#"{"act_fn": "gelu_new"}"#);
    load(&path);
    for (config, word) in [
        (r#"{"act_fn": "solu_ln"}"#, "solu_ln"),
        (r#"{"act_fn": "relu", "normalization_type": "RMS"}"#, "RMS"),
        (r#"{"act_fn": "relu", "positional_embedding_type": "rotary"}"#, "rotary"),
        (r#"{"act_fn": "relu", "normalization_type": "LNPre"}"#, "`blocks.0.ln1.w` is unknown"),
        (r#"{"act_fn": "relu", "gated_mlp": true}"#, "gated_mlp"),
    ] {
        say(config);
        let text = refusal();
        assert!(text.contains(word), "{word}: {text}");
    }
    let other = folder().join("wrapped.pt");
    let text = match Language::load(&other, "other", &Device::flex()) {
        Ok(_) => panic!("it loaded"),
        Err(error) => error.to_string(),
    };
    assert!(text.contains("embed.W_E") && text.contains("weight"), "{text}");
}

/// Tokens with the numbers to be added, and the one that asks for the sum.
const NUMBERS: u32 = 113;

/// The folder with the published checkpoints, where it is there.
pub(crate) fn published() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/07-local-interaction-basis");
    folder.is_dir().then_some(folder)
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn modular_addition_is_as_accurate_as_published() {
    let Some(folder) = published() else {
        eprintln!("skipped: the published modular-addition checkpoints are not here");
        return;
    };
    let accuracies = [0.99969, 0.99922, 1.0, 0.99984, 1.0];
    let losses = [7.24e-3, 2.86e-2, 6.81e-6, 6.82e-4, 1.97e-4];
    for (seed, (accuracy, loss)) in accuracies.into_iter().zip(losses).enumerate() {
        let network = load(&folder.join(format!("seed{seed}.pt")));
        let (mut right, mut total) = (0, 0.0);
        for x in 0..NUMBERS {
            let rows: Vec<Vec<u32>> = (0..NUMBERS).map(|y| vec![x, y, NUMBERS]).collect();
            let logits = network.forward(&batch(&rows), &mut Taps::none());
            let logits = logits.expect("runs").expect("logits");
            let flat = values(&logits.narrow(1, 2, 1));
            for (y, row) in flat.chunks(network.vocabulary()).enumerate() {
                let answer = (x as usize + y) % NUMBERS as usize;
                let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
                right += usize::from(best == Some(answer));
                let largest = f64::from(row.iter().copied().fold(f32::MIN, f32::max));
                let sum: f64 = row.iter().map(|v| (f64::from(*v) - largest).exp()).sum();
                total += sum.ln() + largest - f64::from(row[answer]);
            }
        }
        let pairs = f64::from(NUMBERS * NUMBERS);
        let (found, mean) = (right as f64 / pairs, total / pairs);
        assert!((found - accuracy).abs() < 1e-5, "seed {seed}: accuracy {found}");
        assert!((mean / loss - 1.0).abs() < 2e-3, "seed {seed}: cross-entropy {mean}");
        let text = network.tokenizer().expect("numbers").encode("3 5 113").expect("tokens");
        assert_eq!(text.iter().map(|span| span.id).collect::<Vec<_>>(), [3, 5, 113]);
    }
}
