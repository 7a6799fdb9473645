//! Steered texts, judged: is the concept there, and is the text fluent?
//!
//! Two questions for each text, each answered by 0, 1 or 2; score = `2 c f / (c + f)`, 0 if either is.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, concept steering; the words are our own.

use nissl_core::chat::Question;
use nissl_core::{Progress, Result};

use crate::answers::whole_number;
use crate::client::Client;

/// Marks of one text; `None` where the judge gave none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextScore {
    /// How far the concept is there, 0 to 2.
    pub concept: Option<u32>,
    /// How fluent the text is, 0 to 2.
    pub fluency: Option<u32>,
}

impl TextScore {
    /// The harmonic mean, 0 to 2; `None` where a mark is missing.
    pub fn score(self) -> Option<f64> {
        let (concept, fluency) = (f64::from(self.concept?), f64::from(self.fluency?));
        let sum = concept + fluency;
        Some(if sum > 0.0 { 2.0 * concept * fluency / sum } else { 0.0 })
    }
}

/// Tokens of a mark at most; models that think aloud need them.
const TOKENS: usize = 256;

const CONCEPT: &str = "You judge whether a text is about a concept. Read the text as a whole, and \
mark how far the concept can be found in it: 0 if there is no trace of it, 1 if it is touched in \
passing or only loosely related words occur, 2 if it is plainly there. Do not mark style or \
grammar. Answer with the digit alone.";

const FLUENCY: &str = "You judge whether a text is well-formed English, as a person might have \
written it. It was cut off after a fixed number of words, so an unfinished end is no fault; and do \
not mark what it is about. 0 means broken (loops, word salad, stray signs), 1 means readable with \
clear faults, 2 means fluent. Answer with the digit alone.";

/// The two questions about a text: for its concept, and for its fluency.
pub fn questions(concept: &str, text: &str) -> [Question; 2] {
    let ask =
        |system: &str, user: String| Question { tokens: TOKENS, ..Question::new(system, user) };
    [
        ask(
            CONCEPT,
            format!("Concept: {concept}\n\nText:\n\"\"\"\n{text}\n\"\"\"\n\nMark (0, 1 or 2):"),
        ),
        ask(FLUENCY, format!("Text:\n\"\"\"\n{text}\n\"\"\"\n\nMark (0, 1 or 2):")),
    ]
}

/// The marks of `(concept, text)` pairs, in their order.
///
/// # Errors
/// As [`Client::ask_all`]. An answer that is no mark is no error, but missing.
pub fn judge(
    client: &Client,
    texts: &[(&str, &str)],
    progress: &Progress,
) -> Result<Vec<TextScore>> {
    let all: Vec<Question> =
        texts.iter().flat_map(|(concept, text)| questions(concept, text)).collect();
    let answers = client.ask_all(&all, progress)?;
    let mark = |answer: &String| whole_number(answer, 0..=2);
    let scores = answers.chunks_exact(2);
    Ok(scores.map(|two| TextScore { concept: mark(&two[0]), fluency: mark(&two[1]) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChatSettings, Scripted};

    #[test]
    fn the_score_is_the_harmonic_mean_and_missing_is_missing() {
        let score = |concept, fluency| TextScore { concept, fluency }.score();
        assert_eq!(score(Some(2), Some(2)), Some(2.0));
        assert_eq!(score(Some(1), Some(2)), Some(4.0 / 3.0));
        assert_eq!((score(Some(0), Some(2)), score(Some(0), Some(0))), (Some(0.0), Some(0.0)));
        assert_eq!((score(None, Some(2)), score(Some(1), None)), (None, None));
    }

    #[test]
    fn each_text_is_judged_twice_and_only_for_what_was_asked() {
        let judge_ = Scripted::function("judge", |question| {
            let (system, user) = (&question.messages[0].content, &question.messages[1].content);
            assert!(question.temperature == 0.0);
            Some(if system.contains("concept") {
                u32::from(user.contains("Concept: cats") && user.contains("a cat")).to_string()
            } else {
                assert!(!user.contains("cats"), "fluency must not know the concept");
                if user.contains("broken") { "none".to_owned() } else { "Mark: 2".to_owned() }
            })
        });
        let client = Client::new(judge_, &ChatSettings::default()).expect("a client");
        let texts = [("cats", "see a cat"), ("dogs", "see a cat"), ("cats", "broken")];
        let scores = judge(&client, &texts, &Progress::silent()).expect("marks");
        let expected = [(Some(1), Some(2)), (Some(0), Some(2)), (Some(0), None)];
        let expected = expected.map(|(concept, fluency)| TextScore { concept, fluency });
        assert_eq!(scores, expected);
    }
}
