//! The embedded model: a small network trained on the language world by `fixtures/make/demo_model.sh`.

use std::path::{Path, PathBuf};

use nissl_core::Result;
use nissl_core::store::write_bytes;

/// Its files, as they lie in the folder of a checkpoint.
const FILES: [(&str, &[u8]); 4] = [
    ("config.json", include_bytes!("../../model/config.json")),
    ("model.safetensors", include_bytes!("../../model/model.safetensors")),
    ("tokenizer.json", include_bytes!("../../model/tokenizer.json")),
    ("manifest.json", include_bytes!("../../model/manifest.json")),
];

/// How the embedded model was trained, and its losses.
///
/// # Errors
/// Never with the model that is embedded; its test reads it.
pub fn provenance() -> Result<serde_json::Value> {
    serde_json::from_slice(FILES[3].1)
        .map_err(|error| nissl_core::Error::file("manifest.json", "content", error, "JSON"))
}

/// Writes the embedded model to `folder`, where any command can use it.
///
/// # Errors
/// A failed file operation.
pub fn unpack(folder: &Path) -> Result<PathBuf> {
    for (name, bytes) in FILES {
        write_bytes(&folder.join(name), bytes)?;
    }
    Ok(folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_model_is_small_and_beats_the_five_gram() {
        let bytes: usize = FILES.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes <= 8 << 20, "{bytes} bytes");
        let manifest = provenance().expect("JSON");
        let loss = |place: &serde_json::Value| place.as_f64().expect("a loss");
        let (held_out, baselines) = (loss(&manifest["held_out"]), &manifest["baselines"]);
        let five_gram = loss(&baselines["five_gram"]);
        assert!(held_out <= 0.85 * five_gram, "{held_out} against {five_gram}");
        assert!(held_out >= loss(&baselines["lower_bound"]), "below the entropy of the source");
    }
}
