//! Causal attention beside the residual stream, as a section.
//!
//! With `x` the columns that are read and 1 the constant: `q, k, v = [x, 1] W`, `s = q·k / √width`
//! over the keys up to the query, `A = softmax s`, `z = Σ A v`, `out = r + z W_O + 1 b_O`.
//! Derivatives: `dA = A ∘ (ds − Σ A ds)`; backwards `ds = A ∘ (dA − Σ A dA)` with `dA = dz·v`.
//!
//! Source: Vaswani et al. 2017, §3.2; Bushnaq et al. 2024, arXiv:2405.10928, §3 (folded biases).
//! Left out: rotary positions, soft caps, keys shared by heads.
//! Sums of squared derivatives have closed forms: `attention/closed.rs`.
//! Memory: queries, keys, values and patterns of the samples it is given.

mod closed;

use ndarray::{Array2, ArrayView2, s};
use nissl_core::features::{add_product, product};
use nissl_core::section::{Extent, Section, fits};
use nissl_core::{Error, Result};
use rayon::prelude::*;

/// Attention with the residual stream that passes beside it.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    pub(super) name: String,
    pub(super) positions: usize,
    /// Whether only the last position is given.
    pub(super) last_only: bool,
    /// Coordinates of the input, the constant last.
    pub(super) inputs: usize,
    /// The first of the columns that queries, keys and values are read from.
    pub(super) reads: usize,
    pub(super) heads: usize,
    /// To all queries, keys, values side by side: `[residual + 1, 3 · head · unit]`.
    pub(super) into: Array2<f64>,
    /// `[head · unit, residual]`.
    pub(super) out: Array2<f64>,
    /// `[residual]`.
    pub(super) out_bias: Vec<f64>,
}

/// What the derivatives need.
struct Attended {
    /// `[sample · position, 3 · head · unit]`
    qkv: Array2<f64>,
    /// For each sample, head, query and key: `[sample, head · query · key]`.
    pattern: Array2<f64>,
    /// `[sample · query, head · unit]`
    mixed: Array2<f64>,
}

impl Attention {
    fn residual(&self) -> usize {
        self.out.ncols()
    }

    fn queries(&self) -> usize {
        if self.last_only { 1 } else { self.positions }
    }

    /// Units of all heads, and of one.
    fn widths(&self) -> (usize, usize) {
        (self.out.nrows(), self.out.nrows() / self.heads)
    }

    fn scale(&self) -> f64 {
        (self.widths().1 as f64).sqrt().recip()
    }

    /// The position of a query.
    fn place(&self, query: usize) -> usize {
        if self.last_only { self.positions - 1 } else { query }
    }

    /// `[x, 1]` of rows `[row, input]`.
    fn read(&self, rows: ArrayView2<'_, f64>) -> Array2<f64> {
        let width = self.residual();
        let mut out = Array2::zeros((rows.nrows(), width + 1));
        out.slice_mut(s![.., ..width]).assign(&rows.slice(s![.., self.reads..self.reads + width]));
        out.column_mut(width).assign(&rows.column(self.inputs - 1));
        out
    }

    fn attend(&self, inputs: ArrayView2<'_, f64>) -> Attended {
        self.mix(product(self.read(inputs).view(), self.into.view()))
    }

    /// Patterns and mixed values of queries, keys and values.
    fn mix(&self, qkv: Array2<f64>) -> Attended {
        let samples = qkv.nrows() / self.positions;
        let (all, width) = self.widths();
        let (queries, scale) = (self.queries(), self.scale());
        let mut pattern = Array2::zeros((samples, self.heads * queries * self.positions));
        let mut mixed = Array2::zeros((samples * queries, all));
        if samples == 0 {
            return Attended { qkv, pattern, mixed };
        }
        let rows = pattern.as_slice_mut().expect("a fresh matrix has no gaps");
        let out = mixed.as_slice_mut().expect("a fresh matrix has no gaps");
        let numbers = qkv.as_slice().expect("a product has no gaps");
        let stride = 3 * all;
        rows.par_chunks_mut(self.heads * queries * self.positions)
            .zip(out.par_chunks_mut(queries * all))
            .zip(numbers.par_chunks(self.positions * stride))
            .for_each(|((pattern, mixed), qkv)| {
                for (at, weights) in pattern.chunks_mut(self.positions).enumerate() {
                    let (head, query) = (at / queries, at % queries);
                    let place = self.place(query);
                    let q = &qkv[place * stride + head * width..][..width];
                    for (key, weight) in weights[..=place].iter_mut().enumerate() {
                        let k = &qkv[key * stride + all + head * width..][..width];
                        *weight = scale * dot(q, k);
                    }
                    softmax(&mut weights[..=place]);
                    let z = &mut mixed[query * all + head * width..][..width];
                    for (key, &weight) in weights[..=place].iter().enumerate() {
                        let v = &qkv[key * stride + 2 * all + head * width..][..width];
                        add(z, weight, v);
                    }
                }
            });
        Attended { qkv, pattern, mixed }
    }

    /// `r + z W_O + 1 b_O` with `r` and 1 of the rows of the queries.
    fn give(&self, rows: ArrayView2<'_, f64>, mixed: ArrayView2<'_, f64>) -> Array2<f64> {
        let width = self.residual();
        let step = if self.last_only { self.positions } else { 1 };
        let queries = rows.slice(s![step - 1..; step, ..]);
        let mut out = Array2::zeros((mixed.nrows(), width + 1));
        let mut added = product(mixed, self.out.view());
        for ((mut out, from), added) in
            out.rows_mut().into_iter().zip(queries.rows()).zip(added.rows_mut())
        {
            let constant = from[self.inputs - 1];
            for (n, (added, bias)) in added.iter().zip(&self.out_bias).enumerate() {
                out[n] = from[n] + added + constant * bias;
            }
            out[width] = constant;
        }
        out
    }

    fn pushed(&self, state: &Attended, tangents: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        fits(&self.name, "tangents", tangents, self.positions, self.inputs)?;
        let moved = product(self.read(tangents).view(), self.into.view());
        let (all, width) = self.widths();
        let (queries, scale, stride) = (self.queries(), self.scale(), 3 * all);
        let mut mixed = Array2::<f64>::zeros(state.mixed.dim());
        let out = mixed.as_slice_mut().expect("a fresh matrix has no gaps");
        let numbers = state.qkv.as_slice().expect("a product has no gaps");
        let turns = moved.as_slice().expect("a product has no gaps");
        let patterns = state.pattern.as_slice().expect("it has no gaps");
        let block = self.positions * stride;
        out.par_chunks_mut((queries * all).max(1))
            .zip(numbers.par_chunks(block).zip(turns.par_chunks(block)))
            .zip(patterns.par_chunks((self.heads * queries * self.positions).max(1)))
            .for_each(|((mixed, (qkv, moved)), pattern)| {
                let mut slopes = vec![0.0; self.positions];
                for (at, weights) in pattern.chunks(self.positions).enumerate() {
                    let (head, query) = (at / queries, at % queries);
                    let place = self.place(query);
                    let (first, keys) = (place * stride + head * width, all + head * width);
                    let (q, dq) = (&qkv[first..][..width], &moved[first..][..width]);
                    let mut mean = 0.0;
                    for key in 0..=place {
                        let at = key * stride + keys;
                        let (k, dk) = (&qkv[at..][..width], &moved[at..][..width]);
                        slopes[key] = scale * (dot(dq, k) + dot(q, dk));
                        mean += weights[key] * slopes[key];
                    }
                    let z = &mut mixed[query * all + head * width..][..width];
                    for key in 0..=place {
                        let at = key * stride + all + keys;
                        add(z, weights[key] * (slopes[key] - mean), &qkv[at..][..width]);
                        add(z, weights[key], &moved[at..][..width]);
                    }
                }
            });
        Ok(self.give(tangents, mixed.view()))
    }

    fn pulled(&self, state: &Attended, cotangents: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let residual = self.residual();
        fits(&self.name, "cotangents", cotangents, self.queries(), residual + 1)?;
        let stream = cotangents.slice(s![.., ..residual]);
        let z = product(stream, self.out.t());
        let (all, width) = self.widths();
        let (queries, scale, stride) = (self.queries(), self.scale(), 3 * all);
        let mut back = Array2::<f64>::zeros(state.qkv.dim());
        let out = back.as_slice_mut().expect("a fresh matrix has no gaps");
        let numbers = state.qkv.as_slice().expect("a product has no gaps");
        let turns = z.as_slice().expect("a product has no gaps");
        let patterns = state.pattern.as_slice().expect("it has no gaps");
        let block = self.positions * stride;
        out.par_chunks_mut(block)
            .zip(numbers.par_chunks(block).zip(turns.par_chunks((queries * all).max(1))))
            .zip(patterns.par_chunks((self.heads * queries * self.positions).max(1)))
            .for_each(|((back, (qkv, z)), pattern)| {
                let mut slopes = vec![0.0; self.positions];
                for (at, weights) in pattern.chunks(self.positions).enumerate() {
                    let (head, query) = (at / queries, at % queries);
                    let place = self.place(query);
                    let keys = all + head * width;
                    let dz = &z[query * all + head * width..][..width];
                    let mut mean = 0.0;
                    for key in 0..=place {
                        let values = key * stride + all + keys;
                        slopes[key] = dot(dz, &qkv[values..][..width]);
                        mean += weights[key] * slopes[key];
                        add(&mut back[values..][..width], weights[key], dz);
                    }
                    let first = place * stride + head * width;
                    for key in 0..=place {
                        let slope = scale * weights[key] * (slopes[key] - mean);
                        let at = key * stride + keys;
                        add(&mut back[first..][..width], slope, &qkv[at..][..width]);
                        add(&mut back[at..][..width], slope, &qkv[first..][..width]);
                    }
                }
            });
        let read = product(back.view(), self.into.t());
        let mut out = Array2::zeros((read.nrows(), self.inputs));
        let last = self.inputs - 1;
        out.slice_mut(s![.., self.reads..self.reads + residual])
            .assign(&read.slice(s![.., ..residual]));
        out.column_mut(last).assign(&read.column(residual));
        let step = if self.last_only { self.positions } else { 1 };
        let mut at_queries = out.slice_mut(s![step - 1..; step, ..]);
        for (mut out, from) in at_queries.rows_mut().into_iter().zip(cotangents.rows()) {
            let mut constant = from[residual];
            for (n, bias) in self.out_bias.iter().enumerate() {
                out[n] += from[n];
                constant += from[n] * bias;
            }
            out[last] += constant;
        }
        Ok(out)
    }
}

impl Section for Attention {
    fn name(&self) -> &str {
        &self.name
    }

    fn extent(&self) -> Extent {
        Extent {
            positions_in: self.positions,
            inputs: self.inputs,
            positions_out: self.queries(),
            outputs: self.residual() + 1,
        }
    }

    fn forward(&self, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        fits(&self.name, "inputs", inputs, self.positions, self.inputs)?;
        let state = self.attend(inputs);
        Ok(self.give(inputs, state.mixed.view()))
    }

    /// The bases go into the weights, so that the cost falls with the vectors.
    fn between(
        &self,
        new: ArrayView2<'_, f64>,
        back: ArrayView2<'_, f64>,
        into: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        fits(&self.name, "new coordinates", new, self.positions, back.nrows())?;
        fits(&self.name, "basis", back, 1, self.inputs)?;
        let width = self.residual();
        let weights = product(self.read(back).view(), self.into.view());
        let state = self.mix(product(new, weights.view()));
        let stream = into.slice(s![..width, ..]);
        // What passes beside the attention: the residual stream, the bias and the constant.
        let mut beside = product(back.slice(s![.., ..width]), stream);
        let bias = ArrayView2::from_shape((1, width), &self.out_bias);
        let bias = bias.map_err(|error| Error::setting("bias", error, "one for each unit"))?;
        let constant = &product(bias, stream).row(0) + &into.row(width);
        for (mut row, &last) in beside.rows_mut().into_iter().zip(back.column(self.inputs - 1)) {
            row.scaled_add(last, &constant);
        }
        let step = if self.last_only { self.positions } else { 1 };
        let mut out = product(new.slice(s![step - 1..; step, ..]), beside.view());
        let out_weights = product(self.out.view(), stream);
        add_product(out.view_mut(), state.mixed.view(), out_weights.view());
        Ok(out)
    }

    fn push(
        &self,
        inputs: ArrayView2<'_, f64>,
        tangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        fits(&self.name, "inputs", inputs, self.positions, self.inputs)?;
        self.pushed(&self.attend(inputs), tangents)
    }

    fn pull(
        &self,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        fits(&self.name, "inputs", inputs, self.positions, self.inputs)?;
        self.pulled(&self.attend(inputs), cotangents)
    }

    fn pushes(
        &self,
        inputs: ArrayView2<'_, f64>,
        tangents: &[Array2<f64>],
    ) -> Result<Vec<Array2<f64>>> {
        fits(&self.name, "inputs", inputs, self.positions, self.inputs)?;
        let state = self.attend(inputs);
        tangents.iter().map(|tangent| self.pushed(&state, tangent.view())).collect()
    }

    fn pulls(
        &self,
        inputs: ArrayView2<'_, f64>,
        cotangents: &[Array2<f64>],
    ) -> Result<Vec<Array2<f64>>> {
        fits(&self.name, "inputs", inputs, self.positions, self.inputs)?;
        let state = self.attend(inputs);
        cotangents.iter().map(|cotangent| self.pulled(&state, cotangent.view())).collect()
    }

    fn metric(
        &self,
        inputs: ArrayView2<'_, f64>,
        basis: ArrayView2<'_, f64>,
        points: &[[f64; 2]],
    ) -> Result<Option<Array2<f64>>> {
        fits(&self.name, "inputs", inputs, self.positions, self.inputs)?;
        Ok(Some(self.closed_metric(inputs, basis, points)))
    }

    fn squared_effects(
        &self,
        new: ArrayView2<'_, f64>,
        back: ArrayView2<'_, f64>,
        into: ArrayView2<'_, f64>,
        points: &[[f64; 2]],
    ) -> Result<Option<Array2<f64>>> {
        fits(&self.name, "new coordinates", new, self.positions, back.nrows())?;
        Ok(Some(self.closed_effects(new, [back, into], points)))
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(out: &mut [f64], factor: f64, from: &[f64]) {
    for (out, from) in out.iter_mut().zip(from) {
        *out += factor * from;
    }
}

fn softmax(scores: &mut [f64]) {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - most).exp();
        sum += *score;
    }
    for score in scores {
        *score /= sum;
    }
}
