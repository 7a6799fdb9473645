//! The array `activity` `[sample, unit]` in a safetensors file.

use super::{Aside, Run};
use nissl_core::Result;
use nissl_core::numbers::Precision;

pub(super) fn write(run: &Run<'_>) -> Result<()> {
    let stored = run.recording.manifest().detail.dtype;
    let precision = run.settings.dtype.map_or(stored, Precision::from);
    let (dtype, size) = match precision {
        Precision::F32 => ("F32", 4),
        Precision::F16 => ("F16", 2),
        Precision::Bf16 => ("BF16", 2),
    };
    let (samples, units) = (run.recording.samples(), run.recording.units());
    let about = serde_json::json!({"activity": {
        "dtype": dtype,
        "shape": [samples, units],
        "data_offsets": [0, samples * units * size],
    }});
    let mut header = about.to_string();
    // Numbers begin at a multiple of eight bytes.
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = Aside::create(run.out)?;
    file.write(&(header.len() as u64).to_le_bytes())?;
    file.write(header.as_bytes())?;
    run.each(|activity, _| {
        file.write(&precision.encode(&activity.iter().copied().collect::<Vec<_>>()))
    })?;
    file.finish()
}
