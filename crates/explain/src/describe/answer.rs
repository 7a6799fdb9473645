//! What an answer to "what links these?" says.

use nissl_judge::answers::{after_tag, without_thoughts};

use super::NO_LINK;
use super::prompts::TAG;

/// An answer, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// What links them.
    Link(String),
    /// Nothing links them: [`NO_LINK`].
    NoLink,
    /// No answer that can be read.
    Nothing,
}

impl Said {
    pub(super) fn of(answer: &str) -> Self {
        let Some(said) = after_tag(answer, TAG) else { return Self::Nothing };
        let no_link = |text: &str| {
            text.trim_matches(|c: char| !c.is_alphanumeric()).eq_ignore_ascii_case(NO_LINK)
        };
        if no_link(&said) || no_link(without_thoughts(answer)) {
            return Self::NoLink;
        }
        Self::Link(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_descriptions_or_none() {
        let link = |text: &str| Said::Link(text.to_owned());
        assert_eq!(Said::of("Days appear.\nLink: days of the week"), link("days of the week"));
        assert_eq!(Said::of("days"), link("days"));
        for text in ["TRASH", "Link: TRASH", "Link: trash.", "<think>hm</think>\nLink: **TRASH**"] {
            assert_eq!(Said::of(text), Said::NoLink, "{text}");
        }
        assert_eq!(Said::of("Link: trash cans"), link("trash cans"));
        assert_eq!(Said::of(" \n"), Said::Nothing);
        assert_eq!(Said::of("Link:"), Said::Nothing);
    }
}
