//! Products of matrices that lie in slices, with any strides.
#![expect(unsafe_code, reason = "the gemm crate takes pointers; bounds are checked here before")]

use gemm::Parallelism;

/// A number that matrices can be multiplied in.
pub trait Number: Copy + Send + Sync + 'static + private::Sealed {
    /// Zero
    const ZERO: Self;
    /// One
    const ONE: Self;
}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Number for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

impl Number for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

/// A matrix `[row, column]` seen in a slice.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a, T> {
    data: &'a [T],
    shape: [usize; 2],
    strides: [usize; 2],
}

impl<'a, T: Number> MatRef<'a, T> {
    /// A matrix whose rows follow one another in `data`.
    ///
    /// # Panics
    ///
    /// When `data` does not hold exactly `rows × columns` numbers.
    pub fn row_major(data: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "a matrix of {rows} by {columns}");
        Self { data, shape: [rows, columns], strides: [columns, 1] }
    }

    /// The matrix whose element `(i, j)` stands at `i strides[0] + j strides[1]`.
    ///
    /// # Panics
    ///
    /// When its last element lies beyond the end of `data`.
    pub fn strided(data: &'a [T], shape: [usize; 2], strides: [usize; 2]) -> Self {
        if shape[0] > 0 && shape[1] > 0 {
            let last = (shape[0] - 1) * strides[0] + (shape[1] - 1) * strides[1];
            assert!(last < data.len(), "element {last} of a slice of {}", data.len());
        }
        Self { data, shape, strides }
    }

    /// Rows for columns.
    #[must_use]
    pub fn transposed(self) -> Self {
        let ([rows, columns], [down, right]) = (self.shape, self.strides);
        Self { data: self.data, shape: [columns, rows], strides: [right, down] }
    }

    /// Some of the rows.
    ///
    /// # Panics
    ///
    /// When there are fewer.
    #[must_use]
    pub fn rows(self, rows: std::ops::Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.shape[0], "rows {rows:?}");
        let start = (rows.start * self.strides[0]).min(self.data.len());
        Self { data: &self.data[start..], shape: [rows.len(), self.shape[1]], ..self }
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }
}

/// On how many threads a product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The caller's
    One,
    /// All of rayon's pool
    All,
}

/// What becomes of the numbers already in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// The product takes their place
    Overwrite,
    /// The product is added to them
    Add,
}

/// `out = a b`, row-major, on all threads; the same bytes for one number of threads.
///
/// # Panics
///
/// When the shapes do not fit.
pub fn matmul<T: Number>(a: MatRef<'_, T>, b: MatRef<'_, T>, out: &mut [T]) {
    let columns = b.shape[1];
    assert_eq!(out.len(), a.shape[0] * columns, "output of {:?} by {:?}", a.shape, b.shape);
    product(a, b, out, columns, Into::Overwrite, threads_for(a.shape[0] * a.shape[1] * columns));
}

/// `out += a b`, row-major, on all threads.
///
/// # Panics
///
/// When the shapes do not fit.
pub fn matmul_add<T: Number>(a: MatRef<'_, T>, b: MatRef<'_, T>, out: &mut [T]) {
    let columns = b.shape[1];
    assert_eq!(out.len(), a.shape[0] * columns, "output of {:?} by {:?}", a.shape, b.shape);
    product(a, b, out, columns, Into::Add, threads_for(a.shape[0] * a.shape[1] * columns));
}

/// `out = a b` or `out += a b`, row-major, on the caller's thread alone; the same bytes on any number of
/// threads.
///
/// # Panics
///
/// When the shapes do not fit.
pub fn matmul_alone<T: Number>(a: MatRef<'_, T>, b: MatRef<'_, T>, out: &mut [T], into: Into) {
    let columns = b.shape[1];
    assert_eq!(out.len(), a.shape[0] * columns, "output of {:?} by {:?}", a.shape, b.shape);
    product(a, b, out, columns, into, Threads::One);
}

/// Small products are not worth a second thread.
fn threads_for(multiplications: usize) -> Threads {
    if multiplications < 1 << 20 { Threads::One } else { Threads::All }
}

/// `out (+)= a b`, with rows of `out` `row_stride` apart.
pub(crate) fn product<T: Number>(
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    out: &mut [T],
    row_stride: usize,
    into: Into,
    threads: Threads,
) {
    let ([rows, inner], [other, columns]) = (a.shape, b.shape);
    assert_eq!(inner, other, "columns of the left must match rows of the right");
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(columns <= row_stride, "rows of {columns} overlap at a distance of {row_stride}");
    assert!((rows - 1) * row_stride + columns <= out.len(), "the output is too short");
    if inner == 0 {
        if into == Into::Overwrite {
            for row in out.chunks_mut(row_stride).take(rows) {
                row[..columns].fill(T::ZERO);
            }
        }
        return;
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(rayon::current_num_threads()),
    };
    // SAFETY: the pointers are to live slices, `out` is borrowed alone, and all elements touched
    // were checked to lie within: here for `out`, in the constructors for `a` and `b`.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            row_stride as isize,
            into == Into::Add,
            a.data.as_ptr(),
            a.strides[1] as isize,
            a.strides[0] as isize,
            b.data.as_ptr(),
            b.strides[1] as isize,
            b.strides[0] as isize,
            if into == Into::Add { T::ONE } else { T::ZERO },
            T::ONE,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix of small whole numbers, whose products are exact.
    fn whole(rows: usize, columns: usize, seed: usize) -> Vec<f64> {
        (0..rows * columns).map(|i| ((i * 37 + seed * 11) % 13) as f64 - 6.0).collect()
    }

    #[test]
    fn products_are_those_of_the_schoolbook() {
        for (rows, inner, columns) in [(1, 1, 1), (3, 0, 2), (5, 7, 3), (17, 33, 65)] {
            let (a, b) = (whole(rows, inner, 1), whole(columns, inner, 2));
            let mut truth = vec![0.0; rows * columns];
            for (place, truth) in truth.iter_mut().enumerate() {
                let (row, column) = (place / columns, place % columns);
                *truth = (0..inner).map(|k| a[row * inner + k] * b[column * inner + k]).sum();
            }
            let left = MatRef::row_major(&a, rows, inner);
            let right = MatRef::row_major(&b, columns, inner).transposed();
            let mut out = vec![9.0; rows * columns];
            matmul(left, right, &mut out);
            assert_eq!(out, truth);
            matmul_add(left, right, &mut out);
            let twice: Vec<f64> = truth.iter().map(|truth| 2.0 * truth).collect();
            assert_eq!(out, twice);
            matmul_alone(left, right, &mut out, Into::Overwrite);
            assert_eq!(out, truth);
            matmul_alone(left, right, &mut out, Into::Add);
            assert_eq!(out, twice);
        }
    }

    #[test]
    #[should_panic(expected = "must match")]
    fn shapes_must_fit() {
        let a = [1.0f32; 6];
        let left = MatRef::row_major(&a, 2, 3);
        matmul(left, left, &mut [0.0; 6]);
    }

    #[test]
    #[should_panic(expected = "of a slice of")]
    fn a_matrix_lies_within_its_slice() {
        let _ = MatRef::strided(&[1.0f32; 5], [2, 3], [3, 1]);
    }
}
