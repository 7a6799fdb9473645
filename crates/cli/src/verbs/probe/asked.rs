//! What a network continues: a prompt as it stands, or a question in its chat template.

use nissl_core::Result;
use nissl_core::chat::{Message, Role};
use nissl_core::network::Tokenizer;
use nissl_networks::language::chat_tokens;

/// What the network is given.
#[derive(Clone, Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct Asked {
    /// The text that is continued
    #[arg(long, value_name = "TEXT", default_value = "I think that")]
    prompt: String,
    /// A question, put into the network's chat template in the place of a prompt
    #[arg(long, value_name = "TEXT")]
    chat: Option<String>,
}

impl Asked {
    /// The tokens that the network continues.
    ///
    /// # Errors
    /// A text that cannot be encoded, or a question to a network without a chat template.
    pub(crate) fn tokens(&self, tokenizer: &dyn Tokenizer) -> Result<Vec<u32>> {
        match &self.chat {
            Some(question) => {
                chat_tokens(tokenizer, &[Message::new(Role::User, question.as_str())])
            }
            None => Ok(tokenizer.encode(&self.prompt)?.iter().map(|span| span.id).collect()),
        }
    }
}
