//! The cut network computes what the whole one does.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ndarray::{Array1, Array2, Axis, s};
use nissl_core::files::TensorFile;
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::section::{Held, Nonlinearity, Samples};
use nissl_core::taps::Taps;

use super::super::{Outputs, Perceptron, Transformer};
use super::{fixture, furthest, names, random, run};
use crate::language::Language;

/// A file's tensors in f64, as vectors and matrices of whatever shape is asked for.
struct Stored(TensorFile);

impl Stored {
    fn open(path: &Path) -> Self {
        Self(TensorFile::open(path).expect("opens"))
    }

    fn row(&self, name: &str) -> Array1<f64> {
        self.0.f32s(name).expect("there").into_iter().map(f64::from).collect()
    }

    fn matrix(&self, name: &str, columns: usize) -> Array2<f64> {
        let values = self.row(name);
        let rows = values.len() / columns;
        values.into_shape_with_order((rows, columns)).expect("fits")
    }
}

fn normed(x: &Array2<f64>, gain: &Array1<f64>, bias: &Array1<f64>, epsilon: f64) -> Array2<f64> {
    let mut out = x.clone();
    for mut row in out.rows_mut() {
        let mean = row.mean().expect("not empty");
        row -= mean;
        let variance = row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64;
        row /= (variance + epsilon).sqrt();
        row *= gain;
        row += bias;
    }
    out
}

/// Causal attention of one head.
fn head(q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>) -> Array2<f64> {
    let scores = q.dot(&k.t()) / (q.ncols() as f64).sqrt();
    let mut z = Array2::zeros(q.dim());
    for t in 0..q.nrows() {
        let weights: Vec<f64> = (0..=t).map(|key| scores[[t, key]].exp()).collect();
        let total: f64 = weights.iter().sum();
        for (key, weight) in weights.iter().enumerate() {
            z.row_mut(t).scaled_add(weight / total, &v.row(key));
        }
    }
    z
}

fn gelu_new(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
}

/// Logits `[position, token]` of a GPT-2 from its file.
fn gpt2(from: &Stored, tokens: &[u32], [width, heads, layers]: [usize; 3]) -> Array2<f64> {
    let embed = from.matrix("transformer.wte.weight", width);
    let places = from.matrix("transformer.wpe.weight", width);
    let ids: Vec<usize> = tokens.iter().map(|&token| token as usize).collect();
    let mut x = embed.select(Axis(0), &ids) + places.slice(s![..ids.len(), ..]);
    for n in 0..layers {
        let at = |name: &str| format!("transformer.h.{n}.{name}");
        let norm = |x: &Array2<f64>, name: &str| {
            let (gain, bias) = (at(&format!("{name}.weight")), at(&format!("{name}.bias")));
            normed(x, &from.row(&gain), &from.row(&bias), 1e-5)
        };
        let linear = |x: &Array2<f64>, name: &str| {
            let bias = from.row(&at(&format!("{name}.bias")));
            x.dot(&from.matrix(&at(&format!("{name}.weight")), bias.len())) + bias
        };
        let qkv = linear(&norm(&x, "ln_1"), "attn.c_attn");
        let unit = width / heads;
        let mut z = Array2::zeros(x.dim());
        for h in 0..heads {
            let part = |of: usize| {
                let from = of * width + h * unit;
                qkv.slice(s![.., from..from + unit]).to_owned()
            };
            let out = head(&part(0), &part(1), &part(2));
            z.slice_mut(s![.., h * unit..(h + 1) * unit]).assign(&out);
        }
        x = &x + &linear(&z, "attn.c_proj");
        let hidden = linear(&norm(&x, "ln_2"), "mlp.c_fc").mapv(gelu_new);
        x = &x + &linear(&hidden, "mlp.c_proj");
    }
    let gain = from.row("transformer.ln_f.weight");
    normed(&x, &gain, &from.row("transformer.ln_f.bias"), 1e-5).dot(&embed.t())
}

/// What burn's network records at the same sites, `[sample · position, unit]`.
fn recorded(path: &Path, sequences: &[Vec<u32>], site: &str) -> Array2<f64> {
    let network = Language::load(path, "network", &Device::flex()).expect("loads");
    let rows: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    let batch = TokenBatch::new(&rows).expect("a batch");
    let mut seen = Array2::zeros((0, 0));
    let mut taps = Taps::none().read(site.parse().expect("a glob"), |_, x| {
        let [batch, positions, units] = x.dims();
        let values: Vec<f32> = x.clone().into_data().try_to_vec().expect("f32");
        let values = values.into_iter().map(f64::from).collect();
        seen = Array2::from_shape_vec((batch * positions, units), values).expect("fits");
    });
    network.forward(&batch, &mut taps).expect("runs");
    drop(taps);
    seen
}

fn sequences(vocabulary: u32, positions: u32, count: u32) -> Vec<Vec<u32>> {
    let token = |n: u32, at: u32| (n * 31 + at * at * 7 + at) % vocabulary;
    (0..count).map(|n| (0..positions).map(|at| token(n, at)).collect()).collect()
}

#[test]
fn gpt2_with_its_norms_in_two_is_the_network() {
    let path = fixture("models/gpt2");
    let network = Transformer::open(&path).expect("opens");
    let all = network.node_layers();
    assert!(all.iter().any(|name| name == "layers.1.mlp.variance"), "{all:?}");
    let sequences = sequences(network.vocabulary() as u32, 6, 5);
    let cut = network.cut(&all, 6, Outputs::All).expect("cuts");
    let source = network.tokens(sequences.clone()).expect("tokens");
    let seen = run(&cut.chain, cut.samples(source).rows(0..5).expect("rows"));
    // Against burn's network in f32, site by site.
    let units = seen[0].ncols() - 1;
    for (name, rows) in all.iter().zip(&seen) {
        assert!(rows.column(rows.ncols() - 1).iter().all(|it| (it - 1.0).abs() < 1e-12), "{name}");
        if name.contains("resid") || name == "logits" {
            let width = if name == "logits" { network.vocabulary() } else { units };
            let known = recorded(&path, &sequences, name);
            let gap = furthest(&rows.slice(s![.., ..width]).to_owned(), &known);
            assert!(gap < 1e-4, "{name}: {gap:e}");
        }
    }
    // Against the file's weights in f64.
    let config = std::fs::read(path.join("config.json")).expect("reads");
    let config: serde_json::Value = serde_json::from_slice(&config).expect("JSON");
    let size = |key: &str| config[key].as_u64().expect("a size") as usize;
    let stored = Stored::open(&path.join("model.safetensors"));
    let logits = &seen[seen.len() - 1];
    for (n, sequence) in sequences.iter().enumerate() {
        let known = gpt2(&stored, sequence, [size("n_embd"), size("n_head"), size("n_layer")]);
        let found = logits.slice(s![n * 6..(n + 1) * 6, ..network.vocabulary()]).to_owned();
        let gap = furthest(&found, &known);
        assert!(gap < 1e-10, "sequence {n}: {gap:e}");
    }
    // Fewer node layers and a part of the network: the same numbers.
    let few = network.cut(&names(&["ln2.0", "layers.0.resid.post", "output"]), 6, Outputs::Last);
    let few = few.expect("cuts");
    let source = network.tokens(sequences).expect("tokens");
    let short = run(&few.chain, few.samples(source).rows(0..5).expect("rows"));
    let last = logits.slice(s![5..;6, ..]).to_owned();
    assert!(furthest(&short[2], &last) < 1e-10);
}

#[test]
fn a_state_dict_with_norms_is_the_network() {
    let path = fixture("torch/lens/lens.pt");
    let network = Transformer::open(&path).expect("opens");
    let sequences = sequences(network.vocabulary() as u32, 5, 4);
    let chosen = network.usual_node_layers();
    let cut = network.cut(&chosen, 5, Outputs::All).expect("cuts");
    let source = network.tokens(sequences.clone()).expect("tokens");
    let seen = run(&cut.chain, cut.samples(source).rows(0..4).expect("rows"));
    for (name, rows) in chosen.iter().zip(&seen) {
        let known = recorded(&path, &sequences, name);
        let gap = furthest(&rows.slice(s![.., ..rows.ncols() - 1]).to_owned(), &known);
        assert!(gap < 1e-4, "{name}: {gap:e}");
    }
}

/// The folder with the published checkpoints, where it is there.
fn published() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/07-local-interaction-basis");
    folder.is_dir().then_some(folder)
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn a_modular_addition_network_is_itself_and_adds() {
    let Some(folder) = published() else {
        eprintln!("skipped: the published modular-addition checkpoints are not here");
        return;
    };
    let path = folder.join("seed3.pt");
    let network = Transformer::open(&path).expect("opens");
    let chosen = names(&["ln1.0", "ln2.0", "unembed", "output"]);
    let cut = network.cut(&chosen, 3, Outputs::Last).expect("cuts");
    let known = ["layers.0.resid.pre", "layers.0.resid.mid", "layers.0.resid.post", "logits"];
    assert_eq!(cut.chain.node_layers(), known);
    let tokens: Vec<Vec<u32>> = (0..300u32).map(|n| vec![n * 11 % 113, n * 5 % 113, 113]).collect();
    let source = network.tokens(tokens.clone()).expect("tokens");
    let seen = run(&cut.chain, cut.samples(source).rows(0..300).expect("rows"));
    let logits = &seen[3];
    let right = tokens.iter().zip(logits.rows()).filter(|(tokens, row)| {
        let best = (0..113).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        best == Some(((tokens[0] + tokens[1]) % 113) as usize)
    });
    assert_eq!(right.count(), 300);
    // The same in f64, straight from the file.
    let stored = Stored::open(&path);
    let embed = stored.matrix("embed.W_E", 128);
    let places = stored.matrix("pos_embed.W_pos", 128);
    let at = |name: &str, columns| stored.matrix(&format!("blocks.0.{name}"), columns);
    for (n, tokens) in tokens.iter().enumerate().take(20) {
        let ids: Vec<usize> = tokens.iter().map(|&token| token as usize).collect();
        let x = embed.select(Axis(0), &ids) + &places;
        let mut out = Array2::<f64>::zeros((3, 128)) + &stored.row("blocks.0.attn.b_O");
        for h in 0..4 {
            let part = |which: &str| {
                let weight = at(&format!("attn.W_{which}"), 32);
                let bias = at(&format!("attn.b_{which}"), 32);
                x.dot(&weight.slice(s![h * 128..(h + 1) * 128, ..])) + bias.row(h)
            };
            let z = head(&part("Q"), &part("K"), &part("V"));
            out = out + z.dot(&at("attn.W_O", 128).slice(s![h * 32..(h + 1) * 32, ..]));
        }
        let mid = x + out;
        let hidden = mid.dot(&at("mlp.W_in", 512)) + stored.row("blocks.0.mlp.b_in");
        let hidden = hidden.mapv(|x| x.max(0.0));
        let post = &mid + &(hidden.dot(&at("mlp.W_out", 128)) + stored.row("blocks.0.mlp.b_out"));
        let known = post.dot(&stored.matrix("unembed.W_U", 114)) + stored.row("unembed.b_U");
        let gap = &known.row(2) - &logits.slice(s![n, ..114]);
        let gap = gap.fold(0.0f64, |most, x| most.max(x.abs()));
        assert!(gap < 1e-10, "{gap:e}");
    }
}

#[test]
fn a_perceptron_is_its_layers() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    let sizes = [7, 9, 5, 3];
    let weights: Vec<Array2<f64>> =
        sizes.windows(2).zip(0..).map(|(pair, n)| random(pair[1], pair[0], n)).collect();
    let biases: Vec<Array2<f64>> =
        sizes[1..].iter().zip(5..).map(|(&size, n)| random(1, size, n)).collect();
    super::refusals::write(&path, &weights, &biases, &[]);
    let rounded = |x: &Array2<f64>| x.mapv(|value| f64::from(value as f32));
    for (nonlinearity, function) in [
        (Nonlinearity::Relu, (|x: f64| x.max(0.0)) as fn(f64) -> f64),
        (Nonlinearity::Tanh, f64::tanh),
        (Nonlinearity::GeluTanh, gelu_new),
    ] {
        let network = Perceptron::open(&path, nonlinearity).expect("opens");
        assert_eq!((network.inputs(), network.node_layers().len()), (7, 4));
        let cut = network.cut(&network.node_layers()).expect("cuts");
        let x = random(20, 7, 30);
        let mut rows = Array2::ones((20, 8));
        rows.slice_mut(s![.., ..7]).assign(&x);
        let held = cut.samples(Held { rows, positions: 1 });
        let seen = run(&cut.chain, held.rows(0..20).expect("rows"));
        let mut now = x;
        for (n, (weight, bias)) in weights.iter().zip(&biases).enumerate() {
            now = now.dot(&rounded(weight).t()) + &rounded(bias);
            if n < 2 {
                now.mapv_inplace(function);
            }
            let width = now.ncols();
            let gap = furthest(&seen[n + 1].slice(s![.., ..width]).to_owned(), &now);
            assert!(gap < 1e-12, "{nonlinearity:?}, layer {n}: {gap:e}");
        }
    }
}
