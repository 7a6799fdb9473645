//! Two layers of gated neurons under RMS norms whose read and write vectors are planted: neuron `n`
//! of a layer reads one word and writes another, the rest is noise.

use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor, TensorData};
use nissl_core::network::{
    FinalNorm, Generated, KeyValueCache, LanguageNetwork, Network, Sampling, TokenBatch, Tokenizer,
};
use nissl_core::seed::rng;
use nissl_core::taps::Taps;
use nissl_core::{Error, Result, Site};
use rand_distr::{Distribution, StandardNormal};

/// Words.
pub(crate) const VOCABULARY: usize = 64;
/// Units of the residual stream.
pub(crate) const WIDTH: usize = 48;
/// Neurons of a layer.
pub(crate) const NEURONS: usize = 96;
/// How many of them, from 0, are planted: each writes the word of [`written`].
pub(crate) const PLANTED: usize = 12;

/// The word that a planted neuron reads.
pub(crate) fn read(neuron: usize) -> u32 {
    (3 * neuron + 1) as u32
}

/// The word that a planted neuron writes: of the even ones that which it reads, of the odd ones
/// another.
pub(crate) fn written(neuron: usize) -> u32 {
    if neuron.is_multiple_of(2) { read(neuron) } else { read(neuron) + 7 }
}

struct Layer {
    gain: Tensor<1>,
    /// `[residual, neuron]`.
    gate: Tensor<2>,
    up: Tensor<2>,
    /// `[neuron, residual]`.
    down: Tensor<2>,
}

/// The network; positions do not see each other.
pub(crate) struct Gated {
    sites: Vec<Site>,
    device: Device,
    embed: Tensor<2>,
    layers: Vec<Layer>,
    gain: Tensor<1>,
    /// `[residual, token]`.
    head: Tensor<2>,
}

impl Gated {
    pub(crate) fn new(seed: u64) -> Self {
        let device = Device::flex();
        let mut rng = rng(seed, 3);
        let mut normal = |count: usize, deviation: f32| -> Vec<f32> {
            let draw = |_| -> f32 { StandardNormal.sample(&mut rng) };
            (0..count).map(draw).map(|z: f32| z * deviation).collect()
        };
        let matrix = |values: Vec<f32>, shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(values, shape), &device)
        };
        let words = normal(VOCABULARY * WIDTH, 1.0 / (WIDTH as f32).sqrt());
        let word = |token: u32| &words[token as usize * WIDTH..(token as usize + 1) * WIDTH];
        let mut layers = Vec::new();
        for _ in 0..2 {
            let mut up = normal(NEURONS * WIDTH, 0.05);
            let gate = normal(NEURONS * WIDTH, 0.3);
            let mut down = normal(NEURONS * WIDTH, 0.002);
            // The rest write as much, but to no word.
            let directions = normal(NEURONS * WIDTH, 0.04);
            for neuron in 0..NEURONS {
                let row = neuron * WIDTH..(neuron + 1) * WIDTH;
                if neuron < PLANTED {
                    let write = word(written(neuron));
                    down[row.clone()].iter_mut().zip(write).for_each(|(d, u)| *d += 0.3 * u);
                    up[row].iter_mut().zip(word(read(neuron))).for_each(|(w, u)| *w += 2.0 * u);
                } else {
                    down[row.clone()].iter_mut().zip(&directions[row]).for_each(|(d, n)| *d += n);
                }
            }
            layers.push(Layer {
                gain: Tensor::ones([WIDTH], &device) * 0.9,
                gate: matrix(gate, [NEURONS, WIDTH]).transpose(),
                up: matrix(up, [NEURONS, WIDTH]).transpose(),
                down: matrix(down, [NEURONS, WIDTH]),
            });
        }
        let gain: Vec<f32> = normal(WIDTH, 0.1).into_iter().map(|z| 1.0 + z).collect();
        let parts = ["resid.pre", "mlp.pre", "mlp.act", "mlp.out", "resid.post"];
        let inner = (0..2).flat_map(|n| parts.map(|part| format!("layers.{n}.{part}")));
        let mut sites = vec![Site::new("embed")];
        sites.extend(inner.map(Site::new));
        sites.extend(["final.norm", "logits"].map(Site::new));
        Self {
            embed: matrix(normal(VOCABULARY * WIDTH, 0.5), [VOCABULARY, WIDTH]),
            head: matrix(words, [VOCABULARY, WIDTH]).transpose(),
            gain: Tensor::from_data(TensorData::new(gain, [WIDTH]), &device),
            sites,
            layers,
            device,
        }
    }

    fn run(&self, batch: &TokenBatch, taps: &mut Taps<'_>) -> Result<Tensor<3>> {
        taps.check(self.id(), &self.sites, |site| self.width(site))?;
        batch.check_vocabulary(VOCABULARY)?;
        let tokens = batch.to_tensor(&self.device);
        let [sequences, positions] = tokens.dims();
        let rows = self.embed.clone().select(0, tokens.reshape([sequences * positions]));
        let mut x = taps.visit(format_args!("embed"), rows.reshape([sequences, positions, WIDTH]));
        for (n, layer) in self.layers.iter().enumerate() {
            x = taps.visit(format_args!("layers.{n}.resid.pre"), x);
            let normed = norm(x.clone(), &layer.gain);
            let pre = taps.visit(format_args!("layers.{n}.mlp.pre"), times(&normed, &layer.gate));
            let act = silu(pre) * times(&normed, &layer.up);
            let act = taps.visit(format_args!("layers.{n}.mlp.act"), act);
            let out = taps.visit(format_args!("layers.{n}.mlp.out"), times(&act, &layer.down));
            x = taps.visit(format_args!("layers.{n}.resid.post"), x + out);
        }
        let normed = taps.visit(format_args!("final.norm"), norm(x, &self.gain));
        Ok(taps.visit(format_args!("logits"), times(&normed, &self.head)))
    }
}

fn times(x: &Tensor<3>, by: &Tensor<2>) -> Tensor<3> {
    x.clone().matmul(by.clone().unsqueeze())
}

fn norm(x: Tensor<3>, gain: &Tensor<1>) -> Tensor<3> {
    let scale = (x.clone().square().mean_dim(2) + 1e-6).sqrt();
    x / scale * gain.clone().unsqueeze()
}

impl Network for Gated {
    fn id(&self) -> &'static str {
        "gated"
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

impl LanguageNetwork for Gated {
    fn forward(&self, batch: &TokenBatch, taps: &mut Taps<'_>) -> Result<Option<Tensor<3>>> {
        taps.begin(&self.sites);
        taps.set_offset(0, 0);
        self.run(batch, taps).map(Some)
    }

    fn forward_cached(
        &self,
        batch: &TokenBatch,
        cache: &mut KeyValueCache,
        taps: &mut Taps<'_>,
    ) -> Result<Tensor<3>> {
        taps.begin(&self.sites);
        taps.set_offset(cache.positions, 0);
        cache.positions += batch.positions();
        self.run(batch, taps)
    }

    fn generate(
        &self,
        _prompt: &[u32],
        _sampling: &Sampling,
        _taps: &mut Taps<'_>,
    ) -> Result<Generated> {
        Err(Error::setting("network", "gated", "a network that writes"))
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
        64
    }

    fn is_causal(&self) -> bool {
        true
    }

    fn tokenizer(&self) -> Result<&dyn Tokenizer> {
        Err(Error::setting("tokenizer", "absent", "a tokenizer beside the checkpoint"))
    }

    fn down_projection(&self, layer: usize) -> Result<Tensor<2>> {
        Ok(self.layers[layer].down.clone())
    }

    fn unembed(&self, directions: Tensor<2>, how: FinalNorm) -> Result<Tensor<2>> {
        let rows = directions.unsqueeze::<3>();
        let normed = match how {
            FinalNorm::Apply => norm(rows, &self.gain),
            FinalNorm::Gain => rows * self.gain.clone().unsqueeze(),
            FinalNorm::Skip => rows,
        };
        Ok(times(&normed, &self.head).squeeze_dim(0))
    }
}
