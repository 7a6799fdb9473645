//! Which format a file has, told from its bytes; the extension only breaks ties.

use std::io::Read;
use std::path::Path;

use nissl_core::{Error, IoContext, Result};
use serde::{Deserialize, Serialize};

/// A format of plain matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// One array of NumPy.
    Npy,
    /// Several arrays of NumPy in a zip file.
    Npz,
    /// Text with separators.
    Csv,
    /// Columns of Apache Parquet.
    Parquet,
    /// Named arrays of Hugging Face.
    Safetensors,
    /// One array of HDF5, also NWB.
    Hdf5,
    /// One array of MATLAB, of version 5 or 7.3.
    Mat,
    /// One array of a JSON document.
    Json,
    /// Signals of electrodes, EDF or BDF.
    Edf,
}

impl Format {
    /// Its name, as flags and messages write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Npy => "npy",
            Self::Npz => "npz",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Safetensors => "safetensors",
            Self::Hdf5 => "hdf5",
            Self::Mat => "mat",
            Self::Json => "json",
            Self::Edf => "edf",
        }
    }

    /// The format that the extension of `path` promises.
    pub fn of_extension(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "npy" => Some(Self::Npy),
            "npz" => Some(Self::Npz),
            "csv" | "tsv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            "safetensors" => Some(Self::Safetensors),
            "h5" | "hdf5" | "nwb" => Some(Self::Hdf5),
            "mat" => Some(Self::Mat),
            "json" => Some(Self::Json),
            "edf" | "bdf" => Some(Self::Edf),
            _ => None,
        }
    }
}

/// First bytes of formats that are often tried and are no plain matrices.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"ARROW1", "Arrow IPC (Feather)"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"%PDF", "PDF"),
];

/// The format of a file by its first bytes.
///
/// # Errors
/// An empty file, bytes of no format of ours, or bytes that contradict the extension.
pub(super) fn sniff(path: &Path) -> Result<Format> {
    let mut start = Vec::new();
    super::open_file(path)?.take(4096).read_to_end(&mut start).at(path, "read")?;
    let expected = "npy, npz, csv, parquet, safetensors, hdf5, nwb, mat, json, edf or bdf";
    if start.is_empty() {
        return Err(Error::file(path, "content", "0 bytes long", expected));
    }
    let promised = Format::of_extension(path);
    match crate::files::kind(path)? {
        Some("HDF5") if promised == Some(Format::Mat) => return Ok(Format::Mat),
        Some("HDF5") => return Ok(Format::Hdf5),
        Some("MATLAB 5") => return Ok(Format::Mat),
        // Text that begins with a bracket may be something else.
        Some(_) if promised == Some(Format::Json) => return Ok(Format::Json),
        _ => {}
    }
    let edf = start.starts_with(b"0       ") && promised == Some(Format::Edf);
    if edf || start.starts_with(b"\xffBIOSEMI") {
        return Ok(Format::Edf);
    }
    if let Some((_, name)) = FOREIGN.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(Error::file(path, "content", *name, expected)
            .with_help("save the matrix as .npy or .csv with the tool that wrote this file"));
    }
    if start.starts_with(b"\x93NUMPY") {
        return Ok(Format::Npy);
    }
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return Ok(Format::Npz);
    }
    if start.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    // A header of safetensors is its length, then a JSON object.
    if start.len() > 8 && start[8] == b'{' && start[4..8] == [0; 4] {
        return Ok(Format::Safetensors);
    }
    if let Some(promised) = promised.filter(|&format| format != Format::Csv) {
        let found = format!("not that of {0}, though the name ends in .{0}", promised.name());
        return Err(Error::file(path, "content", found, expected)
            .with_help("the file may be damaged; if it is text with separators, use --as csv"));
    }
    if start.contains(&0) {
        return Err(Error::file(path, "content", "binary of no known kind", expected));
    }
    Ok(Format::Csv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_decide_and_the_name_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let told = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            nissl_core::store::write_bytes(&path, bytes).expect("writes");
            sniff(&path).map_err(|error| error.to_string())
        };
        assert_eq!(told("a.csv", b"\x93NUMPY\x01\0"), Ok(Format::Npy));
        assert_eq!(told("a.npy", b"PAR1...."), Ok(Format::Parquet));
        assert_eq!(told("a.bin", b"\x02\0\0\0\0\0\0\0{}"), Ok(Format::Safetensors));
        assert_eq!(told("a", b"1,2\n"), Ok(Format::Csv));
        assert_eq!(told("a", b"PK\x03\x04"), Ok(Format::Npz));
        assert!(told("a.npy", b"1,2\n").expect_err("not npy").contains(".npy"));
        assert_eq!(told("a.h5", b"\x89HDF\r\n\x1a\n"), Ok(Format::Hdf5));
        assert_eq!(told("b.mat", b"MATLAB 5.0 MAT-file"), Ok(Format::Mat));
        assert_eq!(told("c.json", b"[[1, 2]]"), Ok(Format::Json));
        assert_eq!(told("d.bdf", b"\xffBIOSEMI"), Ok(Format::Edf));
        assert!(told("a", b"\x80\x04\x95").expect_err("pickle").contains("pickle"));
        assert!(told("a", b"1,\0").is_err());
        assert!(told("a", b"").expect_err("empty").contains("0 bytes"));
    }
}
