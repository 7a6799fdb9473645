//! `manifest.json`: what an artefact is, how it was made, and the files it consists of.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{sha256_file, write_bytes};
use crate::error::{Error, Result};

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
    /// Units of a network, each read through its head.
    HeadMap,
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
            Self::HeadMap => "headmap",
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

impl Shard {
    /// The entry of a file of `rows` rows that already lies in `folder`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(folder: &Path, file: &str, rows: usize) -> Result<Self> {
        let path = folder.join(file);
        let bytes = std::fs::metadata(&path).map_err(|error| Error::io(&path, "look at", error))?;
        let sha256 = sha256_file(&path)?;
        Ok(Self { file: file.to_owned(), rows: rows as u64, bytes: bytes.len(), sha256 })
    }
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
