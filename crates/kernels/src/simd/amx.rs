//! Products of bfloat16 tiles on Intel's matrix unit (AMX), summed in single precision.
//!
//! A number in single precision is split into a `high` and a `low` bfloat16 piece, which hold its
//! first 16 bits at least; a product of two numbers takes three products of pieces, or fewer where
//! low pieces are zero.

mod kernels;
mod store;

use std::{arch::asm, marker::PhantomData, sync::LazyLock};

use kernels::Job;
pub(crate) use store::Store;

/// Rows of the left panel, and columns of the right panel, that are multiplied at once.
pub(crate) const PANEL: usize = 32;
/// Length of the inner dimension that one step takes.
pub(crate) const STEP: usize = 32;

/// 1 KiB of bfloat16 numbers as the matrix unit takes them: 16 rows of 32.
///
/// A left tile is `[row, inner]`, a right tile `[inner / 2, column, 2]`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Tile(pub(crate) [u16; 512]);

impl Tile {
    /// All zero
    pub(crate) const ZERO: Self = Self([0; 512]);
}

/// A panel of 32 rows (or columns): for each step two tiles of high pieces, and two of low pieces
/// where there are any.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a> {
    tiles: &'a [Tile],
    steps: usize,
    pieces: Pieces,
}

/// Which pieces of its numbers a panel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// High pieces, which are the numbers themselves
    High,
    /// High and low pieces
    Both,
}

impl Pieces {
    /// Tiles of a panel, each step.
    pub(crate) fn tiles(self) -> usize {
        match self {
            Self::High => 2,
            Self::Both => 4,
        }
    }
}

impl<'a> Panel<'a> {
    /// The panel that `tiles` make.
    ///
    /// # Panics
    ///
    /// When they are not whole steps.
    pub(crate) fn new(tiles: &'a [Tile], pieces: Pieces) -> Self {
        let steps = tiles.len() / pieces.tiles();
        assert_eq!(tiles.len(), steps * pieces.tiles(), "whole steps of tiles");
        Self { tiles, steps, pieces }
    }
}

/// Whether this process may use the matrix unit; asks the system on the first call.
pub(crate) fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| detected() && permitted());
    *AVAILABLE
}

/// Whether the processor has AMX with bfloat16.
fn detected() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const TILE_AND_BF16: u32 = 1 << 24 | 1 << 22;
    // Everything else here is written for the wide registers that come with it.
    is_x86_feature_detected!("avx512bw")
        && __cpuid(0).eax >= 7
        && __cpuid_count(7, 0).edx & TILE_AND_BF16 == TILE_AND_BF16
}

/// Asks Linux to keep the state of the matrix unit for the threads of this process.
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XTILEDATA: u64 = 18;
    if !cfg!(target_os = "linux") {
        return false;
    }
    let answer: i64;
    // SAFETY: the call takes two numbers and touches no memory of ours; Linux changes no register
    // but the three named.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// The matrix unit of this thread, set up for tiles of 16 rows of 64 bytes until it is dropped.
pub(crate) struct Unit {
    /// The setting belongs to the thread.
    here: PhantomData<*const ()>,
}

impl Unit {
    /// Sets the unit up.
    ///
    /// # Panics
    ///
    /// When it is not [`available`].
    pub(crate) fn new() -> Self {
        #[repr(C, align(64))]
        struct Setting {
            palette: u8,
            start: u8,
            reserved: [u8; 14],
            bytes: [u16; 16],
            rows: [u8; 16],
        }
        assert!(available(), "the processor and the system must offer AMX");
        let mut setting =
            Setting { palette: 1, start: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
        setting.bytes[..8].fill(64);
        setting.rows[..8].fill(16);
        // SAFETY: the processor has the instruction and the system allows it; the setting is as the
        // manual wants it, and lives while it is read.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const setting, options(nostack, readonly));
        }
        Self { here: PhantomData }
    }

    /// `out = left right` or `out += left right`, `[32, 32]`; `soon` goes into the cache.
    ///
    /// Of `soon` as much is loaded as makes an eighth of `right`.
    ///
    /// # Panics
    ///
    /// When the panels differ in their steps.
    pub(crate) fn multiply(
        &mut self,
        left: Panel<'_>,
        right: Panel<'_>,
        out: &mut [f32; PANEL * PANEL],
        begin: Begin,
        soon: &[Tile],
    ) {
        let Self { here: _ } = self;
        assert_eq!(left.steps, right.steps, "panels of one inner length");
        if left.steps == 0 {
            if begin == Begin::Zero {
                out.fill(0.0);
            }
            return;
        }
        let job = Job { left, right, out, begin, soon: soon.as_ptr() };
        // SAFETY: the tiles are set up while `self` lives; the steps were compared above, and the
        // panels counted their tiles by their pieces.
        unsafe {
            match (left.pieces, right.pieces) {
                (Pieces::Both, Pieces::Both) => kernels::both_by_both(job),
                (Pieces::Both, Pieces::High) => kernels::both_by_high(job),
                (Pieces::High, Pieces::Both) => kernels::high_by_both(job),
                (Pieces::High, Pieces::High) => kernels::high_by_high(job),
            }
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // SAFETY: the instruction takes no operand, and the unit was set up by this thread.
        unsafe { asm!("tilerelease", options(nomem, nostack)) }
    }
}

/// What sums begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Zero
    Zero,
    /// What stands in the output
    Sum,
}
