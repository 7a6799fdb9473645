//! What stands beside a checkpoint's weights: its description and its tokenizer.

use std::path::{Path, PathBuf};

use nissl_core::network::Tokenizer;
use nissl_core::{Error, Result};

use super::config::Config;
use super::numerals::Numerals;
use super::tokenizer::TextTokenizer;

/// The architecture of a file that nothing describes.
pub(crate) const TRANSFORMER_LENS: &str = "transformer_lens";

/// A checkpoint's folder and description.
pub(crate) struct Described {
    pub folder: PathBuf,
    pub config: Config,
    /// `model_type`.
    pub architecture: String,
}

/// The description of the checkpoint at `path`, a folder or a file of weights.
pub(crate) fn described(path: &Path) -> Result<Described> {
    let is_file = path.is_file();
    if !is_file && !path.is_dir() {
        return Err(Error::NotAnArtefact {
            path: path.display().to_string(),
            expected: "network".to_owned(),
            found: "nothing is there".to_owned(),
            help: Some("a hub id is written `hub:owner/name`".to_owned()),
        });
    }
    let folder = if is_file { path.parent().unwrap_or(path) } else { path }.to_owned();
    let config = if is_file && !folder.join("config.json").exists() {
        Config::absent(path)
    } else {
        Config::read(&folder)?
    };
    let default = if is_file { TRANSFORMER_LENS } else { "absent" };
    let architecture = config.text_or("model_type", default)?.to_owned();
    Ok(Described { folder, config, architecture })
}

/// The tokenizer in `folder`, numbers where there is none and the architecture needs none, or the
/// folder that lacks it.
pub(crate) fn tokenizer_of(
    folder: &Path,
    config: &Config,
    architecture: &str,
    vocabulary: usize,
) -> Result<std::result::Result<Box<dyn Tokenizer>, String>> {
    if folder.join("tokenizer.json").exists() {
        return Ok(Ok(Box::new(TextTokenizer::read(folder, config.end_token())?)));
    }
    if architecture == TRANSFORMER_LENS {
        return Ok(Ok(Box::new(Numerals::new(vocabulary))));
    }
    Ok(Err(folder.display().to_string()))
}
