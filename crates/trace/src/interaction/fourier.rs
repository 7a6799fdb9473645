//! What waves a coordinate of two numbers `x`, `y` below `p` is made of.
//!
//! Power of the two-dimensional Fourier transform at `(0, 0)`, and for each frequency `k` at `(k, 0)`,
//! `(0, k)`, `(k, k)` and `(k, −k)`: the terms in `kx`, `ky`, `k(x + y)` and `k(x − y)`, as shares of all.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, appendix on modular addition; Nanda et al. 2023,
//! arXiv:2301.05217.
//! Memory: one transform.

use ndarray::{Array2, ArrayView2};
use nissl_core::features::product;
use nissl_core::section::{Chain, InteractionBasis, Samples};
use nissl_core::{Error, Result};

/// The waves of one coordinate.
#[derive(Clone, Debug, PartialEq)]
pub struct Waves {
    /// The share of power that is constant.
    pub constant: f64,
    /// For the frequencies 1 to `p / 2` the shares in `kx`, `ky`, `k(x + y)`, `k(x − y)`.
    pub shares: Vec<[f64; 4]>,
}

impl Waves {
    /// The waves of `values` `[x, y]`.
    ///
    /// # Errors
    /// Another number of `x` than of `y`, fewer than 3, or values that are zero or not finite.
    pub fn of(values: ArrayView2<'_, f64>) -> Result<Self> {
        let size = values.nrows();
        if size < 3 || values.ncols() != size {
            let found = format!("{size} by {}", values.ncols());
            return Err(Error::setting("values", found, "as many x as y, at least 3"));
        }
        let wave = |turn: fn(f64) -> f64| {
            Array2::from_shape_fn((size, size), |(k, x)| {
                turn(std::f64::consts::TAU * (k * x % size) as f64 / size as f64)
            })
        };
        let (cos, sin) = (wave(f64::cos), wave(f64::sin));
        let (even, odd) = (product(cos.view(), values), product(sin.view(), values));
        let [cc, cs] = [&cos, &sin].map(|to| product(even.view(), to.t()));
        let [sc, ss] = [&cos, &sin].map(|to| product(odd.view(), to.t()));
        let power = |a: usize, b: usize| {
            let (real, imaginary) = (cc[[a, b]] - ss[[a, b]], sc[[a, b]] + cs[[a, b]]);
            real * real + imaginary * imaginary
        };
        let total: f64 = (0..size * size).map(|at| power(at / size, at % size)).sum();
        if !(total.is_finite() && total > 0.0) {
            return Err(Error::setting("values", total, "of a power that is positive and finite"));
        }
        // Each wave stands twice, at (a, b) and at (−a, −b), but for the one that is its own twin.
        let share = |a: usize, b: usize| {
            let twins = if (2 * a).is_multiple_of(size) && (2 * b).is_multiple_of(size) {
                1.0
            } else {
                2.0
            };
            twins * power(a, b) / total
        };
        let shares =
            (1..=size / 2).map(|k| [share(k, 0), share(0, k), share(k, k), share(k, size - k)]);
        Ok(Self { constant: power(0, 0) / total, shares: shares.collect() })
    }

    /// The frequency of the greatest share of power, all four terms together, and that share of what is
    /// not constant.
    pub fn strongest(&self) -> (usize, f64) {
        let sums = self.shares.iter().map(|terms| terms.iter().sum::<f64>());
        let best = (1..).zip(sums).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0));
        (best.0, best.1 / (1.0 - self.constant).max(f64::MIN_POSITIVE))
    }

    /// The strongest term in words, such as `cos 5(x + y)`, or `constant`.
    pub fn label(&self) -> String {
        let terms = ["{k}x", "{k}y", "{k}(x + y)", "{k}(x − y)"];
        let all = (1..).zip(&self.shares).flat_map(|(k, shares)| {
            terms.iter().zip(shares).map(move |(term, share)| (k, *term, *share))
        });
        match all.max_by(|a, b| a.2.total_cmp(&b.2)) {
            Some((k, term, share)) if share > self.constant => {
                format!("cos {}", term.replace("{k}", &k.to_string()))
            }
            _ => "constant".to_owned(),
        }
    }
}

/// The strongest waves of all coordinates of `bases` over the sums of two numbers below `modulus`, which
/// `samples` are in the order `(0, 0)`, `(0, 1)`, …: `[node layer][vector]`, in words. The positions of a
/// node layer are added up, means taken off.
///
/// # Errors
/// Another number of samples, or bases of another chain.
pub fn wave_labels(
    chain: &Chain,
    samples: &dyn Samples,
    bases: &InteractionBasis,
    modulus: usize,
) -> Result<Vec<Vec<String>>> {
    let count = samples.samples();
    if count != modulus * modulus {
        return Err(Error::setting("samples", count, format!("{modulus} times {modulus} sums")));
    }
    let mut rows = samples.rows(0..count)?;
    let mut all = Vec::with_capacity(bases.node_layers.len());
    for (layer, basis) in bases.node_layers.iter().enumerate() {
        if let Some(before) = layer.checked_sub(1).and_then(|n| chain.sections.get(n)) {
            rows = before.forward(rows.view())?;
        }
        let positions = rows.nrows() / count;
        let new = basis.project(rows.view())?;
        let label = |vector: usize| {
            let mut grid = Array2::from_shape_fn((modulus, modulus), |(x, y)| {
                let first = (x * modulus + y) * positions;
                (first..first + positions).map(|row| new[[row, vector]]).sum()
            });
            // A wave beside a large mean says more than the mean.
            let mean = grid.mean().unwrap_or_default();
            grid -= mean;
            let most = grid.iter().fold(0.0f64, |most, x: &f64| most.max(x.abs()));
            Ok(if basis.constant == Some(vector) || most <= 1e-9 * mean.abs() {
                "constant".to_owned()
            } else {
                Waves::of(grid.view())?.label()
            })
        };
        all.push((0..basis.vectors()).map(label).collect::<Result<_>>()?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_told_by_their_waves() {
        use nissl_core::section::{Affine, Basis, Held};
        let w = std::f64::consts::TAU / 13.0;
        let wave = |at: usize| {
            let (x, y) = ((at / 13) as f64, (at % 13) as f64);
            [(w * 2.0 * x).cos(), (w * 5.0 * (x + y)).sin(), 1.0]
        };
        let rows = Array2::from_shape_fn((169, 3), |(row, column)| wave(row)[column]);
        let held = Held { rows, positions: 1 };
        // The section exchanges the first two.
        let weight = ndarray::array![[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
        let section = Affine { name: "a".into(), positions: 1, weight };
        let chain = Chain { sections: vec![Box::new(section)], end: "b".to_owned() };
        let bases = InteractionBasis {
            settings: serde_json::Value::Null,
            samples: 0,
            warnings: Vec::new(),
            node_layers: ["a", "b"].map(|name| Basis::identity(name, 3)).to_vec(),
        };
        let found = wave_labels(&chain, &held, &bases, 13).expect("found");
        assert_eq!(found[0], ["cos 2x", "cos 5(x + y)", "constant"]);
        assert_eq!(found[1], ["cos 5(x + y)", "cos 2x", "constant"]);
        assert!(wave_labels(&chain, &held, &bases, 12).is_err());
    }

    fn values(of: impl Fn(f64, f64) -> f64) -> Array2<f64> {
        Array2::from_shape_fn((13, 13), |(x, y)| of(x as f64, y as f64))
    }

    #[test]
    fn planted_waves_are_found_with_their_shares() {
        let w = std::f64::consts::TAU / 13.0;
        let mixed = values(|x, y| {
            3.0 * (w * 5.0 * (x + y) + 0.3).cos() + (w * 2.0 * x).sin() + 0.5 * 2f64.sqrt()
        });
        let waves = Waves::of(mixed.view()).expect("valid");
        // Mean squares 4.5, 0.5 and 0.5.
        assert!((waves.shares[4][2] - 4.5 / 5.5).abs() < 1e-12, "{waves:?}");
        assert!((waves.shares[1][0] - 0.5 / 5.5).abs() < 1e-12);
        assert!((waves.constant - 0.5 / 5.5).abs() < 1e-12);
        assert_eq!((waves.label().as_str(), waves.strongest().0), ("cos 5(x + y)", 5));
        assert!((waves.strongest().1 - 0.9).abs() < 1e-12);
        let other = values(|x, y| (w * 3.0 * (x - y)).cos());
        let other = Waves::of(other.view()).expect("valid");
        assert!((other.shares[2][3] - 1.0).abs() < 1e-12, "a difference is no sum");
        let total: f64 = other.shares.iter().flatten().sum();
        assert!((total - 1.0).abs() < 1e-12);
        assert_eq!(Waves::of(values(|_, _| 1.0).view()).expect("valid").label(), "constant");
    }

    #[test]
    fn what_has_no_waves_is_refused() {
        assert!(Waves::of(Array2::zeros((5, 5)).view()).is_err());
        assert!(Waves::of(Array2::ones((5, 4)).view()).is_err());
    }
}
