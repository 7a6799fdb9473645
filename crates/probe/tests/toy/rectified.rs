//! Two layers of rectified neurons with biases under RMS norms, whose positions see the mean of those
//! before: each MLP is a transcoder that is known exactly.

use std::collections::BTreeMap;

use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array1, Array2};
use nissl_core::features::{Activation, Dictionary, Encoding, InputNorm};
use nissl_core::network::{
    FinalNorm, Generated, KeyValueCache, LanguageNetwork, Network, Sampling, TokenBatch, TokenSpan,
    Tokenizer,
};
use nissl_core::seed::rng;
use nissl_core::taps::Taps;
use nissl_core::{Error, Result, Site};
use nissl_probe::dictionary::Sites;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// Words: 00 to 99, then letters.
pub(crate) const VOCABULARY: usize = 112;
/// Units of the residual stream.
pub(crate) const WIDTH: usize = 24;
/// Neurons of a layer.
pub(crate) const NEURONS: usize = 40;

struct Layer {
    /// `[residual, neuron]`.
    up: Tensor<2>,
    up_bias: Tensor<1>,
    /// `[neuron, residual]`.
    down: Tensor<2>,
    down_bias: Tensor<1>,
}

/// The network.
pub(crate) struct Rectified {
    sites: Vec<Site>,
    device: Device,
    embed: Tensor<2>,
    layers: Vec<Layer>,
    /// `[residual, token]`.
    head: Tensor<2>,
}

impl Rectified {
    pub(crate) fn new(seed: u64) -> Self {
        let device = Device::flex();
        let mut rng = rng(seed, 0);
        let mut normal = |shape: [usize; 2], deviation: f32| {
            let draw = |_| -> f32 { StandardNormal.sample(&mut rng) };
            let values: Vec<f32> =
                (0..shape[0] * shape[1]).map(draw).map(|z: f32| z * deviation).collect();
            Tensor::<2>::from_data(TensorData::new(values, shape), &device)
        };
        let parts = ["resid.pre", "attn.out", "resid.mid"];
        let rest = ["mlp.in", "mlp.pre", "mlp.act", "mlp.out", "resid.post"];
        let mut sites = vec![Site::new("embed")];
        let inner = (0..2).flat_map(|n| {
            parts.into_iter().chain(rest).map(move |part| format!("layers.{n}.{part}"))
        });
        sites.extend(inner.map(Site::new));
        sites.extend(["final.norm", "logits"].map(Site::new));
        let layers = (0..2)
            .map(|_| Layer {
                up: normal([WIDTH, NEURONS], 0.3),
                up_bias: normal([1, NEURONS], 0.5).squeeze_dim(0) - 0.6,
                down: normal([NEURONS, WIDTH], 0.4),
                down_bias: normal([1, WIDTH], 0.3).squeeze_dim(0),
            })
            .collect();
        Self {
            embed: normal([VOCABULARY, WIDTH], 1.0),
            head: normal([WIDTH, VOCABULARY], 0.8),
            sites,
            layers,
            device,
        }
    }

    /// The transcoder that a layer's MLP is.
    pub(crate) fn dictionary(&self, layer: usize) -> Dictionary {
        let Layer { up, up_bias, down, down_bias } = &self.layers[layer];
        let flat = |x: Vec<f32>| Array1::from_vec(x);
        let matrix = |x: Tensor<2>| {
            let [rows, columns] = x.dims();
            Array2::from_shape_vec((rows, columns), values(x)).expect("the shape")
        };
        let encoding = Encoding::Sparse {
            activation: Activation::Relu,
            norm: InputNorm::None,
            centred: false,
        };
        let mut dictionary = Dictionary::new(matrix(up.clone().transpose()), encoding);
        dictionary.encoder_bias = Some(flat(values(up_bias.clone())));
        dictionary.output_decoder = Some(matrix(down.clone()));
        dictionary.output_bias = Some(flat(values(down_bias.clone())));
        dictionary
    }

    fn run(&self, batch: &TokenBatch, taps: &mut Taps<'_>) -> Result<Option<Tensor<3>>> {
        taps.check(self.id(), &self.sites, |site| self.width(site))?;
        batch.check_vocabulary(VOCABULARY)?;
        let tokens = batch.to_tensor(&self.device);
        let [sequences, positions] = tokens.dims();
        let rows = self.embed.clone().select(0, tokens.reshape([sequences * positions]));
        let mut x = taps.visit(format_args!("embed"), rows.reshape([sequences, positions, WIDTH]));
        let mean: Vec<f32> = (0..positions * positions)
            .map(|at| (at / positions, at % positions))
            .map(|(to, from)| if from <= to { 1.0 / (to + 1) as f32 } else { 0.0 })
            .collect();
        let mean = TensorData::new(mean, [1, positions, positions]);
        let mean =
            Tensor::<3>::from_data(mean, &self.device).expand([sequences, positions, positions]);
        for (n, layer) in self.layers.iter().enumerate() {
            x = taps.visit(format_args!("layers.{n}.resid.pre"), x);
            let before = mean.clone().matmul(x.clone());
            let out = taps.visit(format_args!("layers.{n}.attn.out"), before);
            x = taps.visit(format_args!("layers.{n}.resid.mid"), x + out);
            let read = taps.visit(format_args!("layers.{n}.mlp.in"), norm(x.clone()));
            let pre = times(&read, &layer.up) + layer.up_bias.clone().unsqueeze();
            let pre = taps.visit(format_args!("layers.{n}.mlp.pre"), pre);
            let act = taps.visit(format_args!("layers.{n}.mlp.act"), relu(pre));
            let out = times(&act, &layer.down) + layer.down_bias.clone().unsqueeze();
            let out = taps.visit(format_args!("layers.{n}.mlp.out"), out);
            if taps.finished() {
                return Ok(None);
            }
            x = taps.visit(format_args!("layers.{n}.resid.post"), x + out);
        }
        let normed = taps.visit(format_args!("final.norm"), norm(x));
        Ok(Some(taps.visit(format_args!("logits"), times(&normed, &self.head))))
    }
}

/// The values of a tensor.
pub(crate) fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_to_vec().expect("f32")
}

fn times(x: &Tensor<3>, by: &Tensor<2>) -> Tensor<3> {
    x.clone().matmul(by.clone().unsqueeze())
}

fn norm(x: Tensor<3>) -> Tensor<3> {
    let scale = (x.clone().square().mean_dim(2) + 1e-6).sqrt();
    x / scale
}

impl Network for Rectified {
    fn id(&self) -> &'static str {
        "rectified"
    }

    fn sites(&self) -> &[Site] {
        &self.sites
    }

    fn width(&self, site: &Site) -> Option<usize> {
        Some(match site.part() {
            "mlp.pre" | "mlp.act" => NEURONS,
            "logits" => VOCABULARY,
            _ => WIDTH,
        })
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

impl LanguageNetwork for Rectified {
    fn forward(&self, batch: &TokenBatch, taps: &mut Taps<'_>) -> Result<Option<Tensor<3>>> {
        taps.begin(&self.sites);
        taps.set_offset(0, 0);
        self.run(batch, taps)
    }

    fn forward_cached(
        &self,
        _batch: &TokenBatch,
        _cache: &mut KeyValueCache,
        _taps: &mut Taps<'_>,
    ) -> Result<Tensor<3>> {
        Err(Error::setting("network", "rectified", "a network with a cache"))
    }

    fn generate(
        &self,
        _prompt: &[u32],
        _sampling: &Sampling,
        _taps: &mut Taps<'_>,
    ) -> Result<Generated> {
        Err(Error::setting("network", "rectified", "a network that writes"))
    }

    fn layers(&self) -> usize {
        2
    }

    fn residual_width(&self) -> usize {
        WIDTH
    }

    fn vocabulary(&self) -> usize {
        VOCABULARY
    }

    fn context(&self) -> usize {
        32
    }

    fn is_causal(&self) -> bool {
        true
    }

    fn tokenizer(&self) -> Result<&dyn Tokenizer> {
        Ok(&Pairs)
    }

    fn down_projection(&self, layer: usize) -> Result<Tensor<2>> {
        Ok(self.layers[layer].down.clone())
    }

    fn unembed(&self, directions: Tensor<2>, _how: FinalNorm) -> Result<Tensor<2>> {
        Ok(directions.matmul(self.head.clone()))
    }
}

/// Pairs of digits are one token each, every other letter is one of the last twelve.
pub(crate) struct Pairs;

impl Tokenizer for Pairs {
    fn encode(&self, text: &str) -> Result<Vec<TokenSpan>> {
        let bytes = text.as_bytes();
        let mut spans = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let pair = bytes.get(at..at + 2).filter(|pair| pair.iter().all(u8::is_ascii_digit));
            let (id, length) = match pair {
                Some(pair) => (u32::from(pair[0] - b'0') * 10 + u32::from(pair[1] - b'0'), 2),
                None => (100 + u32::from(bytes[at]) % 12, 1),
            };
            spans.push(TokenSpan { id, start: at, end: at + length });
            at += length;
        }
        Ok(spans)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String> {
        Ok(tokens.iter().filter_map(|&id| self.token(id)).collect())
    }

    fn token(&self, id: u32) -> Option<String> {
        match id {
            0..100 => Some(format!("{id:02}")),
            100..112 => Some("x".to_owned()),
            _ => None,
        }
    }

    fn size(&self) -> usize {
        VOCABULARY
    }

    fn end(&self) -> Option<u32> {
        None
    }
}

/// The sites of the transcoder that a layer's MLP is.
pub(crate) fn mlp(layer: usize) -> Sites {
    let at = |part: &str| Site::new(format!("layers.{layer}.mlp.{part}"));
    Sites { input: at("in"), output: at("out") }
}

/// Random words `[sequence][token]`.
pub(crate) fn text(seed: u64, sequences: usize, length: usize) -> Vec<Vec<u32>> {
    let mut rng = rng(seed, 7);
    let mut word = || rng.random_range(0..VOCABULARY as u32);
    (0..sequences).map(|_| (0..length).map(|_| word()).collect()).collect()
}

/// Every site of a run with `taps`.
pub(crate) fn seen(
    network: &Rectified,
    rows: &[Vec<u32>],
    taps: Taps<'_>,
) -> BTreeMap<String, Vec<f32>> {
    let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    let mut seen = BTreeMap::new();
    let mut taps = taps.read("**".parse().expect("a glob"), |site, x| {
        seen.insert(site.to_owned(), values(x.clone()));
    });
    network.forward(&TokenBatch::new(&rows).expect("a batch"), &mut taps).expect("runs");
    drop(taps);
    seen
}
