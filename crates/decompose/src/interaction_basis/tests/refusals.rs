//! Bad input says what it is and what to do.

use ndarray::Array2;
use nissl_core::Error;
use nissl_core::section::{Affine, Basis, Chain, Held, Rule};

use super::super::{BasisKind, LocalInteractionBasis, Precision, Sources};
use super::{curved, held, quiet, random};

fn told(settings: &LocalInteractionBasis, chain: &Chain, samples: &Held) -> String {
    match settings.fit(chain, samples, &quiet()) {
        Ok(_) => panic!("it should be refused"),
        Err(error) => error.to_string(),
    }
}

fn lib() -> LocalInteractionBasis {
    LocalInteractionBasis::default()
}

#[test]
fn the_constant_must_be_one_direction() {
    let chain = curved(1);
    let mut none = held(60, 1, 6, 2);
    none.rows.column_mut(5).fill(0.0);
    let text = told(&lib(), &chain, &none);
    assert!(text.contains("constant directions of y") && text.contains("is 0, eigen"), "{text}");
    assert!(text.contains("τ") && text.contains("centring"), "{text}");
    let mut several = held(60, 1, 6, 2);
    several.rows.column_mut(5).assign(&random(60, 1, 9).column(0));
    let text = told(&lib(), &chain, &several);
    assert!(text.contains("constant directions of y` is 5, eigenvalues"), "{text}");
    // Without centring no direction is asked for.
    let uncentred = LocalInteractionBasis { uncentred: true, ..lib() };
    uncentred.fit(&chain, &several, &quiet()).expect("fits");
}

#[test]
fn an_output_that_hangs_on_nothing_is_told() {
    let mut weight = Array2::zeros((6, 4));
    weight[[5, 3]] = 1.0;
    let section = Affine { name: "x".to_owned(), positions: 1, weight };
    let chain = Chain { sections: vec![Box::new(section)], end: "out".to_owned() };
    let text = told(&lib(), &chain, &held(60, 1, 6, 2));
    assert!(text.contains("the output of x depends on") && text.contains("τ"), "{text}");
}

#[test]
fn numbers_that_are_none_and_no_data_at_all_are_told() {
    let chain = curved(1);
    let mut wrong = held(60, 1, 6, 2);
    wrong.rows[[17, 2]] = f64::NAN;
    let text = told(&lib(), &chain, &wrong);
    assert!(text.contains("Gram matrix of x") && text.contains("NaN"), "{text}");
    let none = Held { rows: Array2::zeros((0, 6)), positions: 1 };
    let found = lib().fit(&chain, &none, &quiet());
    assert!(matches!(found, Err(Error::Empty { .. })), "{found:?}");
    let narrow = held(60, 1, 5, 2);
    assert!(told(&lib(), &chain, &narrow).contains("coordinates"));
    let empty = Chain { sections: Vec::new(), end: "out".to_owned() };
    assert!(told(&lib(), &empty, &narrow).contains("chain of sections"));
    let stop = nissl_core::Progress::silent();
    stop.interrupt();
    let found = lib().fit(&chain, &held(60, 1, 6, 2), &stop);
    assert!(matches!(found, Err(Error::Interrupted { .. })), "{found:?}");
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let (chain, samples) = (curved(1), held(60, 1, 6, 2));
    let cases = [
        (LocalInteractionBasis { precision: Precision::F16, ..lib() }, "precision"),
        (LocalInteractionBasis { sources: Sources::Positions, ..lib() }, "no positions"),
        (LocalInteractionBasis { sources: Sources::Both, ..lib() }, "no positions"),
        (LocalInteractionBasis { tau: -1.0, ..lib() }, "tau"),
        (LocalInteractionBasis { draws: 0, ..lib() }, "draws"),
        (LocalInteractionBasis { chunk: 0, ..lib() }, "chunk"),
        (
            LocalInteractionBasis { integration: Rule::Trapezoid, intervals: 4000, ..lib() },
            "intervals",
        ),
        (LocalInteractionBasis { basis: BasisKind::OneMinusAlphaSquared, ..lib() }, "integration"),
        (
            LocalInteractionBasis {
                basis: BasisKind::OneMinusZeroAlpha,
                sources: Sources::Hidden,
                ..lib()
            },
            "older formulas",
        ),
    ];
    for (settings, word) in cases {
        let text = told(&settings, &chain, &samples);
        assert!(text.contains(word), "{word}: {text}");
    }
    lib().validate().expect("the defaults are valid");
    let wrong = Basis::identity("y", 9);
    let found = lib().sums(&chain, &samples, 0..60, 0, &wrong, &quiet());
    assert!(found.expect_err("another size").to_string().contains("basis of y"));
    let wrong = serde_json::from_str::<LocalInteractionBasis>(r#"{"taw": 1.0}"#);
    assert!(wrong.expect_err("misspelt").to_string().contains("taw"));
}

#[test]
fn what_must_be_known_is_warned_of() {
    let chain = curved(1);
    let few = lib().fit(&chain, &held(7, 1, 6, 2), &quiet()).expect("fits");
    let text = few.warnings.join("\n");
    assert!(text.contains("x: 7 rows for 6 coordinates") && text.contains("kept"), "{text}");
    let samples = held(60, 1, 6, 2);
    let enough = lib().fit(&chain, &samples, &quiet()).expect("fits");
    assert!(enough.warnings.is_empty(), "{:?}", enough.warnings);
    let narrow = LocalInteractionBasis { precision: Precision::F32, tau: 1e-9, ..lib() };
    let narrow = narrow.fit(&chain, &samples, &quiet()).expect("fits");
    assert!(narrow.warnings.iter().any(|it| it.contains("f32")), "{:?}", narrow.warnings);
    let gap = narrow.node_layers[0].importance[1] / enough.node_layers[0].importance[1];
    assert!((gap - 1.0).abs() < 1e-3 && (gap - 1.0).abs() > 0.0, "{gap}");
    let mut wide = held(60, 1, 6, 2);
    wide.rows.column_mut(0).mapv_inplace(|x| x * 1.5e-6);
    let found = lib().fit(&chain, &wide, &quiet()).expect("fits");
    let warned = &found.warnings;
    assert!(
        warned.iter().any(|it| it.contains("larger τ")),
        "{warned:?} {:?}",
        found.node_layers[0]
    );
}
