//! Finds the files of a checkpoint in a folder, and reads its configuration.

use std::path::{Path, PathBuf};

use nissl_core::{Error, IoContext, Result};
use serde_json::{Map, Value};

use super::Load;

/// Where weights lie in the folders of makers, the surest name first.
const WEIGHTS: [&str; 11] = [
    "sae.safetensors",
    "sae_weights.safetensors",
    "checkpoints/final.safetensors",
    "checkpoints/final.pth",
    "final.safetensors",
    "final.pth",
    "ae.pt",
    "params.npz",
    "params.safetensors",
    "transcoder.pt",
    "autoencoder.pt",
];
/// Where configurations lie beside them.
pub(super) const CONFIGURATIONS: [&str; 4] =
    ["cfg.json", "hyperparams.json", "config.json", "config.yaml"];
/// The names of files with one layer each, before and after its number.
pub(super) const ENCODERS: [&str; 2] = ["W_enc_", ".safetensors"];
pub(super) const LAYERS: [&str; 2] = ["layer_", ".safetensors"];
/// Longer configurations are none.
const LONGEST: u64 = 1 << 22;

/// The file of the weights in a folder.
pub(super) fn weights(folder: &Path, load: &Load) -> Result<PathBuf> {
    if let Some(name) = WEIGHTS.iter().find(|name| folder.join(name).is_file()) {
        return Ok(folder.join(name));
    }
    for [before, after] in [ENCODERS, LAYERS] {
        let layers = layers(folder, before, after)?;
        let layer = match (load.layer, layers.as_slice()) {
            (_, []) => continue,
            (Some(layer), layers) if layers.contains(&layer) => layer,
            (None, [layer]) => *layer,
            (layer, layers) => {
                let found = layer.map_or("absent".to_owned(), |layer| layer.to_string());
                let expected = format!("one of the layers of {}: {layers:?}", folder.display());
                return Err(Error::setting("layer", found, expected));
            }
        };
        return Ok(folder.join(format!("{before}{layer}{after}")));
    }
    let mut others = Vec::new();
    for entry in std::fs::read_dir(folder).at(folder, "list")? {
        let path = entry.at(folder, "list")?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
        if ["safetensors", "pt", "pth", "npz"].contains(&ending) && !beside(&path) {
            others.push(path);
        }
    }
    others.sort();
    match others.as_slice() {
        [one] => Ok(one.clone()),
        found => Err(Error::file(
            folder,
            "weights",
            format!("{} files of tensors, none with a name that dictionaries have", found.len()),
            "the folder of one dictionary, or its file",
        )
        .with_help(format!("known are {}", WEIGHTS.join(", ")))),
    }
}

/// Whether a file holds statistics beside weights.
fn beside(path: &Path) -> bool {
    path.file_stem().is_some_and(|name| name.to_string_lossy().contains("sparsity"))
}

/// The layers of files with one layer each, ascending.
pub(super) fn layers(folder: &Path, before: &str, after: &str) -> Result<Vec<usize>> {
    let mut layers = Vec::new();
    for entry in std::fs::read_dir(folder).at(folder, "list")? {
        let name = entry.at(folder, "list")?.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        layers.extend(number.and_then(|number| number.parse::<usize>().ok()));
    }
    layers.sort_unstable();
    Ok(layers)
}

/// An object of a JSON file, or the plain lines `key: value` of a YAML file.
pub(super) fn configuration(path: &Path) -> Result<Value> {
    if std::fs::metadata(path).at(path, "look at")?.len() > LONGEST {
        return Err(Error::file(path, "size", "more than 4 MiB", "a configuration"));
    }
    let bytes = std::fs::read(path).at(path, "read")?;
    if path.extension().is_some_and(|ending| ending == "yaml") {
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().filter(|line| !line.starts_with([' ', '#', '-']));
        let pairs = lines.filter_map(|line| line.split_once(':'));
        let pairs = pairs.map(|(key, value)| {
            let value = value.split(" #").next().unwrap_or("").trim().trim_matches(['"', '\'']);
            (key.trim().to_owned(), Value::String(value.to_owned()))
        });
        return Ok(Value::Object(pairs.collect::<Map<_, _>>()));
    }
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Error::file(path, "content", error, "JSON"))?;
    if value.is_object() {
        return Ok(value);
    }
    Err(Error::file(path, "content", "no object", "an object of settings"))
}
