//! Sparse codes and back: what a wide trained dictionary does without a dense product.
//!
//! A dense product over `m` features costs `2 m d` operations a sample twice, for the code and for what it
//! stands for. Encoding keeps what is selected while it multiplies; decoding touches only the rows of
//! features at work.
//!
//! Memory: the code beside what is given out.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use nissl_kernels::sparse_code::{Select, SparseCode, decode, encode, values};

use super::sparse::{Activation, Parts};

/// Samples from which on it is worth to prepare an encoder for many.
const MANY: usize = 32;
/// Features from which on codes are worth more than dense rows.
const WIDE: usize = 256;
/// One in so many activations at most may differ from zero for rows to be gathered one by one: a gathered
/// row takes about as long as this many rows of a product.
const SPARSE: usize = 16;
/// The error of a product whose numbers are two bfloat16 pieces each, as a share of both lengths: the product
/// of the second pieces is left out (2⁻¹⁶), and each number lacks at most 2⁻¹⁷ of itself.
const ROUNDED: f64 = 1.0 / 32_768.0;

fn length(row: ArrayView1<'_, f32>) -> f64 {
    row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// Activations `[sample, feature]` of samples `[sample, unit]` that are normed and centred already;
/// nothing where the dense way is as good or the only one.
pub(super) fn activations(
    input: ArrayView2<'_, f32>,
    encoder: &Array2<f32>,
    activation: Activation,
    parts: &Parts<'_>,
) -> Option<Array2<f32>> {
    let (rows, features) = (input.nrows(), encoder.nrows());
    if rows < MANY || features < WIDE || encoder.ncols() == 0 {
        return None;
    }
    let input = input.as_standard_layout();
    let encoder = encoder.as_standard_layout();
    let (x, w, units) = (input.as_slice()?, encoder.as_slice()?, encoder.ncols());
    // What a feature must exceed. Of gated ones it is the product alone, above the gate's bias below zero.
    let least: Option<Vec<f32>> = match activation {
        Activation::Relu => Some(vec![0.0; features]),
        Activation::JumpRelu => {
            let of =
                |threshold: &Array1<f32>| threshold.iter().map(|least| least.max(0.0)).collect();
            Some(parts.threshold.map_or_else(|| vec![0.0; features], of))
        }
        Activation::Gated => {
            let of = |bias: &Array1<f32>| bias.iter().map(|bias| -bias).collect();
            Some(parts.gate_bias.map_or_else(|| vec![0.0; features], of))
        }
        _ => None,
    };
    let bias = parts.bias.filter(|_| activation != Activation::Gated).map(|bias| bias.to_vec());
    let bias = bias.as_deref();
    // Products may be those of rounded numbers: candidates are all that may be above, and are computed again.
    let longest = input.rows().into_iter().map(length).fold(0.0, f64::max);
    let lower: Option<Vec<f32>> = least.as_ref().map(|least| {
        let each = least.iter().zip(encoder.rows());
        let floor = |least: f32, row| f64::from(least) - ROUNDED * longest * length(row);
        each.map(|(&least, row)| floor(least, row) as f32).collect()
    });
    let select = match (activation, &lower) {
        (_, Some(lower)) => Select::Above(lower),
        (Activation::TopK { k }, _) => Select::TopK(k),
        (Activation::GroupMax { k }, _) => Select::GroupMax(k.max(1)),
        _ => return None,
    };
    let mut code = encode(x, w, bias, units, select);
    if code.values.len() > rows * features / SPARSE {
        return None;
    }
    code.values = values(&code, x, w, bias, units);
    let mut out = Array2::zeros((rows, features));
    for (row, mut to) in out.rows_mut().into_iter().enumerate() {
        let (indices, values) = code.row(row);
        for (&feature, &value) in indices.iter().zip(values) {
            let feature = feature as usize;
            let opens = least.as_ref().is_none_or(|least| value > least[feature]);
            let size = match activation {
                _ if !opens => 0.0,
                Activation::Gated => parts.magnitude(feature, value),
                _ => value,
            };
            to[feature] = size.max(0.0);
        }
    }
    Some(out)
}

/// `activations · directions` for `[sample, feature]` and `[feature, unit]`, gives `[sample, unit]`; nothing
/// where most activations are at work.
pub(super) fn stands_for(
    activations: ArrayView2<'_, f32>,
    directions: &Array2<f32>,
) -> Option<Array2<f32>> {
    let (rows, features) = activations.dim();
    if features < WIDE || directions.ncols() == 0 || u32::try_from(features).is_err() {
        return None;
    }
    let most = rows * features / SPARSE;
    let mut code =
        SparseCode { features, starts: vec![0], indices: Vec::new(), values: Vec::new() };
    for row in activations.rows() {
        for (feature, &value) in row.iter().enumerate() {
            if value != 0.0 {
                code.indices.push(feature as u32);
                code.values.push(value);
            }
        }
        if code.values.len() > most {
            return None;
        }
        code.starts.push(code.values.len());
    }
    let directions = directions.as_standard_layout();
    let mut out = Array2::zeros((rows, directions.ncols()));
    let slice = out.as_slice_mut()?;
    decode(&code, directions.as_slice()?, None, directions.ncols(), slice);
    Some(out)
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;
    use rand::RngExt;

    use super::super::dictionary::{Dictionary, Encoding};
    use super::super::product::product;
    use super::super::sparse::{InputNorm, activate};
    use super::*;

    /// A dictionary of 300 features over `units` units with all that any activation needs.
    fn case(seed: u64, units: usize) -> (Dictionary, Array2<f32>) {
        let mut rng = crate::seed::rng(seed, 2);
        let mut draw = |rows: usize, columns: usize| {
            Array2::from_shape_simple_fn((rows, columns), || rng.random_range(-1.0f32..1.0))
        };
        let features = 300;
        // Products vary by about the square root of the units; few are to be above all.
        let bar = 1.3 * (units as f32).sqrt();
        let relu = sparse(Activation::Relu);
        let mut dictionary = Dictionary::new(draw(features, units), relu);
        dictionary.encoder = Some(draw(features, units));
        dictionary.encoder_bias = Some(draw(1, features).row(0).mapv(|value| value - bar));
        dictionary.decoder_bias = Some(draw(1, units).row(0).to_owned());
        dictionary.threshold = Some(draw(1, features).row(0).mapv(|value| 2.0 * value));
        dictionary.gate_bias = Some(draw(1, features).row(0).mapv(|value| value - bar));
        dictionary.log_magnitude = Some(draw(1, features).row(0).to_owned());
        (dictionary, draw(70, units))
    }

    fn sparse(activation: Activation) -> Encoding {
        Encoding::Sparse { activation, norm: InputNorm::Length, centred: true }
    }

    /// What is encoded, and the activations by the formulas over a dense product.
    fn dense(
        dictionary: &Dictionary,
        samples: &Array2<f32>,
        activation: Activation,
    ) -> (Array2<f32>, Array2<f32>) {
        let mut input = samples.clone();
        for row in input.rows_mut() {
            InputNorm::Length.apply(row);
        }
        input -= dictionary.decoder_bias.as_ref().expect("a bias");
        let encoder = dictionary.encoder.as_ref().expect("an encoder");
        let mut out = product(input.view(), encoder.t());
        activate(&mut out, activation, &Parts::of(dictionary));
        (input, out)
    }

    #[test]
    fn many_samples_have_the_code_that_the_formulas_give() {
        for (seed, units) in [(0, 7), (1, 48), (2, 96)] {
            let (mut dictionary, samples) = case(seed, units);
            for activation in [
                Activation::Relu,
                Activation::TopK { k: 9 },
                Activation::TopK { k: 0 },
                Activation::TopK { k: 300 },
                Activation::GroupMax { k: 7 },
                Activation::JumpRelu,
                Activation::Gated,
                Activation::SignedTopK { k: 9 },
            ] {
                dictionary.encoding = sparse(activation);
                let (input, truth) = dense(&dictionary, &samples, activation);
                let found = dictionary.encode(samples.view()).expect("encodes");
                let encoder = dictionary.encoder.as_ref().expect("an encoder");
                let way = activations(input.view(), encoder, activation, &Parts::of(&dictionary));
                let many = matches!(activation, Activation::SignedTopK { .. });
                assert!(way.is_some() != many, "{activation:?} of {units} units goes another way");
                let scale = truth.iter().fold(1.0f32, |most, value| most.max(value.abs()));
                let wrong =
                    found.iter().zip(&truth).filter(|(a, b)| (*a - *b).abs() > 3e-6 * scale);
                // Of products that are equal but for rounding either may be taken.
                let wrong = wrong.count();
                assert!(wrong <= 2, "{activation:?} of {units} units: {wrong} differ");
                let some = found.iter().filter(|value| **value != 0.0).count();
                assert!(some > 0 || activation == Activation::TopK { k: 0 }, "{activation:?}");
                // A part of the samples, few enough for the dense way.
                let few = samples.slice(ndarray::s![..5, ..]);
                let alone = dictionary.encode(few).expect("encodes");
                let gap = (&alone - &found.slice(ndarray::s![..5, ..])).mapv(f32::abs);
                assert!(gap.iter().all(|&gap| gap <= 3e-6 * scale), "{activation:?}");
            }
        }
    }

    #[test]
    fn without_thresholds_or_magnitudes_all_is_as_it_is() {
        let (mut dictionary, samples) = case(3, 20);
        (dictionary.threshold, dictionary.log_magnitude) = (None, None);
        for activation in [Activation::JumpRelu, Activation::Gated] {
            dictionary.encoding = sparse(activation);
            let (_, truth) = dense(&dictionary, &samples, activation);
            let found = dictionary.encode(samples.view()).expect("encodes");
            assert!((&found - &truth).iter().all(|gap| gap.abs() < 1e-5), "{activation:?}");
        }
    }

    #[test]
    fn codes_stand_for_the_same_as_dense_rows() {
        let (mut dictionary, samples) = case(4, 33);
        for activation in [Activation::TopK { k: 9 }, Activation::Relu] {
            dictionary.encoder_bias = None;
            dictionary.encoding = sparse(activation);
            let codes = dictionary.encode(samples.view()).expect("encodes");
            let truth = product(codes.view(), dictionary.decoder.view());
            let gathered = stands_for(codes.view(), &dictionary.decoder);
            // Half of all features are no sparse code.
            assert_eq!(gathered.is_some(), activation != Activation::Relu);
            if let Some(found) = gathered {
                assert!((&found - &truth).iter().all(|gap| gap.abs() < 1e-4));
            }
            let mut back = dictionary.reconstruct(codes.view()).expect("decodes");
            back -= dictionary.decoder_bias.as_ref().expect("a bias");
            assert!((&back - &truth).iter().all(|gap| gap.abs() < 1e-4));
        }
        let nothing: Array2<f32> = Array2::zeros((3, 300));
        let found = stands_for(nothing.view(), &dictionary.decoder).expect("sparse");
        assert!(found.iter().all(|value| *value == 0.0));
        assert_eq!(Array1::from(found.row(0).to_vec()).len(), 33);
    }
}
