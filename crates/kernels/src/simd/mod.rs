//! Kernels over slices, compiled for several instruction sets and chosen at run time.
//!
//! The loops are plain Rust; the compiler turns them into vector instructions of the set named.
#![expect(unsafe_code, reason = "calling code compiled for an instruction set that was detected")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into the caller is compiled for the caller's instruction set"
)]

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
pub(crate) mod factors;
pub(crate) mod logits;
mod math;
#[cfg(target_arch = "x86_64")]
pub(crate) mod pieces;
pub(crate) mod pointwise;
pub(crate) mod rows;
pub(crate) mod sparse;
pub(crate) mod thin;

use std::sync::LazyLock;

/// The instruction sets that code is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// AVX-512 F, BW, DQ and VL
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 with FMA
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What every processor of the target has
    Base,
}

static LEVEL: LazyLock<Level> = LazyLock::new(|| {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("fma")
        {
            return Level::Avx512;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Level::Avx2;
        }
    }
    Level::Base
});

/// Whether the target multiplies and adds in one instruction without asking.
const FUSED: bool = cfg!(target_arch = "aarch64");

/// A function `$name` that runs `$body::<FUSED>` as compiled for the best instruction set there is.
macro_rules! dispatch {
    ($(#[$doc:meta])* $name:ident = $body:path, ($($argument:ident: $type:ty),*) $(-> $out:ty)?) => {
        $(#[$doc])*
        pub(crate) fn $name($($argument: $type),*) $(-> $out)? {
            use $body as body;
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($argument: $type),*) $(-> $out)? {
                body::<true>($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $out)? {
                body::<true>($($argument),*)
            }
            match *crate::simd::LEVEL {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the processor was found to have these instructions.
                crate::simd::Level::Avx512 => unsafe { avx512($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                crate::simd::Level::Avx2 => unsafe { avx2($($argument),*) },
                crate::simd::Level::Base => body::<{ crate::simd::FUSED }>($($argument),*),
            }
        }
    };
}
pub(crate) use dispatch;
