//! The loops of the matrix unit, one for each pair of kinds of panel.
//!
//! Tiles 0 to 3 hold the sums, `[2, 2]` tiles of 16 by 16; 4 and 5 come from the left panel, 6 and 7
//! from the right one. Small products are added before large ones. The left panel passes by the first
//! cache (`tileloaddt1`), in which the right one stays: an eighth less time than with plain loads.

use std::arch::asm;

use super::{Begin, PANEL, Panel, Tile};

/// What one run multiplies.
pub(super) struct Job<'a> {
    pub(super) left: Panel<'a>,
    pub(super) right: Panel<'a>,
    pub(super) out: &'a mut [f32; PANEL * PANEL],
    pub(super) begin: Begin,
    /// A hint that may point anywhere
    pub(super) soon: *const Tile,
}

/// A function `$name` that loops over steps of the bytes named with the instructions given.
macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident, $left:literal, $right:literal, $ahead:literal, $($line:literal)+) => {
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// Tiles must be set up on this thread, and both panels must hold the same number of steps,
        /// at least one, of the pieces in the name.
        pub(super) unsafe fn $name(job: Job<'_>) {
            let add = u64::from(job.begin == Begin::Sum);
            // SAFETY: the tiles are set up, says the caller. Each step reads as many tiles of either
            // panel as its pieces make, and the caller counted the steps. Sums are read from and
            // written to `out`, 32 rows of 128 bytes. All tiles are named as overwritten, no stack
            // is used, and a hint to memory that is not there does nothing.
            unsafe {
                asm!(
                    "test {add}, {add}",
                    "jz 3f",
                    "tileloadd tmm0, [{out} + {row}]",
                    "tileloadd tmm1, [{out} + {row} + 64]",
                    "tileloadd tmm2, [{out} + {row} + 2048]",
                    "tileloadd tmm3, [{out} + {row} + 2112]",
                    "jmp 2f",
                    "3:",
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "2:",
                    $($line,)+
                    concat!("add {left}, ", $left),
                    concat!("add {right}, ", $right),
                    concat!("add {soon}, ", $ahead),
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{out} + {row}], tmm0",
                    "tilestored [{out} + {row} + 64], tmm1",
                    "tilestored [{out} + {row} + 2048], tmm2",
                    "tilestored [{out} + {row} + 2112], tmm3",
                    left = inout(reg) job.left.tiles.as_ptr() => _,
                    right = inout(reg) job.right.tiles.as_ptr() => _,
                    steps = inout(reg) job.left.steps => _,
                    soon = inout(reg) job.soon => _,
                    add = in(reg) add,
                    out = in(reg) job.out.as_mut_ptr(),
                    row = in(reg) 128u64,
                    tile = in(reg) 64u64,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

kernel! {
    /// High by high, high by low and low by high: twelve products a step.
    both_by_both, "4096", "4096", "512",
    "tileloaddt1 tmm4, [{left} + {tile} + 2048]"
    "tileloadd tmm6, [{right} + {tile}]"
    "tileloadd tmm7, [{right} + {tile} + 1024]"
    "tileloaddt1 tmm5, [{left} + {tile} + 3072]"
    "tdpbf16ps tmm0, tmm4, tmm6"
    "tdpbf16ps tmm1, tmm4, tmm7"
    "prefetcht1 [{soon}]"
    "tileloaddt1 tmm4, [{left} + {tile}]"
    "tdpbf16ps tmm2, tmm5, tmm6"
    "prefetcht1 [{soon} + 64]"
    "tdpbf16ps tmm3, tmm5, tmm7"
    "prefetcht1 [{soon} + 128]"
    "tileloaddt1 tmm5, [{left} + {tile} + 1024]"
    "tdpbf16ps tmm0, tmm4, tmm6"
    "prefetcht1 [{soon} + 192]"
    "tdpbf16ps tmm1, tmm4, tmm7"
    "tdpbf16ps tmm2, tmm5, tmm6"
    "prefetcht1 [{soon} + 256]"
    "tileloadd tmm6, [{right} + {tile} + 2048]"
    "tdpbf16ps tmm3, tmm5, tmm7"
    "prefetcht1 [{soon} + 320]"
    "tileloadd tmm7, [{right} + {tile} + 3072]"
    "tdpbf16ps tmm0, tmm4, tmm6"
    "prefetcht1 [{soon} + 384]"
    "tdpbf16ps tmm1, tmm4, tmm7"
    "tdpbf16ps tmm2, tmm5, tmm6"
    "prefetcht1 [{soon} + 448]"
    "tdpbf16ps tmm3, tmm5, tmm7"
}

kernel! {
    /// Low by high and high by high: eight products a step.
    both_by_high, "4096", "2048", "256",
    "tileloaddt1 tmm4, [{left} + {tile} + 2048]"
    "tileloadd tmm6, [{right} + {tile}]"
    "tileloadd tmm7, [{right} + {tile} + 1024]"
    "tileloaddt1 tmm5, [{left} + {tile} + 3072]"
    "tdpbf16ps tmm0, tmm4, tmm6"
    "prefetcht1 [{soon}]"
    "tdpbf16ps tmm1, tmm4, tmm7"
    "prefetcht1 [{soon} + 64]"
    "tileloaddt1 tmm4, [{left} + {tile}]"
    "tdpbf16ps tmm2, tmm5, tmm6"
    "prefetcht1 [{soon} + 128]"
    "tdpbf16ps tmm3, tmm5, tmm7"
    "prefetcht1 [{soon} + 192]"
    "tileloaddt1 tmm5, [{left} + {tile} + 1024]"
    "tdpbf16ps tmm0, tmm4, tmm6"
    "tdpbf16ps tmm1, tmm4, tmm7"
    "tdpbf16ps tmm2, tmm5, tmm6"
    "tdpbf16ps tmm3, tmm5, tmm7"
}

kernel! {
    /// High by low and high by high: eight products a step.
    high_by_both, "2048", "4096", "512",
    "tileloaddt1 tmm4, [{left} + {tile}]"
    "tileloadd tmm6, [{right} + {tile} + 2048]"
    "tileloadd tmm7, [{right} + {tile} + 3072]"
    "tileloaddt1 tmm5, [{left} + {tile} + 1024]"
    "tdpbf16ps tmm0, tmm4, tmm6"
    "prefetcht1 [{soon}]"
    "tdpbf16ps tmm1, tmm4, tmm7"
    "prefetcht1 [{soon} + 64]"
    "tdpbf16ps tmm2, tmm5, tmm6"
    "prefetcht1 [{soon} + 128]"
    "tileloadd tmm6, [{right} + {tile}]"
    "tdpbf16ps tmm3, tmm5, tmm7"
    "prefetcht1 [{soon} + 192]"
    "tileloadd tmm7, [{right} + {tile} + 1024]"
    "tdpbf16ps tmm0, tmm4, tmm6"
    "prefetcht1 [{soon} + 256]"
    "tdpbf16ps tmm1, tmm4, tmm7"
    "prefetcht1 [{soon} + 320]"
    "tdpbf16ps tmm2, tmm5, tmm6"
    "prefetcht1 [{soon} + 384]"
    "tdpbf16ps tmm3, tmm5, tmm7"
    "prefetcht1 [{soon} + 448]"
}

kernel! {
    /// High by high: four products a step.
    high_by_high, "2048", "2048", "256",
    "tileloaddt1 tmm4, [{left} + {tile}]"
    "tileloadd tmm6, [{right} + {tile}]"
    "tileloadd tmm7, [{right} + {tile} + 1024]"
    "tileloaddt1 tmm5, [{left} + {tile} + 1024]"
    "tdpbf16ps tmm0, tmm4, tmm6"
    "prefetcht1 [{soon}]"
    "tdpbf16ps tmm1, tmm4, tmm7"
    "prefetcht1 [{soon} + 64]"
    "tdpbf16ps tmm2, tmm5, tmm6"
    "prefetcht1 [{soon} + 128]"
    "tdpbf16ps tmm3, tmm5, tmm7"
    "prefetcht1 [{soon} + 192]"
}
