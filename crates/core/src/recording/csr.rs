//! Compressed sparse rows: only the values that are not zero.

use ndarray::{Array2, ArrayView2};

use crate::error::{Error, Result};
use crate::numbers::{Block, NumberFile, Precision};

/// Rows of which only the values that are not zero are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Csr {
    /// The number of columns.
    pub columns: usize,
    /// Where each row begins in `indices` and `values`; one more than there are rows.
    pub starts: Vec<i64>,
    /// The column of each value, ascending within a row.
    pub indices: Vec<u32>,
    /// The values.
    pub values: Vec<f32>,
}

impl Csr {
    /// No rows of `columns`.
    pub fn new(columns: usize) -> Self {
        Self { columns, starts: vec![0], indices: Vec::new(), values: Vec::new() }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Appends dense rows `[row, column]`; values of magnitude `threshold` or less are dropped, NaN
    /// is kept.
    pub fn push_dense(&mut self, rows: ArrayView2<'_, f32>, threshold: f32) {
        for row in rows.rows() {
            for (column, &value) in row.iter().enumerate() {
                if value.is_nan() || value.abs() > threshold {
                    self.indices.push(column as u32);
                    self.values.push(value);
                }
            }
            self.starts.push(self.values.len() as i64);
        }
    }

    /// All values `[row, column]`.
    pub fn to_dense(&self) -> Array2<f32> {
        let mut dense = Array2::zeros((self.rows(), self.columns));
        for (row, mut out) in dense.rows_mut().into_iter().enumerate() {
            for at in self.starts[row] as usize..self.starts[row + 1] as usize {
                out[self.indices[at] as usize] = self.values[at];
            }
        }
        dense
    }

    /// The blocks of a shard: `indptr`, `indices`, `values`.
    pub fn blocks(&self, precision: Precision) -> [(&'static str, Block<'_>); 3] {
        [
            ("indptr", Block::i64s(&self.starts)),
            ("indices", Block::u32s(&self.indices, &[self.indices.len()])),
            ("values", Block::rounded(&self.values, &[self.values.len()], precision)),
        ]
    }

    /// Reads the rows `from..to` of a shard.
    ///
    /// # Errors
    /// Offsets that do not rise, a column outside `columns`, or rows outside the shard.
    pub fn read(file: &NumberFile, columns: usize, from: usize, to: usize) -> Result<Self> {
        let all = file.i64s("indptr")?;
        if to >= all.len() || from > to {
            let found = format!("{} rows", all.len().saturating_sub(1));
            return Err(Error::file(file.path(), "indptr", found, format!("at least {to} rows")));
        }
        let starts = &all[from..=to];
        if starts[0] < 0 || starts.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(Error::file(file.path(), "indptr", "falling", "offsets that never fall"));
        }
        let (first, last) = (starts[0] as usize, starts[to - from] as usize);
        let indices = file.u32s("indices", first, last)?;
        if let Some(outside) = indices.iter().find(|&&index| index as usize >= columns) {
            return Err(Error::file(file.path(), "indices", outside, format!("below {columns}")));
        }
        let values = file.f32s("values", first, last)?;
        let starts = starts.iter().map(|start| start - first as i64).collect();
        Ok(Self { columns, starts, indices, values })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn dense_to_sparse_and_back(values in prop::collection::vec(-2i8..3, 0..60)) {
            let columns = 4;
            let rows = values.len() / columns;
            let flat = values[..rows * columns].iter().map(|&v| f32::from(v)).collect();
            let dense = Array2::from_shape_vec((rows, columns), flat).expect("fits");
            let mut csr = Csr::new(columns);
            csr.push_dense(dense.view(), 0.0);
            prop_assert_eq!(csr.to_dense(), dense);
            prop_assert!(csr.values.iter().all(|&value| value != 0.0));
        }
    }

    #[test]
    fn a_missing_value_is_kept() {
        let mut csr = Csr::new(2);
        csr.push_dense(ndarray::array![[f32::NAN, 0.1]].view(), 0.5);
        assert_eq!(csr.indices, [0]);
    }
}
