//! The weights of a checkpoint: one file, or shards with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use nissl_core::error::IoContext;
use nissl_core::{Error, Result};
use serde_json::Value;

use nissl_core::files::{Stored, TensorFile};

/// The usual names of weights, in the order of preference: each file with all of them, and then the
/// index of its shards.
pub(crate) const NAMES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// The files of a checkpoint, seen as one.
#[derive(Debug)]
pub(crate) struct Files {
    /// What stands for them in messages: the one file, or the index.
    pub path: PathBuf,
    pub shards: Vec<TensorFile>,
    /// Our name of a tensor to where it is.
    pub places: BTreeMap<String, Place>,
}

/// Where a tensor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its shard.
    pub shard: usize,
    /// Its name there.
    pub name: String,
}

impl Files {
    /// The weights at `path`: a file, or a folder in which they have their usual name.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path.is_file() {
            return Self::of(path.to_owned(), vec![TensorFile::open(path)?]);
        }
        for [single, index] in NAMES.as_chunks::<2>().0 {
            let (single, index) = (path.join(single), path.join(index));
            if single.exists() {
                let file = TensorFile::open(&single)?;
                return Self::of(single, vec![file]);
            }
            if index.exists() {
                return Self::sharded(path, index);
            }
        }
        // Fails with the name of the file that is looked for first.
        let single = path.join(NAMES[0]);
        let file = TensorFile::open(&single)?;
        Self::of(single, vec![file])
    }

    fn sharded(folder: &Path, index: PathBuf) -> Result<Self> {
        let mut shards = Vec::new();
        let promised = read_index(&index)?;
        for file in promised.values().collect::<BTreeSet<_>>() {
            let path = folder.join(file);
            if !path.exists() {
                return Err(Error::file(
                    &index,
                    "weight_map",
                    format!("`{file}`, which is absent"),
                    "files in the same folder",
                )
                .with_help("download the missing shard"));
            }
            shards.push(TensorFile::open(&path)?);
        }
        let files = Self::of(index, shards)?;
        let absent: Vec<_> =
            promised.keys().filter(|key| !files.places.contains_key(*key)).take(5).collect();
        if !absent.is_empty() {
            return Err(Error::file(
                &files.path,
                "weight_map",
                format!("{absent:?}, in none of the shards"),
                "keys that the shards hold",
            ));
        }
        Ok(files)
    }

    /// The one file whose bytes are in memory; `name` stands for it in messages.
    pub(crate) fn in_memory(name: &str, bytes: &'static [u8]) -> Result<Self> {
        Self::of(PathBuf::from(name), vec![TensorFile::in_memory(name, bytes)?])
    }

    fn of(path: PathBuf, shards: Vec<TensorFile>) -> Result<Self> {
        let mut places = BTreeMap::new();
        for (number, shard) in shards.iter().enumerate() {
            for name in shard.tensors().keys() {
                let place = Place { shard: number, name: name.clone() };
                if places.insert(name.clone(), place).is_some() {
                    return Err(Error::file(
                        shard.path(),
                        name,
                        "in two shards",
                        "each key in one",
                    ));
                }
            }
        }
        Ok(Self { path, shards, places })
    }

    /// Gives every tensor the name that `spell` makes of its own.
    #[must_use]
    pub(crate) fn respelt(mut self, spell: impl Fn(String) -> String) -> Self {
        self.places = self.places.into_iter().map(|(key, place)| (spell(key), place)).collect();
        self
    }

    /// Takes `prefix` off every name that has it: files made from a bare network lack it.
    #[must_use]
    pub(crate) fn without_prefix(self, prefix: &str) -> Self {
        self.respelt(|key| key.strip_prefix(prefix).map(str::to_owned).unwrap_or(key))
    }

    /// The tensor of our name, and its file.
    pub(crate) fn get(&self, key: &str) -> Option<(&TensorFile, &Stored)> {
        let place = self.places.get(key)?;
        let file = &self.shards[place.shard];
        Some((file, file.tensors().get(&place.name)?))
    }
}

/// Key to file, from an index.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    let bytes = std::fs::read(path).at(path, "open")?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Error::file(path, "content", error, "JSON"))?;
    let Some(map) = value.get("weight_map").and_then(Value::as_object) else {
        return Err(Error::file(path, "weight_map", "absent", "an object from keys to files"));
    };
    map.iter()
        .map(|(key, file)| match file.as_str() {
            Some(file) if !file.contains(['/', '\\']) && !file.starts_with("..") => {
                Ok((key.clone(), file.to_owned()))
            }
            _ => Err(Error::file(path, "weight_map", file, "names of files in the same folder")),
        })
        .collect()
}
