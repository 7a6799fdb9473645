//! Whom `--chat-model` names.

use nissl_core::Result;
use nissl_core::chat::{Chat, Question};
use nissl_judge::{ChatSettings, Client, Reach, Spent};
use nissl_networks::language::{Language, LocalChat};

use crate::Context;

/// The language model of the settings, ready to be asked: a server, or a network in a folder.
pub(crate) fn client(settings: &ChatSettings, context: &Context<'_>) -> Result<Client> {
    settings.validate()?;
    if let Some(folder) = settings.local_folder()
        && !settings.chat_replay
    {
        let network = super::record::open(&folder.display().to_string(), context.global)?;
        LocalChat::new(&network)?;
        return Client::new(Local { network, id: settings.model()?.to_owned() }, settings);
    }
    let reach = if context.global.offline { Reach::Offline } else { Reach::Network };
    Client::connect(settings, reach, context.progress)
}

/// A network of this machine that answers.
struct Local {
    network: Language,
    id: String,
}

impl Chat for Local {
    fn id(&self) -> &str {
        &self.id
    }

    fn ask(&self, question: &Question) -> Result<String> {
        LocalChat::new(&self.network)?.ask(question)
    }
}

/// What was spent, in words.
pub(crate) fn told(spent: Spent) -> String {
    let about = if spent.told { "" } else { "about " };
    format!(
        "{} answers, {about}{} + {} tokens",
        spent.questions, spent.question_tokens, spent.answer_tokens
    )
}
