//! Text to tokens and back, through the tokenizer that came with a checkpoint.

use std::path::{Path, PathBuf};

use nissl_core::chat::Message;
use nissl_core::error::IoContext;
use nissl_core::network::{TokenSpan, Tokenizer};
use nissl_core::{Error, Result};
use tokenizers::DecoderWrapper;

use super::chat_template::ChatTemplate;
use super::config::end_tokens;

/// A `tokenizer.json`.
#[derive(Clone)]
pub struct TextTokenizer {
    inner: tokenizers::Tokenizer,
    path: PathBuf,
    json: Vec<u8>,
    end: Option<u32>,
    /// The checkpoint it came with.
    folder: Option<PathBuf>,
}

impl TextTokenizer {
    /// Reads `tokenizer.json` of `folder`; `end` is the token that ends a text.
    ///
    /// # Errors
    /// An absent or unreadable file.
    pub fn read(folder: &Path, end: Option<u32>) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let bytes = std::fs::read(&path).at(&path, "open")?;
        let folder = Some(folder.to_owned());
        Ok(Self { folder, ..Self::parse(path, bytes, end)? })
    }

    /// Reads the bytes of a `tokenizer.json` that `path` stands for.
    ///
    /// # Errors
    /// What is no tokenizer.
    pub fn parse(path: impl Into<PathBuf>, json: Vec<u8>, end: Option<u32>) -> Result<Self> {
        let path = path.into();
        let mut inner = tokenizers::Tokenizer::from_bytes(&json)
            .map_err(|error| Error::file(&path, "content", error, "a tokenizer in JSON"))?;
        // A checkpoint's own limits would cut texts without a word.
        inner.with_truncation(None).map_err(|error| {
            Error::file(&path, "truncation", error, "one that can be switched off")
        })?;
        inner.with_padding(None);
        Ok(Self { inner, path, json, end, folder: None })
    }

    /// The same tokenizer with `word` as the token that ends a text, where the vocabulary has it.
    #[must_use]
    pub fn ending_with(mut self, word: &str) -> Self {
        self.end = self.id(word).or(self.end);
        self
    }

    /// The file as it was read.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The chat template that came with the checkpoint; `None` when it had none.
    ///
    /// # Errors
    /// Files beside the tokenizer that cannot be read.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        self.folder.as_deref().map_or(Ok(None), ChatTemplate::read)
    }

    /// The token of a word or piece of a word.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }
}

impl std::fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextTokenizer").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Tokenizer for TextTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<TokenSpan>> {
        let encoding = self
            .inner
            .encode(text, true)
            .map_err(|error| Error::file(&self.path, "text", error, "a text it can encode"))?;
        let spans = encoding.get_ids().iter().zip(encoding.get_offsets());
        Ok(spans.map(|(&id, &(start, end))| TokenSpan { id, start, end }).collect())
    }

    fn decode(&self, tokens: &[u32]) -> Result<String> {
        if let Some(unknown) = tokens.iter().find(|&&id| self.inner.id_to_token(id).is_none()) {
            return Err(Error::setting(
                "token",
                unknown,
                format!("a token of {}", self.path.display()),
            ));
        }
        self.inner
            .decode(tokens, false)
            .map_err(|error| Error::file(&self.path, "tokens", error, "tokens it can decode"))
    }

    fn token(&self, id: u32) -> Option<String> {
        let raw = self.inner.id_to_token(id)?;
        if matches!(self.inner.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) {
            return self.inner.decode(&[id], false).ok().or(Some(raw));
        }
        // Sentence pieces mark a leading space with this character.
        Some(raw.replace('▁', " "))
    }

    fn size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    fn end(&self) -> Option<u32> {
        self.end
    }
    fn chat_prompt(&self, messages: &[Message]) -> Result<String> {
        let Some(template) = self.chat_template()? else {
            let path = self.folder.as_ref().unwrap_or(&self.path);
            return Err(Error::file(path, "chat_template", "absent", "a chat template").with_help(
                "give the prompt as plain text: this network was not made to converse",
            ));
        };
        let text = template.render(messages)?;
        // Encoding adds the first token by itself; twice would be unlike the training.
        let begin = template.begin_token().filter(|begin| {
            let first = self.encode("").ok().and_then(|spans| spans.first().map(|span| span.id));
            first.is_some() && self.id(begin) == first
        });
        Ok(begin.and_then(|begin| text.strip_prefix(begin)).map(str::to_owned).unwrap_or(text))
    }

    fn answer_ends(&self) -> Vec<u32> {
        let mut ends: Vec<u32> = self.end.into_iter().collect();
        if let Some(folder) = &self.folder {
            ends.extend(end_tokens(folder));
            let template = self.chat_template().ok().flatten();
            ends.extend(template.and_then(|template| self.id(template.end_token()?)));
        }
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}
