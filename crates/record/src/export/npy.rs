//! One array of NumPy.

use super::{Aside, Run};
use nissl_core::numbers::Precision;
use nissl_core::{Error, Result};

/// Headers are padded so that numbers begin at a multiple of this.
const ALIGNMENT: usize = 64;

pub(super) fn write(run: &Run<'_>) -> Result<()> {
    let stored = run.recording.manifest().detail.dtype;
    let precision = match (run.settings.dtype.map(Precision::from), stored) {
        (Some(Precision::Bf16), _) => {
            return Err(Error::setting("dtype", "bf16", "f32 or f16; NumPy has no bf16"));
        }
        (Some(chosen), _) => chosen,
        // Every bf16 is an f32.
        (None, Precision::Bf16) => Precision::F32,
        (None, stored) => stored,
    };
    let descr = if precision == Precision::F16 { "<f2" } else { "<f4" };
    let (samples, units) = (run.recording.samples(), run.recording.units());
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({samples}, {units}), }}");
    // Magic, version and length take ten bytes, the end of the line one.
    let padding = (10 + header.len() + 1).next_multiple_of(ALIGNMENT) - 11 - header.len();
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut file = Aside::create(run.out)?;
    file.write(b"\x93NUMPY\x01\x00")?;
    file.write(&(header.len() as u16).to_le_bytes())?;
    file.write(header.as_bytes())?;
    run.each(|activity, _| {
        file.write(&precision.encode(&activity.iter().copied().collect::<Vec<_>>()))
    })?;
    file.finish()
}
