//! Components on disk, the numbering of pairs, and what is refused.

use ndarray::Array2;

use super::*;
use crate::table::Column;

fn components() -> TensorComponents {
    let factor = |rows: usize| Array2::from_shape_fn((rows, 2), |(r, c)| (r * 3 + c) as f32);
    TensorComponents {
        lambda: vec![2.0, 1.0],
        times: factor(5),
        animals: factor(2),
        pairs: factor(6),
        units: ["AVA", "AVB", "RIM", "SMD"].map(str::to_owned).to_vec(),
        animal_names: vec!["one".to_owned(), "two".to_owned()],
        present: vec![vec![true; 4], vec![true, false, true, true]],
        seconds: vec![0.5, 1.5, 2.5, 3.5, 4.5],
        windows: vec![StimulusWindow { animal: 1, name: "salt".to_owned(), start: 1.0, end: 2.0 }],
        shifted: vec![0.1, 0.2],
    }
}

#[test]
fn pairs_are_numbered_row_by_row() {
    for units in 2..9 {
        let mut expected = 0;
        for first in 0..units {
            for second in first + 1..units {
                assert_eq!(pair_index(first, second, units), expected);
                assert_eq!(pair_at(expected, units), [first, second], "{units}");
                expected += 1;
            }
        }
    }
    assert_eq!(pair_index(1, 3, 4), 4);
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = components();
    ours.save(folder.path()).expect("writes");
    assert_eq!(TensorComponents::open(folder.path()).expect("reads"), ours);
    let table = ours.pair_table();
    assert_eq!(table.texts("name").expect("names")[4], "AVB–SMD");
    assert!(matches!(table.get("first"), Some(Column::Text(names)) if names[5] == "RIM"));
    let matrix = ours.matrix(1);
    assert!((matrix[[1, 3]] - 13.0).abs() < 1e-6 && (matrix[[3, 1]] - 13.0).abs() < 1e-6);
    assert!(matrix.diag().iter().all(|x| x.abs() < 1e-12));
}

#[test]
fn damaged_components_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = TensorComponents::open(folder.path()).expect_err("nothing there");
    assert!(format!("{error:?}").contains("decompose ntf"), "{error:?}");
    let mut ours = components();
    ours.pairs[[0, 0]] = -1.0;
    ours.save(folder.path()).expect("writes");
    let error = TensorComponents::open(folder.path()).expect_err("negative");
    assert!(error.to_string().contains("f_a"), "{error}");
    let mut ours = components();
    ours.units.pop();
    ours.present = vec![vec![true; 3]; 2];
    ours.save(folder.path()).expect("writes");
    assert!(TensorComponents::open(folder.path()).is_err());
}
