//! Interpolating splines of degree 2 and 3 over uneven times, as sparse weights of samples.
//!
//! `s(t) = Σ_i c_i B_i(t)`, `s(x_j) = y_j`; cubic: knots at all but the second and the last but one
//! sample (not-a-knot); quadratic: knots half-way between samples. Outside the samples the outer
//! pieces go on.
//!
//! Source: de Boor 1978, A Practical Guide to Splines, chapters IX and XIII.
//! Memory: the band of the collocation matrix, `7 T` values, once for all traces of a recording.

/// A spline of one degree through values at given times.
pub(super) struct Spline {
    degree: usize,
    knots: Vec<f64>,
    /// The collocation matrix, eliminated: row `j` holds columns `j − degree ..= j + degree`.
    band: Vec<[f64; 7]>,
}

impl Spline {
    /// Of `degree` 2 or 3 through values at the strictly rising `times`, more than `degree` of them.
    pub(super) fn through(times: &[f64], degree: usize) -> Self {
        let (count, last) = (times.len(), times.len() - 1);
        let mut knots = vec![times[0]; degree + 1];
        if degree % 2 == 1 {
            let skip = degree.div_ceil(2);
            knots.extend(&times[skip..count - skip]);
        } else {
            let skip = degree / 2;
            knots.extend((skip..last - skip).map(|j| f64::midpoint(times[j], times[j + 1])));
        }
        knots.extend(std::iter::repeat_n(times[last], degree + 1));
        let mut spline = Self { degree, knots, band: vec![[0.0; 7]; count] };
        for (j, &time) in times.iter().enumerate() {
            let (first, values) = spline.basis(time);
            for (i, value) in values.into_iter().enumerate().take(degree + 1) {
                // A sample lies inside the support of its own basis function, so this fits.
                if let Some(place) = (first + i + 3).checked_sub(j)
                    && place < 7
                {
                    spline.band[j][place] = value;
                }
            }
        }
        // Collocation matrices of B-splines are totally positive: no pivots are needed.
        for j in 0..count {
            for below in 1..=degree.min(last - j) {
                let factor = spline.band[j + below][3 - below] / spline.band[j][3];
                spline.band[j + below][3 - below] = factor;
                for right in 1..=degree {
                    spline.band[j + below][3 - below + right] -= factor * spline.band[j][3 + right];
                }
            }
        }
        spline
    }

    /// The coefficients `c` of the spline through `values`.
    pub(super) fn coefficients(&self, values: &[f64]) -> Vec<f64> {
        let mut c = values.to_vec();
        for j in 0..c.len() {
            for below in 1..=self.degree.min(c.len() - 1 - j) {
                c[j + below] -= self.band[j + below][3 - below] * c[j];
            }
        }
        for j in (0..c.len()).rev() {
            for right in 1..=self.degree.min(c.len() - 1 - j) {
                c[j] -= self.band[j][3 + right] * c[j + right];
            }
            c[j] /= self.band[j][3];
        }
        c
    }

    /// The first basis function that is not zero at `time`, and the values of `degree + 1` of them.
    pub(super) fn basis(&self, time: f64) -> (usize, [f64; 4]) {
        let (k, knots) = (self.degree, &self.knots);
        let pieces = knots.len() - k - 1;
        let span = knots[k..pieces].partition_point(|&knot| knot <= time);
        let span = (k + span.saturating_sub(1)).clamp(k, pieces - 1);
        let mut values = [0.0; 4];
        values[0] = 1.0;
        for degree in 1..=k {
            let mut carried = 0.0;
            for r in 0..degree {
                let (right, left) = (knots[span + r + 1], knots[span + r + 1 - degree]);
                let share = values[r] / (right - left);
                values[r] = carried + (right - time) * share;
                carried = (time - left) * share;
            }
            values[degree] = carried;
        }
        (span - k, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(spline: &Spline, c: &[f64], time: f64) -> f64 {
        let (first, values) = spline.basis(time);
        (0..=spline.degree).map(|i| values[i] * c[first + i]).sum()
    }

    #[test]
    fn polynomials_of_its_degree_are_exact_also_outside() {
        let times = [0.0, 0.4, 1.0, 1.3, 2.2, 3.0, 3.9];
        for (degree, polynomial) in [
            (2, (|t| 1.0 - 2.0 * t + 0.5 * t * t) as fn(f64) -> f64),
            (3, |t| 0.3 + t - t * t + 0.25 * t * t * t),
        ] {
            let spline = Spline::through(&times, degree);
            let c = spline.coefficients(&times.map(polynomial));
            for time in [-0.5, 0.0, 0.2, 0.4, 1.1, 2.9, 3.9, 4.4] {
                let (found, expected) = (value(&spline, &c, time), polynomial(time));
                assert!((found - expected).abs() < 1e-10, "{degree} at {time}: {found}");
            }
        }
    }

    #[test]
    fn samples_are_met_and_the_ends_are_not_a_knot() {
        let times = [0.0, 1.0, 2.0, 3.0, 4.0];
        let values = [0.0, 1.0, 0.0, -1.0, 3.0];
        let spline = Spline::through(&times, 3);
        let c = spline.coefficients(&values);
        for (time, expected) in times.iter().zip(values) {
            assert!((value(&spline, &c, *time) - expected).abs() < 1e-12);
        }
        // What SciPy 1.17's interp1d gives for the same numbers, inside and extrapolated.
        let near = |spline: &Spline, c: &[f64], time: f64, expected: f64| {
            let found = value(spline, c, time);
            assert!((found - expected).abs() < 1e-9, "{found}, not {expected}, at {time}");
        };
        near(&spline, &c, 0.5, 0.828_125);
        near(&spline, &c, 4.7, 11.854_125);
        let spline = Spline::through(&times, 2);
        let c = spline.coefficients(&values);
        near(&spline, &c, 0.5, 0.775);
        near(&spline, &c, 4.7, 9.251);
    }
}
