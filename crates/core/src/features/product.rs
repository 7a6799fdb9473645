//! Matrix products of host matrices, on all threads and with the widest vectors the CPU has.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{Array2, ArrayView2, ArrayViewMut2};

/// `a · b` for `a` `[row, inner]` and `b` `[inner, column]`, gives `[row, column]`.
///
/// # Panics
/// When the inner sizes differ: that is an error of the calling code.
pub fn product<T: faer::traits::ComplexField + ndarray::LinalgScalar>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
) -> Array2<T> {
    let mut out = Array2::zeros((a.nrows(), b.ncols()));
    product_into(out.view_mut(), a, b);
    out
}

/// [`product`] into memory that is there already; `out` must be contiguous.
///
/// # Panics
/// When sizes differ or `out` has gaps: that is an error of the calling code.
pub fn product_into<T: faer::traits::ComplexField + ndarray::LinalgScalar>(
    out: ArrayViewMut2<'_, T>,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
) {
    multiply(out, Accum::Replace, a, b);
}

/// Adds [`product`] to what is in `out`, which must be contiguous.
///
/// # Panics
/// When sizes differ or `out` has gaps: that is an error of the calling code.
pub fn add_product<T: faer::traits::ComplexField + ndarray::LinalgScalar>(
    out: ArrayViewMut2<'_, T>,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
) {
    multiply(out, Accum::Add, a, b);
}

fn multiply<T: faer::traits::ComplexField + ndarray::LinalgScalar>(
    mut out: ArrayViewMut2<'_, T>,
    accumulate: Accum,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
) {
    let (rows, columns) = out.dim();
    let out = out.as_slice_mut().expect("the product goes to contiguous rows");
    let (mut a_copy, mut b_copy) = (Vec::new(), Vec::new());
    matmul(
        MatMut::from_row_major_slice_mut(out, rows, columns),
        accumulate,
        matrix(a, &mut a_copy),
        matrix(b, &mut b_copy),
        T::one(),
        Par::rayon(0),
    );
}

/// A view for faer; rows with gaps between them are copied.
fn matrix<'a, T: Copy>(view: ArrayView2<'a, T>, copy: &'a mut Vec<T>) -> MatRef<'a, T> {
    let (rows, columns) = view.dim();
    if let Some(values) = view.to_slice() {
        return MatRef::from_row_major_slice(values, rows, columns);
    }
    if let Some(values) = view.reversed_axes().to_slice() {
        return MatRef::from_column_major_slice(values, rows, columns);
    }
    copy.extend(view.iter().copied());
    MatRef::from_row_major_slice(copy, rows, columns)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, s};

    use super::*;

    #[test]
    fn every_memory_order_gives_the_product() {
        let a = Array2::from_shape_fn((5, 7), |(i, j)| ((i * 3 + j * 5) % 11) as f32 - 4.0);
        let b = Array2::from_shape_fn((7, 4), |(i, j)| ((i * 7 + j * 2) % 13) as f32 - 6.0);
        let truth = a.dot(&b);
        assert_eq!(product(a.view(), b.view()), truth);
        let turned = a.t().as_standard_layout().into_owned();
        assert_eq!(product(turned.t(), b.view()), truth);
        let part = product(a.slice(s![.., 1..4]), b.slice(s![1..4, ..]));
        assert_eq!(part, a.slice(s![.., 1..4]).dot(&b.slice(s![1..4, ..])));
        assert_eq!(product(a.slice(s![0..0, ..]), b.view()).dim(), (0, 4));
        let mut sum = truth.clone();
        add_product(sum.view_mut(), a.view(), b.view());
        assert_eq!(sum, &truth * 2.0);
    }
}
