//! Which columns of a foreign table are units and which tell about the samples.

use nissl_core::{Column, Error, Result, Table};

/// What a named column of a foreign table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Activity.
    Unit,
    /// The number of the sample, which is given anew.
    Dropped,
    /// Whole numbers below 2³² about samples.
    Count,
    /// Seconds.
    Seconds,
    /// Text about samples.
    Text,
    /// Whatever the column holds, about samples.
    Free,
}

/// The role of a column by its name; `more` are names that the user counts to the sample table.
pub(super) fn role(name: &str, more: &[String]) -> Role {
    match name {
        "sample" => Role::Dropped,
        "sequence" | "position" | "trial" | "token_id" => Role::Count,
        "time_s" => Role::Seconds,
        "stimulus" | "token" => Role::Text,
        // What a world tells of its tokens besides their truth.
        "entropy" | "surprise" | "meaning" => Role::Free,
        _ if name.starts_with("truth.") || more.iter().any(|other| other == name) => Role::Free,
        _ => Role::Unit,
    }
}

/// Whether a column of this name would be taken for one of the sample table.
pub(crate) fn is_sample_column(name: &str) -> bool {
    role(name, &[]) != Role::Unit
}

/// Whether a field stands for a missing value.
pub(crate) fn is_missing(text: &str) -> bool {
    text.is_empty()
        || ["na", "n/a", "nan", "null", "none"].iter().any(|m| text.eq_ignore_ascii_case(m))
}

/// A column of whole numbers below 2³²; the first row that has none is the error.
pub(super) fn counts(values: &[f64]) -> Result<Column, (usize, f64)> {
    let whole = |value: f64| (0.0..=f64::from(u32::MAX)).contains(&value) && value.fract() == 0.0;
    match values.iter().position(|&value| !whole(value)) {
        Some(at) => Err((at, values[at])),
        None => Ok(Column::U32(values.iter().map(|&value| value as u32).collect())),
    }
}

/// Adds `sequence` and `position` where a file does not give them.
#[derive(Default)]
pub(super) struct Given {
    last: Option<(u32, u32)>,
}

impl Given {
    /// The sample table of `rows` rows from `first` on.
    ///
    /// # Errors
    /// More rows than positions can count.
    pub(super) fn complete(&mut self, samples: Table, first: u64, rows: usize) -> Result<Table> {
        let sequences = match samples.get("sequence") {
            Some(Column::U32(sequences)) => sequences.clone(),
            _ => vec![0; rows],
        };
        let mut positions = Vec::with_capacity(rows);
        for (row, &sequence) in sequences.iter().enumerate() {
            let position = match self.last {
                Some((same, before)) if same == sequence => before.checked_add(1),
                _ => Some(0),
            };
            let Some(position) = position else {
                let found = format!("row {}", first + row as u64);
                return Err(Error::setting("position", found, "at most 4,294,967,295"));
            };
            self.last = Some((sequence, position));
            positions.push(position);
        }
        let positions = match samples.get("position") {
            Some(Column::U32(given)) => given.clone(),
            _ => positions,
        };
        let begun = Table::new()
            .with("sequence", Column::U32(sequences))
            .with("position", Column::U32(positions));
        Ok(samples
            .columns()
            .filter(|(name, _)| !matches!(*name, "sequence" | "position"))
            .fold(begun, |table, (name, column)| table.with(name, column.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_within_a_sequence_across_blocks() {
        let mut given = Given::default();
        let block = |s: &[u32]| Table::new().with("sequence", Column::U32(s.to_vec()));
        let one = given.complete(block(&[4, 4]), 0, 2).expect("counts");
        let two = given.complete(block(&[4, 9]), 2, 2).expect("counts");
        assert_eq!(one.u32s("position").expect("there"), [0, 1]);
        assert_eq!(two.u32s("position").expect("there"), [2, 0]);
        let mut none = Given::default();
        let plain = none.complete(Table::new(), 0, 3).expect("counts");
        assert_eq!(plain.u32s("sequence").expect("there"), [0, 0, 0]);
        assert_eq!(plain.u32s("position").expect("there"), [0, 1, 2]);
        let stated = Table::new().with("position", Column::U32(vec![8]));
        let stated = none.complete(stated, 3, 1).expect("counts");
        assert_eq!(stated.u32s("position").expect("there"), [8]);
    }

    #[test]
    fn counts_are_whole_and_not_negative() {
        assert_eq!(counts(&[0.0, 4_294_967_295.0]), Ok(Column::U32(vec![0, u32::MAX])));
        assert_eq!(counts(&[1.0, -1.0]), Err((1, -1.0)));
        assert!(counts(&[0.5]).is_err());
        assert!(counts(&[f64::NAN]).is_err());
        assert!(counts(&[4_294_967_296.0]).is_err());
    }
}
