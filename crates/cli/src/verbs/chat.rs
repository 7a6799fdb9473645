//! Whom `--chat-model` names.

use nissl_core::{Error, Result};
use nissl_judge::{ChatSettings, Client, Reach, Spent};

use crate::Context;

/// The language model of the settings, ready to be asked.
pub(crate) fn client(settings: &ChatSettings, context: &Context<'_>) -> Result<Client> {
    settings.validate()?;
    if settings.local_folder().is_some() && !settings.chat_replay {
        return Err(Error::setting(
            "chat-model",
            settings.model()?,
            "the name of a model at --chat-url",
        ));
    }
    let reach = if context.global.offline { Reach::Offline } else { Reach::Network };
    Client::connect(settings, reach, context.progress)
}

/// What was spent, in words.
pub(crate) fn told(spent: Spent) -> String {
    let about = if spent.told { "" } else { "about " };
    format!(
        "{} answers, {about}{} + {} tokens",
        spent.questions, spent.question_tokens, spent.answer_tokens
    )
}
