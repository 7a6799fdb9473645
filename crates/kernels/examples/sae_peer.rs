//! The nissl side of `benches/peers/sae.py`: training steps of a top-k sparse autoencoder, timed.
//!
//! usage: sae_peer FILE.safetensors K STEPS RATE sparsify|saelens; the file holds `batches`
//! `[batch, row, unit]`, `decoder` `[feature, unit]` with unit rows, which is also the encoder, and `mean`
//! `[unit]`, where the decoder's bias begins. Prints one JSON line with the seconds and the share of
//! variance unexplained of each step. A step is the forward pass, the backward pass and Adam; the file is
//! read before. What is done about the loss and the decoder's rows is what the peer named does:
//! sparsify takes the share unexplained for the loss and keeps rows at norm 1, SAELens takes the mean of
//! squares, keeps the gradient's norm within 1 and leaves the rows alone.

use std::{error::Error, path::Path, time::Instant};

use nissl_kernels::{
    Mapped,
    gemm::{self, MatRef},
    sparse_code::{
        AdamStep, Select, adam, decode, decode_gradient, encode, encode_gradient,
        remove_along_rows, unit_rows,
    },
};
use rayon::prelude::*;
use safetensors::SafeTensors;

/// Numbers of one task of the passes over samples.
const BLOCK: usize = 1 << 14;

/// A parameter, its gradient and its moments.
struct Trained {
    at: Vec<f32>,
    gradient: Vec<f32>,
    moments: [Vec<f32>; 2],
}

impl Trained {
    fn new(at: Vec<f32>) -> Self {
        let zeros = vec![0.0; at.len()];
        Self { at, gradient: zeros.clone(), moments: [zeros.clone(), zeros] }
    }

    fn clear(&mut self) {
        self.gradient.par_chunks_mut(BLOCK).for_each(|part| part.fill(0.0));
    }

    /// The square of the gradient's norm.
    fn square(&self) -> f64 {
        let squares: Vec<f64> = self
            .gradient
            .par_chunks(BLOCK)
            .map(|part| {
                let mut lanes = [0f32; 64];
                for part in part.chunks(64) {
                    for (lane, x) in lanes.iter_mut().zip(part) {
                        *lane += x * x;
                    }
                }
                lanes.iter().map(|lane| f64::from(*lane)).sum()
            })
            .collect();
        squares.iter().sum()
    }

    fn scale(&mut self, factor: f32) {
        self.gradient
            .par_chunks_mut(BLOCK)
            .for_each(|part| part.iter_mut().for_each(|x| *x *= factor));
    }

    fn step(&mut self, step: AdamStep) {
        let [first, second] = &mut self.moments;
        adam(&mut self.at, &self.gradient, first, second, step);
    }
}

struct Autoencoder {
    units: usize,
    encoder: Trained,
    encoder_bias: Trained,
    decoder: Trained,
    decoder_bias: Trained,
    /// `[row, unit]`: samples without the decoder's bias
    centred: Vec<f32>,
    /// `[row, unit]`: the reconstruction, then the gradient by it
    out: Vec<f32>,
    recipe: Recipe,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Recipe {
    /// `Σ (x̂ − x)² / Σ (x − mean)²`, unit rows
    Sparsify,
    /// `Σ (x̂ − x)² / rows`, gradients of norm 1 at most
    SaeLens,
}

impl Autoencoder {
    /// One step on `x` `[row, unit]`; says the share of its variance that was not explained.
    fn step(&mut self, x: &[f32], k: usize, step: AdamStep) -> f64 {
        let units = self.units;
        if self.recipe == Recipe::Sparsify {
            unit_rows(&mut self.decoder.at, units);
        }
        let block = BLOCK.div_ceil(units) * units;
        let bias = &self.decoder_bias.at;
        self.centred.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(out, x)| {
            for (out, x) in out.chunks_mut(units).zip(x.chunks(units)) {
                for ((out, x), bias) in out.iter_mut().zip(x).zip(bias) {
                    *out = x - bias;
                }
            }
        });
        let bias = Some(self.encoder_bias.at.as_slice());
        let code = encode(&self.centred, &self.encoder.at, bias, units, Select::TopK(k));
        let bias = Some(self.decoder_bias.at.as_slice());
        decode(&code, &self.decoder.at, bias, units, &mut self.out);
        let variance = variance(x, units);
        let scale = match self.recipe {
            Recipe::Sparsify => (2.0 / variance) as f32,
            Recipe::SaeLens => 2.0 / code.rows() as f32,
        };
        let squares: Vec<f64> = self
            .out
            .par_chunks_mut(block)
            .zip(x.par_chunks(block))
            .map(|(out, x)| {
                let mut lanes = [0f32; 64];
                for (out, x) in out.chunks_mut(64).zip(x.chunks(64)) {
                    for ((out, x), lane) in out.iter_mut().zip(x).zip(&mut lanes) {
                        let gap = *out - x;
                        *lane += gap * gap;
                        *out = scale * gap;
                    }
                }
                lanes.iter().map(|lane| f64::from(*lane)).sum()
            })
            .collect();
        [&mut self.encoder, &mut self.encoder_bias, &mut self.decoder]
            .into_iter()
            .for_each(Trained::clear);
        let by_value =
            decode_gradient(&code, &self.decoder.at, units, &self.out, &mut self.decoder.gradient);
        encode_gradient(
            &code,
            &by_value,
            &self.centred,
            units,
            &mut self.encoder.gradient,
            &mut self.encoder_bias.gradient,
        );
        // The bias is added to what is written and taken off what is read.
        let read = MatRef::row_major(&self.encoder_bias.gradient, 1, code.features);
        let encoder = MatRef::row_major(&self.encoder.at, code.features, units);
        gemm::matmul(read, encoder, &mut self.decoder_bias.gradient);
        for (gradient, sum) in self.decoder_bias.gradient.iter_mut().zip(sums(&self.out, units)) {
            *gradient = (sum - f64::from(*gradient)) as f32;
        }
        let mut all =
            [&mut self.encoder, &mut self.encoder_bias, &mut self.decoder, &mut self.decoder_bias];
        match self.recipe {
            Recipe::Sparsify => {
                let decoder = &mut *all[2];
                remove_along_rows(&mut decoder.gradient, &decoder.at, units);
            }
            Recipe::SaeLens => {
                let norm = all.iter().map(|of| of.square()).sum::<f64>().sqrt();
                let factor = (1.0 / (norm + 1e-6)).min(1.0) as f32;
                for trained in &mut all {
                    trained.scale(factor);
                }
            }
        }
        for trained in all {
            trained.step(step);
        }
        squares.iter().sum::<f64>() / variance
    }
}

/// `Σ x` over the rows, `[unit]`.
fn sums(x: &[f32], units: usize) -> Vec<f64> {
    let parts: Vec<Vec<f32>> = x
        .par_chunks(64 * units)
        .map(|rows| {
            let mut sums = vec![0f32; units];
            for row in rows.chunks(units) {
                for (sum, x) in sums.iter_mut().zip(row) {
                    *sum += x;
                }
            }
            sums
        })
        .collect();
    let mut sums = vec![0f64; units];
    for part in &parts {
        for (sum, part) in sums.iter_mut().zip(part) {
            *sum += f64::from(*part);
        }
    }
    sums
}

/// `Σ (x − mean)²`.
fn variance(x: &[f32], units: usize) -> f64 {
    let rows = (x.len() / units) as f64;
    let mean: Vec<f32> = sums(x, units).iter().map(|sum| (sum / rows) as f32).collect();
    let parts: Vec<f64> = x
        .par_chunks(64 * units)
        .map(|rows| {
            let mut squares = vec![0f32; units];
            for row in rows.chunks(units) {
                for ((square, x), mean) in squares.iter_mut().zip(row).zip(&mean) {
                    *square += (x - mean) * (x - mean);
                }
            }
            squares.iter().map(|square| f64::from(*square)).sum()
        })
        .collect();
    parts.iter().sum()
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, k, steps, rate, recipe] = arguments.as_slice() else {
        return Err("usage: sae_peer FILE.safetensors K STEPS RATE sparsify|saelens".into());
    };
    let recipe = match recipe.as_str() {
        "sparsify" => Recipe::Sparsify,
        "saelens" => Recipe::SaeLens,
        other => return Err(format!("{other} is neither sparsify nor saelens").into()),
    };
    let (k, steps, rate): (usize, u32, f32) = (k.parse()?, steps.parse()?, rate.parse()?);
    let map = Mapped::open(Path::new(file))?;
    let tensors = SafeTensors::deserialize(&map)?;
    let read = |name: &str| -> Result<(Vec<usize>, Vec<f32>), Box<dyn Error>> {
        let tensor = tensors.tensor(name)?;
        let numbers = bytemuck::try_cast_slice(tensor.data())
            .map_err(|error| format!("numbers of `{name}`: {error}"))?;
        Ok((tensor.shape().to_vec(), numbers.to_vec()))
    };
    let (shape, batches) = read("batches")?;
    let (_, decoder) = read("decoder")?;
    let (_, mean) = read("mean")?;
    let [_, rows, units] = *shape.as_slice() else { return Err("`[batch, row, unit]`".into()) };
    let mut autoencoder = Autoencoder {
        units,
        encoder: Trained::new(decoder.clone()),
        encoder_bias: Trained::new(vec![0.0; decoder.len() / units]),
        decoder: Trained::new(decoder),
        decoder_bias: Trained::new(mean),
        centred: vec![0.0; rows * units],
        out: vec![0.0; rows * units],
        recipe,
    };
    let (mut seconds, mut unexplained) = (Vec::new(), Vec::new());
    for (number, x) in (1..=steps).zip(batches.chunks(rows * units).cycle()) {
        let begun = Instant::now();
        let step = AdamStep { rate, betas: [0.9, 0.999], epsilon: 1e-8, number };
        unexplained.push(autoencoder.step(x, k, step));
        seconds.push(begun.elapsed().as_secs_f64());
    }
    println_json(&serde_json::json!({ "seconds": seconds, "unexplained": unexplained }));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the one line that the script reads")]
fn println_json(value: &serde_json::Value) {
    println!("{value}");
}
