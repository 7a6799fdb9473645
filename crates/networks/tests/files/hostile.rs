//! Lies an archive can tell: each gives an error, and none a panic or a large allocation.

use std::path::Path;

use nissl_core::files::TensorFile;
use nissl_core::seed::rng;
use nissl_core::store::write_bytes;
use rand::RngExt;

/// A file of `torch.save`, made here.
pub(crate) struct Archive {
    program: Vec<u8>,
    storages: Vec<Vec<u8>>,
}

impl Archive {
    pub(crate) fn new() -> Self {
        Self { program: b"\x80\x02}(".to_vec(), storages: Vec::new() }
    }

    fn text(&mut self, text: &str) {
        self.program.push(b'X');
        self.program.extend((text.len() as u32).to_le_bytes());
        self.program.extend(text.as_bytes());
    }

    fn number(&mut self, number: i64) {
        self.program.extend(b"\x8a\x08");
        self.program.extend(number.to_le_bytes());
    }

    fn numbers(&mut self, numbers: &[i64]) {
        self.program.push(b'(');
        for number in numbers {
            self.number(*number);
        }
        self.program.push(b't');
    }

    /// A view of the last storage, which is said to have `size` numbers.
    pub(crate) fn view(&mut self, name: &str, class: &str, size: i64, view: (i64, &[i64], &[i64])) {
        self.text(name);
        self.program.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.program.extend(format!("ctorch\n{class}\n").as_bytes());
        self.text(&(self.storages.len() - 1).to_string());
        self.text("cpu");
        self.number(size);
        self.program.extend(b"tQ");
        self.number(view.0);
        self.numbers(view.1);
        self.numbers(view.2);
        self.program.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }

    pub(crate) fn storage(&mut self, bytes: &[u8]) {
        self.storages.push(bytes.to_vec());
    }

    /// A tensor without gaps in a storage of its own.
    pub(crate) fn dense(&mut self, name: &str, class: &str, shape: &[usize], bytes: &[u8]) {
        self.storage(bytes);
        let shape: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
        let strides: Vec<i64> =
            (0..shape.len()).map(|at| shape[at + 1..].iter().product()).collect();
        self.view(name, class, shape.iter().product(), (0, &shape, &strides));
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let program = [&self.program[..], b"u."].concat();
        let names: Vec<String> = (0..self.storages.len()).map(|n| format!("x/data/{n}")).collect();
        let mut members = vec![("x/data.pkl", program.as_slice()), ("x/byteorder", b"little")];
        members
            .extend(names.iter().map(String::as_str).zip(self.storages.iter().map(Vec::as_slice)));
        zip(&members, Long::No)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Long {
    Yes,
    No,
}

/// A zip file of stored members, with the long sizes of zip64 or without.
fn zip(members: &[(&str, &[u8])], long: Long) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let at = bytes.len() as u64;
        let size = data.len() as u64;
        let (short, extra) = match long {
            Long::No => (size as u32, Vec::new()),
            Long::Yes => {
                let field = [&b"\x01\0\x18\0"[..], &size.to_le_bytes(), &size.to_le_bytes()];
                (u32::MAX, [&field.concat()[..], &at.to_le_bytes()].concat())
            }
        };
        let sizes = [short.to_le_bytes(); 2].concat();
        let lengths = [(name.len() as u16).to_le_bytes(), (extra.len() as u16).to_le_bytes()];
        bytes.extend(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0");
        bytes.extend([&sizes[..], &lengths.concat(), name.as_bytes(), &extra, data].concat());
        directory.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0\0\0\0\0");
        directory.extend([&sizes[..], &lengths.concat(), &[0; 10]].concat());
        let at = if long == Long::Yes { u32::MAX } else { at as u32 };
        directory.extend([&at.to_le_bytes()[..], name.as_bytes(), &extra].concat());
    }
    let (count, starts, size) = (members.len() as u64, bytes.len() as u64, directory.len() as u64);
    bytes.extend(&directory);
    if long == Long::Yes {
        let record = bytes.len() as u64;
        bytes.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0");
        bytes.extend([count, count, size, starts].map(u64::to_le_bytes).concat());
        bytes.extend([&b"PK\x06\x07\0\0\0\0"[..], &record.to_le_bytes(), b"\x01\0\0\0"].concat());
        bytes.extend([&b"PK\x05\x06\0\0\0\0"[..], &[0xff; 12], &[0; 2]].concat());
    } else {
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend([count as u16, count as u16].map(u16::to_le_bytes).concat());
        bytes.extend([size as u32, starts as u32].map(u32::to_le_bytes).concat());
        bytes.extend([0; 2]);
    }
    bytes
}

fn open(bytes: &[u8]) -> nissl_core::Result<TensorFile> {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let path = folder.as_ref().expect("a folder").path().join("in.pt");
    write_bytes(&path, bytes).expect("writes");
    TensorFile::open(Path::new(&path))
}

#[track_caller]
fn refusal(bytes: &[u8]) -> String {
    open(bytes).expect_err("a lie").to_string()
}

/// One storage of six numbers, and a view of it.
fn viewed(class: &str, size: i64, view: (i64, &[i64], &[i64])) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.storage(&[0; 24]);
    archive.view("w", class, size, view);
    archive.bytes()
}

#[test]
fn long_archives_are_read_as_short_ones() {
    let mut archive = Archive::new();
    archive.dense("w", "FloatStorage", &[2], &[1f32, 2.0].map(f32::to_le_bytes).concat());
    let program = [&archive.program[..], b"u."].concat();
    let members = [("x/data.pkl", &program[..]), ("x/data/0", &archive.storages[0])];
    for long in [Long::No, Long::Yes] {
        let file = open(&zip(&members, long)).expect("reads");
        assert_eq!(file.f32s("w").expect("there"), [1.0, 2.0]);
    }
    let whole = zip(&members, Long::Yes);
    let record = whole.windows(4).position(|w| w == b"PK\x06\x06").expect("a record");
    for (at, byte) in [(record + 48, 0xff), (record + 47, 0xff), (record + 32, 0xff), (record, 0)] {
        let mut lie = whole.clone();
        lie[at] = byte;
        refusal(&lie);
    }
}

#[test]
fn views_beyond_their_storage_are_refused() {
    let large = i64::MAX;
    for (size, view) in [
        (6, (1, &[2, 3][..], &[3, 1][..])),
        (6, (0, &[2, 3], &[4, 1])),
        (6, (7, &[], &[])),
        (6, (0, &[7], &[1])),
        (6, (0, &[large, large], &[0, 0])),
        (6, (0, &[large], &[0])),
        (6, (0, &[1 << 40], &[0])),
        (6, (0, &[2, 2], &[large, large])),
        (6, (large, &[2], &[1])),
        (6, (-1, &[2], &[1])),
        (6, (0, &[-2], &[1])),
        (6, (0, &[2], &[-1])),
        (6, (0, &[2], &[1, 1])),
        (7, (0, &[2], &[1])),
        (large, (0, &[large], &[1])),
        (-6, (0, &[2], &[1])),
        (6, (0, &[1; 17], &[1; 17])),
    ] {
        refusal(&viewed("FloatStorage", size, view));
    }
    let sound = open(&viewed("FloatStorage", 6, (0, &[3, 2], &[1, 3]))).expect("a view");
    assert_eq!(sound.f32s("w").expect("there").len(), 6);
    refusal(&viewed("DoubleStorage", 6, (0, &[6], &[1])));
    let unknown = open(&viewed("QInt8Storage", 6, (0, &[6], &[1]))).expect("named");
    let error = unknown.f32s("w").expect_err("quantised").to_string();
    assert!(error.contains("QInt8Storage"), "{error}");
}

#[test]
fn programs_in_an_archive_are_refused_by_name() {
    let pickled = |program: &[u8]| zip(&[("x/data.pkl", program)], Long::No);
    let text = refusal(&pickled(b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R."));
    assert!(text.contains("os.system") && text.contains("in.pt"), "{text}");
    assert!(refusal(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.").contains("bare pickle"));
    assert!(refusal(&zip(&[("x/other", b"")], Long::No)).contains("data.pkl"));
    assert!(refusal(&pickled(b"\x80\x02}.")).contains("without a tensor"));
    let big = zip(&[("x/data.pkl", b"}."), ("x/byteorder", b"big")], Long::No);
    assert!(refusal(&big).contains("byteorder"));
    // A dict that holds itself, and lists of lists of lists: an end is found.
    refusal(&pickled(b"}q\x00X\x01\0\0\0ah\x00s."));
    let mut nested = b"]".to_vec();
    for _ in 0..60 {
        nested.extend(b"q\x00]h\x00ah\x00a");
    }
    refusal(&pickled(&[&nested[..], b"."].concat()));
    let deep = [&b"]".repeat(1000)[..], &b"a".repeat(999), b"."].concat();
    refusal(&pickled(&deep));
    // Names that would fill the memory.
    let mut wide = b"X\x00\x02\0\0".to_vec();
    wide.extend([b'k'; 512]);
    wide.extend(b"q\x00ctorch\ndevice\n)Rq\x01}(");
    wide.extend(b"h\x00h\x01".repeat(1 << 18));
    wide.extend(b"u.");
    open(&pickled(&wide)).ok();
}

#[test]
fn damaged_archives_give_errors() {
    let mut archive = Archive::new();
    let data: Vec<u8> = (0..96).collect();
    archive.dense("a", "FloatStorage", &[4, 3], &data[..48]);
    archive.dense("b", "HalfStorage", &[4, 3, 2], &data[..48]);
    archive.view("c", "HalfStorage", 24, (2, &[3, 2], &[1, 6]));
    let whole = archive.bytes();
    let sound = open(&whole).expect("sound");
    assert_eq!(sound.tensors().len(), 3);
    let read = |bytes: &[u8]| {
        if let Ok(file) = open(bytes) {
            for name in file.tensors().keys() {
                file.f32s(name).ok();
            }
        }
    };
    for length in 0..whole.len() {
        read(&whole[..length]);
    }
    let mut rng = rng(5, 0);
    for _ in 0..4000 {
        let mut bytes = whole.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = match rng.random_range(0..4) {
                0 => 0,
                1 => 0xff,
                2 => bytes[at] ^ (1 << rng.random_range(0..8)),
                _ => rng.random(),
            };
        }
        read(&bytes);
    }
}
