//! Sentences for concept detection, written by a language model.
//!
//! For each description some sentences that show it and some that have nothing to do with it; each is
//! asked for alone, with all earlier ones of its kind before the model's eyes, so that it differs.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, concept detection; the words are our own.
//! Memory: all sentences.

use nissl_core::chat::Question;
use nissl_core::{Error, Progress, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

use crate::answers::without_thoughts;
use crate::client::Client;

/// Sentences that show a concept, and sentences that do not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentences {
    /// Those that show it.
    pub activating: Vec<String>,
    /// Those that have nothing to do with it.
    pub neutral: Vec<String>,
}

/// Hyperparameters of writing sentences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct WriteSentences {
    /// Sentences of either kind for each concept, 1 to 100
    #[arg(long, default_value_t = WriteSentences::default().each)]
    pub each: usize,
    /// Tokens of an answer at most, 16 or more
    #[arg(long, default_value_t = WriteSentences::default().sentence_tokens)]
    pub sentence_tokens: usize,
}

impl Default for WriteSentences {
    fn default() -> Self {
        Self { each: 5, sentence_tokens: 256 }
    }
}

impl WriteSentences {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        if !(1..=100).contains(&self.each) {
            return Err(Error::setting("each", self.each, "1 to 100"));
        }
        if self.sentence_tokens < 16 {
            return Err(Error::setting("sentence_tokens", self.sentence_tokens, "16 or more"));
        }
        Ok(())
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// One for each concept, in order.
    pub sentences: Vec<Sentences>,
    /// Answers that held no sentence, or one that was there before.
    pub missing: usize,
}

const ACTIVATING: &str = "You write test sentences for a detector of one concept. Write a single \
natural English sentence of 8 to 20 words in which the concept plainly occurs; if it is about certain \
words or forms, use one of them. Do not name or explain the concept itself. Answer with the sentence \
alone.";

const NEUTRAL: &str = "You write control sentences for a detector of one concept. Write a single \
natural English sentence of 8 to 20 words about everyday matters that has nothing to do with the \
concept and uses none of its words or forms. Answer with the sentence alone.";

/// The question for the next sentence of a kind, after the `earlier` ones.
fn question(system: &str, concept: &str, earlier: &[String], tokens: usize) -> Question {
    let mut user = format!("Concept: {concept}\n");
    if !earlier.is_empty() {
        user += "\nSentences so far:\n";
        for (number, sentence) in (1..).zip(earlier) {
            let _never_fails = writeln!(user, "{number}. {sentence}");
        }
        user += "\nThe next one must differ from all of these in subject, words and structure.\n";
    }
    Question { tokens, ..Question::new(system, user) }
}

/// The first questions of a run, for an estimate: each later one is longer by the earlier sentences.
pub fn first_questions(concepts: &[String], settings: &WriteSentences) -> Vec<Question> {
    let both = |concept: &String| {
        [ACTIVATING, NEUTRAL].map(|system| question(system, concept, &[], settings.sentence_tokens))
    };
    concepts.iter().flat_map(both).collect()
}

/// Writes sentences for every concept; a sentence that is missing is left out, and counted.
///
/// # Errors
/// A setting outside its range, or as [`Client::ask_all`].
pub fn write_sentences(
    client: &Client,
    concepts: &[String],
    settings: &WriteSentences,
    progress: &Progress,
) -> Result<Written> {
    settings.validate()?;
    let mut written = Written { sentences: vec![Sentences::default(); concepts.len()], missing: 0 };
    for _ in 0..settings.each {
        let mut questions = Vec::with_capacity(2 * concepts.len());
        for (concept, sentences) in concepts.iter().zip(&written.sentences) {
            let tokens = settings.sentence_tokens;
            questions.push(question(ACTIVATING, concept, &sentences.activating, tokens));
            questions.push(question(NEUTRAL, concept, &sentences.neutral, tokens));
        }
        // A question that got nothing would get nothing again; another seed may.
        for question in &mut questions {
            question.seed = written.missing as u64;
        }
        let answers = client.ask_all(&questions, progress)?;
        for (place, answer) in answers.iter().enumerate() {
            let of = &mut written.sentences[place / 2];
            let kind = if place % 2 == 0 { &mut of.activating } else { &mut of.neutral };
            match sentence(answer) {
                Some(new) if !kind.iter().any(|old| old.eq_ignore_ascii_case(&new)) => {
                    kind.push(new);
                }
                _ => written.missing += 1,
            }
        }
    }
    Ok(written)
}

/// The sentence in an answer, without quotes and numbers around it.
fn sentence(answer: &str) -> Option<String> {
    let line = without_thoughts(answer).lines().map(str::trim).find(|line| !line.is_empty())?;
    let numbered = line.split_once(". ").filter(|(number, _)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let line = numbered.map_or(line, |(_, rest)| rest);
    let line = line
        .trim_start_matches("- ")
        .trim_matches(|c: char| c.is_whitespace() || ['"', '“', '”', '*', '`'].contains(&c));
    line.contains(char::is_alphanumeric).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChatSettings, Scripted};

    fn concepts() -> Vec<String> {
        vec!["days of the week".to_owned(), "cats".to_owned()]
    }

    #[test]
    fn each_sentence_is_asked_to_differ_from_the_earlier_ones_of_its_kind() {
        // Answers with the number of earlier sentences that it was shown.
        let script = Scripted::function("m", |question| {
            let (system, user) = (&question.messages[0].content, &question.messages[1].content);
            let earlier = user.lines().filter(|line| line.contains("kind")).count();
            let kind = if system.contains("control") { "kind n" } else { "kind a" };
            assert!(user.lines().filter(|line| line.contains("kind")).all(|l| l.contains(kind)));
            assert_eq!(user.contains("must differ"), earlier > 0);
            let concept = user.lines().next()?.strip_prefix("Concept: ")?;
            Some(format!("{}. \"{kind} {earlier} of {concept}.\"", earlier + 1))
        });
        let client = Client::new(script, &ChatSettings::default()).expect("a client");
        let settings = WriteSentences { each: 3, ..WriteSentences::default() };
        let written =
            write_sentences(&client, &concepts(), &settings, &Progress::silent()).expect("writes");
        assert_eq!(written.missing, 0);
        let expected = |kind: &str| (0..3).map(|n| format!("kind {kind} {n} of cats.")).collect();
        let cats = Sentences { activating: expected("a"), neutral: expected("n") };
        assert_eq!(written.sentences[1], cats);
        assert_eq!(client.spent().questions, 12);
    }

    #[test]
    fn repeated_and_empty_answers_are_missing() {
        let script = Scripted::function("m", |question| {
            let neutral = question.messages[0].content.contains("control");
            Some(if neutral { " \n".to_owned() } else { "The same again.".to_owned() })
        });
        let client = Client::new(script, &ChatSettings::default()).expect("a client");
        let settings = WriteSentences::default();
        let written = write_sentences(&client, &concepts()[..1], &settings, &Progress::silent());
        let written = written.expect("writes");
        assert_eq!((written.sentences[0].activating.len(), written.missing), (1, 9));
        assert!(written.sentences[0].neutral.is_empty());
    }

    #[test]
    fn what_stands_around_a_sentence_is_dropped() {
        for text in [
            "A b.",
            "1. A b.",
            "\"A b.\"",
            "**A b.**\nmore",
            "<think>x</think>\n\n“A b.”",
            "- A b.",
        ] {
            assert_eq!(sentence(text).as_deref(), Some("A b."), "{text}");
        }
        assert_eq!(sentence("3.5 km is far.").as_deref(), Some("3.5 km is far."));
        assert_eq!((sentence(""), sentence("\"\"")), (None, None));
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let few = WriteSentences { each: 0, ..WriteSentences::default() };
        assert!(few.validate().expect_err("is refused").to_string().contains("`each`"));
        let short = WriteSentences { sentence_tokens: 1, ..WriteSentences::default() };
        assert!(short.validate().is_err());
        assert_eq!(first_questions(&concepts(), &WriteSentences::default()).len(), 4);
    }
}
