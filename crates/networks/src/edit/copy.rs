//! A checkpoint's folder copied with some signs flipped, a piece of a file at a time.

use std::io::Write;
use std::path::{Path, PathBuf};

use nissl_core::error::IoContext;
use nissl_core::store::{MANIFEST, aside, create_file, write_bytes};
use nissl_core::{Error, Progress, Result};

use crate::files::NAMES;
use crate::weights::CheckpointWeights;
use nissl_core::files::TensorFile;

/// The sign bytes of one vector in a file of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signs {
    /// Which file.
    pub shard: usize,
    /// The byte with the first number's sign.
    pub first: usize,
    /// Bytes from each to the next.
    pub step: usize,
    /// How many.
    pub count: usize,
}

/// The bit of a number's last byte that is its sign.
const SIGN: u8 = 0x80;
const PIECE: usize = 8 << 20;
/// What other files with weights end with; they would contradict the edited ones.
const WEIGHTS: [&str; 10] =
    ["safetensors", "bin", "pt", "pth", "ckpt", "gguf", "onnx", "h5", "msgpack", "ot"];

/// Copies the checkpoint and gives the names of its weight files.
pub(super) fn copy_with(
    weights: &CheckpointWeights,
    signs: Vec<Signs>,
    folder: &Path,
    progress: &Progress,
) -> Result<Vec<String>> {
    let files = weights.files();
    for file in &files.shards {
        if !file.path().is_file() {
            return Err(Error::file(file.path(), "weights", "in memory", "files on disk"));
        }
        if file.is_archive() {
            return Err(Error::file(file.path(), "format", "an archive of PyTorch", "safetensors")
                .with_help("only safetensors are edited; save the network as safetensors first"));
        }
    }
    let mut by_shard: Vec<Vec<Signs>> = vec![Vec::new(); files.shards.len()];
    for signs in signs {
        by_shard[signs.shard].push(signs);
    }
    let total: usize = files.shards.iter().map(|file| file.bytes().len()).sum();
    let stage = progress.stage("write", total as u64, "bytes");
    let mut names = Vec::new();
    for (file, signs) in files.shards.iter().zip(&by_shard) {
        let name = name_of(file, files.shards.len());
        let path = folder.join(&name);
        let unfinished = aside(&path);
        let written = write(file, signs, &unfinished, |bytes| {
            stage.advance(bytes);
            progress.check(|| name.clone())
        });
        if let Err(error) = written {
            std::fs::remove_file(&unfinished).ok();
            return Err(error);
        }
        std::fs::rename(&unfinished, &path).at(&path, "rename")?;
        names.push(name);
    }
    for from in beside(weights.folder())? {
        if let Some(name) = from.file_name() {
            write_bytes(&folder.join(name), &std::fs::read(&from).at(&from, "read")?)?;
        }
    }
    Ok(names)
}

/// The name of a file's copy: a lone file gets the one by which a folder is opened.
fn name_of(file: &TensorFile, shards: usize) -> String {
    let name = file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    if shards == 1 && !NAMES.contains(&name.as_str()) { NAMES[0].to_owned() } else { name }
}

fn write(
    file: &TensorFile,
    signs: &[Signs],
    path: &Path,
    mut advance: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let mut out = create_file(path)?;
    let mut buffer = Vec::with_capacity(PIECE.min(file.bytes().len()));
    for (number, piece) in file.bytes().chunks(PIECE).enumerate() {
        buffer.clear();
        buffer.extend_from_slice(piece);
        let begins = number * PIECE;
        for signs in signs {
            signs.flip(begins, &mut buffer);
        }
        out.write_all(&buffer).at(path, "write")?;
        advance(piece.len() as u64)?;
    }
    out.sync_all().at(path, "sync")
}

impl Signs {
    /// Flips those that lie in `piece`, which begins at byte `begins` of the file.
    fn flip(&self, begins: usize, piece: &mut [u8]) {
        let before = begins.saturating_sub(self.first).div_ceil(self.step);
        for n in before..self.count {
            let at = self.first + n * self.step;
            let Some(byte) = at.checked_sub(begins).and_then(|at| piece.get_mut(at)) else {
                break;
            };
            *byte ^= SIGN;
        }
    }
}

/// The files beside the weights: description, tokenizer, index.
fn beside(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in folder.read_dir().at(folder, "list")? {
        let path = entry.at(folder, "list")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let weights = WEIGHTS.contains(&ending.as_str()) || name.starts_with("pytorch_model");
        if path.is_file() && !weights && !name.starts_with('.') && name != MANIFEST {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_flip_across_pieces() {
        let signs = Signs { shard: 0, first: 5, step: 7, count: 4 }; // 5, 12, 19, 26
        for size in 1..40 {
            let mut bytes = [1u8; 40];
            for (number, piece) in bytes.chunks_mut(size).enumerate() {
                signs.flip(number * size, piece);
            }
            let flipped: Vec<usize> = (0..40).filter(|&at| bytes[at] == 0x81).collect();
            assert_eq!(flipped, [5, 12, 19, 26], "pieces of {size}");
        }
    }
}
