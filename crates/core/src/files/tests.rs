//! What is written is read back, and lies are told.

use std::borrow::Cow;
use std::path::Path;

use serde_json::json;

use super::{Classes, Element, Item, TensorFile, write_arrays, write_torch};
use crate::error::Result;
use crate::store::write_bytes;

fn open(folder: &Path, name: &str, bytes: &[u8]) -> Result<TensorFile> {
    let path = folder.join(name);
    write_bytes(&path, bytes).expect("writes");
    TensorFile::open_with(&path, Classes::Skip)
}

fn torch(path: &Path) {
    let settings = json!({"k": 5, "name": "gpt2", "rates": [0.5, -2], "off": false, "none": null});
    let state = vec![
        ("a", Item::F32s(Cow::Owned((0..6).map(|n| n as f32 / 4.0).collect()), vec![2, 3])),
        ("k", Item::I64s(vec![-7], vec![])),
    ];
    write_torch(path, &[("cfg", Item::Plain(settings)), ("state_dict", Item::Dict(state))])
        .expect("writes");
}

#[test]
fn a_written_file_of_torch_is_read_back_with_its_plain_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.pt");
    torch(&path);
    let file = TensorFile::open(&path).expect("opens");
    assert_eq!(file.tensors().keys().collect::<Vec<_>>(), ["a", "k"]);
    assert_eq!(file.tensors()["a"].shape, [2, 3]);
    assert_eq!(file.f32s("a").expect("a"), [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]);
    assert_eq!(file.f32s("k").expect("k"), [-7.0]);
    let values = file.values();
    assert_eq!(values["cfg.k"], 5);
    assert_eq!(values["cfg.name"], "gpt2");
    assert_eq!(values["cfg.rates.1"], -2);
    assert_eq!(values["cfg.off"], false);
    assert!(!values.contains_key("cfg.none"));
}

#[test]
fn a_written_archive_of_numpy_is_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.npz");
    let values: Vec<f32> = (0..6).map(|n| n as f32).collect();
    write_arrays(&path, &[("W", &values, vec![3, 2]), ("b", &values[..2], vec![2])])
        .expect("writes");
    let file = TensorFile::open(&path).expect("opens");
    assert_eq!(
        (file.tensors()["W"].shape.as_slice(), file.f32s("W").expect("W")),
        (&[3, 2][..], values)
    );
    assert_eq!(file.f32s("b").expect("b"), [0.0, 1.0]);
}

/// A `.npy` file with this header.
fn npy(header: &str, numbers: &[u8]) -> Vec<u8> {
    let size = (header.len() as u16).to_le_bytes();
    [&b"\x93NUMPY\x01\0"[..], &size, header.as_bytes(), numbers].concat()
}

#[test]
fn single_arrays_of_every_kind_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let columns = "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }";
    let numbers: Vec<u8> = (0..6).flat_map(|n| f64::from(n).to_le_bytes()).collect();
    let file = open(folder.path(), "w.npy", &npy(columns, &numbers)).expect("opens");
    assert_eq!(file.f32s("w").expect("w"), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    for (descr, bytes, expected) in [
        ("<f2", &[0u8, 0x3c][..], 1.0),
        ("|u1", &[200], 200.0),
        ("<u2", &[0, 200], 51200.0),
        ("<u4", &[1, 0, 0, 0], 1.0),
        ("<i8", &[255; 8], -1.0),
        ("|b1", &[1], 1.0),
    ] {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ()}}");
        let file = open(folder.path(), "w.npy", &npy(&header, bytes)).expect(descr);
        assert_eq!(file.f32s("w").expect(descr), [expected], "{descr}");
    }
    let objects = "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}";
    let file = open(folder.path(), "w.npy", &npy(objects, b"\x80")).expect("opens");
    assert_eq!(file.tensors()["w"].element, Element::Other("|O".to_owned()));
    assert!(file.f32s("w").expect_err("objects").to_string().contains("|O"));
    for (header, numbers) in [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", &[0u8; 15][..]),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", &[]),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", &[]),
    ] {
        assert!(open(folder.path(), "w.npy", &npy(header, numbers)).is_err(), "{header}");
    }
}

/// `numpy.savez_compressed` of `x = arange(1000, dtype=float32)`, by the same deflate.
fn compressed(lie: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    use std::io::Write;
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000,)}";
    let numbers: Vec<u8> = (0..1000u16).flat_map(|n| f32::from(n).to_le_bytes()).collect();
    let array = npy(header, &numbers);
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&array).expect("packs");
    let packed = encoder.finish().expect("packs");
    let mut sum = flate2::Crc::new();
    sum.update(&array);
    let mut fields = [&b"\x14\0\0\0\x08\0\0\0\0\0"[..], &sum.sum().to_le_bytes()].concat();
    fields.extend((packed.len() as u32).to_le_bytes());
    fields.extend((array.len() as u32).to_le_bytes());
    fields.extend(b"\x05\0\0\0");
    lie(&mut fields);
    let mut bytes = [&b"PK\x03\x04"[..], &fields, b"x.npy", &packed].concat();
    let starts = (bytes.len() as u32).to_le_bytes();
    bytes.extend([&b"PK\x01\x02\x14\0"[..], &fields, &[0; 14], b"x.npy"].concat());
    bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x33\0\0\0");
    bytes.extend([&starts[..], &[0; 2]].concat());
    bytes
}

#[test]
fn compressed_arrays_are_unpacked_and_bombs_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = open(folder.path(), "x.npz", &compressed(|_| {})).expect("opens");
    let numbers = file.f32s("x").expect("x");
    assert_eq!(numbers, (0..1000u16).map(f32::from).collect::<Vec<_>>());
    let wrong = |lie: &dyn Fn(&mut Vec<u8>)| {
        let outcome = open(folder.path(), "x.npz", &compressed(lie));
        outcome.expect_err("a lie").to_string()
    };
    assert!(wrong(&|fields| fields[10] ^= 1).contains("checksum"));
    assert!(wrong(&|fields| fields[21] = 0x7f).contains("deflate can have made"));
    assert!(wrong(&|fields| fields[18] ^= 1).contains("checksum"));
    assert!(wrong(&|fields| fields[4] = 12).contains("the way 12"));
}

#[test]
fn damaged_files_give_errors_or_other_numbers_but_no_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pt, npz) = (folder.path().join("a.pt"), folder.path().join("a.npz"));
    torch(&pt);
    write_arrays(&npz, &[("W", &[1.0; 6], vec![3, 2])]).expect("writes");
    let read = |path| std::fs::read(path).expect("reads");
    for bytes in [read(&pt), read(&npz), compressed(|_| {})] {
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1 << (at % 8);
            for broken in [&broken[..], &bytes[..at]] {
                if let Ok(file) = open(folder.path(), "b.bin", broken) {
                    for name in file.tensors().keys() {
                        file.f32s(name).ok();
                    }
                }
            }
        }
    }
}
