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
    /// Panics when `data` does not hold exactly `rows × columns` numbers.
    pub fn row_major(data: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "a matrix of {rows} by {columns}");
        Self { data, shape: [rows, columns], strides: [columns, 1] }
    }

    /// The matrix whose element `(i, j)` stands at `i strides[0] + j strides[1]`.
    ///
    /// Panics when its last element lies beyond the end of `data`.
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
    /// Panics when there are fewer.
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
/// Panics when the shapes do not fit.
pub fn matmul<T: Number>(a: MatRef<'_, T>, b: MatRef<'_, T>, out: &mut [T]) {
    let columns = b.shape[1];
    assert_eq!(out.len(), a.shape[0] * columns, "output of {:?} by {:?}", a.shape, b.shape);
    product(a, b, out, columns, Into::Overwrite, threads_for(a.shape[0] * a.shape[1] * columns));
}

/// `out += a b`, row-major, on all threads.
///
/// Panics when the shapes do not fit.
pub fn matmul_add<T: Number>(a: MatRef<'_, T>, b: MatRef<'_, T>, out: &mut [T]) {
    let columns = b.shape[1];
    assert_eq!(out.len(), a.shape[0] * columns, "output of {:?} by {:?}", a.shape, b.shape);
    product(a, b, out, columns, Into::Add, threads_for(a.shape[0] * a.shape[1] * columns));
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
