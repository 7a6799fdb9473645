//! Text with commas: a line of names, then one line a sample; missing values are empty.

use ::csv::WriterBuilder;
use nissl_core::{Error, Result};

use super::{Aside, Run, cells};

/// The shortest text that reads back as the same f32.
pub(super) fn number(value: f32) -> String {
    let magnitude = value.abs();
    if value.is_nan() {
        String::new()
    } else if value == 0.0 || (1e-5..1e16).contains(&magnitude) || value.is_infinite() {
        value.to_string()
    } else {
        format!("{value:e}")
    }
}

pub(super) fn write(run: &Run<'_>) -> Result<()> {
    let labels = run.labels()?;
    let mut file = Aside::create(run.out)?;
    let mut named = false;
    run.each(|activity, samples| {
        let broken = |error: ::csv::Error| Error::file(run.out, "content", error, "lines");
        let mut writer = WriterBuilder::new().from_writer(Vec::new());
        if !named {
            let names = samples.names().chain(labels.iter().map(String::as_str));
            writer.write_record(names).map_err(broken)?;
            named = true;
        }
        let about = samples
            .columns()
            .map(|(name, column)| cells(run.recording.path(), name, column))
            .collect::<Result<Vec<_>>>()?;
        for (at, row) in activity.rows().into_iter().enumerate() {
            for column in &about {
                writer.write_field(&column[at]).map_err(broken)?;
            }
            for &value in row {
                writer.write_field(number(value)).map_err(broken)?;
            }
            writer.write_record(None::<&[u8]>).map_err(broken)?;
        }
        let lines =
            writer.into_inner().map_err(|error| Error::file(run.out, "content", error, "lines"))?;
        file.write(&lines)
    })?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_f32_survives_as_text(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            let text = super::number(value);
            if value.is_nan() {
                prop_assert_eq!(text, "");
            } else {
                prop_assert_eq!(text.parse::<f32>().expect("a number").to_bits(), bits);
            }
        }
    }
}
