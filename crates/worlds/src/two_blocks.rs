//! A network of two blocks that never meet, beside decoys that nothing reads, hidden by rotations.
//!
//! `z` holds blocks `a` and `b` (4 standard normals each) and 4 decoys of scale 5; `x = z Q₁`. Layer 1
//! leads `a` and `b` each through a ReLU network of its own (16 hidden units) to 4 numbers and copies
//! the decoys, `y = […] Q₂`. Layer 2 reads `a` and `b` each through one more such network (3 outputs
//! each). The weights of `a` are doubled, so that the blocks' eigenvalues differ. Eight dimensions of
//! `x` and of `y` matter, and no coordinate of `a` acts on one of `b`.
//!
//! The network is in folded form: the constant 1 is the last coordinate of every node layer.

use ndarray::{Array2, ArrayView1, ArrayView2, s};
use nissl_core::section::{Chain, Held, Hidden, Nonlinearity};
use nissl_core::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// Numbers of a block, and of the decoys.
const SIZE: usize = 4;
/// All latent numbers.
const LATENT: usize = 3 * SIZE;
/// Hidden units of a block.
const HIDDEN: usize = 16;
/// Outputs of a block.
const READ: usize = 3;

/// A network of two blocks and its inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwoBlocks {
    /// Samples, at least 1
    pub samples: usize,
    /// Standard deviation of the decoys, above 0
    pub decoy_scale: f64,
    /// Factor on the weights of block a, above 0
    pub contrast: f64,
    /// Seed of weights, rotations and samples
    pub seed: u64,
}

impl Default for TwoBlocks {
    fn default() -> Self {
        Self { samples: 20_000, decoy_scale: 5.0, contrast: 2.0, seed: 0 }
    }
}

/// What a latent number is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The block of doubled weights.
    A,
    /// The other block.
    B,
    /// What nothing reads.
    Decoy,
}

/// The network, its inputs, and the rotations that hide the truth.
#[derive(Debug)]
pub struct TwoBlocksWorld {
    /// `[sample, 13]`: `x`, and 1.
    pub inputs: Array2<f64>,
    /// `Q₁` and `Q₂` `[latent, coordinate]`: the rows of the first four are of block a, of the next
    /// four of b, of the last of the decoys.
    pub rotations: [Array2<f64>; 2],
    layers: [Hidden; 2],
}

impl TwoBlocks {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// Names the first that is outside.
    pub fn validate(&self) -> Result<()> {
        if self.samples == 0 {
            return Err(Error::setting("samples", 0, "at least 1"));
        }
        for (name, value) in [("decoy_scale", self.decoy_scale), ("contrast", self.contrast)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::setting(name, value, "a number above 0"));
            }
        }
        Ok(())
    }

    /// Draws the network and its inputs.
    ///
    /// # Errors
    /// As [`Self::validate`].
    pub fn generate(&self) -> Result<TwoBlocksWorld> {
        self.validate()?;
        Ok(drawn(self))
    }
}

fn drawn(settings: &TwoBlocks) -> TwoBlocksWorld {
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let rotations = [rotation(&mut rng), rotation(&mut rng)];
    let scales = [settings.contrast, 1.0];
    let first: Vec<Block> = scales.map(|scale| Block::draw(SIZE, scale, &mut rng)).into();
    let second: Vec<Block> = scales.map(|scale| Block::draw(READ, scale, &mut rng)).into();
    let mut latent = normal(settings.samples, LATENT, 1.0, &mut rng);
    latent.slice_mut(s![.., 2 * SIZE..]).map_inplace(|value| *value *= settings.decoy_scale);
    let mut inputs = Array2::ones((settings.samples, LATENT + 1));
    inputs.slice_mut(s![.., ..LATENT]).assign(&latent.dot(&rotations[0]));
    // The decoys pass from the first rotation to the second.
    let decoys = |rotation: &Array2<f64>| rotation.slice(s![2 * SIZE.., ..]).to_owned();
    let passing = decoys(&rotations[0]).t().dot(&decoys(&rotations[1]));
    let into_y = rotations[1].slice(s![..2 * SIZE, ..]);
    let layers = [
        layer("x", &rotations[0], &first, into_y, Some(&passing)),
        layer("y", &rotations[1], &second, Array2::eye(2 * READ).view(), None),
    ];
    TwoBlocksWorld { inputs, rotations, layers }
}

/// A ReLU network of a block.
struct Block {
    /// `[block, hidden]`
    into: Array2<f64>,
    bias: Array2<f64>,
    /// `[hidden, output]`
    out: Array2<f64>,
}

impl Block {
    fn draw(outputs: usize, scale: f64, rng: &mut ChaCha8Rng) -> Self {
        Self {
            into: normal(SIZE, HIDDEN, scale / (SIZE as f64).sqrt(), rng),
            bias: normal(1, HIDDEN, 0.5, rng),
            out: normal(HIDDEN, outputs, scale / (HIDDEN as f64).sqrt(), rng),
        }
    }
}

/// Both blocks side by side between a rotation of their inputs and one of their outputs.
fn layer(
    name: &str,
    from: &Array2<f64>,
    blocks: &[Block],
    to: ArrayView2<'_, f64>,
    passing: Option<&Array2<f64>>,
) -> Hidden {
    let outputs = to.ncols();
    let mut straight = Array2::zeros((LATENT + 1, outputs + 1));
    straight[[LATENT, outputs]] = 1.0;
    if let Some(passing) = passing {
        straight.slice_mut(s![..LATENT, ..outputs]).assign(passing);
    }
    let hidden = blocks.len() * HIDDEN;
    let mut into = Array2::zeros((LATENT + 1, hidden));
    let mut out = Array2::zeros((hidden, outputs + 1));
    for (n, block) in blocks.iter().enumerate() {
        let units = n * HIDDEN..(n + 1) * HIDDEN;
        let read = from.slice(s![n * SIZE..(n + 1) * SIZE, ..]);
        into.slice_mut(s![..LATENT, units.clone()]).assign(&read.t().dot(&block.into));
        into.slice_mut(s![LATENT..=LATENT, units.clone()]).assign(&block.bias);
        let given = block.out.ncols();
        let written = to.slice(s![n * given..(n + 1) * given, ..]);
        out.slice_mut(s![units, ..outputs]).assign(&block.out.dot(&written));
    }
    let (name, positions, nonlinearity) = (name.to_owned(), 1, Nonlinearity::Relu);
    Hidden { name, positions, straight, into, out, nonlinearity }
}

impl TwoBlocksWorld {
    /// The node layers `x`, `y` and `out`.
    pub fn chain(&self) -> Chain {
        let sections = self.layers.iter().map(|layer| Box::new(layer.clone()) as Box<_>);
        Chain { sections: sections.collect(), end: "out".to_owned() }
    }

    /// The inputs as samples of the chain.
    pub fn samples(&self) -> Held {
        Held { rows: self.inputs.clone(), positions: 1 }
    }

    /// What each latent number is part of.
    pub fn parts() -> [Part; LATENT] {
        std::array::from_fn(|at| [Part::A, Part::B, Part::Decoy][at / SIZE])
    }

    /// What each output is part of.
    pub fn output_parts() -> [Part; 2 * READ] {
        std::array::from_fn(|at| [Part::A, Part::B][at / READ])
    }

    /// Shares of a vector's energy in a, b and the decoys; `vector` `[coordinate]` over `x` (`layer` 0)
    /// or `y` (1), with the constant or without.
    ///
    /// # Panics
    /// For another layer: that is an error of the calling code.
    pub fn shares(&self, layer: usize, vector: ArrayView1<'_, f64>) -> [f64; 3] {
        let turned = self.rotations[layer].dot(&vector.slice(s![..LATENT]));
        let mut shares = [0.0; 3];
        for (at, value) in turned.iter().enumerate() {
            shares[at / SIZE] += value * value;
        }
        let total: f64 = shares.iter().sum();
        shares.map(|share| if total > 0.0 { share / total } else { 0.0 })
    }

    /// The mean over `vectors` `[coordinate, vector]` of the largest share of energy in one part.
    pub fn purity(&self, layer: usize, vectors: ArrayView2<'_, f64>) -> f64 {
        let largest = |vector: ArrayView1<'_, f64>| {
            self.shares(layer, vector).into_iter().fold(0.0, f64::max)
        };
        vectors.columns().into_iter().map(largest).sum::<f64>() / vectors.ncols().max(1) as f64
    }
}

fn normal(rows: usize, columns: usize, scale: f64, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || {
        let value: f64 = StandardNormal.sample(rng);
        scale * value
    })
}

/// Orthonormal rows, by Gram and Schmidt, twice for the last digits.
fn rotation(rng: &mut ChaCha8Rng) -> Array2<f64> {
    let mut rows = normal(LATENT, LATENT, 1.0, rng);
    for at in 0..LATENT {
        for _ in 0..2 {
            for before in 0..at {
                let (done, mut rest) = rows.view_mut().split_at(ndarray::Axis(0), at);
                let (other, mut row) = (done.row(before), rest.row_mut(0));
                let along = row.dot(&other);
                row.scaled_add(-along, &other);
            }
        }
        let mut row = rows.row_mut(at);
        let norm = row.dot(&row).sqrt();
        row /= norm;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_act_on_their_own_outputs_and_decoys_on_none() {
        for seed in 0..3 {
            let world = TwoBlocks { samples: 40, seed, ..TwoBlocks::default() };
            let here = world.generate().expect("valid");
            let chain = here.chain();
            chain.validate().expect("fits");
            let [q1, _] = &here.rotations;
            assert!((q1.dot(&q1.t()) - Array2::<f64>::eye(LATENT)).iter().all(|x| x.abs() < 1e-13));
            let run = |inputs: &Array2<f64>| {
                let y = chain.sections[0].forward(inputs.view()).expect("fits");
                chain.sections[1].forward(y.view()).expect("fits")
            };
            let out = run(&here.inputs);
            assert!(out.column(6).iter().all(|value| (value - 1.0).abs() < 1e-15));
            for (at, part) in TwoBlocksWorld::parts().into_iter().enumerate() {
                let mut moved = here.inputs.clone();
                for mut row in moved.rows_mut() {
                    row.slice_mut(s![..LATENT]).scaled_add(0.7, &q1.row(at));
                }
                let change = run(&moved) - &out;
                for (output, of) in TwoBlocksWorld::output_parts().into_iter().enumerate() {
                    let most = change.column(output).iter().fold(0.0f64, |m, x| m.max(x.abs()));
                    assert_eq!(most > 1e-6, part == of, "seed {seed}: {at} on {output}: {most:e}");
                }
            }
            assert!((here.purity(0, q1.t()) - 1.0).abs() < 1e-12);
            assert!(here.purity(0, Array2::eye(LATENT).view()) < 0.9, "the rotation hides it");
        }
        assert!(TwoBlocks { samples: 0, ..TwoBlocks::default() }.generate().is_err());
        let flat = TwoBlocks { decoy_scale: f64::NAN, ..TwoBlocks::default() };
        assert!(flat.generate().expect_err("no number").to_string().contains("decoy_scale"));
    }
}
