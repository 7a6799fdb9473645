//! Figures that tensorly 0.10 gives (`fixtures/make/ntf.py`).

use std::path::PathBuf;

use nissl_core::numbers::NumberFile;

use super::*;

fn fixture() -> NumberFile {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/ntf.safetensors");
    NumberFile::open(&path).expect("the fixture")
}

fn numbers(name: &str, shape: [usize; 2]) -> Array2<f64> {
    let values = fixture().f32s(name, 0, shape[0] * shape[1]).expect("numbers");
    Array2::from_shape_vec(shape, values).expect("fits").mapv(f64::from)
}

#[test]
fn products_and_final_error_are_tensorlys() {
    let values = fixture().f32s("tensor", 0, 180).expect("numbers");
    let mut turned = Vec::new();
    for pair in 0..10 {
        for animal in 0..3 {
            turned.extend((0..6).map(|time| values[(time * 3 + animal) * 10 + pair]));
        }
    }
    let tensor = PairTensor::stored(turned, [10, 3, 6], vec![true; 30]).expect("a tensor");
    let start = Factors {
        times: numbers("times", [6, 2]),
        animals: numbers("animals", [3, 2]),
        pairs: numbers("pairs", [10, 2]),
    };
    let seen = pass(&tensor, &mut start.clone(), |_, _, _| {}).expect("passes");
    let found = [
        ("times_products", seen.for_times(&start.animals)),
        ("animals_products", seen.for_animals(&start.times)),
        ("pairs_products", seen.pair_products.clone()),
    ];
    for (name, found) in found {
        let truth = numbers(name, [found.nrows(), 2]);
        for (found, truth) in found.iter().zip(&truth) {
            assert!((found - truth).abs() < 1e-5, "{name}: {found} {truth}");
        }
    }
    let error = f64::from(fixture().f32s("error", 0, 1).expect("an error")[0]);
    for solver in [Solver::Hals, Solver::Lbfgsb] {
        let ntf = Ntf { iterations: 5000, tolerance: 1e-9, ..settings(solver, 1) };
        let run = ntf.run_from(&tensor, start.clone(), 0, &Progress::silent()).expect("runs");
        let ours = run.errors.last().copied().expect("errors");
        assert!((ours - error).abs() < 2e-4, "{solver:?}: {ours} {error}");
    }
}

#[test]
fn pairs_taken_out_are_as_if_they_had_never_been_observed() {
    let (tensor, truth) = planted([60, 5, 24], 3, 0.0, 0.1, 7);
    let silent = Progress::silent();
    let ntf = settings(Solver::Hals, 6);
    let fit = ntf.fit(&tensor, 3, None, &silent).expect("fits").best;
    assert!(match_score(&fit.factors, &truth) > 0.999);
    let gone = [3, 17, 18, 59];
    let without = tensor.without(&gone).expect("a tensor");
    assert!(without.square() < tensor.square() && !without.is_observed(17, 0));
    let after = ntf.refit(&without, &fit, &silent).expect("fits");
    for (component, (before, after)) in
        fit.factors.times.columns().into_iter().zip(after.factors.times.columns()).enumerate()
    {
        // Components keep their order and, as the rest of the tensor is exact, their course.
        assert!(before.dot(&after) > 0.999, "{component}: {}", before.dot(&after));
    }
    for pair in gone {
        assert!(after.factors.pairs.row(pair).sum() <= 0.0);
    }
    assert!(after.error < 2e-3, "{}", after.error);
    let start = Factors::drawn([60, 5, 24], 3, 1, 0);
    assert!(ntf.fit_from(&tensor, start.clone(), &silent).expect("runs").error < 0.5);
    let wrong = Factors::drawn([60, 5, 23], 3, 1, 0);
    assert!(ntf.fit_from(&tensor, wrong, &silent).is_err());
    assert!(tensor.without(&(0..60).collect::<Vec<_>>()).is_err());
}
