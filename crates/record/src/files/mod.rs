//! Containers that laboratories keep their recordings in, read as one tree of named parts.
//!
//! HDF5 (`.h5`, `.nwb`, new `.mat`), MATLAB 5 (`.mat`), and JSON, read and written. Nothing is ever
//! executed.

mod hdf5;
mod hdf5_elements;
mod json;
mod mat5;
#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests;
mod value;
mod write_hdf5;
mod write_json;
mod write_mat5;

use std::io::Read;
use std::path::{Path, PathBuf};

use nissl_core::{Error, IoContext, Result};

pub use value::{Numbers, Value};

/// A file of named parts.
pub struct Container {
    path: PathBuf,
    content: Content,
}

enum Content {
    Hdf5(Box<hdf5::Hdf5>),
    Tree { format: &'static str, tree: Value },
}

/// The paths that are told when something is not found.
const PATHS_TOLD: usize = 40;

impl Container {
    /// Opens the file at `path`, whose first bytes tell its format.
    ///
    /// # Errors
    /// A file of another format, or a damaged one.
    pub fn open(path: &Path) -> Result<Self> {
        let content = match kind(path)? {
            Some("HDF5") => Content::Hdf5(Box::new(hdf5::Hdf5::open(path)?)),
            Some("MATLAB 5") => Content::Tree { format: "MATLAB 5", tree: mat5::read(path)? },
            Some(_) => Content::Tree { format: "JSON", tree: json::read(path)? },
            None => {
                let expected = "HDF5 (.h5, .nwb, .mat), MATLAB 5 (.mat) or JSON";
                return Err(Error::file(path, "content", told(path)?, expected));
            }
        };
        Ok(Self { path: path.to_owned(), content })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of its format.
    pub fn format(&self) -> &'static str {
        match &self.content {
            Content::Hdf5(_) => "HDF5",
            Content::Tree { format, .. } => format,
        }
    }

    /// The names of the parts at `path`, an empty path for the whole file.
    ///
    /// # Errors
    /// A damaged file.
    pub fn names(&self, path: &str) -> Result<Vec<String>> {
        match &self.content {
            Content::Hdf5(file) => file.names(path),
            Content::Tree { tree, .. } => {
                let names = tree.at(path).map(Value::names).unwrap_or_default();
                Ok(names.into_iter().map(str::to_owned).collect())
            }
        }
    }

    /// All that is at `path`, such as `gcamp/traces`; `None` when nothing is.
    ///
    /// # Errors
    /// A damaged file, or one that holds more than fits.
    pub fn read(&self, path: &str) -> Result<Option<Value>> {
        match &self.content {
            Content::Hdf5(file) => file.read(path),
            Content::Tree { tree, .. } => Ok(tree.at(path).cloned()),
        }
    }

    /// Every path in the file with what is there, at most `most` of them.
    ///
    /// # Errors
    /// A damaged file.
    pub fn paths(&self, most: usize) -> Result<Vec<(String, String)>> {
        match &self.content {
            Content::Hdf5(file) => file.paths(most),
            Content::Tree { tree, .. } => Ok(tree.paths(most)),
        }
    }

    /// The error of a file without `wanted`: it tells the keys that were found.
    pub fn without(&self, wanted: &str) -> Error {
        let found = self.paths(PATHS_TOLD + 1).unwrap_or_default();
        let shown: Vec<String> =
            found.iter().take(PATHS_TOLD).map(|(path, what)| format!("{path} ({what})")).collect();
        let more = if found.len() > PATHS_TOLD { ", …" } else { "" };
        Error::file(&self.path, "keys", "without it", format!("`{wanted}`"))
            .with_help(format!("the file has {}{more}", shown.join(", ")))
    }
}

/// A format that [`write`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// HDF5 with groups and arrays.
    Hdf5,
    /// MATLAB 5.
    Matlab5,
    /// MATLAB 7.3, which is HDF5 with conventions of its own.
    Matlab73,
    /// JSON.
    Json,
}

/// Writes the named parts of `tree` to the file `path`.
///
/// # Errors
/// A tree that is no map, names or parts that the format cannot hold, or a failed file operation.
pub fn write(path: &Path, tree: &Value, layout: Layout) -> Result<()> {
    match layout {
        Layout::Hdf5 => write_hdf5::write_plain(path, tree),
        Layout::Matlab5 => write_mat5::write(path, tree),
        Layout::Matlab73 => write_hdf5::write_matlab(path, tree),
        Layout::Json => write_json::write(path, tree),
    }
}

/// The format of a file by its first bytes; `None` for other formats.
pub(crate) fn kind(path: &Path) -> Result<Option<&'static str>> {
    let mut start = Vec::new();
    let file = crate::import::open_file(path)?;
    file.take(4096).read_to_end(&mut start).at(path, "read")?;
    let hdf5 = [0, 512, 1024, 2048]
        .into_iter()
        .any(|at| start.get(at..).is_some_and(|rest| rest.starts_with(b"\x89HDF\r\n\x1a\n")));
    let first = start.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok(if hdf5 {
        Some("HDF5")
    } else if start.starts_with(b"MATLAB 5.0") {
        Some("MATLAB 5")
    } else if matches!(first, Some(b'{' | b'[')) {
        Some("JSON")
    } else {
        None
    })
}

/// What a file of another format seems to be.
fn told(path: &Path) -> Result<&'static str> {
    let mut start = Vec::new();
    crate::import::open_file(path)?.take(512).read_to_end(&mut start).at(path, "read")?;
    let text = String::from_utf8_lossy(&start).to_ascii_lowercase();
    Ok(if start.is_empty() {
        "0 bytes long"
    } else if text.contains("<html") || text.contains("<!doctype") {
        "a web page, perhaps that of a download that needs a login"
    } else if start.starts_with(b"MATLAB 7.3") {
        "the header of a MATLAB 7.3 file without its content"
    } else if start.starts_with(b"PK") {
        "a zip archive"
    } else {
        "of no known kind"
    })
}
