//! Artefacts on disk: a folder with a `manifest.json`, shards and tables.
//!
//! Files are written aside, synced and renamed; the manifest lists each with its checksum and is
//! rewritten, atomically, after each shard, so that a crash leaves a valid prefix. Two processes may write
//! into one artefact: each writes aside under a name of its own, and the last to rename wins.

mod aside;
mod manifest;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

pub use aside::aside;
pub use manifest::{FORMAT, Input, Kind, MANIFEST, Manifest, Provenance, Shard, read_value};

use crate::error::{Error, IoContext, Result};

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
        (true, Existing::Resume) if has_manifest => {
            aside::sweep(folder, Duration::ZERO);
            Ok(true)
        }
        (true, Existing::Resume) if !folder.is_file() && only_unfinished(folder) => {
            aside::sweep(folder, Duration::ZERO);
            Ok(false)
        }
        (true, Existing::Overwrite) if has_manifest => {
            std::fs::remove_dir_all(folder).at(folder, "remove")?;
            std::fs::create_dir_all(folder).at(folder, "create")?;
            Ok(false)
        }
        (true, _) => Err(Error::NotAnArtefact {
            path: folder.display().to_string(),
            expected: "artefact of nissl".to_owned(),
            found: format!("there is something else, and no {MANIFEST}"),
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

/// Creates a file, and the folder it lies in.
///
/// # Errors
/// A failed file operation.
pub fn create_file(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).at(parent, "create")?;
    }
    #[expect(clippy::disallowed_methods, reason = "this is the one place that creates files")]
    let file = File::create(path).at(path, "create")?;
    aside::begin(path, &file);
    Ok(file)
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
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Detail {
        samples: u64,
    }

    #[test]
    fn a_manifest_is_read_as_written_and_keeps_its_kind() {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = Manifest::new(Kind::Recording, Provenance::default(), Detail { samples: 3 });
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
