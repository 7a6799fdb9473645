//! Activations in compressed sparse shards: checked as they are read, streamed or gathered.

use std::path::Path;

use ndarray::{Array2, s};

use super::Features;
use crate::error::{Error, Result};
use crate::numbers::NumberFile;
use crate::recording::{ActivityBlock, Csr};
use crate::store::Shard;

impl Features {
    /// All samples in order, at most `rows` at a time; the activity of a block is
    /// `[sample, feature]`.
    pub fn activation_blocks(
        &self,
        rows: usize,
    ) -> impl Iterator<Item = Result<ActivityBlock>> + '_ {
        self.sparse_blocks(rows).map(|block| {
            let (start, csr) = block?;
            Ok(ActivityBlock { start, activity: csr.to_dense() })
        })
    }

    /// As [`Self::activation_blocks`], with only the values that are not zero; each block comes
    /// with the number of its first sample.
    pub fn sparse_blocks(&self, rows: usize) -> impl Iterator<Item = Result<(usize, Csr)>> + '_ {
        let rows = rows.max(1);
        let features = self.features();
        let mut start = 0;
        self.manifest.shards.iter().flat_map(move |shard| {
            let first = start;
            let size = shard.rows as usize;
            start += size;
            let (file, failure) = match open_shard(self.path(), shard) {
                Ok(file) => (Some(file), None),
                Err(error) => (None, Some(Err(error))),
            };
            let blocks = file.into_iter().flat_map(move |file| {
                (0..size).step_by(rows).map(move |from| {
                    let csr = read_rows(&file, features, from, (from + rows).min(size))?;
                    Ok((first + from, csr))
                })
            });
            failure.into_iter().chain(blocks)
        })
    }

    /// The activation of one feature for every sample.
    ///
    /// # Errors
    /// No such feature, or a shard that cannot be read.
    pub fn column(&self, feature: usize) -> Result<Vec<f32>> {
        Ok(self.columns(&[feature])?.column(0).to_vec())
    }

    /// The activations of some features `[sample, feature]`, in their order.
    ///
    /// # Errors
    /// No such feature, or a shard that cannot be read.
    pub fn columns(&self, features: &[usize]) -> Result<Array2<f32>> {
        let mut places: Vec<Vec<usize>> = vec![Vec::new(); self.features()];
        for (place, &feature) in features.iter().enumerate() {
            let known = places.get_mut(feature).ok_or_else(|| {
                Error::setting("feature", feature, format!("below {}", self.features()))
            })?;
            known.push(place);
        }
        let mut out = Array2::zeros((self.samples(), features.len()));
        for block in self.sparse_blocks(BLOCK) {
            let (start, csr) = block?;
            for row in 0..csr.rows() {
                for at in csr.starts[row] as usize..csr.starts[row + 1] as usize {
                    for &place in &places[csr.indices[at] as usize] {
                        out[[start + row, place]] = csr.values[at];
                    }
                }
            }
        }
        Ok(out)
    }

    /// The activations of the samples `rows`, which must be sorted `[sample, feature]`.
    ///
    /// # Errors
    /// A sample outside the features, or a shard that cannot be read.
    pub fn rows(&self, rows: &[usize]) -> Result<Array2<f32>> {
        if !rows.is_sorted() {
            return Err(Error::setting("samples", "unsorted", "sorted sample numbers"));
        }
        if let Some(&outside) = rows.last().filter(|&&row| row >= self.samples()) {
            return Err(Error::setting("sample", outside, format!("below {}", self.samples())));
        }
        let mut out = Array2::zeros((rows.len(), self.features()));
        let (mut start, mut done) = (0, 0);
        for shard in &self.manifest.shards {
            let end = start + shard.rows as usize;
            if done < rows.len() && rows[done] < end {
                let file = open_shard(self.path(), shard)?;
                while done < rows.len() && rows[done] < end {
                    let first = rows[done];
                    let near = |row: &&usize| **row < end && **row - first < BLOCK;
                    let count = rows[done..].iter().take_while(near).count();
                    let last = rows[done + count - 1];
                    let csr = read_rows(&file, self.features(), first - start, last + 1 - start)?;
                    let block = csr.to_dense();
                    for (at, &row) in (done..).zip(&rows[done..done + count]) {
                        out.row_mut(at).assign(&block.slice(s![row - first, ..]));
                    }
                    done += count;
                }
            }
            start = end;
        }
        Ok(out)
    }
}

/// Samples read at once where the caller does not say.
const BLOCK: usize = 4096;

/// # Errors
/// A file that is damaged or has other rows than the manifest says.
pub(super) fn open_shard(folder: &Path, shard: &Shard) -> Result<NumberFile> {
    let file = NumberFile::open(&folder.join(&shard.file))?;
    let found = file.shape("indptr").unwrap_or_default();
    if found == [shard.rows as usize + 1] {
        return Ok(file);
    }
    Err(Error::file(
        file.path(),
        "indptr",
        format!("{found:?}"),
        format!("[{}], one more than the rows of the manifest", shard.rows + 1),
    ))
}

/// # Errors
/// Offsets that fall, features that do not exist or do not rise, or values that are not finite.
pub(super) fn read_rows(file: &NumberFile, features: usize, from: usize, to: usize) -> Result<Csr> {
    let csr = Csr::read(file, features, from, to)?;
    for pair in csr.starts.windows(2) {
        let row = &csr.indices[pair[0] as usize..pair[1] as usize];
        if row.windows(2).any(|pair| pair[0] >= pair[1]) {
            let expected = "ascending features within a sample";
            return Err(Error::file(file.path(), "indices", "unsorted", expected));
        }
    }
    match csr.values.iter().find(|value| !value.is_finite()) {
        None => Ok(csr),
        Some(value) => Err(Error::file(file.path(), "values", value, "finite numbers")),
    }
}
