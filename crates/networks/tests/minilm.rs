//! A real pretrained encoder against the reference library (`fixtures/make/minilm.py`).

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use common::{batch, glob, values};
use nissl_core::network::LanguageNetwork;
use nissl_core::taps::Taps;
use nissl_networks::language::Language;
use safetensors::SafeTensors;

const SENTENCES: [&str; 3] = [
    "The river was frozen for three months.",
    "Ice covered the stream all winter.",
    "She sold her bicycle on Tuesday.",
];

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn minilm_matches_the_reference_library() {
    let folder = std::env::var_os("NISSL_MINILM")
        .map_or_else(|| fixtures().join("cache/minilm"), PathBuf::from);
    if !folder.join("model.safetensors").exists() {
        eprintln!("skipped: no network in {}; see fixtures/README.md", folder.display());
        return;
    }
    let network = Language::load(&folder, "minilm", &Device::flex()).expect("loads");
    let bytes = std::fs::read(fixtures().join("minilm-golden.safetensors")).expect("reads");
    let golden = SafeTensors::deserialize(&bytes).expect("safetensors");
    let words = |name: &str| -> Vec<u32> {
        let data = golden.tensor(name).expect("there").data();
        data.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect()
    };
    let floats = |name: &str| -> Vec<f32> {
        let data = golden.tensor(name).expect("there").data();
        data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };

    let tokenizer = network.tokenizer().expect("a tokenizer");
    let rows: Vec<Vec<u32>> = SENTENCES
        .iter()
        .map(|text| {
            let spans = tokenizer.encode(text).expect("encodes");
            let word = &spans[2];
            assert!(text[word.start..word.end].chars().all(char::is_alphabetic), "{word:?}");
            spans.iter().map(|span| span.id).collect()
        })
        .collect();
    let (tokens, lengths) = (words("tokens"), words("lengths"));
    let positions = tokens.len() / lengths.len();
    for (row, (expected, length)) in rows.iter().zip(tokens.chunks(positions).zip(&lengths)) {
        assert_eq!(row[..], expected[..*length as usize]);
    }

    let mut seen = BTreeMap::new();
    let mut taps = Taps::none().read(glob("{embed,layers.*.resid.post}"), |site, x| {
        seen.insert(site.to_owned(), x.clone());
    });
    network.forward(&batch(&rows), &mut taps).expect("runs");
    drop(taps);
    assert_eq!(seen.len(), 7);
    for (site, x) in &seen {
        let [_, _, units] = x.dims();
        let (found, expected) = (values(x), floats(site));
        for (sample, row) in rows.iter().enumerate() {
            for place in 0..row.len() {
                for unit in (0..units).step_by(4) {
                    let at = (sample * positions + place) * units + unit;
                    let wanted = expected[at / 4];
                    assert!(
                        (found[at] - wanted).abs() < 2e-4,
                        "{site} {at}: {} {wanted}",
                        found[at]
                    );
                }
            }
        }
    }

    let last = &seen["layers.5.resid.post"];
    let embeddings: Vec<Vec<f32>> = rows
        .iter()
        .enumerate()
        .map(|(sample, row)| {
            let mean: Tensor<3> =
                last.clone().narrow(0, sample, 1).narrow(1, 0, row.len()).mean_dim(1);
            let mean = values(&mean);
            let size = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
            mean.iter().map(|x| x / size).collect()
        })
        .collect();
    for (found, wanted) in embeddings.iter().flatten().zip(floats("pooled")) {
        assert!((found - wanted).abs() < 2e-4, "{found} {wanted}");
    }
    let alike = |a: usize, b: usize| -> f32 {
        embeddings[a].iter().zip(&embeddings[b]).map(|(x, y)| x * y).sum()
    };
    assert!(alike(0, 1) > alike(0, 2) + 0.3, "two sentences about ice are nearer");
}
