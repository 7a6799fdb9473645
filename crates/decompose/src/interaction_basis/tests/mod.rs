//! The Local Interaction Basis against explicit Jacobians and its own laws; planted truth and published
//! networks are among the tests of the studies.

mod features;
mod laws;
mod metric;
mod refusals;
mod sources;
mod streams;

use ndarray::{Array2, ArrayView2};
use nissl_core::section::{Chain, Extent, Held, Hidden, Nonlinearity, Section};
use nissl_core::seed::rng;
use nissl_core::{Progress, Result};
use rand::RngExt;

pub(super) fn random(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = rng(seed, 3);
    Array2::from_shape_simple_fn((rows, columns), || rng.random_range(-1.0..1.0))
}

/// Samples whose last coordinate is 1, of unlike means and sizes.
pub(super) fn held(samples: usize, positions: usize, coordinates: usize, seed: u64) -> Held {
    let rows = samples * positions;
    let mix = random(coordinates, coordinates, seed + 1);
    let mut rows = random(rows, coordinates, seed).dot(&mix) + &random(1, coordinates, seed + 2);
    rows.column_mut(coordinates - 1).fill(1.0);
    Held { rows, positions }
}

/// A section with a hidden layer that passes the constant on.
pub(super) fn hidden(
    name: &str,
    [inputs, middle, outputs]: [usize; 3],
    nonlinearity: Nonlinearity,
    seed: u64,
) -> Box<dyn Section> {
    let mut straight = random(inputs, outputs, seed) * 0.5;
    let mut out = random(middle, outputs, seed + 2);
    straight.column_mut(outputs - 1).fill(0.0);
    straight[[inputs - 1, outputs - 1]] = 1.0;
    out.column_mut(outputs - 1).fill(0.0);
    let (name, positions) = (name.to_owned(), 1);
    let into = random(inputs, middle, seed + 1);
    Box::new(Hidden { name, positions, straight, into, out, nonlinearity })
}

/// Two sections of no closed form.
pub(super) fn curved(seed: u64) -> Chain {
    let sections = vec![
        hidden("x", [6, 9, 5], Nonlinearity::Tanh, seed),
        hidden("y", [5, 7, 4], Nonlinearity::Gelu, seed + 10),
    ];
    Chain { sections, end: "out".to_owned() }
}

/// The same section without its formula.
pub(super) struct Opaque(pub(super) Box<dyn Section>);

impl Section for Opaque {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn extent(&self) -> Extent {
        self.0.extent()
    }

    fn forward(&self, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        self.0.forward(inputs)
    }

    fn push(&self, at: ArrayView2<'_, f64>, along: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        self.0.push(at, along)
    }

    fn pull(&self, at: ArrayView2<'_, f64>, back: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        self.0.pull(at, back)
    }
}

/// A section that states a metric of its own, true or not.
pub(super) struct Stated {
    pub(super) section: Box<dyn Section>,
    pub(super) metric: Array2<f64>,
}

impl Section for Stated {
    fn name(&self) -> &str {
        self.section.name()
    }

    fn extent(&self) -> Extent {
        self.section.extent()
    }

    fn forward(&self, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        self.section.forward(inputs)
    }

    fn push(&self, at: ArrayView2<'_, f64>, along: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        self.section.push(at, along)
    }

    fn pull(&self, at: ArrayView2<'_, f64>, back: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        self.section.pull(at, back)
    }

    fn metric(
        &self,
        _inputs: ArrayView2<'_, f64>,
        _basis: ArrayView2<'_, f64>,
        _points: &[[f64; 2]],
    ) -> Result<Option<Array2<f64>>> {
        Ok(Some(self.metric.clone()))
    }
}

/// Every position's output is a function of all positions before it.
pub(super) struct Mixing {
    pub(super) positions: usize,
    /// `[input, output]`
    pub(super) weight: Array2<f64>,
}

impl Section for Mixing {
    fn name(&self) -> &'static str {
        "x"
    }

    fn extent(&self) -> Extent {
        let (inputs, outputs) = self.weight.dim();
        let positions = self.positions;
        Extent { positions_in: positions, inputs, positions_out: positions, outputs }
    }

    fn forward(&self, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        Ok(self.before(inputs).mapv(f64::tanh))
    }

    fn push(&self, at: ArrayView2<'_, f64>, along: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        Ok(self.before(along) * self.slopes(at))
    }

    fn pull(&self, at: ArrayView2<'_, f64>, back: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let mut sums = &back * &self.slopes(at);
        for row in (0..sums.nrows().saturating_sub(1)).rev() {
            if (row + 1) % self.positions != 0 {
                let next = sums.row(row + 1).to_owned();
                sums.row_mut(row).scaled_add(1.0, &next);
            }
        }
        Ok(sums.dot(&self.weight.t()))
    }
}

impl Mixing {
    fn before(&self, inputs: ArrayView2<'_, f64>) -> Array2<f64> {
        let mut sums = inputs.dot(&self.weight);
        for row in 1..sums.nrows() {
            if row % self.positions != 0 {
                let before = sums.row(row - 1).to_owned();
                sums.row_mut(row).scaled_add(1.0, &before);
            }
        }
        sums
    }

    fn slopes(&self, at: ArrayView2<'_, f64>) -> Array2<f64> {
        self.before(at).mapv(|x| 1.0 - x.tanh().powi(2))
    }
}

pub(super) fn furthest(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    let scale = a.iter().fold(1.0f64, |most, x| most.max(x.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / scale
}

pub(super) fn quiet() -> Progress {
    Progress::silent()
}
