//! The entries of a code in the order of their features.

use super::SparseCode;

/// Entries of a code, feature after feature, those of one in the order of the rows.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// `[feature + 1]`
    pub(super) starts: Vec<usize>,
    /// `[place]`: the entry's row
    pub(super) rows: Vec<u32>,
    /// `[place]`: its place in the code
    pub(super) entries: Vec<usize>,
}

impl Columns {
    pub(super) fn of(code: &SparseCode) -> Self {
        code.check();
        assert!(u32::try_from(code.rows()).is_ok(), "row numbers within 32 bits");
        let mut starts = vec![0; code.features + 1];
        for &index in &code.indices {
            starts[index as usize + 1] += 1;
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        let mut next = starts.clone();
        let (mut rows, mut entries) = (vec![0; total], vec![0; total]);
        for row in 0..code.rows() {
            for entry in code.starts[row]..code.starts[row + 1] {
                let place = &mut next[code.indices[entry] as usize];
                rows[*place] = row as u32;
                entries[*place] = entry;
                *place += 1;
            }
        }
        Self { starts, rows, entries }
    }

    /// Numbers of the entries `[place]`, out of numbers in the order of the code.
    pub(super) fn gather(&self, values: &[f32]) -> Vec<f32> {
        self.entries.iter().map(|entry| values[*entry]).collect()
    }

    /// Numbers in the order of the code, out of numbers of the entries `[place]`.
    pub(super) fn scatter(&self, values: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; values.len()];
        for (entry, value) in self.entries.iter().zip(values) {
            out[*entry] = *value;
        }
        out
    }

    /// Runs of features with about as many entries each.
    pub(super) fn runs(&self) -> Vec<std::ops::Range<usize>> {
        let features = self.starts.len() - 1;
        let share = (self.rows.len() + features).div_ceil(RUNS).max(1);
        let mut runs = Vec::with_capacity(RUNS + 1);
        let mut begin = 0;
        for feature in 0..features {
            let done = self.starts[feature + 1] - self.starts[begin] + feature + 1 - begin;
            if done >= share || feature + 1 == features {
                runs.push(begin..feature + 1);
                begin = feature + 1;
            }
        }
        runs
    }
}

/// About how many tasks a pass over all features makes.
const RUNS: usize = 256;
