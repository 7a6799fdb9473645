//! Logarithms of factorials, binomial and multiset coefficients, and numbers of partitions.
//!
//! `multiset(n, m) = C(n + m − 1, m)`; `q(m, n)` counts the partitions of `m` into at most `n` parts,
//! `q(m, n) = q(m, n − 1) + q(m − n, n)`. Beyond the table Szekeres' form stands for `q`.
//!
//! Source: Peixoto 2017, Phys. Rev. E 95:012317, appendix C; Szekeres 1951, Q. J. Math. 2:85.
//! Memory: 512 KiB of factorials; a partition table of 8 bytes a cell, 2²² cells at most.

use std::sync::LazyLock;

/// Factorials that are kept.
const KEPT: usize = 1 << 16;
/// Cells of a partition table at most.
const MOST_CELLS: usize = 1 << 22;
/// `m` of a partition table at most.
const MOST_SUM: usize = 10_000;

static FACTORIALS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let mut table = Vec::with_capacity(KEPT);
    let (mut sum, mut lost) = (0.0f64, 0.0f64);
    for n in 0..KEPT {
        // Compensated, so that the last entries are as exact as the first.
        let term = if n < 2 { 0.0 } else { (n as f64).ln() } - lost;
        let next = sum + term;
        lost = (next - sum) - term;
        sum = next;
        table.push(sum);
    }
    table
});

/// `ln n!`
pub(super) fn ln_factorial(n: u64) -> f64 {
    match FACTORIALS.get(n as usize) {
        Some(&value) => value,
        None => ln_gamma(n as f64 + 1.0),
    }
}

/// `ln Γ(x)` of `x > 0`, by Stirling's series.
pub(super) fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 1.0f64);
    while x < 15.0 {
        shift *= x;
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series =
        (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - shift.ln()
}

/// `ln C(n, k)`; −∞ when `k > n`.
pub(super) fn ln_choose(n: u64, k: u64) -> f64 {
    if k > n {
        return f64::NEG_INFINITY;
    }
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// `ln C(n + m − 1, m)`, the ways to put `m` alike things into `n` places.
pub(super) fn ln_multiset(n: u64, m: u64) -> f64 {
    match (n, m) {
        (_, 0) => 0.0,
        (0, _) => f64::INFINITY,
        _ => ln_factorial(n + m - 1) - ln_factorial(m) - ln_factorial(n - 1),
    }
}

/// `ln q(m, n)`, from a table where it reaches.
#[derive(Clone, Debug)]
pub(super) struct Partitions {
    /// Row `n` holds `ln q(m, n)` for all `m`.
    table: Vec<f64>,
    sums: usize,
    parts: usize,
}

impl Partitions {
    /// A table for sums up to `sum` into up to `parts` parts, or as much of it as has room.
    pub(super) fn new(sum: usize, parts: usize) -> Self {
        let sums = sum.min(MOST_SUM) + 1;
        let parts = parts.min(MOST_CELLS / sums).min(sums);
        let mut table = vec![f64::NEG_INFINITY; (parts + 1) * sums];
        table[0] = 0.0;
        for n in 1..=parts {
            let (before, row) = table[(n - 1) * sums..(n + 1) * sums].split_at_mut(sums);
            for m in 0..sums {
                row[m] = if m < n { before[m] } else { ln_add(before[m], row[m - n]) };
            }
        }
        Self { table, sums, parts }
    }

    /// `ln q(m, n)`; −∞ when there is none.
    pub(super) fn ln_count(&self, m: u64, n: u64) -> f64 {
        // No partition of m has more than m parts.
        let n = n.min(m);
        if (m as usize) < self.sums && n as usize <= self.parts {
            return self.table[n as usize * self.sums + m as usize];
        }
        szekeres(m as f64, n as f64)
    }
}

fn ln_add(a: f64, b: f64) -> f64 {
    let (most, least) = if a > b { (a, b) } else { (b, a) };
    if least == f64::NEG_INFINITY { most } else { most + (least - most).exp().ln_1p() }
}

/// The asymptotic form of `ln q(m, n)`.
fn szekeres(m: f64, n: f64) -> f64 {
    if n < m.powf(0.25) {
        // Few parts: nearly all compositions are partitions in n! orders.
        return ln_gamma(m) - ln_gamma(n) - ln_gamma(m - n + 1.0) - ln_gamma(n + 1.0);
    }
    let u = n / m.sqrt();
    let mut v = u;
    for _ in 0..200 {
        let next = u * dilogarithm(1.0 - (-v).exp()).sqrt();
        let done = (next - v).abs() < 1e-12 * v;
        v = next;
        if done {
            break;
        }
    }
    let rest = (-v).exp();
    let scale = v.ln()
        - 0.5 * (-rest * (1.0 + u * u / 2.0)).ln_1p()
        - 1.5 * std::f64::consts::LN_2
        - u.ln()
        - std::f64::consts::PI.ln();
    scale - m.ln() + m.sqrt() * (2.0 * v / u - u * (-rest).ln_1p())
}

/// `Li₂(x)` of `x` in 0 to 1.
fn dilogarithm(x: f64) -> f64 {
    if x > 0.5 {
        let most = std::f64::consts::PI.powi(2) / 6.0;
        let product = if x < 1.0 { x.ln() * (1.0 - x).ln() } else { 0.0 };
        return most - product - dilogarithm(1.0 - x);
    }
    let (mut sum, mut power) = (0.0, 1.0);
    for k in 1..60 {
        power *= x;
        sum += power / f64::from(k * k);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_small_numbers() {
        assert!((ln_factorial(10) - 3_628_800f64.ln()).abs() < 1e-12);
        assert!((ln_gamma(4.5) - 11.631_728_396_567_448f64.ln()).abs() < 1e-13);
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-13);
        let last = KEPT as u64;
        assert!((ln_factorial(last) - ln_factorial(last - 1) - (last as f64).ln()).abs() < 1e-8);
        assert!((ln_choose(7, 3) - 35f64.ln()).abs() < 1e-12);
        assert!((ln_multiset(3, 7) - 36f64.ln()).abs() < 1e-12);
        assert!(ln_choose(3, 4).is_infinite());
        assert!(ln_multiset(0, 0).abs() < 1e-15 && ln_multiset(0, 1).is_infinite());
    }

    #[test]
    fn partitions_are_counted_and_continued_beyond_the_table() {
        let table = Partitions::new(3000, 400);
        // p(10) = 42, q(10, 3) = 14, p(100) = 190,569,292.
        for (m, n, count) in [(10, 10, 42.0), (10, 3, 14.0), (100, 100, 190_569_292.0), (5, 0, 0.0)]
        {
            let found = table.ln_count(m, n).exp();
            assert!((found - count).abs() < 1e-9 * count + 1e-12, "{m} {n}: {found}");
        }
        assert!(table.ln_count(0, 4).abs() < 1e-15);
        for (m, n) in [(2500u32, 5u32), (2500, 40), (2900, 150), (3000, 390)] {
            let exact = table.ln_count(u64::from(m), u64::from(n));
            let form = szekeres(f64::from(m), f64::from(n));
            assert!((form - exact).abs() < 0.03 + 0.01 * exact.abs(), "{m} {n}: {form} {exact}");
        }
        let small = Partitions::new(100, 10);
        assert!((small.ln_count(3000, 390) - table.ln_count(3000, 390)).abs() < 1.0);
    }
}
