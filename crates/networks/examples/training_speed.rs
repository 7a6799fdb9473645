//! Tokens a second of training, by width.
use burn::tensor::Device;
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Progress, seed};
use nissl_networks::language::TextTokenizer;
use nissl_networks::language::training::{Baselines, Packed, TrainLanguage, TrainingData};
use rand::RngExt;
use std::time::Instant;
fn main() {
    let words: Vec<String> = (0..1500).map(|n| format!("\"w{n}\":{n}")).collect();
    let json = format!(
        "{{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":{{\"type\":\"Whitespace\"}},\"post_processor\":null,\"decoder\":null,\"model\":{{\"type\":\"WordLevel\",\"vocab\":{{{}}},\"unk_token\":\"w0\"}}}}",
        words.join(",")
    );
    let tokenizer = TextTokenizer::parse("t", json.into_bytes(), None).expect("tok");
    let mut rng = seed::rng(0, 0);
    let tokens: Vec<u32> = (0..100_000).map(|_| rng.random_range(0..1500)).collect();
    for width in [128usize, 256] {
        for steps in [4usize, 24] {
            let folder = std::env::temp_dir().join(format!("speed-{width}-{steps}"));
            std::fs::remove_dir_all(&folder).ok();
            let corpus = Packed::new(tokens.clone(), 0);
            let data = TrainingData {
                corpus: &corpus,
                held_out: &tokens[..200],
                tokenizer: &tokenizer,
                baselines: Baselines::default(),
                provenance: Provenance::default(),
            };
            let begun = Instant::now();
            let settings = TrainLanguage {
                width,
                steps,
                warmup: 2,
                batch: 32,
                checkpoint_every: 1_000_000,
                evaluate_every: 1_000_000,
                ..TrainLanguage::default()
            };
            let t = settings
                .fit(&data, &folder, Existing::Refuse, &Device::flex(), &Progress::silent())
                .expect("t");
            let s = begun.elapsed().as_secs_f64();
            println!(
                "width {width} steps {steps}: {s:.2} s, {:.0} tok/s, {} params",
                (steps * 32 * 128) as f64 / s,
                t.parameters
            );
        }
    }
}
