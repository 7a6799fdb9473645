//! `Chat`: whatever answers messages with text, be it a server, a local network or a script.

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Says how to answer.
    System,
    /// Asks.
    User,
    /// Answers.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// A conversation that waits for its next answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// What was said so far.
    pub messages: Vec<Message>,
    /// Divides the logits of the answer; 0 takes the most likely token.
    pub temperature: f32,
    /// Tokens of the answer at most.
    pub tokens: usize,
    /// Seed of the draw, for those that take one.
    pub seed: u64,
}

impl Question {
    /// A question at temperature 0 with at most 512 tokens of answer.
    pub fn new(system: impl Into<String>, user: impl Into<String>) -> Self {
        let messages = vec![Message::new(Role::System, system), Message::new(Role::User, user)];
        Self { messages, temperature: 0.0, tokens: 512, seed: 0 }
    }
}

/// Answers messages with text.
pub trait Chat: Send + Sync {
    /// The model's name, as provenance keeps it.
    fn id(&self) -> &str;

    /// The answer to a question.
    ///
    /// # Errors
    /// When no answer is to be had; a missing answer is never made up.
    fn ask(&self, question: &Question) -> Result<String>;
}
