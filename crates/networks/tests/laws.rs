//! Laws that hold for any input: sequences of a batch do not see each other, nor their padding, and
//! a causal network does not see what comes later.

mod common;

use common::{CAUSAL, FAMILIES, network, record, values};
use nissl_core::network::LanguageNetwork;
use proptest::prelude::*;

fn rows() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(0u32..80, 1..9), 1..4)
}

/// The last residual of each sequence's true positions.
fn last(family: usize, rows: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let network = network(FAMILIES[family]);
    let seen = record(&network, rows);
    let residual = &seen[&format!("layers.{}.resid.post", network.layers() - 1)];
    let part = |(sample, row): (usize, &Vec<u32>)| {
        values(&residual.clone().narrow(0, sample, 1).narrow(1, 0, row.len()))
    };
    rows.iter().enumerate().map(part).collect()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_sequence_gives_the_same_alone_and_in_a_batch(
        family in 0..FAMILIES.len(), rows in rows()
    ) {
        let together = last(family, &rows);
        for (row, found) in rows.iter().zip(&together) {
            let alone = last(family, std::slice::from_ref(row));
            prop_assert!(apart(found, &alone[0]) < 1e-4, "{}", FAMILIES[family]);
        }
        let reversed: Vec<_> = rows.iter().rev().cloned().collect();
        for (a, b) in together.iter().rev().zip(last(family, &reversed)) {
            prop_assert!(apart(a, &b) < 1e-4, "{}", FAMILIES[family]);
        }
    }

    #[test]
    fn what_comes_later_is_not_seen(
        family in 0..CAUSAL, start in prop::collection::vec(0u32..80, 1..6),
        later in prop::collection::vec(0u32..80, 1..4)
    ) {
        let whole = [start.clone(), later].concat();
        let first = last(family, &[start]);
        let all = last(family, &[whole]);
        let same = &all[0][..first[0].len()];
        prop_assert!(apart(&first[0], same) < 1e-4, "{}", FAMILIES[family]);
    }
}
