//! Where a network comes from: a local folder or file, or the hub through its usual cache.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use nissl_core::{Error, Result};
use serde_json::Value;

/// A folder or file, or a repository of the hub: `folder`, `owner/name`, `hub:owner/name@revision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder with `config.json` and weights, or a file of weights.
    Folder(PathBuf),
    /// A repository of the hub.
    Hub {
        /// `owner/name`, or `name` for the oldest.
        name: String,
        /// A branch, tag or commit.
        revision: String,
    },
}

/// Whether the hub may be asked over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hub {
    /// What is not in the cache is downloaded.
    Online,
    /// Only the cache is read.
    Offline,
}

impl Hub {
    /// Offline where the environment variable `HF_HUB_OFFLINE` says so.
    pub fn from_environment() -> Self {
        let set = std::env::var("HF_HUB_OFFLINE").unwrap_or_default().to_lowercase();
        if ["1", "true", "yes", "on"].contains(&set.as_str()) {
            Self::Offline
        } else {
            Self::Online
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(id) = text.strip_prefix("hub:") {
            let (name, revision) = id.split_once('@').unwrap_or((id, "main"));
            return if is_repository(name) && is_revision(revision) {
                Ok(Self::Hub { name: name.to_owned(), revision: revision.to_owned() })
            } else {
                Err(Error::setting(
                    "model",
                    format!("`{text}`"),
                    "hub:owner/name or hub:owner/name@revision",
                ))
            };
        }
        let path = PathBuf::from(text);
        // What exists is meant as a folder; what cannot be a path of this machine may be an id.
        if !path.exists()
            && let (name, revision) = text.split_once('@').unwrap_or((text, "main"))
            && name.contains('/')
            && !text.starts_with(['.', '/', '~'])
            && is_repository(name)
            && is_revision(revision)
        {
            return Ok(Self::Hub { name: name.to_owned(), revision: revision.to_owned() });
        }
        if text.is_empty() {
            return Err(Error::setting("model", "empty", "a folder or hub:owner/name"));
        }
        Ok(Self::Folder(path))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Hub { name, revision } if revision == "main" => write!(f, "hub:{name}"),
            Self::Hub { name, revision } => write!(f, "hub:{name}@{revision}"),
        }
    }
}

impl Source {
    /// The local folder with the network, downloaded where need be.
    ///
    /// # Errors
    /// What the hub does not have, or cannot be reached, or is not in the cache while offline.
    pub fn folder(&self, hub: Hub) -> Result<PathBuf> {
        match self {
            Self::Folder(path) => Ok(path.clone()),
            Self::Hub { name, revision } => {
                let cache = cache();
                let repo = Repo::with_revision(name.clone(), RepoType::Model, revision.clone());
                match hub {
                    Hub::Offline => self.cached(&cache.repo(repo), &cache),
                    Hub::Online => {
                        let api = builder(cache)
                            .build()
                            .map_err(|error| self.failed("config.json", &error))?;
                        self.download(&api.repo(repo))
                    }
                }
            }
        }
    }

    fn cached(&self, repo: &CacheRepo, cache: &Cache) -> Result<PathBuf> {
        let config = repo.get("config.json");
        config.as_deref().and_then(|path| path.parent()).map(PathBuf::from).ok_or_else(|| {
            Error::Remote {
                what: self.to_string(),
                found: format!("not in the cache {}, and offline", cache.path().display()),
                help: Some(
                    "run once without --offline and HF_HUB_OFFLINE, or give a folder".to_owned(),
                ),
            }
        })
    }

    fn download(&self, repo: &ApiRepo) -> Result<PathBuf> {
        let get = |file: &str| repo.get(file).map_err(|error| self.failed(file, &error));
        let config = get("config.json")?;
        self.download_weights(repo)?;
        // Only some have a tokenizer in one file.
        if let Err(error) = repo.get("tokenizer.json") {
            tracing::info!("{self} has no tokenizer.json: {error}");
        }
        // What conversations need, where the network was made for them.
        for file in ["tokenizer_config.json", "chat_template.jinja", "generation_config.json"] {
            if let Err(error) = repo.get(file) {
                tracing::debug!("{self} has no {file}: {error}");
            }
        }
        Ok(config.parent().map(PathBuf::from).unwrap_or_default())
    }

    /// Only a repository in shards has an index, and only old ones have no safetensors.
    fn download_weights(&self, repo: &ApiRepo) -> Result<()> {
        let mut first = None;
        for single in ["model.safetensors", "pytorch_model.bin"] {
            if let Ok(index) = repo.get(&format!("{single}.index.json")) {
                for file in shards(&index) {
                    repo.get(&file).map_err(|error| self.failed(&file, &error))?;
                }
                return Ok(());
            }
            match repo.get(single) {
                Ok(_) => return Ok(()),
                Err(error) => first = first.or_else(|| Some(self.failed(single, &error))),
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn failed(&self, file: &str, error: &ApiError) -> Error {
        Error::Remote {
            what: format!("{self}: {file}"),
            found: error.to_string(),
            help: Some(
                "check the name and the connection; private networks need a token (`hf auth login`)"
                    .to_owned(),
            ),
        }
    }
}

/// The files that an index names.
fn shards(index: &std::path::Path) -> Vec<String> {
    let value: Option<Value> =
        std::fs::read(index).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let map = value.as_ref().and_then(|value| value.get("weight_map")).and_then(Value::as_object);
    let mut files: Vec<String> = map
        .into_iter()
        .flat_map(|map| map.values())
        .filter_map(|file| file.as_str().map(str::to_owned))
        .collect();
    files.sort();
    files.dedup();
    files
}

fn cache() -> Cache {
    for variable in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
        if let Some(path) = std::env::var_os(variable) {
            return Cache::new(path.into());
        }
    }
    Cache::from_env()
}

fn builder(cache: Cache) -> ApiBuilder {
    let mut builder = ApiBuilder::from_cache(cache).with_progress(false).with_retries(3);
    if let Ok(endpoint) = std::env::var("HF_ENDPOINT") {
        builder = builder.with_endpoint(endpoint);
    }
    if let Ok(token) = std::env::var("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    builder
}

fn is_repository(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let parts: Vec<&str> = name.split('/').collect();
    parts.len() <= 2 && parts.into_iter().all(part)
}

fn is_revision(revision: &str) -> bool {
    !revision.is_empty()
        && !revision.contains("..")
        && revision.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        text.parse().expect("a source")
    }

    #[test]
    fn folders_and_ids_are_told_apart() {
        let hub = |name: &str, revision: &str| Source::Hub {
            name: name.to_owned(),
            revision: revision.to_owned(),
        };
        assert_eq!(source("hub:gpt2"), hub("gpt2", "main"));
        assert_eq!(source("hub:owner/name@v1.0"), hub("owner/name", "v1.0"));
        assert_eq!(source("owner/name"), hub("owner/name", "main"));
        assert_eq!(source("./owner/name"), Source::Folder("./owner/name".into()));
        assert_eq!(source("src/language"), Source::Folder("src/language".into()));
        assert_eq!(source("a/b/c"), Source::Folder("a/b/c".into()));
        assert_eq!(source("hub:owner/name@v1").to_string(), "hub:owner/name@v1");
        for wrong in ["hub:", "hub:a/b/c", "hub:../x", "hub:a/b@../x", ""] {
            assert!(wrong.parse::<Source>().is_err(), "{wrong}");
        }
    }
}
