//! `LocalChat`: a network on this machine answers messages through its chat template.

use nissl_core::chat::{Chat, Message, Question, Role};
use nissl_core::network::{LanguageNetwork, Sampling, Tokenizer};
use nissl_core::taps::{Edit, Taps};
use nissl_core::{Error, Result};

use super::generate::generate_until;

/// A network that answers messages, each answer drawn by the question's seed.
///
/// Where a template takes no system message, its text is put before the first user's.
pub struct LocalChat<'a> {
    network: &'a dyn LanguageNetwork,
    edits: Vec<Edit>,
}

impl<'a> LocalChat<'a> {
    /// Answers come from `network`.
    ///
    /// # Errors
    /// A network without a tokenizer, or a tokenizer without a chat template.
    pub fn new(network: &'a dyn LanguageNetwork) -> Result<Self> {
        network.tokenizer()?.chat_prompt(&[Message::new(Role::User, "Hello")])?;
        Ok(Self { network, edits: Vec::new() })
    }

    /// The same network with `edits` at work while it answers, such as a clamp or a steering.
    #[must_use]
    pub fn with_edits(self, edits: Vec<Edit>) -> Self {
        Self { edits, ..self }
    }
}

/// The tokens of a conversation, ready for the assistant's next answer.
///
/// Where the template takes no system message, its text is put before the first user's.
///
/// # Errors
/// A tokenizer without a chat template, or messages that the template refuses.
pub fn chat_tokens(tokenizer: &dyn Tokenizer, messages: &[Message]) -> Result<Vec<u32>> {
    let text = match (tokenizer.chat_prompt(messages), folded(messages)) {
        (Err(refused), Some(folded)) => {
            tracing::debug!("the template refuses a system message: {refused}");
            tokenizer.chat_prompt(&folded)?
        }
        (text, _) => text?,
    };
    Ok(tokenizer.encode(&text)?.iter().map(|span| span.id).collect())
}

/// The messages with the system's text before the first user's; `None` without one to fold.
fn folded(messages: &[Message]) -> Option<Vec<Message>> {
    let [first, second, rest @ ..] = messages else { return None };
    if (first.role, second.role) != (Role::System, Role::User) {
        return None;
    }
    let both = format!("{}\n\n{}", first.content, second.content);
    let mut messages = vec![Message::new(Role::User, both)];
    messages.extend_from_slice(rest);
    Some(messages)
}

impl Chat for LocalChat<'_> {
    fn id(&self) -> &str {
        self.network.id()
    }

    fn ask(&self, question: &Question) -> Result<String> {
        let tokenizer = self.network.tokenizer()?;
        let prompt = chat_tokens(tokenizer, &question.messages)?;
        let room = (self.network.context() + 1).saturating_sub(prompt.len());
        if room == 0 {
            return Err(Error::setting(
                "messages",
                format!("{} tokens", prompt.len()),
                format!("at most {}, the context of {}", self.network.context(), self.id()),
            ));
        }
        let sampling = Sampling {
            tokens: question.tokens.min(room),
            temperature: question.temperature,
            seed: question.seed,
            ..Sampling::default()
        };
        let ends = tokenizer.answer_ends();
        let mut taps = self.edits.iter().cloned().fold(Taps::none(), Taps::edit);
        let answer = generate_until(self.network, &prompt, &sampling, &ends, &mut taps)?;
        let mut tokens = answer.tokens;
        if tokens.last().is_some_and(|last| ends.contains(last)) {
            tokens.pop();
        }
        Ok(tokenizer.decode(&tokens)?.trim().to_owned())
    }
}
