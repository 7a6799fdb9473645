//! A basis as a dictionary, so that what is done with features is done with its coordinates.
//!
//! `f̂ = f C` with `f` the units and the constant 1: of each vector the encoder is the column of `C` over
//! the units and the encoder bias the entry at the constant. The constant vector becomes the decoder
//! bias: `f = Σ f̂ᵢ C⁺ᵢ + (the constant vector's value) · C⁺`.
//!
//! Memory: `C` and `C⁺` in f32.

use ndarray::{Array1, Array2, s};
use nissl_core::features::{Dictionary, Encoding};
use nissl_core::section::Basis;
use nissl_core::{Column, Result, Table};

/// The vectors of a basis that are features: all but the constant.
fn free(basis: &Basis) -> Vec<usize> {
    (0..basis.vectors()).filter(|vector| basis.constant != Some(*vector)).collect()
}

/// The dictionary `[vector, unit]` of a node layer's basis in f32, without the constant vector.
///
/// # Errors
/// A basis without a vector besides the constant.
pub fn dictionary(basis: &Basis) -> Result<Dictionary> {
    let units = basis.coordinates() - 1;
    let chosen = free(basis);
    if chosen.is_empty() {
        let what = format!("the basis of {}", basis.node_layer);
        let expected = "at least one vector besides the constant".to_owned();
        return Err(nissl_core::Error::Empty { what, expected });
    }
    let into = basis.into.select(ndarray::Axis(1), &chosen);
    let back = basis.back.select(ndarray::Axis(0), &chosen);
    let narrow = |matrix: ndarray::ArrayView2<'_, f64>| -> Array2<f32> {
        matrix.mapv(|value| value as f32).as_standard_layout().into_owned()
    };
    let mut dictionary = Dictionary::new(narrow(back.slice(s![.., ..units])), Encoding::Projection);
    // Centred: f C = (f − μ) C over the units, where C's entry at the constant is −μ C.
    let bias: Array1<f64> = match basis.constant {
        Some(constant) => {
            let value = basis.into[[units, constant]];
            basis.back.slice(s![constant, ..units]).mapv(|entry| entry * value)
        }
        None => Array1::zeros(units),
    };
    let shift = bias.dot(&into.slice(s![..units, ..]));
    let rest = &into.row(units) + &shift;
    dictionary.encoder = Some(narrow(into.slice(s![..units, ..]).t()));
    // `(x − bias) · encoder + rest`: the same numbers, without taking large means off large products.
    dictionary.encoder_bias = Some(rest.mapv(|value| value as f32));
    dictionary.decoder_bias = Some(bias.mapv(|value| value as f32));
    Ok(dictionary)
}

/// The column `importance` (Λ) of a dictionary's features, and the `vector` of the basis each is.
pub fn importance(basis: &Basis) -> Table {
    let chosen = free(basis);
    let importance = chosen.iter().map(|&vector| basis.importance[vector] as f32).collect();
    let vectors = chosen.iter().map(|&vector| vector as u32).collect();
    Table::new().with("importance", Column::F32(importance)).with("vector", Column::U32(vectors))
}
