//! Texts that a network reads, from files or a world.

use std::path::PathBuf;

use nissl_core::network::LanguageNetwork;
use nissl_core::store::Provenance;
use nissl_core::{Error, Result};
use nissl_record::text::DocumentStream;
use nissl_record::{Documents, documents};

/// Where texts come from.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Texts {
    /// Texts the network reads: .txt, .json, .jsonl, .csv, .parquet; several may follow
    #[arg(long, value_name = "FILE", num_args = 1..)]
    text: Vec<PathBuf>,
    /// A folder that `nissl world language` wrote, in place of texts
    #[arg(long, value_name = "FOLDER", conflicts_with = "text")]
    world: Option<PathBuf>,
    /// The field of .json, .jsonl, .csv and .parquet that holds the text, or else `prompt`
    #[arg(long, default_value = "text", value_name = "NAME")]
    column: String,
    /// Where plain text is cut into documents
    #[arg(long, value_enum, default_value_t = Documents::Paragraph, value_name = "WHERE")]
    documents: Documents,
}

impl Texts {
    /// Whether the user named any.
    pub(crate) fn are_given(&self) -> bool {
        self.world.is_some() || !self.text.is_empty()
    }

    /// The documents, from the start.
    ///
    /// # Errors
    /// No text was named, or one that is not there.
    pub(crate) fn stream(&self) -> Result<DocumentStream> {
        if !self.are_given() {
            return Err(Error::setting("text", "absent", "--text FILE or --world FOLDER"));
        }
        match &self.world {
            Some(world) => Ok(Box::new(nissl_record::world::stories(world)?)),
            None => documents(&self.text, &self.column, self.documents),
        }
    }

    /// `provenance` with these inputs.
    ///
    /// # Errors
    /// One that cannot be read.
    pub(crate) fn told(&self, mut provenance: Provenance) -> Result<Provenance> {
        for input in self.text.iter().chain(&self.world) {
            provenance = provenance.with_input(input)?;
        }
        Ok(provenance)
    }
}

/// Token sequences of `documents`, in windows of `context` tokens (0: as the network can, at most 128),
/// until `tokens` are read; windows of a single token predict nothing and are left out.
///
/// # Errors
/// A context beyond the network's, a text that cannot be read, or none of two tokens.
pub(crate) fn sequences(
    network: &dyn LanguageNetwork,
    documents: impl Iterator<Item = Result<nissl_record::Document>>,
    context: usize,
    tokens: usize,
) -> Result<Vec<Vec<u32>>> {
    let limit = network.context();
    if context > limit || context == 1 {
        let expected = format!("2 to {limit}, the context of {}", network.id());
        return Err(Error::setting("context", context, expected));
    }
    let context = if context == 0 { limit.min(WINDOW) } else { context };
    let tokenizer = network.tokenizer()?;
    let (mut sequences, mut read) = (Vec::new(), 0);
    'documents: for document in documents {
        let spans = tokenizer.encode(&document?.text)?;
        let ids: Vec<u32> = spans.iter().map(|span| span.id).collect();
        for window in ids.chunks(context).filter(|window| window.len() > 1) {
            if read >= tokens {
                break 'documents;
            }
            let window = &window[..window.len().min((tokens - read).max(2))];
            read += window.len();
            sequences.push(window.to_vec());
        }
    }
    if sequences.is_empty() {
        let expected = "a text of at least two tokens".to_owned();
        return Err(Error::Empty { what: "the text".to_owned(), expected });
    }
    Ok(sequences)
}

/// The widest window where none is asked for.
const WINDOW: usize = 128;
