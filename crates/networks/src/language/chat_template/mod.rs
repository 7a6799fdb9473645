//! Chat templates: a conversation as the text that a network was trained to answer.
//!
//! Checkpoints bring a Jinja template, in `chat_template.jinja`, in `chat_template.json`, or in
//! `tokenizer_config.json` as one text or as a list with names. It is a program of a stranger: it
//! sees the messages and the special tokens and nothing else, and its steps, its output and its time
//! are bounded.
//!
//! Left out: tools, documents and pictures; templates see that there are none.
//! Memory: at most 64 MiB by the engine's count while rendering.

mod render;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nissl_core::chat::Message;
use nissl_core::error::IoContext;
use nissl_core::{Error, Result};
use serde_json::{Map, Value};

/// No honest template is longer, in bytes.
const LONGEST: usize = 1 << 20;

/// The template of a checkpoint with its special tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatTemplate {
    path: PathBuf,
    source: String,
    /// `bos_token`, `eos_token` and the like, as texts.
    tokens: BTreeMap<String, String>,
}

impl ChatTemplate {
    /// Reads the template of the checkpoint in `folder`; `None` when it has none.
    ///
    /// # Errors
    /// Files that cannot be read, or several templates none of which is the default.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let config = folder.join("tokenizer_config.json");
        let beside = object(&config)?;
        let mut tokens = BTreeMap::new();
        for file in [&object(&folder.join("special_tokens_map.json"))?, &beside] {
            tokens.extend(file.iter().filter_map(|(name, value)| {
                let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
                name.ends_with("_token").then(|| (name.clone(), text.to_owned()))
            }));
        }
        let alone = folder.join("chat_template.jinja");
        if alone.exists() {
            let source = std::fs::read_to_string(&alone).at(&alone, "read")?;
            return Self::new(alone, source, tokens).map(Some);
        }
        let json = folder.join("chat_template.json");
        for (path, holder) in [(json.clone(), &object(&json)?), (config, &beside)] {
            match holder.get("chat_template") {
                None | Some(Value::Null) => {}
                Some(value) => {
                    let source = chosen(&path, value)?;
                    return Self::new(path, source, tokens).map(Some);
                }
            }
        }
        Ok(None)
    }

    /// The template `source`, which `path` stands for, with special tokens by their names
    /// (`bos_token`, `eos_token`).
    ///
    /// # Errors
    /// A template that is too long.
    pub fn new(
        path: impl Into<PathBuf>,
        source: impl Into<String>,
        tokens: BTreeMap<String, String>,
    ) -> Result<Self> {
        let (path, source) = (path.into(), source.into());
        if source.len() > LONGEST {
            let found = format!("{} bytes long", source.len());
            return Err(Error::file(path, "chat_template", found, format!("at most {LONGEST}")));
        }
        Ok(Self { path, source, tokens })
    }

    /// The special token that ends a text, as a text.
    pub fn end_token(&self) -> Option<&str> {
        self.tokens.get("eos_token").map(String::as_str)
    }

    /// The special token that begins a text, as a text.
    pub fn begin_token(&self) -> Option<&str> {
        self.tokens.get("bos_token").map(String::as_str)
    }

    /// The text of a conversation, ready for the assistant's next answer.
    ///
    /// Where a template asks for the date it gets today's.
    ///
    /// # Errors
    /// A template that is broken, refuses the messages, or does not end within its bounds.
    pub fn render(&self, messages: &[Message]) -> Result<String> {
        render::render(&self.source, &self.tokens, messages).map_err(|found| {
            let expected = "a template that takes this conversation";
            Error::file(&self.path, "chat_template", found, expected)
                .with_help("give the prompt as plain text, in the form the network was trained on")
        })
    }
}

/// The fields of a JSON file; none of a file that is not there.
fn object(path: &Path) -> Result<Map<String, Value>> {
    if !path.exists() {
        return Ok(Map::new());
    }
    let bytes = std::fs::read(path).at(path, "read")?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Error::file(path, "content", "no object", "a JSON object")),
        Err(error) => Err(Error::file(path, "content", error, "JSON")),
    }
}

/// The template of a text, or of a list of named ones the default.
fn chosen(path: &Path, value: &Value) -> Result<String> {
    let wrong = |found: String| {
        Error::file(path, "chat_template", found, "a text, or a list with one named `default`")
    };
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let Some(list) = value.as_array() else { return Err(wrong(value.to_string())) };
    let named: Vec<(&str, &str)> = list
        .iter()
        .filter_map(|one| Some((one.get("name")?.as_str()?, one.get("template")?.as_str()?)))
        .collect();
    let default = named.iter().find(|(name, _)| *name == "default");
    match (default, &named[..]) {
        (Some((_, template)), _) | (None, [(_, template)]) => Ok((*template).to_owned()),
        _ => {
            let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
            Err(wrong(format!("a list of {names:?}")))
        }
    }
}

#[cfg(test)]
mod tests;
