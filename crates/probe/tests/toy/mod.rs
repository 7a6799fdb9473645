//! A network small enough to know all about: reading word `j` switches feature `j` on, and feature
//! `j` raises the logit of the word after `j`.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod gated;

use burn::tensor::{Device, Int, Tensor, TensorData};
use nissl_core::network::{
    FinalNorm, Generated, KeyValueCache, LanguageNetwork, Network, Sampling, TokenBatch, Tokenizer,
};
use nissl_core::seed::rng;
use nissl_core::taps::Taps;
use nissl_core::{Error, Result, Site};
use rand::RngExt;

/// Words, and as many features.
pub(crate) const WORDS: usize = 32;
/// Units of the one MLP: four for each feature.
pub(crate) const UNITS: usize = 4 * WORDS;
/// The site of the features.
pub(crate) const SITE: &str = "layers.0.mlp.act";

/// How logits answer to the residual stream.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum ReadOut {
    /// In proportion.
    Linear,
    /// By its sine, so that more strength does not always mean more effect.
    Wavy,
}

/// Embedding, one linear MLP, read-out.
pub(crate) struct Toy {
    sites: Vec<Site>,
    device: Device,
    /// `[feature][unit]`, of unit length.
    pub(crate) directions: Vec<Vec<f32>>,
    up: Tensor<2>,
    down: Tensor<2>,
    read_out: ReadOut,
}

impl Toy {
    /// A network with features of random signs and a little noise in its down projection.
    pub(crate) fn new(seed: u64, read_out: ReadOut) -> Self {
        let mut rng = rng(seed, 0);
        let device = Device::flex();
        let directions: Vec<Vec<f32>> = (0..WORDS)
            .map(|feature| {
                let mut row = vec![0.0; UNITS];
                for unit in &mut row[4 * feature..4 * feature + 4] {
                    *unit = if rng.random::<bool>() { 0.5 } else { -0.5 };
                }
                row
            })
            .collect();
        // The stream holds the word read (first half) and the words to come (second half).
        let mut up = vec![0.0; 2 * WORDS * UNITS];
        let mut down = vec![0.0; UNITS * 2 * WORDS];
        for (feature, direction) in directions.iter().enumerate() {
            for (unit, &z) in direction.iter().enumerate() {
                up[feature * UNITS + unit] = 4.0 * z;
                down[unit * 2 * WORDS + WORDS + (feature + 1) % WORDS] += 1.5 * z;
            }
        }
        for value in &mut down {
            *value += 0.1 * (rng.random::<f32>() - 0.5);
        }
        let matrix = |values: Vec<f32>, shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(values, shape), &device)
        };
        let sites = ["embed", SITE, "layers.0.mlp.out", "layers.0.resid.post", "logits"];
        Self {
            sites: sites.map(Site::new).to_vec(),
            up: matrix(up, [2 * WORDS, UNITS]),
            down: matrix(down, [UNITS, 2 * WORDS]),
            directions,
            read_out,
            device,
        }
    }

    /// Sequences in which each word is followed by the next with probability 0.8, else by any.
    pub(crate) fn text(seed: u64, sequences: usize, length: usize) -> Vec<Vec<u32>> {
        let mut rng = rng(seed, 1);
        (0..sequences)
            .map(|_| {
                let mut word = rng.random_range(0..WORDS as u32);
                (0..length)
                    .map(|_| {
                        let now = word;
                        word = if rng.random::<f32>() < 0.8 {
                            (word + 1) % WORDS as u32
                        } else {
                            rng.random_range(0..WORDS as u32)
                        };
                        now
                    })
                    .collect()
            })
            .collect()
    }

    fn head(&self, residual: Tensor<3>) -> Tensor<3> {
        let [batch, positions, width] = residual.dims();
        let words = residual.slice([0..batch, 0..positions, WORDS..width]);
        match self.read_out {
            ReadOut::Linear => words,
            ReadOut::Wavy => words.sin() * 3.0,
        }
    }

    fn run(&self, batch: &TokenBatch, taps: &mut Taps<'_>) -> Result<Tensor<3>> {
        taps.check(self.id(), &self.sites, |site| self.width(site))?;
        batch.check_vocabulary(WORDS)?;
        let [sequences, positions] = [batch.batch(), batch.positions()];
        let words: Tensor<2, Int> = batch.to_tensor(&self.device);
        let read: Tensor<3> = words.one_hot::<3>(WORDS).float();
        let none = Tensor::zeros([sequences, positions, WORDS], &self.device);
        let embed = taps.visit(format_args!("embed"), Tensor::cat(vec![read, none], 2));
        let multiply = |x: Tensor<3>, by: &Tensor<2>| {
            let [batch, positions, width] = x.dims();
            let out = by.dims()[1];
            x.reshape([batch * positions, width])
                .matmul(by.clone())
                .reshape([batch, positions, out])
        };
        let act = taps.visit(format_args!("{SITE}"), multiply(embed.clone(), &self.up));
        let out = taps.visit(format_args!("layers.0.mlp.out"), multiply(act, &self.down));
        let post = taps.visit(format_args!("layers.0.resid.post"), embed + out);
        Ok(taps.visit(format_args!("logits"), self.head(post)))
    }
}

impl Network for Toy {
    fn id(&self) -> &'static str {
        "toy"
    }

    fn sites(&self) -> &[Site] {
        &self.sites
    }

    fn width(&self, site: &Site) -> Option<usize> {
        Some(match site.name() {
            SITE => UNITS,
            "logits" => WORDS,
            _ => 2 * WORDS,
        })
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

impl LanguageNetwork for Toy {
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
        Err(Error::setting("network", "toy", "a network that writes"))
    }

    fn layers(&self) -> usize {
        1
    }

    fn residual_width(&self) -> usize {
        2 * WORDS
    }

    fn vocabulary(&self) -> usize {
        WORDS
    }

    fn context(&self) -> usize {
        256
    }

    fn is_causal(&self) -> bool {
        true
    }

    fn tokenizer(&self) -> Result<&dyn Tokenizer> {
        Err(Error::setting("tokenizer", "absent", "a tokenizer beside the checkpoint"))
    }

    fn down_projection(&self, layer: usize) -> Result<Tensor<2>> {
        match layer {
            0 => Ok(self.down.clone()),
            other => Err(Error::setting("layer", other, "0")),
        }
    }

    fn unembed(&self, directions: Tensor<2>, _norm: FinalNorm) -> Result<Tensor<2>> {
        let [rows, width] = directions.dims();
        Ok(directions.slice([0..rows, WORDS..width]))
    }
}
