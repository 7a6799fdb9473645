//! Fixtures and helpers of the tests.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use nissl_core::SiteGlob;
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::numbers::NumberFile;
use nissl_core::taps::Taps;
use nissl_networks::language::Language;

/// The fixtures; the first seven predict the next token.
pub const FAMILIES: [&str; 8] =
    ["gpt2", "llama", "mistral", "qwen2", "gemma2", "neox", "neox-sequential", "bert"];
/// How many of them predict the next token.
pub const CAUSAL: usize = 7;
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(name)
}

pub fn network(name: &str) -> Language {
    on(name, &Device::flex())
}

pub fn on(name: &str, device: &Device) -> Language {
    Language::load(&fixture(name), name, device).expect("the fixture loads")
}

pub fn values<const D: usize>(x: &Tensor<D>) -> Vec<f32> {
    x.clone().into_data().try_to_vec().expect("f32")
}

pub fn floats(file: &NumberFile, name: &str) -> Vec<f32> {
    let size = file.shape(name).expect("golden value").iter().product();
    file.f32s(name, 0, size).expect("reads")
}

/// The tokens and true lengths of a golden file; they are stored as i32.
pub fn input(name: &str) -> (NumberFile, Vec<Vec<u32>>) {
    let path = fixture(name).join("golden.safetensors");
    let bytes = std::fs::read(&path).expect("reads");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let whole = |name: &str| -> Vec<u32> {
        let data = tensors.tensor(name).expect("there").data();
        data.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect()
    };
    let (tokens, lengths) = (whole("tokens"), whole("lengths"));
    let positions = tokens.len() / lengths.len();
    let rows = tokens.chunks(positions).zip(&lengths);
    let rows = rows.map(|(row, &length)| row[..length as usize].to_vec()).collect();
    (NumberFile::open(&path).expect("opens"), rows)
}

pub fn batch(rows: &[Vec<u32>]) -> TokenBatch {
    TokenBatch::new(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>()).expect("a batch")
}

pub fn glob(pattern: &str) -> SiteGlob {
    pattern.parse().expect("a glob")
}

/// Every site of a run.
pub fn record(network: &Language, rows: &[Vec<u32>]) -> BTreeMap<String, Tensor<3>> {
    let mut seen = BTreeMap::new();
    let mut taps = Taps::none().read(glob("**"), |site, x| {
        seen.insert(site.to_owned(), x.clone());
    });
    network.forward(&batch(rows), &mut taps).expect("runs");
    drop(taps);
    seen
}
