//! From moments and pulled-back sums to a basis: steps 1 to 3, 5 and 6.

use faer::{MatRef, Side};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use nissl_core::features::product;
use nissl_core::section::Basis;
use nissl_core::{Error, Result};

use super::LocalInteractionBasis;
use super::moments::LayerMoments;
use super::pullback::LayerSums;

/// A direction counts as the constant one where its share of the constant coordinate, and its
/// eigenvalue, are above this.
const CONSTANT: f64 = 1e-6;

/// A node layer's principal directions.
pub(super) struct Whitened {
    /// `W` `[coordinate, direction]`
    into: Array2<f64>,
    /// `W⁺` `[direction, coordinate]`
    back: Array2<f64>,
    /// `D` of the directions that are kept.
    values: Vec<f64>,
    /// `D` of all.
    spectrum: Vec<f64>,
    mean: Array1<f64>,
    /// How many of the first directions are kept apart.
    apart: usize,
    /// Whether the first direction is the constant.
    centred: bool,
}

/// Eigenvalues by size, descending, and eigenvectors as columns; the coordinates `alone` come first,
/// each as a direction of its own.
fn spectrum(
    matrix: ArrayView2<'_, f64>,
    alone: &[usize],
    name: &str,
) -> Result<(Vec<f64>, Array2<f64>)> {
    let size = matrix.nrows();
    let rest: Vec<usize> = (0..size).filter(|at| !alone.contains(at)).collect();
    let free = matrix.select(Axis(0), &rest).select(Axis(1), &rest);
    let flat: Vec<f64> = free.iter().copied().collect();
    let no_numbers = || Error::Diverged {
        what: format!("the eigenvalues of {name}"),
        found: f64::NAN,
        step: 0,
        help: Some("scale the activity to moderate numbers".to_owned()),
    };
    if flat.iter().any(|value| !value.is_finite()) {
        return Err(no_numbers());
    }
    let symmetric = MatRef::from_row_major_slice(&flat, rest.len(), rest.len());
    let found =
        symmetric.self_adjoint_eigen(Side::Lower).map_err(|_no_convergence| no_numbers())?;
    let mut order: Vec<usize> = (0..rest.len()).collect();
    order.sort_by(|&a, &b| found.S()[b].abs().total_cmp(&found.S()[a].abs()));
    let mut values: Vec<f64> = alone.iter().map(|&at| matrix[[at, at]].abs()).collect();
    values.extend(order.iter().map(|&at| found.S()[at].abs()));
    let mut vectors = Array2::zeros((size, size));
    for (column, &at) in alone.iter().enumerate() {
        vectors[[at, column]] = 1.0;
    }
    for (column, &at) in order.iter().enumerate() {
        // An eigenvector has no sign of its own: its largest entry is made positive.
        let largest = (0..rest.len()).fold(0.0f64, |most, row| {
            let value = found.U()[(row, at)];
            if value.abs() > most.abs() { value } else { most }
        });
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        for (row, &place) in rest.iter().enumerate() {
            vectors[[place, alone.len() + column]] = sign * found.U()[(row, at)];
        }
    }
    Ok((values, vectors))
}

impl Whitened {
    /// Steps 1 to 3.
    pub(super) fn of(
        settings: &LocalInteractionBasis,
        moments: &LayerMoments,
        isolated: Option<usize>,
    ) -> Result<Self> {
        let LayerMoments { node_layer, rows, mean, scatter } = moments;
        let Some(scatter) = scatter else {
            let found = format!("without the scatter of {node_layer}");
            return Err(Error::setting("moments", found, "those taken with the same settings"));
        };
        if *rows == 0 {
            let what = format!("the data of {node_layer}");
            return Err(Error::Empty { what, expected: "at least one row".to_owned() });
        }
        let (size, centred) = (mean.len(), settings.centred());
        let last = size - 1;
        let mut gram = scatter / *rows as f64;
        if centred {
            // The constant coordinate is not shifted.
            gram[[last, last]] += mean[last] * mean[last];
        } else {
            let column = mean.view().insert_axis(Axis(1));
            gram += &product(column, mean.view().insert_axis(Axis(0)));
        }
        let is_constant = (mean[last] - 1.0).abs() < 1e-9 && scatter[[last, last]] < 1e-9;
        let mut alone = Vec::new();
        if centred && is_constant {
            alone.push(last);
        }
        alone.extend(isolated);
        let (mut values, mut vectors) = spectrum(gram.view(), &alone, node_layer)?;
        if centred && !is_constant {
            let found = constant(&values, &vectors, node_layer)?;
            let order: Vec<usize> =
                [found].into_iter().chain((0..size).filter(|&at| at != found)).collect();
            values = order.iter().map(|&at| values[at]).collect();
            vectors = vectors.select(Axis(1), &order);
        }
        let apart = usize::from(centred) + usize::from(isolated.is_some());
        let kept: Vec<usize> = (0..size).filter(|&at| values[at] > settings.tau).collect();
        let apart = kept.iter().filter(|&&at| at < apart).count();
        let chosen = vectors.select(Axis(1), &kept);
        let (mut into, mut back) = (chosen.clone(), chosen.reversed_axes());
        if centred {
            // W = Y U and W⁺ = Uᵀ Y⁻¹, with Y the identity but for its last row (−μ, 1).
            let shift = mean.slice(s![..last]);
            let means = shift.insert_axis(Axis(0)).dot(&into.slice(s![..last, ..]));
            let mut row = into.row_mut(last);
            row -= &means.row(0);
            let constants = back.column(last).to_owned();
            for (mut row, constant) in back.rows_mut().into_iter().zip(constants) {
                row.slice_mut(s![..last]).scaled_add(constant, &shift);
            }
        }
        let mean = if centred {
            mean.clone()
        } else {
            let mut none = Array1::zeros(size);
            none[last] = 1.0;
            none
        };
        let kept = kept.iter().map(|&at| values[at]).collect();
        Ok(Self { into, back, values: kept, spectrum: values, mean, apart, centred })
    }

    /// How many directions are left.
    pub(super) fn kept(&self) -> usize {
        self.values.len()
    }

    /// The basis of principal components.
    pub(super) fn principal(self, name: &str) -> Basis {
        let dropped = self.into.nrows() - self.values.len();
        Basis {
            node_layer: name.to_owned(),
            into: self.into,
            back: self.back.as_standard_layout().into_owned(),
            importance: Array1::from(self.values),
            spectrum: Array1::from(self.spectrum),
            mean: self.mean,
            constant: self.centred.then_some(0),
            dropped,
        }
    }

    /// Steps 5 and 6.
    pub(super) fn rotated(
        self,
        settings: &LocalInteractionBasis,
        name: &str,
        sums: &LayerSums,
    ) -> Result<Basis> {
        let coordinates = self.into.nrows();
        if sums.sum.dim() != (coordinates, coordinates) {
            let expected = format!("{coordinates} by {coordinates}");
            return Err(Error::setting("sums", format!("{:?}", sums.sum.dim()), expected));
        }
        let roots: Array1<f64> = self.values.iter().map(|value| value.sqrt()).collect();
        let whiten = &self.into / &roots; // R
        let unwhiten = &self.back * &roots.view().insert_axis(Axis(1)); // R⁺
        let pulled = product(unwhiten.view(), sums.mean().view());
        let metric = product(pulled.view(), unwhiten.t());
        let metric = (&metric + &metric.t()) / 2.0;
        let alone: Vec<usize> = (0..self.apart).collect();
        let (mut importance, turn) = spectrum(metric.view(), &alone, name)?;
        if let (Some(cross), true) = (sums.mean_cross(), settings.basis.is_older()) {
            let left = product(turn.t(), product(unwhiten.view(), cross.view()).view());
            let right = product(whiten.view(), turn.view());
            importance = product(left.view(), right.view()).diag().mapv(f64::abs).to_vec();
        }
        let mut order: Vec<usize> = (self.apart..importance.len()).collect();
        order.sort_by(|&a, &b| importance[b].total_cmp(&importance[a]));
        let free = order.len();
        // What is below the rounding of the largest is noise, whatever τ.
        let rounding = coordinates as f64 * f64::EPSILON * most(&importance[self.apart..]);
        let least = settings.tau.max(rounding);
        order.retain(|&at| importance[at] >= least && importance[at] > 0.0);
        if order.is_empty() && free > 0 {
            let found = format!("of importance {:e} at most", most(&importance[self.apart..]));
            let expected = format!("directions of importance {:e} (τ) or more", settings.tau);
            let field = format!("what the output of {name} depends on");
            return Err(Error::setting(
                field,
                found,
                format!(
                    "{expected}; does the section's output depend on its input? If so, lower τ"
                ),
            ));
        }
        let first = (0..self.apart).filter(|&at| importance[at] > 0.0);
        let order: Vec<usize> = first.chain(order).collect();
        let constant = (self.centred && order.first() == Some(&0)).then_some(0);
        let scale: Array1<f64> = order.iter().map(|&at| importance[at].sqrt()).collect();
        let turn = turn.select(Axis(1), &order);
        let into = product(whiten.view(), turn.view()) * &scale;
        let back = product(turn.t(), unwhiten.view()) / scale.view().insert_axis(Axis(1));
        Ok(Basis {
            node_layer: name.to_owned(),
            dropped: coordinates - order.len(),
            into,
            back,
            importance: order.iter().map(|&at| importance[at]).collect(),
            spectrum: Array1::from(self.spectrum),
            mean: self.mean,
            constant,
        })
    }
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// The one eigenvector that holds the constant.
fn constant(values: &[f64], vectors: &Array2<f64>, name: &str) -> Result<usize> {
    let last = vectors.nrows() - 1;
    let found: Vec<usize> = (0..values.len())
        .filter(|&at| vectors[[last, at]].abs() > CONSTANT && values[at] > CONSTANT)
        .collect();
    if let [one] = found.as_slice() {
        return Ok(*one);
    }
    let shown: Vec<usize> =
        if found.is_empty() { (0..values.len()).collect() } else { found.clone() };
    let shown: Vec<String> =
        shown.iter().take(4).map(|&at| format!("{:.3e}", values[at])).collect();
    Err(Error::setting(
        format!("constant directions of {name}"),
        format!("{}, eigenvalues {}", found.len(), shown.join(", ")),
        "exactly one: the last coordinate must be 1 in every row; else raise τ or leave the centring out",
    ))
}
