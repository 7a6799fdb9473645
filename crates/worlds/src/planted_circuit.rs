//! A planted circuit: a random two-layer attention network with one chain of causes known through it.
//!
//! token → head of layer 0 → feature of layer 0 → feature of layer 1 → logit. The MLPs are
//! `relu(W_in x + b_in)`, so their neurons are a transcoder's features, of which few are active. The head
//! looks for the token wherever it stands and writes a direction `a`; the first feature reads `a` and
//! writes `f`, the second reads `f` and writes what raises the logit. What the attention of layer 1 writes
//! is orthogonal to what the second feature reads, so that without norms the first feature moves the
//! second on one path alone.
//!
//! Source: spec of the study, after Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944, §4.
//! Memory: the network, some 50,000 numbers.

use std::path::Path;

use nissl_core::numbers::{Block, to_bytes};
use nissl_core::seed::rng;
use nissl_core::store::write_bytes;
use nissl_core::{Error, Result};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Whether the network has norms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CircuitNorms {
    /// Layer norms with gain and bias, before each half and the head
    #[default]
    Layer,
    /// None: what reaches a feature on one path is exactly what leaves when the path is cut
    Absent,
}

/// What is planted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlantedCircuit {
    /// Units of the residual stream, 16 or more, a multiple of `heads`
    pub width: usize,
    /// Heads of each layer, 2 or more
    pub heads: usize,
    /// Features of each MLP, 41 or more
    pub features: usize,
    /// Tokens of the vocabulary, 4 or more
    pub vocabulary: usize,
    /// Tokens of the prompt, 4 or more
    pub prompt: usize,
    /// Norms
    pub norms: CircuitNorms,
    /// Seed of the weights and of the prompt
    pub seed: u64,
}

impl Default for PlantedCircuit {
    fn default() -> Self {
        Self {
            width: 64,
            heads: 4,
            features: 96,
            vocabulary: 32,
            prompt: 8,
            norms: CircuitNorms::Layer,
            seed: 0,
        }
    }
}

/// The chain that is planted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The prompt.
    pub prompt: Vec<u32>,
    /// The token at the beginning of the chain.
    pub token: u32,
    /// Where it stands.
    pub source: usize,
    /// The last position, where the chain ends.
    pub target: usize,
    /// The head of layer 0.
    pub head: usize,
    /// The features of layer 0 and of layer 1.
    pub features: [u32; 2],
    /// The token whose logit it raises.
    pub logit: u32,
}

/// The network and its chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Planted {
    /// Tensors by name, with their shapes, in TransformerLens's naming.
    pub tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    /// The network's `config.json`.
    pub config: serde_json::Value,
    /// What is planted.
    pub chain: Chain,
}

/// The features of the chain.
const FEATURES: [usize; 2] = [17, 40];
/// Longest prompt that the network reads.
const CONTEXT: usize = 32;
/// Share of random directions in what the planted features read.
const NOISE: f32 = 0.15;
/// The bias at which 4 % of standard normal numbers stay above 0.
const SILENT: f32 = -1.75;

impl PlantedCircuit {
    /// # Errors
    /// A setting outside its range.
    pub fn validate(&self) -> Result<()> {
        let least = [
            ("width", self.width, 16),
            ("heads", self.heads, 2),
            ("features", self.features, FEATURES[1] + 1),
            ("vocabulary", self.vocabulary, 4),
            ("prompt", self.prompt, 4),
        ];
        for (field, value, least) in least {
            if value < least {
                return Err(Error::setting(field, value, format!("{least} or more")));
            }
        }
        if self.prompt > CONTEXT {
            return Err(Error::setting("prompt", self.prompt, format!("{CONTEXT} at most")));
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(Error::setting(
                "heads",
                self.heads,
                format!("a divisor of {}", self.width),
            ));
        }
        Ok(())
    }

    /// Draws the network and plants the chain.
    ///
    /// # Errors
    /// A setting outside its range.
    pub fn plant(&self) -> Result<Planted> {
        self.validate()?;
        let (d, heads, m) = (self.width, self.heads, self.features);
        let mut draw = Draw(rng(self.seed, 0x00c1_c017));
        let [c, a, f] = draw.orthonormal(d);
        let token = draw.0.random_range(0..self.vocabulary as u32);
        let logit = (token + 1 + draw.0.random_range(0..self.vocabulary as u32 - 1))
            % self.vocabulary as u32;
        let head = draw.0.random_range(0..heads);
        // The norm brings every residual to length √d; without one, embeddings have that length.
        let length = (d as f32).sqrt() * if self.norms == CircuitNorms::Layer { 0.5 } else { 1.0 };
        let mut embed = draw.normal(self.vocabulary * d, length / (d as f32).sqrt());
        for (row, value) in embed[token as usize * d..][..d].iter_mut().zip(&c) {
            *row = length * value;
        }
        let mut tensors = vec![
            ("embed.W_E".to_owned(), vec![self.vocabulary, d], embed),
            ("pos_embed.W_pos".to_owned(), vec![CONTEXT, d], draw.normal(CONTEXT * d, 0.05)),
        ];
        let reads: Vec<Vec<f32>> = [&a, &f].map(|along| draw.near(along)).into();
        let raises = draw.unit(d);
        for layer in 0..2 {
            let mut add = |name: &str, shape: &[usize], values: Vec<f32>| {
                tensors.push((format!("blocks.{layer}.{name}"), shape.to_vec(), values));
            };
            let attention = self.attention(&mut draw, layer, head, [&c, &a], &reads[1]);
            for (name, shape, values) in attention {
                add(name, &shape, values);
            }
            let mut encoder: Vec<Vec<f32>> = (0..m).map(|_| draw.unit(d)).collect();
            encoder[FEATURES[layer]].clone_from(&reads[layer]);
            // `[residual, feature]`.
            let up = (0..d * m).map(|at| encoder[at % m][at / m]).collect();
            let mut decoder = draw.normal(m * d, 0.3 / (d as f32).sqrt());
            let written = if layer == 0 { (&f, 1.5) } else { (&raises, 2.0) };
            for (to, from) in decoder[FEATURES[layer] * d..][..d].iter_mut().zip(written.0) {
                *to = written.1 * from;
            }
            add("mlp.W_in", &[d, m], up);
            add("mlp.b_in", &[m], vec![SILENT; m]);
            add("mlp.W_out", &[m, d], decoder);
            add("mlp.b_out", &[d], draw.normal(d, 0.02));
            if self.norms == CircuitNorms::Layer {
                for norm in ["ln1", "ln2"] {
                    add(&format!("{norm}.w"), &[d], draw.near_one(d));
                    add(&format!("{norm}.b"), &[d], draw.normal(d, 0.03));
                }
            }
        }
        if self.norms == CircuitNorms::Layer {
            tensors.push(("ln_final.w".to_owned(), vec![d], draw.near_one(d)));
            tensors.push(("ln_final.b".to_owned(), vec![d], draw.normal(d, 0.03)));
        }
        let mut head_rows = draw.normal(self.vocabulary * d, 0.3 / (d as f32).sqrt());
        for (row, value) in head_rows[logit as usize * d..][..d].iter_mut().zip(&raises) {
            *row += value;
        }
        let vocabulary = self.vocabulary;
        let unembed = (0..d * vocabulary)
            .map(|at| head_rows[at % vocabulary * d + at / vocabulary])
            .collect();
        tensors.push(("unembed.W_U".to_owned(), vec![d, vocabulary], unembed));
        tensors.push(("unembed.b_U".to_owned(), vec![vocabulary], draw.normal(vocabulary, 0.02)));
        let source = draw.0.random_range(1..self.prompt - 1);
        let mut other = || {
            let step = 1 + draw.0.random_range(0..self.vocabulary as u32 - 1);
            (token + step) % self.vocabulary as u32
        };
        let mut prompt: Vec<u32> = (0..self.prompt).map(|_| other()).collect();
        prompt[source] = token;
        let norms = match self.norms {
            CircuitNorms::Layer => json!("LN"),
            CircuitNorms::Absent => json!(null),
        };
        Ok(Planted {
            tensors,
            config: json!({
                "model_type": "transformer_lens",
                "act_fn": "relu",
                "normalization_type": norms,
                "eps": 1e-5,
            }),
            chain: Chain {
                prompt,
                token,
                source,
                target: self.prompt - 1,
                head,
                features: FEATURES.map(|feature| feature as u32),
                logit,
            },
        })
    }

    /// The attention of a layer: weak and random, but for the planted head.
    fn attention(
        &self,
        draw: &mut Draw,
        layer: usize,
        head: usize,
        [c, a]: [&[f32]; 2],
        spared: &[f32],
    ) -> Vec<(&'static str, Vec<usize>, Vec<f32>)> {
        let (d, heads) = (self.width, self.heads);
        let width = d / heads;
        let flat = heads * width;
        let mut maps = [0.1, 0.1, 0.05].map(|size| draw.normal(d * flat, size));
        let mut biases = [0.05, 0.05, 0.02].map(|size| draw.normal(flat, size));
        let mut out = draw.normal(flat * d, 0.05);
        if layer == 0 {
            // Without a norm, the token is not raised above the rest of the residual.
            let gain = if self.norms == CircuitNorms::Layer { 0.6 } else { 1.0 };
            let [key, written] = [draw.unit(width), draw.unit(width)];
            let place = |residual: usize, unit: usize| (head * d + residual) * width + unit;
            for unit in 0..width {
                // The query is a constant that keys of the planted token meet.
                biases[0][head * width + unit] = (width as f32).sqrt() * key[unit];
                for residual in 0..d {
                    maps[0][place(residual, unit)] *= 0.1;
                    maps[1][place(residual, unit)] = 2.0 * key[unit] * c[residual];
                    maps[2][place(residual, unit)] = written[unit] * c[residual];
                    out[(head * width + unit) * d + residual] = gain * written[unit] * a[residual];
                }
            }
        } else {
            for row in out.chunks_mut(d) {
                let along: f32 = row.iter().zip(spared).map(|(x, y)| x * y).sum();
                row.iter_mut().zip(spared).for_each(|(x, y)| *x -= along * y);
            }
        }
        let [query, key, value] = maps;
        let [query_bias, key_bias, value_bias] = biases;
        let mut out_bias = draw.normal(d, 0.02);
        let along: f32 = out_bias.iter().zip(spared).map(|(x, y)| x * y).sum();
        out_bias.iter_mut().zip(spared).for_each(|(x, y)| *x -= along * y);
        vec![
            ("attn.W_Q", vec![heads, d, width], query),
            ("attn.b_Q", vec![heads, width], query_bias),
            ("attn.W_K", vec![heads, d, width], key),
            ("attn.b_K", vec![heads, width], key_bias),
            ("attn.W_V", vec![heads, d, width], value),
            ("attn.b_V", vec![heads, width], value_bias),
            ("attn.W_O", vec![heads, width, d], out),
            ("attn.b_O", vec![d], out_bias),
        ]
    }
}

impl Planted {
    /// Writes `config.json` and `model.safetensors` to a folder that is there.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let blocks = self
            .tensors
            .iter()
            .map(|(name, shape, values)| (name.as_str(), Block::f32s(values, shape)))
            .collect::<Vec<_>>();
        write_bytes(&folder.join("model.safetensors"), &to_bytes(&blocks)?)?;
        write_bytes(&folder.join("config.json"), self.config.to_string().as_bytes())
    }
}

struct Draw(ChaCha8Rng);

impl Draw {
    fn normal(&mut self, count: usize, size: f32) -> Vec<f32> {
        (0..count)
            .map(|_| {
                let value: f32 = StandardNormal.sample(&mut self.0);
                size * value
            })
            .collect()
    }

    fn near_one(&mut self, count: usize) -> Vec<f32> {
        self.normal(count, 0.1).into_iter().map(|value| 1.0 + value).collect()
    }

    fn unit(&mut self, count: usize) -> Vec<f32> {
        unit(self.normal(count, 1.0))
    }

    /// A unit vector that is `along` but for some noise.
    fn near(&mut self, along: &[f32]) -> Vec<f32> {
        let noise = self.unit(along.len());
        unit(along.iter().zip(&noise).map(|(along, noise)| along + NOISE * noise).collect())
    }

    /// Three directions at right angles.
    fn orthonormal(&mut self, count: usize) -> [Vec<f32>; 3] {
        let mut found: [Vec<f32>; 3] = std::array::from_fn(|_| self.unit(count));
        for at in 1..3 {
            let (before, rest) = found.split_at_mut(at);
            for other in before {
                let along: f32 = rest[0].iter().zip(other.iter()).map(|(x, y)| x * y).sum();
                rest[0].iter_mut().zip(other.iter()).for_each(|(x, y)| *x -= along * y);
            }
            rest[0] = unit(std::mem::take(&mut rest[0]));
        }
        found
    }
}

fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    for value in &mut values {
        *value /= length;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_network_and_another_another() {
        let plant = |seed| PlantedCircuit { seed, ..PlantedCircuit::default() }.plant();
        let first = plant(3).expect("plants");
        assert_eq!(first, plant(3).expect("plants"));
        assert_ne!(first.tensors, plant(4).expect("plants").tensors);
        for (name, shape, values) in &first.tensors {
            assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
            assert!(values.iter().all(|value| value.is_finite()), "{name}");
        }
        let Chain { prompt, token, source, target, .. } = &first.chain;
        assert_eq!(prompt.iter().filter(|&one| one == token).count(), 1);
        assert!(prompt[*source] == *token && source < target);
    }

    #[test]
    fn settings_outside_their_range_are_told() {
        let usual = PlantedCircuit::default;
        assert!(PlantedCircuit { heads: 3, ..usual() }.validate().is_err());
        assert!(PlantedCircuit { features: 40, ..usual() }.validate().is_err());
        assert!(PlantedCircuit { prompt: 33, ..usual() }.plant().is_err());
    }
}
