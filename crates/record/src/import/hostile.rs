//! Lies a file can tell: each gives an error that names it and leaves nothing behind.

use std::path::{Path, PathBuf};

use nissl_core::numbers::{Block, to_bytes};
use nissl_core::store::{Existing, write_bytes};
use nissl_core::{Column, Progress, Recording, Result, Table};
use tempfile::TempDir;

use super::{Format, Import, import};

/// `[3, 2]`
const VALUES: [f32; 6] = [1.0, -2.5, 0.0, f32::NAN, 1e-40, 3.0];

fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A zip file of stored members.
fn zip(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let at = bytes.len() as u32;
        let sizes = [(data.len() as u32).to_le_bytes(); 2].concat();
        let name_size = (name.len() as u16).to_le_bytes();
        bytes.extend(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0");
        bytes.extend(&sizes);
        bytes.extend(name_size);
        bytes.extend([0; 2]);
        bytes.extend(name.as_bytes());
        bytes.extend(data);
        directory.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0\0\0\0\0");
        directory.extend(&sizes);
        directory.extend(name_size);
        directory.extend([0; 12]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (count, starts) = ((members.len() as u16).to_le_bytes(), bytes.len() as u32);
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count, count].concat());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(starts.to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

fn parquet(folder: &Path) -> Vec<u8> {
    let path = folder.join("made.parquet");
    Table::new()
        .with("token", Column::Text(vec!["a".into(), "b".into(), "c".into()]))
        .with("left", Column::F32(vec![VALUES[0], VALUES[2], VALUES[4]]))
        .with("right", Column::F64([VALUES[1], VALUES[3], VALUES[5]].map(f64::from).to_vec()))
        .write(&path)
        .expect("writes");
    let bytes = std::fs::read(&path).expect("reads");
    std::fs::remove_file(path).expect("removes");
    bytes
}

/// A sound file of each format, all of the same matrix.
pub(super) fn sound(folder: &Path) -> Vec<(Format, Vec<u8>)> {
    let matrix = npy("'<f4'", false, "(3, 2)", &floats(&VALUES));
    let tensors = to_bytes(&[("x", Block::f32s(&VALUES, &[3, 2]))]).expect("fits");
    vec![
        (Format::Npz, zip(&[("x.npy", matrix.clone())])),
        (Format::Npy, matrix),
        (Format::Csv, b"left,right\n1,-2.5\n0,NA\n1e-40,3\n".to_vec()),
        (Format::Parquet, parquet(folder)),
        (Format::Safetensors, tensors),
    ]
}

pub(super) struct Trial {
    pub(super) folder: TempDir,
}

impl Trial {
    pub(super) fn new() -> Self {
        // In memory where there is such a place: thousands of imports sync their files.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self { folder: folder.expect("a folder") }
    }

    pub(super) fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    pub(super) fn import(&self, bytes: &[u8], settings: &Import) -> Result<Recording> {
        let path = self.folder.path().join("in");
        write_bytes(&path, bytes).expect("writes");
        import(&path, settings, &self.out(), Existing::Refuse, &Progress::silent())
    }

    pub(super) fn clear(&self) {
        std::fs::remove_dir_all(self.out()).ok();
    }

    /// The message of an import that must fail and leave nothing.
    #[track_caller]
    fn refusal(&self, bytes: &[u8], settings: &Import) -> String {
        let error = self.import(bytes, settings).expect_err("a lie");
        assert!(!self.out().exists(), "left something behind after: {error}");
        error.to_string()
    }
}

fn same(recording: &Recording, expected: &[f32], units: usize) {
    assert_eq!((recording.samples(), recording.units()), (expected.len() / units, units));
    let all: Vec<usize> = (0..recording.samples()).collect();
    let found = recording.rows(&all).expect("reads");
    let bits = |value: f32| if value.is_nan() { None } else { Some(value.to_bits()) };
    let found: Vec<_> = found.iter().map(|&value| bits(value)).collect();
    assert_eq!(found, expected.iter().map(|&value| bits(value)).collect::<Vec<_>>());
}

#[test]
fn every_format_gives_the_same_matrix() {
    let trial = Trial::new();
    for (format, bytes) in sound(trial.folder.path()) {
        let recording = trial.import(&bytes, &Import::default()).expect("sound");
        same(&recording, &VALUES, 2);
        assert_eq!(recording.manifest().detail.source.importer.as_deref(), Some(format.name()));
        let named = matches!(format, Format::Csv | Format::Parquet);
        let names = recording.unit_table().texts("name");
        assert_eq!(names.is_ok(), named, "{format:?}");
        assert!(names.is_err() || names.expect("there") == ["left", "right"]);
        assert_eq!(recording.unit_table().texts("site").expect("there"), ["imported"; 2]);
        let samples = recording.sample_columns(&["sequence", "position"]).expect("there");
        assert_eq!(samples.u32s("position").expect("there"), [0, 1, 2]);
        if format == Format::Parquet {
            let tokens = recording.sample_columns(&["token"]).expect("there");
            assert_eq!(tokens.texts("token").expect("text"), ["a", "b", "c"]);
        }
        trial.clear();
    }
}

#[test]
fn every_type_and_order_of_npy_is_read() {
    let trial = Trial::new();
    let wide = |values: [i64; 6]| values.into_iter().flat_map(i64::to_le_bytes).collect::<Vec<_>>();
    let big = |values: [i16; 6]| values.into_iter().flat_map(i16::to_be_bytes).collect::<Vec<_>>();
    let double = VALUES.iter().flat_map(|v| f64::from(*v).to_be_bytes()).collect::<Vec<_>>();
    let counted = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let by_column = [1.0, 3.0, 5.0, 2.0, 4.0, 6.0];
    for (descr, fortran, data, expected) in [
        ("'<i8'", false, wide([1, 2, 3, 4, 5, 6]), counted),
        ("'>i2'", true, big([1, 3, 5, 2, 4, 6]), counted),
        ("'<f4'", true, floats(&by_column), counted),
        ("'>f8'", false, double, VALUES),
        ("'|b1'", false, vec![1, 0, 1, 1, 0, 0], [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]),
        ("'|u1'", false, vec![1, 2, 3, 4, 5, 6], counted),
        (
            "'<f2'",
            false,
            [0x3c00u16, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600]
                .into_iter()
                .flat_map(u16::to_le_bytes)
                .collect(),
            counted,
        ),
    ] {
        let bytes = npy(descr, fortran, "(3, 2)", &data);
        same(&trial.import(&bytes, &Import::default()).expect(descr), &expected, 2);
        trial.clear();
    }
    let transpose = Import { transpose: true, ..Import::default() };
    for fortran in [false, true] {
        let data = if fortran { by_column } else { counted };
        let bytes = npy("'<f4'", fortran, "(3, 2)", &floats(&data));
        let recording = trial.import(&bytes, &transpose).expect("reads");
        same(&recording, &by_column, 3);
        trial.clear();
    }
}

#[test]
fn blocks_of_either_order_join_to_the_whole() {
    let trial = Trial::new();
    // Several blocks of rows: more than 16,384.
    let (samples, units) = (40_000, 3);
    let value = |sample: usize, unit: usize| (sample * 7 % 1001 + unit * 2000) as f32;
    let rows: Vec<f32> = (0..samples * units).map(|at| value(at / units, at % units)).collect();
    let columns: Vec<f32> =
        (0..samples * units).map(|at| value(at % samples, at / samples)).collect();
    let shape = format!("({samples}, {units})");
    for (fortran, data) in [(false, &rows), (true, &columns)] {
        let bytes = npy("'<f4'", fortran, &shape, &floats(data));
        same(&trial.import(&bytes, &Import::default()).expect("reads"), &rows, units);
        trial.clear();
    }
    let lines: Vec<String> =
        rows.chunks(units).map(|row| format!("{},{},{}", row[0], row[1], row[2])).collect();
    let text = lines.join(
        "
",
    );
    same(&trial.import(text.as_bytes(), &Import::default()).expect("reads"), &rows, units);
}

#[test]
fn lies_of_npy_are_named() {
    let trial = Trial::new();
    let data = floats(&VALUES);
    let long = [&b"\x93NUMPY\x02\x00"[..], &u32::MAX.to_le_bytes(), b"{}"].concat();
    for (bytes, word) in [
        (npy("'<f4'", false, "(3, 2)", &data[..23]), "truncated"),
        (npy("'<f4'", false, "(6,)", &data), "two axes"),
        (npy("'<f4'", false, "(3, 2, 1)", &data), "two axes"),
        (npy("'<f4'", false, "(0, 2)", &[]), "at least one"),
        (npy("'<f4'", false, "(3, 0)", &[]), "at least one"),
        (npy("'<f8'", false, "(4294967295, 16777216)", &data), "truncated"),
        (npy("'<f4'", false, "(2, 18446744073709551615)", &data), "at most"),
        (npy("'|O'", false, "(3, 2)", b"\x80\x04."), "pickle"),
        (npy("'<U4'", false, "(3, 2)", &data), "dtype"),
        (npy("[('a', '<f4')]", false, "(3, 2)", &data), "structured"),
        (npy("'<f8'", false, "(1, 1)", &1e300f64.to_le_bytes()), "3.4e38"),
        (long, "header"),
        (b"\x93NUMPY".to_vec(), "header"),
        (b"\x93NUMPY\x09\x00\x00\x00\x00\x00".to_vec(), "version 9"),
    ] {
        let message = trial.refusal(&bytes, &Import::default());
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    let forced = Import { format: Some(Format::Npy), ..Import::default() };
    assert!(trial.refusal(b"neither magic nor header", &forced).contains("magic"));
}

#[test]
fn lies_of_npz_are_named() {
    let trial = Trial::new();
    let matrix = npy("'<f4'", false, "(3, 2)", &floats(&VALUES));
    let two = zip(&[("a.npy", matrix.clone()), ("b.npy", matrix.clone())]);
    assert!(trial.refusal(&two, &Import::default()).contains("a, b"));
    let chosen = Import { tensor: Some("b".into()), ..Import::default() };
    same(&trial.import(&two, &chosen).expect("chosen"), &VALUES, 2);
    trial.clear();
    let one = zip(&[("a.npy", matrix)]);
    assert!(trial.refusal(&one[..one.len() - 10], &Import::default()).contains("truncated"));
    let mut packed = one.clone();
    let entry = one.windows(4).position(|w| w == b"PK\x01\x02").expect("an entry");
    packed[entry + 10] = 8;
    assert!(trial.refusal(&packed, &Import::default()).contains("compressed"));
    let mut longer = one.clone();
    longer[entry + 24..entry + 28].copy_from_slice(&(u32::MAX - 1).to_le_bytes());
    assert!(trial.refusal(&longer, &Import::default()).contains("inside the file"));
    // The mark of a long size, without one.
    longer[entry + 24..entry + 28].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(trial.refusal(&longer, &Import::default()).contains("sizes it promises"));
    let mut elsewhere = one;
    elsewhere[entry + 42] = 3;
    assert!(trial.refusal(&elsewhere, &Import::default()).contains("directory"));
}

#[test]
fn lies_of_csv_are_named_by_line_and_column() {
    let trial = Trial::new();
    for (bytes, words) in [
        (&b"a,b\n1,2\n3\n"[..], &["line 3", "1 fields", "2 as in"][..]),
        (b"a,b\n1,2\n3,x\n", &["line 3", "column 2", "`x`"]),
        (b"1,2\n3,x\n", &["line 2", "column 2"]),
        (b"a,b\n1,2\n3,\xff\n", &["line 3", "column 2", "UTF-8"]),
        (b"a\xff,b\n1,2\n", &["line 1", "column 1", "UTF-8"]),
        (b"a,b\n1,1e99\n", &["line 2", "column 2", "3.4e38"]),
        (b"a,b\n", &["at least one sample"]),
        (b"\n\n\n", &["without a line"]),
        (b"sequence,token\n1,b\n", &["at least one of each"]),
        (b"sequence,u\n-1,2\n", &["line 2", "`sequence`", "whole number"]),
    ] {
        let message = trial.refusal(bytes, &Import::default());
        for word in words {
            assert!(message.contains(word), "`{word}` is not in: {message}");
        }
    }
}

#[test]
fn csv_columns_find_their_table() {
    let trial = Trial::new();
    let text = b"\xef\xbb\xbf,sequence;x,sample,token,truth.is_animal,truth.size,u,speed\n\
        r1,5,9,\"a,b\",true,0.5,1,7\nr2,6,8,c,False,,NaN,8\n";
    let settings = Import { sample_columns: vec!["speed".into()], ..Import::default() };
    let recording = trial.import(text, &settings).expect("reads");
    assert_eq!(recording.unit_table().texts("name").expect("there"), ["sequence;x", "u"]);
    same(&recording, &[5.0, 1.0, 6.0, f32::NAN], 2);
    let about = |name: &str| recording.sample_columns(&[name]).expect("there").get(name).cloned();
    assert_eq!(about("label"), Some(Column::Text(vec!["r1".into(), "r2".into()])));
    assert_eq!(about("token"), Some(Column::Text(vec!["a,b".into(), "c".into()])));
    assert_eq!(about("truth.is_animal"), Some(Column::Bool(vec![true, false])));
    let sizes = format!("{:?}", about("truth.size").expect("there"));
    assert_eq!(sizes, "F32([0.5, NaN])");
    assert_eq!(about("speed"), Some(Column::F32(vec![7.0, 8.0])));
    trial.clear();
    let semicolons = trial.import(b"1;2.5\r\n3;\r\n", &Import::default()).expect("reads");
    same(&semicolons, &[1.0, 2.5, 3.0, f32::NAN], 2);
}

#[test]
fn lies_of_safetensors_are_named() {
    let trial = Trial::new();
    let several = to_bytes(&[
        ("a", Block::f32s(&VALUES, &[3, 2])),
        ("b", Block::f32s(&VALUES, &[2, 3])),
        ("c", Block::f32s(&VALUES, &[6])),
    ])
    .expect("fits");
    assert!(trial.refusal(&several, &Import::default()).contains("a, b"));
    let named = |name: &str| Import { tensor: Some(name.into()), ..Import::default() };
    assert!(trial.refusal(&several, &named("d")).contains("`d`"));
    assert!(trial.refusal(&several, &named("c")).contains("two axes"));
    same(&trial.import(&several, &named("b")).expect("chosen"), &VALUES, 3);
    trial.clear();
    let header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    for lie in [
        header(r#"{"x":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]}}"#),
        header(r#"{"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#),
        header(r#"{"x":{"dtype":"F32","shape":[0,2],"data_offsets":[0,0]}}"#),
        header(r#"{"x":{"dtype":"Q7","shape":[0,2],"data_offsets":[0,0]}}"#),
        header("{}"),
        [&(1u64 << 30).to_le_bytes()[..], b"{}"].concat(),
    ] {
        trial.refusal(&lie, &Import::default());
    }
}

#[test]
fn settings_must_fit_the_format() {
    let trial = Trial::new();
    let matrix = npy("'<f4'", false, "(3, 2)", &floats(&VALUES));
    let base = Import::default;
    let transpose = Import { transpose: true, ..base() };
    assert!(trial.refusal(b"1,2\n", &transpose).contains("`transpose`"));
    assert!(
        trial.refusal(&matrix, &Import { tensor: Some("x".into()), ..base() }).contains("`tensor`")
    );
    assert!(trial.refusal(&matrix, &Import { site: " ".into(), ..base() }).contains("`site`"));
    let about = Import { sample_columns: vec!["x".into()], ..base() };
    assert!(trial.refusal(&matrix, &about).contains("`sample-column`"));
}

#[test]
fn folders_and_outputs_that_exist_are_respected() {
    let trial = Trial::new();
    let quiet = Progress::silent();
    let root = trial.folder.path();
    let run =
        |path: &Path, existing| import(path, &Import::default(), &trial.out(), existing, &quiet);
    let error = run(root, Existing::Refuse).expect_err("a folder");
    assert!(error.to_string().contains("a folder"), "{error}");
    assert!(run(&root.join("absent"), Existing::Refuse).is_err());
    let good = trial.import(b"1,2\n3,4\n", &Import::default()).expect("sound");
    let again = run(&root.join("in"), Existing::Refuse).expect_err("exists");
    assert!(matches!(again, nissl_core::Error::Exists { .. }));
    assert!(run(good.path(), Existing::Overwrite).is_err());
    Recording::open(&trial.out()).expect("still there");
    // A file that is refused before reading leaves the old recording; a good one replaces it.
    write_bytes(&root.join("in"), b"").expect("writes");
    run(&root.join("in"), Existing::Overwrite).expect_err("empty");
    Recording::open(&trial.out()).expect("still there");
    write_bytes(&root.join("in"), b"5,6\n").expect("writes");
    same(&run(&root.join("in"), Existing::Overwrite).expect("replaces"), &[5.0, 6.0], 2);
    // What was in a folder of another kind stays, whatever goes wrong.
    trial.clear();
    write_bytes(&trial.out().join("thesis.txt"), b"years").expect("writes");
    run(&root.join("in"), Existing::Overwrite).expect_err("not ours");
    assert!(trial.out().join("thesis.txt").exists());
}

#[test]
fn an_interrupted_import_goes_on_to_the_same_bytes() {
    let trial = Trial::new();
    let lines: Vec<String> = (0..40_000).map(|row| format!("{row},{}", row * 3 % 17)).collect();
    let text = lines.join("\n");
    let whole = trial.import(text.as_bytes(), &Import::default()).expect("sound");
    let path = trial.folder.path().join("in");
    let stopped = trial.folder.path().join("stopped");
    let progress = Progress::silent();
    progress.interrupt();
    let run = |progress: &Progress, existing| {
        import(&path, &Import::default(), &stopped, existing, progress)
    };
    let error = run(&progress, Existing::Refuse).expect_err("interrupted");
    assert!(matches!(error, nissl_core::Error::Interrupted { .. }));
    assert!(Recording::open(&stopped).is_err());
    let resumed = run(&Progress::silent(), Existing::Resume).expect("resumes");
    assert_eq!(resumed.manifest().shards, whole.manifest().shards);
}
