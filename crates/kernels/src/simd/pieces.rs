//! Numbers in single precision split into two bfloat16 pieces, and laid into tiles.

use super::{
    amx::{PANEL, Pieces, STEP, Tile},
    dispatch,
};

dispatch! {
    /// Whether all numbers are bfloat16 numbers already.
    are_whole = whole_body, (x: &[f32]) -> bool
}

dispatch! {
    /// Lays up to 32 rows `[row, width]` into a left panel; tile rows beyond them keep what they had.
    lay_left = left_body, (rows: &[f32], width: usize, pieces: Pieces, panel: &mut [Tile])
}

dispatch! {
    /// Lays up to 32 rows `[column, width]` as the columns of a right panel, as above.
    lay_right = right_body, (rows: &[f32], width: usize, pieces: Pieces, panel: &mut [Tile])
}

#[inline(always)]
fn whole_body<const FUSED: bool>(x: &[f32]) -> bool {
    // In blocks, for no vector loop can stop early.
    x.chunks(1024).all(|x| x.iter().fold(0, |bits, x| bits | x.to_bits()).trailing_zeros() >= 16)
}

#[inline(always)]
fn left_body<const FUSED: bool>(rows: &[f32], width: usize, pieces: Pieces, panel: &mut [Tile]) {
    for (row, numbers) in rows.chunks_exact(width).enumerate() {
        let (tile, line) = (row / 16, row % 16 * STEP);
        for (tiles, numbers) in panel.chunks_exact_mut(pieces.tiles()).zip(numbers.chunks(STEP)) {
            let [high, low] = split(&padded(numbers));
            tiles[tile].0[line..line + STEP].copy_from_slice(&high);
            if pieces == Pieces::Both {
                tiles[tile + 2].0[line..line + STEP].copy_from_slice(&low);
            }
        }
    }
}

#[inline(always)]
fn right_body<const FUSED: bool>(rows: &[f32], width: usize, pieces: Pieces, panel: &mut [Tile]) {
    for (column, numbers) in rows.chunks_exact(width).enumerate() {
        let (tile, place) = (column / 16, column % 16 * 2);
        for (tiles, numbers) in panel.chunks_exact_mut(pieces.tiles()).zip(numbers.chunks(STEP)) {
            let [high, low] = split(&padded(numbers));
            scatter(&high, place, &mut tiles[tile]);
            if pieces == Pieces::Both {
                scatter(&low, place, &mut tiles[tile + 2]);
            }
        }
    }
}

/// Pairs of numbers to `[pair, column, 2]`.
#[inline(always)]
fn scatter(numbers: &[u16; STEP], place: usize, tile: &mut Tile) {
    let (pairs, _) = numbers.as_chunks::<2>();
    let (lines, _) = tile.0.as_chunks_mut::<PANEL>();
    for (line, pair) in lines.iter_mut().zip(pairs) {
        line[place] = pair[0];
        line[place + 1] = pair[1];
    }
}

/// A step's numbers, with zeros where the row ends before the step does.
#[inline(always)]
fn padded(numbers: &[f32]) -> [f32; STEP] {
    if let Ok(numbers) = numbers.try_into() {
        return numbers;
    }
    let mut step = [0.0; STEP];
    step[..numbers.len()].copy_from_slice(numbers);
    step
}

/// High and low pieces of numbers that are finite.
#[inline(always)]
fn split(x: &[f32; STEP]) -> [[u16; STEP]; 2] {
    let mut pieces = [[0; STEP]; 2];
    for (place, &x) in x.iter().enumerate() {
        let high = rounded(x);
        pieces[0][place] = (high >> 16) as u16;
        pieces[1][place] = (rounded(x - f32::from_bits(high)) >> 16) as u16;
    }
    pieces
}

/// Bits of the nearest bfloat16 number, ties to even.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000
}
