//! The nissl side of `benches/peers/lm_head.py`: the largest probabilities of all rows, timed.
//!
//! usage: lm_head_peer FILE.safetensors TOP; the file holds `rows` `[row, width]` and `head`
//! `[token, width]`, in f32 or bf16. Prints one JSON line. The time begins before the file is opened
//! and ends when the last probability is there.

use std::{error::Error, path::Path, time::Instant};

use nissl_kernels::{LogitScan, Mapped, Signs, convert};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// Tokens between two releases of what was read.
const TOKENS: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, top] = arguments.as_slice() else {
        return Err("usage: lm_head_peer FILE.safetensors TOP".into());
    };
    let begun = Instant::now();
    let map = Mapped::open(Path::new(file))?;
    let tensors = SafeTensors::deserialize(&map)?;
    let (rows, head) = (tensors.tensor("rows")?, tensors.tensor("head")?);
    let width = rows.shape()[1];
    let size = width * head.dtype().bitsize() / 8;
    let place = |tensor: &TensorView<'_>| tensor.data().as_ptr() as usize - map.as_ptr() as usize;
    let mut scan =
        LogitScan::new(&numbers(rows.dtype(), rows.data())?, width, top.parse()?, Signs::Plus);
    map.release(place(&rows)..place(&rows) + rows.data().len());
    let begin = place(&head);
    for (block, bytes) in head.data().chunks(TOKENS * size).enumerate() {
        scan.push(&numbers(head.dtype(), bytes)?, (block * TOKENS) as u32);
        let begin = begin + block * TOKENS * size;
        map.release(begin..begin + bytes.len());
    }
    let scans = scan.finish();
    let tokens: Vec<Vec<u32>> =
        scans.par_iter().map(|scan| scan.top.iter().map(|(token, _)| *token).collect()).collect();
    let probabilities: Vec<Vec<f64>> = scans
        .par_iter()
        .map(|scan| scan.top.iter().map(|(_, logit)| scan.probability(*logit)).collect())
        .collect();
    let seconds = begun.elapsed().as_secs_f64();
    println_json(&serde_json::json!({
        "seconds": seconds, "tokens": tokens, "probabilities": probabilities,
    }));
    Ok(())
}

/// Numbers in single precision: those of the file, or widened ones.
fn numbers(dtype: Dtype, bytes: &[u8]) -> Result<std::borrow::Cow<'_, [f32]>, Box<dyn Error>> {
    let misaligned = |_| "tensors must begin at a multiple of their numbers' size";
    match dtype {
        Dtype::F32 => Ok(bytemuck::try_cast_slice(bytes).map_err(misaligned)?.into()),
        Dtype::BF16 => {
            let halves = bytemuck::try_cast_slice(bytes).map_err(misaligned)?;
            let mut wide = vec![0.0; halves.len()];
            convert::bf16_to_f32(halves, &mut wide);
            Ok(wide.into())
        }
        other => Err(format!("{other:?} is neither F32 nor BF16").into()),
    }
}

#[expect(clippy::print_stdout, reason = "the one line that the script reads")]
fn println_json(value: &serde_json::Value) {
    println!("{value}");
}
