//! One column a unit, after those of the sample table when these are wanted.

use nissl_core::{Column, Result, TableWriter};

use super::Run;

/// Bytes of activity after which a row group ends, so that wide recordings stay in memory.
const GROUP_BYTES: usize = 64 << 20;

pub(super) fn write(run: &Run<'_>) -> Result<()> {
    let labels = distinct(run.labels()?);
    let mut writer = TableWriter::create(run.out);
    let mut bytes = 0;
    run.each(|activity, samples| {
        let mut table = samples;
        for (label, column) in labels.iter().zip(activity.columns()) {
            table = table.with(label.as_str(), Column::F32(column.to_vec()));
        }
        writer.push(&table)?;
        bytes += activity.len() * size_of::<f32>();
        if bytes >= GROUP_BYTES {
            writer.end_group()?;
            bytes = 0;
        }
        Ok(())
    })?;
    writer.finish()
}

/// Columns of a table have names of their own: the second `a` becomes `a.1`.
fn distinct(labels: Vec<String>) -> Vec<String> {
    let mut taken = std::collections::HashSet::new();
    let mut next = Vec::with_capacity(labels.len());
    for label in labels {
        let mut name = label.clone();
        let mut number = 0;
        while !taken.insert(name.clone()) {
            number += 1;
            name = format!("{label}.{number}");
        }
        next.push(name);
    }
    next
}

#[cfg(test)]
mod tests {
    #[test]
    fn equal_names_are_told_apart() {
        let names = ["a", "b", "a", "a.1", "a"].map(str::to_owned).to_vec();
        assert_eq!(super::distinct(names), ["a", "b", "a.1", "a.1.1", "a.2"]);
    }
}
