//! What is planted in weights stands in them.

use nissl_worlds::planted_head::PlantedHead;

#[test]
fn planted_rows_point_at_their_tokens_and_nothing_else_does() {
    for seed in 0..3 {
        let settings = PlantedHead { seed, ..PlantedHead::default() };
        let made = settings.weights().expect("makes");
        assert_eq!(made.planted.len(), 200);
        assert_eq!(made.planted.iter().filter(|one| one.writes.is_some()).count(), 50);
        let same = made.planted.iter().filter(|one| one.writes == Some(one.reads)).count();
        assert_eq!(same, 25);
        let mut tokens: Vec<_> = made.planted.iter().map(|one| one.reads).collect();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), 200, "each its own token");
        for one in &made.planted {
            let row = made.up[one.layer].row(one.neuron);
            let token = made.head.row(one.reads);
            let along = row.dot(&token) / token.dot(&token);
            assert!((along - 8.0).abs() < 0.5, "{along}");
        }
        let (layer, neuron) = made.noise_row.expect("a row of noise");
        let length = made.up[layer].row(neuron).dot(&made.up[layer].row(neuron)).sqrt();
        assert!((10.0..30.0).contains(&length), "{length}");
        assert_eq!(made, settings.weights().expect("again"));
    }
}

#[test]
fn the_shared_direction_is_in_every_row() {
    let plain = PlantedHead { common: 0.0, ..PlantedHead::default() }.weights().expect("makes");
    let shared = PlantedHead { common: 12.0, ..PlantedHead::default() }.weights().expect("makes");
    let first = &shared.up[0].row(0) - &plain.up[0].row(0);
    assert!((first.dot(&first).sqrt() - 12.0).abs() < 1e-3);
    for layer in 0..2 {
        let difference = &shared.up[layer] - &plain.up[layer];
        assert!(
            difference.rows().into_iter().all(|row| (&row - &first).iter().all(|x| x.abs() < 1e-4))
        );
    }
}

#[test]
fn values_outside_their_range_are_named() {
    let wrong = [
        (
            "vocabulary",
            PlantedHead { vocabulary: 1, planted: 0, writers: 0, ..PlantedHead::default() },
        ),
        ("planted", PlantedHead { planted: 513, ..PlantedHead::default() }),
        ("writers", PlantedHead { writers: 201, ..PlantedHead::default() }),
        ("strength", PlantedHead { strength: 0.0, ..PlantedHead::default() }),
        ("common", PlantedHead { common: f32::NAN, ..PlantedHead::default() }),
    ];
    for (field, settings) in wrong {
        let error = settings.weights().expect_err(field).to_string();
        assert!(error.contains(&format!("`{field}`")), "{error}");
    }
}
