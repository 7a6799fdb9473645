//! Half-precision numbers to single precision and back, slice by slice.
//!
//! `f16` goes through the processor's own conversion where there is one.
//! Rounding is to nearest, ties to even. Slices of one call have one length.

use half::{bf16, f16, slice::HalfFloatSliceExt};

/// `out[i] = x[i]`.
///
/// # Panics
///
/// When the lengths differ.
pub fn f16_to_f32(x: &[f16], out: &mut [f32]) {
    x.convert_to_f32_slice(out);
}

/// `out[i] = x[i]`, rounded.
///
/// # Panics
///
/// When the lengths differ.
pub fn f32_to_f16(x: &[f32], out: &mut [f16]) {
    out.convert_from_f32_slice(x);
}

/// `out[i] = x[i]`.
///
/// # Panics
///
/// When the lengths differ.
pub fn bf16_to_f32(x: &[bf16], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "slices of one length");
    for (x, out) in x.iter().zip(out) {
        *out = f32::from_bits(u32::from(x.to_bits()) << 16);
    }
}

/// `out[i] = x[i]`, rounded; NaN stays NaN.
///
/// # Panics
///
/// When the lengths differ.
pub fn f32_to_bf16(x: &[f32], out: &mut [bf16]) {
    assert_eq!(x.len(), out.len(), "slices of one length");
    for (x, out) in x.iter().zip(out) {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        // A NaN is kept by its quiet bit: rounding could carry it into infinity.
        let quiet = (bits >> 16) | 0x40;
        let is_nan = bits & 0x7fff_ffff > 0x7f80_0000;
        *out = bf16::from_bits(if is_nan { quiet } else { rounded } as u16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives_the_round_trip() {
        let bits: Vec<u16> = (0..=u16::MAX).collect();
        let mut wide = vec![0.0; bits.len()];
        let halves: Vec<f16> = bits.iter().map(|bits| f16::from_bits(*bits)).collect();
        let mut back = halves.clone();
        f16_to_f32(&halves, &mut wide);
        f32_to_f16(&wide, &mut back);
        assert!(halves.iter().zip(&back).all(|(a, b)| a == b || a.is_nan() && b.is_nan()));
        let halves: Vec<bf16> = bits.iter().map(|bits| bf16::from_bits(*bits)).collect();
        let mut back = halves.clone();
        bf16_to_f32(&halves, &mut wide);
        f32_to_bf16(&wide, &mut back);
        assert!(halves.iter().zip(&back).all(|(a, b)| a == b || a.is_nan() && b.is_nan()));
    }

    #[test]
    fn rounding_is_to_nearest_even() {
        let x = [1.003_906_2f32, 1.011_718_8, 3.4e38, f32::NAN, -2.7];
        let mut out = [bf16::ZERO; 5];
        f32_to_bf16(&x, &mut out);
        for (x, out) in x.iter().zip(out) {
            assert!(bf16::from_f32(*x) == out || x.is_nan() && out.is_nan());
        }
    }
}
