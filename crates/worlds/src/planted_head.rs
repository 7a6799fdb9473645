//! A gated network's MLP weights in which neurons read and write known tokens.
//!
//! Head `U` of entries `N(0, 1/d)`, so that its rows have length about 1. Rows of all matrices are
//! background, `N(0, background²/d)`. A planted neuron's up row gets `+ a u_t`, each with a token of
//! its own; some planted neurons' down columns get `+ b u_s`, of which half write another token than
//! they read. Every up row may share a direction, `+ c m`, and one further row is pure noise of
//! great length.
//!
//! Source: study A and B for Davies 2025, arXiv:2501.02688.
//! Memory: the head and three matrices a layer.

use ndarray::Array2;
use nissl_core::{Error, Result};
use rand::RngExt;
use rand::seq::index;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// Settings of planted weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlantedHead {
    /// Tokens (V), 2 or more
    pub vocabulary: usize,
    /// Width of the residual stream (d), 1 or more
    pub width: usize,
    /// Layers, 1 or more
    pub layers: usize,
    /// Neurons of each layer (F), 1 or more
    pub neurons: usize,
    /// Neurons that read a token, each its own; at most `vocabulary`, and fewer than all neurons
    pub planted: usize,
    /// How strongly (a), above 0
    pub strength: f32,
    /// Expected length of background rows, at least 0
    pub background: f32,
    /// Planted neurons that write a token as well, 0 to `planted`; every other of them another one
    pub writers: usize,
    /// How strongly (b), above 0
    pub write_strength: f32,
    /// Length of the direction that all up rows share (c), at least 0
    pub common: f32,
    /// Expected length of one further background row, 0 for none
    pub noise_row: f32,
    /// Seed of everything
    pub seed: u64,
}

impl Default for PlantedHead {
    fn default() -> Self {
        Self {
            vocabulary: 512,
            width: 64,
            layers: 2,
            neurons: 2048,
            planted: 200,
            strength: 8.0,
            background: 0.3,
            writers: 50,
            write_strength: 8.0,
            common: 0.0,
            noise_row: 20.0,
            seed: 0,
        }
    }
}

/// A neuron with a known meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlantedNeuron {
    /// Its layer.
    pub layer: usize,
    /// Its number in the layer.
    pub neuron: usize,
    /// The token it reads.
    pub reads: usize,
    /// The token it writes, if any.
    pub writes: Option<usize>,
}

/// Weights and the neurons planted in them.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedHeadWeights {
    /// `[token, residual]`
    pub head: Array2<f32>,
    /// What neurons read, `[neuron, residual]` for each layer.
    pub up: Vec<Array2<f32>>,
    /// What opens their gates, `[neuron, residual]` for each layer.
    pub gate: Vec<Array2<f32>>,
    /// What neurons write, `[neuron, residual]` for each layer (columns of the down projection).
    pub down: Vec<Array2<f32>>,
    /// The planted neurons, by layer and number.
    pub planted: Vec<PlantedNeuron>,
    /// Layer and number of the row of noise, when there is one.
    pub noise_row: Option<(usize, usize)>,
}

impl PlantedHead {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        let atleast = |name: &str, found: usize, least: usize| {
            if found < least {
                return Err(Error::setting(name, found, format!("{least} or more")));
            }
            Ok(())
        };
        atleast("vocabulary", self.vocabulary, 2)?;
        atleast("width", self.width, 1)?;
        atleast("layers", self.layers, 1)?;
        atleast("neurons", self.neurons, 1)?;
        let most = self.vocabulary.min(self.layers * self.neurons - 1);
        if self.planted > most {
            return Err(Error::setting("planted", self.planted, format!("at most {most}")));
        }
        if self.writers > self.planted {
            let expected = format!("at most {}, the planted neurons", self.planted);
            return Err(Error::setting("writers", self.writers, expected));
        }
        for (name, value) in [("strength", self.strength), ("write_strength", self.write_strength)]
        {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::setting(name, value, "above 0"));
            }
        }
        let lengths = [
            ("background", self.background),
            ("common", self.common),
            ("noise_row", self.noise_row),
        ];
        for (name, value) in lengths {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::setting(name, value, "0 or more"));
            }
        }
        Ok(())
    }

    /// Makes the weights.
    ///
    /// # Errors
    /// A value outside its range.
    pub fn weights(&self) -> Result<PlantedHeadWeights> {
        self.validate()?;
        let &Self { vocabulary, width, layers, neurons, planted, .. } = self;
        let mut rng = nissl_core::seed::rng(self.seed, 0);
        let per_entry = 1.0 / (width as f32).sqrt();
        let mut normal = |rows: usize, length: f32| {
            Array2::from_shape_simple_fn((rows, width), || {
                let value: f32 = StandardNormal.sample(&mut rng);
                value * per_entry * length
            })
        };
        let head = normal(vocabulary, 1.0);
        let mut matrices = || (0..layers).map(|_| normal(neurons, self.background)).collect();
        let (mut up, gate, mut down): (Vec<_>, Vec<_>, Vec<_>) =
            (matrices(), matrices(), matrices());
        let noise = normal(1, self.noise_row);
        let mut shared = normal(1, 1.0);
        let length = shared.iter().map(|value| value * value).sum::<f32>().sqrt();
        shared *= self.common / length.max(f32::MIN_POSITIVE);

        let mut rng = nissl_core::seed::rng(self.seed, 1);
        let places = index::sample(&mut rng, layers * neurons, planted + 1).into_vec();
        let tokens = index::sample(&mut rng, vocabulary, planted).into_vec();
        let mut found = Vec::with_capacity(planted);
        for (number, (&place, &reads)) in places.iter().zip(&tokens).enumerate() {
            let (layer, neuron) = (place / neurons, place % neurons);
            up[layer].row_mut(neuron).scaled_add(self.strength, &head.row(reads));
            let writes = (number < self.writers).then(|| {
                if number % 2 == 0 {
                    reads
                } else {
                    (reads + rng.random_range(1..vocabulary)) % vocabulary
                }
            });
            if let Some(token) = writes {
                down[layer].row_mut(neuron).scaled_add(self.write_strength, &head.row(token));
            }
            found.push(PlantedNeuron { layer, neuron, reads, writes });
        }
        let noise_row = (self.noise_row > 0.0).then(|| {
            let place = places[planted];
            up[place / neurons].row_mut(place % neurons).assign(&noise.row(0));
            (place / neurons, place % neurons)
        });
        for matrix in &mut up {
            *matrix += &shared;
        }
        found.sort_by_key(|one| (one.layer, one.neuron));
        Ok(PlantedHeadWeights { head, up, gate, down, planted: found, noise_row })
    }
}
