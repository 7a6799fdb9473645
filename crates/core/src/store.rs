//! Artefacts on disk: a folder with a `manifest.json`, shards and tables.
//!
//! Files are written aside, synced and renamed; the manifest lists each shard with its checksum and
//! is rewritten, atomically, after each, so that a crash leaves a valid prefix.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, IoContext, Result};

/// The version of the formats on disk.
pub const FORMAT: u32 = 1;

/// The name of the file that makes a folder an artefact.
pub const MANIFEST: &str = "manifest.json";

/// What an artefact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// Activity of units over samples.
    Recording,
    /// A dictionary over units with its activations.
    Features,
    /// Nodes and edges.
    Graph,
    /// A fitted model from one recording to another.
    Mapping,
    /// A network's checkpoint.
    Network,
    /// A report.
    Report,
    /// Planted data with its truth.
    World,
}

impl Kind {
    /// Its name in manifests and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Features => "features",
            Self::Graph => "graph",
            Self::Mapping => "mapping",
            Self::Network => "network",
            Self::Report => "report",
            Self::World => "world",
        }
    }
}

/// `manifest.json`: what an artefact is, how it was made, and its files; `D` is the part of its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest<D> {
    /// The kind.
    pub nissl: Kind,
    /// The version of the format, 1.
    pub format: u32,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
    /// How it was made.
    pub provenance: Provenance,
    /// What only this kind has.
    #[serde(flatten)]
    pub detail: D,
    /// The shards, in order.
    pub shards: Vec<Shard>,
}

/// How an artefact was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The command line.
    pub command: Vec<String>,
    /// The method's struct.
    pub config: serde_json::Value,
    /// The seed of every draw.
    pub seed: u64,
    /// The version of nissl.
    pub version: String,
    /// What it was made from.
    pub inputs: Vec<Input>,
    /// The device that computed it.
    pub device: String,
    /// How long that took.
    pub seconds: f64,
}

impl Provenance {
    /// A provenance of this process: its command line, the version and the device.
    pub fn here(config: &impl Serialize, seed: u64, device: &str) -> Self {
        Self {
            command: std::env::args().collect(),
            config: serde_json::to_value(config).unwrap_or_default(),
            seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            inputs: Vec::new(),
            device: device.to_owned(),
            seconds: 0.0,
        }
    }

    /// The same provenance with one more input, a file or an artefact's folder.
    ///
    /// # Errors
    /// When the input cannot be read.
    pub fn with_input(mut self, path: &Path) -> Result<Self> {
        self.inputs.push(Input::of(path)?);
        Ok(self)
    }
}

/// What an artefact was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Its path when it was read.
    pub path: String,
    /// The checksum of the file, or of a folder's manifest.
    pub sha256: String,
}

impl Input {
    /// The input at `path`: a file, an artefact, or a checkpoint's folder (by its `config.json`).
    ///
    /// # Errors
    /// When there is nothing to read.
    pub fn of(path: &Path) -> Result<Self> {
        let file = if path.is_dir() {
            let manifest = path.join(MANIFEST);
            if manifest.exists() { manifest } else { path.join("config.json") }
        } else {
            path.to_owned()
        };
        Ok(Self { path: path.display().to_string(), sha256: sha256_file(&file)? })
    }
}

/// One file of an artefact's numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Its name in the folder.
    pub file: String,
    /// The samples it holds.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its checksum.
    pub sha256: String,
}

/// What to do when the output folder is already there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Refuse.
    #[default]
    Refuse,
    /// Continue what an interrupted run left.
    Resume,
    /// Remove the artefact and begin anew; a folder that is no artefact is never removed.
    Overwrite,
}

impl<D: Serialize + DeserializeOwned> Manifest<D> {
    /// A manifest without shards, made now.
    pub fn new(kind: Kind, provenance: Provenance, detail: D) -> Self {
        let created = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Self { nissl: kind, format: FORMAT, created, provenance, detail, shards: Vec::new() }
    }

    /// Reads the manifest of `folder`, which must be of `kind`.
    ///
    /// # Errors
    /// No manifest, another kind, another format, or a field that is missing or wrong.
    pub fn read(folder: &Path, kind: Kind) -> Result<Self> {
        let value = read_value(folder, kind.name())?;
        let found = value["nissl"].as_str().unwrap_or("unknown").to_owned();
        if found != kind.name() {
            return Err(Error::NotAnArtefact {
                path: folder.display().to_string(),
                expected: kind.name().to_owned(),
                found: format!("its manifest says `{found}`"),
                help: Some("see what it is with `nissl info`".to_owned()),
            });
        }
        let manifest: Self = serde_json::from_value(value).map_err(|error| {
            Error::file(folder.join(MANIFEST), "content", error, format!("a {found} manifest"))
        })?;
        for shard in &manifest.shards {
            if shard.file.contains(['/', '\\']) || shard.file.starts_with("..") {
                return Err(Error::file(
                    folder.join(MANIFEST),
                    "shards.file",
                    &shard.file,
                    "the name of a file in the same folder",
                ));
            }
        }
        Ok(manifest)
    }

    /// Writes the manifest atomically.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::file(folder.join(MANIFEST), "content", error, "JSON"))?;
        text.push(b'\n');
        write_bytes(&folder.join(MANIFEST), &text)
    }

    /// Compares every shard with its checksum.
    ///
    /// # Errors
    /// The first shard that is missing or differs.
    pub fn verify(&self, folder: &Path) -> Result<()> {
        for shard in &self.shards {
            let path = folder.join(&shard.file);
            let found = sha256_file(&path)?;
            if found != shard.sha256 {
                return Err(Error::Checksum {
                    path: path.display().to_string(),
                    found,
                    expected: shard.sha256.clone(),
                });
            }
        }
        Ok(())
    }
}

/// The manifest of any artefact, as JSON.
///
/// # Errors
/// No manifest, unreadable JSON, or a format from the future.
pub fn read_value(folder: &Path, expected: &str) -> Result<serde_json::Value> {
    let path = folder.join(MANIFEST);
    let text = std::fs::read(&path).map_err(|_absent| Error::NotAnArtefact {
        path: folder.display().to_string(),
        expected: expected.to_owned(),
        found: if folder.exists() {
            format!("it has no {MANIFEST}")
        } else {
            "nothing is there".to_owned()
        },
        help: None,
    })?;
    let value: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| Error::file(&path, "content", error, "JSON"))?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format <= u64::from(FORMAT) => Ok(value),
        Some(format) => Err(Error::file(&path, "format", format, format!("at most {FORMAT}"))
            .with_help("this artefact was written by a newer nissl")),
        None => Err(Error::file(&path, "format", "absent", "a whole number")),
    }
}

/// Makes ready the folder of a new artefact; gives whether an interrupted one is there to continue.
///
/// # Errors
/// The folder exists and `existing` does not allow that.
pub fn prepare(folder: &Path, existing: Existing) -> Result<bool> {
    let has_manifest = folder.join(MANIFEST).exists();
    let occupied = has_manifest
        || folder.read_dir().is_ok_and(|mut entries| entries.next().is_some())
        || folder.is_file();
    match (occupied, existing) {
        (true, Existing::Refuse) => Err(Error::Exists { path: folder.display().to_string() }),
        (true, Existing::Resume) if has_manifest => Ok(true),
        (true, Existing::Resume) if !folder.is_file() && only_unfinished(folder) => Ok(false),
        (true, Existing::Overwrite) if has_manifest => {
            std::fs::remove_dir_all(folder).at(folder, "remove")?;
            std::fs::create_dir_all(folder).at(folder, "create")?;
            Ok(false)
        }
        (true, _) => Err(Error::NotAnArtefact {
            path: folder.display().to_string(),
            expected: "folder that nissl made".to_owned(),
            found: "it holds something else and no manifest".to_owned(),
            help: Some("nothing was removed; choose another output folder".to_owned()),
        }),
        (false, _) => {
            std::fs::create_dir_all(folder).at(folder, "create")?;
            Ok(false)
        }
    }
}

/// Whether a folder holds nothing but files that a killed run had not yet named.
fn only_unfinished(folder: &Path) -> bool {
    folder.read_dir().is_ok_and(|entries| {
        entries.flatten().all(|entry| entry.file_name().to_string_lossy().ends_with(".unfinished"))
    })
}

/// The name under which a file is written before it gets its own.
pub fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    path.with_file_name(format!(".{name}.unfinished"))
}

/// Creates a file, and the folder it lies in.
///
/// # Errors
/// A failed file operation.
pub fn create_file(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).at(parent, "create")?;
    }
    #[expect(clippy::disallowed_methods, reason = "this is the one place that creates files")]
    File::create(path).at(path, "create")
}

/// Writes a file aside, syncs it and renames it.
///
/// # Errors
/// A full disk or another failed file operation.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = aside(path);
    let mut file = create_file(&aside)?;
    let outcome = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = outcome {
        std::fs::remove_file(&aside).ok();
        return Err(Error::io(path, "write", error));
    }
    std::fs::rename(&aside, path).at(path, "rename")
}

/// Writes a shard and gives its entry for the manifest.
///
/// # Errors
/// As [`write_bytes`].
pub fn write_shard(folder: &Path, file: &str, rows: u64, bytes: &[u8]) -> Result<Shard> {
    write_bytes(&folder.join(file), bytes)?;
    let sha256 = sha256_bytes(bytes);
    Ok(Shard { file: file.to_owned(), rows, bytes: bytes.len() as u64, sha256 })
}

/// The checksum of bytes, in hexadecimal.
pub fn sha256_bytes(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// The checksum of a file, in hexadecimal.
///
/// # Errors
/// A file that cannot be read.
pub fn sha256_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).at(path, "open")?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).at(path, "read")?;
        if read == 0 {
            return Ok(hexadecimal(&hash.finalize()));
        }
        hash.update(&buffer[..read]);
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Detail {
        samples: u64,
    }

    #[test]
    fn a_manifest_is_read_as_written_and_keeps_its_kind() {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest =
            Manifest::new(Kind::Recording, Provenance::default(), Detail { samples: 3 });
        manifest.write(folder.path()).expect("writes");
        let back = Manifest::<Detail>::read(folder.path(), Kind::Recording).expect("reads");
        assert_eq!(back, manifest);
        let other = Manifest::<Detail>::read(folder.path(), Kind::Graph).expect_err("other kind");
        assert!(other.to_string().contains("`recording`"), "{other}");
    }

    #[test]
    fn a_manifest_cannot_point_out_of_its_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut manifest =
            Manifest::new(Kind::Recording, Provenance::default(), Detail { samples: 3 });
        let file = "../secret".to_owned();
        manifest.shards = vec![Shard { file, rows: 1, bytes: 1, sha256: String::new() }];
        manifest.write(folder.path()).expect("writes");
        assert!(Manifest::<Detail>::read(folder.path(), Kind::Recording).is_err());
    }

    #[test]
    fn a_future_format_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        write_bytes(&folder.path().join(MANIFEST), br#"{"nissl":"recording","format":2}"#)
            .expect("writes");
        let error = read_value(folder.path(), "recording").expect_err("future");
        assert!(error.to_string().contains("`format` is 2"), "{error}");
    }

    #[test]
    fn a_folder_that_is_no_artefact_is_never_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        write_bytes(&folder.path().join("thesis.txt"), b"years of work").expect("writes");
        for existing in [Existing::Refuse, Existing::Resume, Existing::Overwrite] {
            assert!(prepare(folder.path(), existing).is_err(), "{existing:?}");
        }
        assert!(folder.path().join("thesis.txt").exists());
    }

    #[test]
    fn the_checksum_is_sha256() {
        // The digest of the empty string, from FIPS 180-4's examples.
        assert_eq!(
            sha256_bytes(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
