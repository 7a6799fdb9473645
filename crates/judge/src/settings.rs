//! Whom to ask, and how.

use std::path::PathBuf;

use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which language model is asked, and within which bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct ChatSettings {
    /// Address of a server that speaks the OpenAI protocol, such as http://localhost:8080/v1
    #[arg(long, value_name = "URL", help_heading = "Language model")]
    pub chat_url: Option<String>,
    /// The model's name at that server; or local:FOLDER, a network on this machine
    #[arg(long, value_name = "NAME", help_heading = "Language model")]
    pub chat_model: Option<String>,
    /// The environment variable that holds the key; it is read, and never written or shown
    #[arg(long, value_name = "VARIABLE", default_value_t = ChatSettings::default().chat_key_env,
        help_heading = "Language model")]
    pub chat_key_env: String,
    /// Keep answers in this folder, and take from it what was asked before
    #[arg(long, value_name = "FOLDER", help_heading = "Language model")]
    pub chat_cache: Option<PathBuf>,
    /// Take answers from --chat-cache only, and ask nobody
    #[arg(long, help_heading = "Language model")]
    pub chat_replay: bool,
    /// Questions asked at the same time, 1 to 256
    #[arg(long, value_name = "QUESTIONS", default_value_t = ChatSettings::default().chat_at_once,
        help_heading = "Language model")]
    pub chat_at_once: usize,
    /// Stop before more tokens than this are asked and answered; 0 is no bound [default: 0]
    #[arg(
        long,
        value_name = "TOKENS",
        default_value_t = 0,
        hide_default_value = true,
        help_heading = "Language model"
    )]
    pub chat_budget_tokens: u64,
    /// Seconds to wait for one answer, above 0
    #[arg(long, value_name = "SECONDS", default_value_t = ChatSettings::default().chat_timeout_s,
        help_heading = "Language model")]
    pub chat_timeout_s: f64,
    /// Times a question is asked again when the server is busy or does not answer, at most 20
    #[arg(long, value_name = "TIMES", default_value_t = ChatSettings::default().chat_retries,
        help_heading = "Language model")]
    pub chat_retries: usize,
}

/// The variable that is read for a key unless the user names another; it may be absent.
pub(crate) const KEY_VARIABLE: &str = "NISSL_CHAT_KEY";
/// Questions asked at once at most.
const MOST_AT_ONCE: usize = 256;
/// Retries at most.
const MOST_RETRIES: usize = 20;
/// Seconds waited for an answer at most: a day.
const LONGEST_WAIT: f64 = 86_400.0;

impl Default for ChatSettings {
    fn default() -> Self {
        Self {
            chat_url: None,
            chat_model: None,
            chat_key_env: KEY_VARIABLE.to_owned(),
            chat_cache: None,
            chat_replay: false,
            chat_at_once: 4,
            chat_budget_tokens: 0,
            chat_timeout_s: 120.0,
            chat_retries: 5,
        }
    }
}

/// Whether other machines may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those that the user named.
    Network,
    /// None at all.
    Offline,
}

impl ChatSettings {
    /// # Errors
    /// A value outside its range, or parts that do not go together.
    pub fn validate(&self) -> Result<()> {
        if !(1..=MOST_AT_ONCE).contains(&self.chat_at_once) {
            let expected = format!("1 to {MOST_AT_ONCE}");
            return Err(Error::setting("chat-at-once", self.chat_at_once, expected));
        }
        if !(self.chat_timeout_s > 0.0 && self.chat_timeout_s <= LONGEST_WAIT) {
            let expected = format!("above 0 and at most {LONGEST_WAIT} seconds");
            return Err(Error::setting("chat-timeout-s", self.chat_timeout_s, expected));
        }
        if self.chat_retries > MOST_RETRIES {
            let expected = format!("at most {MOST_RETRIES}");
            return Err(Error::setting("chat-retries", self.chat_retries, expected));
        }
        if self.chat_url.is_some() && self.chat_model.is_none() {
            return Err(Error::setting(
                "chat-model",
                "absent",
                "the name of a model at --chat-url",
            ));
        }
        if self.chat_replay && self.chat_cache.is_none() {
            return Err(Error::setting(
                "chat-cache",
                "absent",
                "the folder that --chat-replay reads",
            ));
        }
        if self.local_folder().is_some() && self.chat_url.is_some() {
            return Err(Error::setting("chat-url", "given", "none beside a local: model"));
        }
        Ok(())
    }

    /// Whether a language model is to be asked at all.
    pub fn is_given(&self) -> bool {
        self.chat_model.is_some()
    }

    /// The folder of a model `local:FOLDER`.
    pub fn local_folder(&self) -> Option<PathBuf> {
        self.chat_model.as_deref()?.strip_prefix("local:").map(PathBuf::from)
    }

    /// The model's name.
    ///
    /// # Errors
    /// None was given.
    pub fn model(&self) -> Result<&str> {
        self.chat_model.as_deref().ok_or_else(|| {
            Error::setting("chat-model", "absent", "the name of a model, or local:FOLDER")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_named() {
        let model = || Some("m".to_owned());
        let base = ChatSettings { chat_model: model(), ..ChatSettings::default() };
        base.validate().expect("is fine");
        for (settings, field) in [
            (ChatSettings { chat_at_once: 0, ..base.clone() }, "chat-at-once"),
            (ChatSettings { chat_at_once: 257, ..base.clone() }, "chat-at-once"),
            (ChatSettings { chat_timeout_s: 0.0, ..base.clone() }, "chat-timeout-s"),
            (ChatSettings { chat_timeout_s: f64::NAN, ..base.clone() }, "chat-timeout-s"),
            (ChatSettings { chat_timeout_s: 1e300, ..base.clone() }, "chat-timeout-s"),
            (ChatSettings { chat_retries: 21, ..base.clone() }, "chat-retries"),
            (ChatSettings { chat_replay: true, ..base.clone() }, "chat-cache"),
            (ChatSettings { chat_model: None, chat_url: model(), ..base.clone() }, "chat-model"),
            (
                ChatSettings {
                    chat_model: Some("local:x".to_owned()),
                    chat_url: model(),
                    ..base.clone()
                },
                "chat-url",
            ),
        ] {
            let error = settings.validate().expect_err("is refused").to_string();
            assert!(error.contains(&format!("`{field}`")), "{field}: {error}");
        }
    }

    #[test]
    fn a_local_model_is_a_folder() {
        let settings =
            ChatSettings { chat_model: Some("local:a/b".to_owned()), ..ChatSettings::default() };
        assert_eq!(settings.local_folder(), Some(PathBuf::from("a/b")));
        assert!(ChatSettings::default().model().is_err());
    }
}
