//! Every figure against a naive sum in double precision.

use ndarray::{Array2, ArrayView1, Axis};
use nissl_core::Progress;
use nissl_core::network::{HeadNorm, Part};
use nissl_explain::lm_head::{
    By, Centre, HeadMoments, LmHead, MatrixWeights, Normalise, Search, Sign, SignChoice, Span,
    search,
};

use crate::support::{decoded, normal, share};

const WIDTH: usize = 48;
const TOKENS: usize = 700;
const UNITS: usize = 130;

fn weights(seed: u64) -> (MatrixWeights, Array2<f32>, Array2<f32>) {
    let mut head = normal(TOKENS, WIDTH, seed);
    // A mean that is not zero, and rows of different lengths.
    for (token, mut row) in head.rows_mut().into_iter().enumerate() {
        row *= 0.5 + (token % 7) as f32 / 7.0;
        row += 0.3;
    }
    let up = normal(UNITS, WIDTH, seed + 50) * 0.3;
    let weights =
        MatrixWeights::new("m", head.clone()).with_part(Part::Up, vec![up.clone()]).expect("fits");
    (weights, head, up)
}

struct Naive {
    logits: Vec<f64>,
}

impl Naive {
    fn of(head: &Array2<f32>, row: ArrayView1<'_, f32>) -> Self {
        let dot = |token: ArrayView1<'_, f32>| -> f64 {
            token.iter().zip(row).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        Self { logits: head.rows().into_iter().map(dot).collect() }
    }

    fn negative(mut self) -> Self {
        self.logits.iter_mut().for_each(|logit| *logit = -*logit);
        self
    }

    fn probabilities(&self) -> Vec<f64> {
        let most = self.logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let whole: f64 = self.logits.iter().map(|logit| (logit - most).exp()).sum();
        self.logits.iter().map(|logit| (logit - most).exp() / whole).collect()
    }

    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.logits.len()).collect();
        order.sort_by(|&a, &b| self.logits[b].total_cmp(&self.logits[a]));
        order
    }

    fn moment(&self, power: i32) -> f64 {
        let size = self.logits.len() as f64;
        let mean = self.logits.iter().sum::<f64>() / size;
        self.logits.iter().map(|logit| (logit - mean).powi(power)).sum::<f64>() / size
    }

    fn z(&self, token: usize) -> f64 {
        let mean = self.logits.iter().sum::<f64>() / self.logits.len() as f64;
        (self.logits[token] - mean) / self.moment(2).sqrt()
    }
}

#[track_caller]
fn close(found: impl Into<f64>, expected: f64, bar: f64) {
    let found = found.into();
    assert!((found - expected).abs() <= bar * expected.abs().max(1.0), "{found} for {expected}");
}

#[test]
fn figures_are_those_of_naive_sums_for_both_signs_and_any_tile() {
    for (seed, block, tile) in [(0, 1024, 4096), (1, 7, 33), (2, 64, 1)] {
        let (weights, head, up) = weights(seed);
        let settings =
            LmHead { signs: SignChoice::Both, percentile: true, block, tile, ..LmHead::default() };
        let (all, _) = decoded(&weights, &settings);
        assert_eq!(all.len(), 2 * UNITS);
        for one in &all {
            let mut naive = Naive::of(&head, up.row(one.unit as usize));
            if one.sign == Sign::Minus {
                naive = naive.negative();
            }
            let order = naive.order();
            let found: Vec<usize> = one.tokens.iter().map(|&(token, _)| token as usize).collect();
            assert_eq!(found, order[..10], "unit {}", one.unit);
            let p = naive.probabilities();
            for (&token, &probability) in order.iter().zip(&one.probabilities) {
                close(probability, p[token], 1e-5);
            }
            let entropy: f64 = -p.iter().map(|p| p * p.ln()).sum::<f64>();
            close(one.entropy, entropy, 1e-5);
            close(one.z, naive.z(order[0]), 1e-5);
            close(one.margin, naive.logits[order[0]] - naive.logits[order[1]], 1e-4);
            close(one.kurtosis, naive.moment(4) / naive.moment(2).powi(2) - 3.0, 1e-4);
            let length = |row: ArrayView1<'_, f32>| {
                row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
            };
            let vector = length(up.row(one.unit as usize));
            let cosine = |token: usize| naive.logits[token] / (vector * length(head.row(token)));
            close(one.cosine, cosine(order[0]), 1e-5);
            let below = (0..TOKENS).filter(|&token| cosine(token) < cosine(order[0])).count();
            close(one.percentile, below as f64 / TOKENS as f64, 2.1 / TOKENS as f64);
            let lengths: Vec<f64> = head.rows().into_iter().map(length).collect();
            let shorter = lengths.iter().filter(|&&l| l < lengths[order[0]]).count();
            close(one.length_percentile, shorter as f64 / TOKENS as f64, 1.1 / TOKENS as f64);
        }
    }
}

#[test]
fn options_do_to_vectors_what_the_spec_says() {
    let (_, head, up) = weights(3);
    let gain: Vec<f32> = (0..WIDTH).map(|at| 0.5 + at as f32 / WIDTH as f32).collect();
    let input: Vec<f32> = (0..WIDTH).map(|at| 1.5 - at as f32 / WIDTH as f32).collect();
    let norm = HeadNorm { gain: Some(gain.clone()), centres: true, scales: true };
    let weights = MatrixWeights::new("m", head.clone())
        .with_part(Part::Up, vec![up.clone()])
        .and_then(|weights| weights.with_part(Part::Down, vec![up.clone()]))
        .expect("fits")
        .with_head_norm(norm)
        .with_input_gains(vec![input.clone()]);
    let check = |settings: &LmHead, part: Part, expected: &dyn Fn(Vec<f64>) -> Vec<f64>| {
        let settings = LmHead { parts: vec![part], ..settings.clone() };
        let (all, _) = decoded(&weights, &settings);
        for one in all.iter().step_by(17) {
            let row: Vec<f64> = up.row(one.unit as usize).iter().map(|&v| f64::from(v)).collect();
            let vector: Vec<f32> = expected(row).into_iter().map(|v| v as f32).collect();
            let naive = Naive::of(&head, ArrayView1::from(&vector));
            let p = naive.probabilities();
            let order = naive.order();
            assert_eq!(one.first(), Some(order[0] as u32), "{settings:?}");
            close(one.probability(), p[order[0]], 1e-4);
            close(one.tokens[0].1, naive.logits[order[0]], 1e-4);
        }
    };
    let times = |row: Vec<f64>, gain: &[f32]| -> Vec<f64> {
        row.iter().zip(gain).map(|(v, &g)| v * f64::from(g)).collect()
    };
    let centred = |row: Vec<f64>| -> Vec<f64> {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        row.into_iter().map(|v| v - mean).collect()
    };
    let scaled = |row: Vec<f64>, to: f64| -> Vec<f64> {
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        row.into_iter().map(|v| v / length * to).collect()
    };
    let plain = LmHead::default();
    check(&plain, Part::Up, &|row| row);
    let fold_in = LmHead { fold_in: true, ..plain.clone() };
    check(&fold_in, Part::Up, &|row| times(row, &input));
    check(&fold_in, Part::Down, &|row| row);
    // LayerNorm takes the mean over the stream off before the gain.
    let fold_out = LmHead { fold_out: true, ..plain.clone() };
    check(&fold_out, Part::Up, &|row| times(centred(row), &gain));
    let unit = LmHead { normalise: Normalise::Unit, temperature: 0.25, ..plain.clone() };
    check(&unit, Part::Up, &|row| scaled(row, 4.0));
    let rms = LmHead { normalise: Normalise::Rms, ..plain.clone() };
    let root = (WIDTH as f64).sqrt();
    check(&rms, Part::Up, &|row| times(scaled(centred(row), root), &gain));
    let rows = LmHead { centre: Centre::Rows, ..plain.clone() };
    let mean = up.mean_axis(Axis(0)).expect("rows");
    check(&rows, Part::Up, &|row| row.iter().zip(&mean).map(|(v, &m)| v - f64::from(m)).collect());
    // What is decoded does not change what is common to all.
    let some = LmHead { units: vec![Span::from(0..UNITS / 2)], ..rows.clone() };
    check(&some, Part::Up, &|row| row.iter().zip(&mean).map(|(v, &m)| v - f64::from(m)).collect());
}

#[test]
fn the_mean_over_tokens_moves_cosines_and_nothing_else() {
    let (weights, head, up) = weights(4);
    let (plain, _) = decoded(&weights, &LmHead::default());
    let (centred, _) = decoded(&weights, &LmHead { centre: Centre::Tokens, ..LmHead::default() });
    let mean = head.mean_axis(Axis(0)).expect("rows");
    for (a, b) in plain.iter().zip(&centred) {
        assert_eq!(a.first(), b.first());
        close(b.probability(), f64::from(a.probability()), 1e-4);
        close(b.z, f64::from(a.z), 1e-3);
        let token = &head.row(b.first().expect("a token") as usize) - &mean;
        let row = up.row(b.unit as usize);
        let cosine = row.dot(&token) / (row.dot(&row) * token.dot(&token)).sqrt();
        close(b.cosine, f64::from(cosine), 1e-4);
    }
}

#[test]
fn a_search_needs_no_pass_over_the_tokens_to_know_the_full_scans_z() {
    for (seed, centre) in [(5, Centre::None), (6, Centre::Both)] {
        let (weights, head, up) = weights(seed);
        let settings = LmHead { centre, signs: SignChoice::Both, ..LmHead::default() };
        let options = Search { by: By::Z, hits: 2 * UNITS };
        let tokens = [3, 77, 501];
        let hits =
            search(&weights, &settings, &tokens, &options, &Progress::silent()).expect("finds");
        assert_eq!(hits.len(), 2 * UNITS);
        assert!(hits.is_sorted_by(|a, b| a.score >= b.score));
        let mean = up.mean_axis(Axis(0)).expect("rows");
        for hit in &hits {
            let mut row = up.row(hit.unit as usize).to_owned();
            if centre.rows() {
                row -= &mean;
            }
            let mut naive = Naive::of(&head, row.view());
            if hit.sign == Sign::Minus {
                naive = naive.negative();
            }
            let best = tokens.iter().map(|&token| naive.z(token as usize)).fold(f64::MIN, f64::max);
            close(hit.z, best, 1e-3);
            close(naive.z(hit.token as usize), best, 1e-3);
        }
        let options = Search { by: By::Probability, hits: 5 };
        let hits =
            search(&weights, &settings, &tokens, &options, &Progress::silent()).expect("finds");
        for hit in &hits {
            let mut row = up.row(hit.unit as usize).to_owned();
            if centre.rows() {
                row -= &mean;
            }
            let mut naive = Naive::of(&head, row.view());
            if hit.sign == Sign::Minus {
                naive = naive.negative();
            }
            let p = naive.probabilities();
            close(hit.score, tokens.iter().map(|&token| p[token as usize]).sum(), 1e-4);
        }
    }
}

#[test]
fn a_sample_of_tokens_tells_the_deviation_of_wide_networks() {
    // Wider than 1,024 and more tokens than the sample.
    let (width, tokens) = (1040, 3000);
    let head = normal(tokens, width, 7);
    let up = normal(20, width, 8);
    let weights = MatrixWeights::new("wide", head.clone())
        .with_part(Part::Up, vec![up.clone()])
        .expect("fits");
    let moments =
        HeadMoments::of(&weights, &LmHead::default(), &Progress::silent()).expect("reads");
    assert!(!moments.is_exact());
    let flat: Vec<f32> = up.iter().copied().collect();
    for ((mean, deviation), row) in moments.of_rows(&flat).into_iter().zip(up.rows()) {
        let naive = Naive::of(&head, row);
        close(mean, naive.logits.iter().sum::<f64>() / tokens as f64, 1e-3);
        close(deviation, naive.moment(2).sqrt(), 0.08);
    }
}

#[test]
fn two_stages_find_the_exact_tokens_and_bound_their_probabilities() {
    for seed in 8..11 {
        let (tokens, width) = (4000, 512);
        let head = normal(tokens, width, seed) / (width as f32).sqrt();
        let mut up = normal(60, width, seed + 30) * (0.5 / (width as f32).sqrt());
        for (unit, mut row) in up.rows_mut().into_iter().enumerate() {
            row.scaled_add(1.0 + (unit % 5) as f32, &head.row(unit * 31));
        }
        let weights = MatrixWeights::new("m", head).with_part(Part::Up, vec![up]).expect("fits");
        let exact = LmHead { signs: SignChoice::Both, top: 5, ..LmHead::default() };
        let quick = LmHead { two_stage: true, ..exact.clone() };
        let (exact, _) = decoded(&weights, &exact);
        let (quick, warnings) = decoded(&weights, &quick);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let pairs: Vec<_> = exact.iter().zip(&quick).collect();
        let plus: Vec<_> = pairs.iter().filter(|(one, _)| one.sign == Sign::Plus).collect();
        let recall = share(&plus, |(a, b)| a.first() == b.first());
        assert!(recall >= 0.98, "seed {seed}: {recall}");
        for (a, b) in pairs {
            close(b.z, if a.first() == b.first() { f64::from(a.z) } else { f64::from(b.z) }, 1e-3);
            assert!(b.kurtosis.is_nan());
            let (low, high) = b.bounds;
            assert!(low <= b.probability() && b.probability() <= high);
            if a.tokens == b.tokens {
                let p = a.probability();
                assert!(low <= p * 1.0001 && p <= high * 1.0001, "{low} {p} {high}");
                close(b.probability(), f64::from(p), 0.05);
                close(b.entropy, f64::from(a.entropy), 0.05);
            }
        }
    }
}

#[test]
fn left_out_tokens_take_no_part() {
    let (weights, head, up) = weights(12);
    let (some, _) = decoded(&weights, &LmHead { first_tokens: Some(300), ..LmHead::default() });
    let head = head.slice(ndarray::s![..300, ..]).to_owned();
    for one in &some {
        let naive = Naive::of(&head, up.row(one.unit as usize));
        let order = naive.order();
        assert_eq!(one.first(), Some(order[0] as u32));
        close(one.probability(), naive.probabilities()[order[0]], 1e-5);
    }
    let (floor, _) = decoded(&weights, &LmHead { norm_floor: 0.5, ..LmHead::default() });
    let mut firsts: Vec<u32> =
        floor.iter().filter_map(nissl_explain::lm_head::Decoded::first).collect();
    firsts.sort_unstable();
    firsts.dedup();
    let all = self::weights(12).1;
    let lengths: Vec<f32> = all.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect();
    let mut sorted = lengths.clone();
    sorted.sort_by(f32::total_cmp);
    assert!(firsts.iter().all(|&token| lengths[token as usize] >= sorted[TOKENS / 2] - 1e-4));
}
