//! Who says whether a steered text shows its concept and reads well: a rule, or a language model.
//!
//! By rule: 0, 1, 2 for no, one, several hits of a predicate on the text's tokens, and fluency
//! `2 · clamp₀₁(1 − (nll − nll_base) / 3)` under the unsteered network (nll in nats a token).
//! By a language model: two questions a text at temperature 0, each answered by 0, 1 or 2.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, concept steering.
//! Differs: an answer that is none of the three numbers is missing and counted, never 0.

use nissl_core::Result;
use nissl_core::chat::{Chat, Question};
use nissl_core::network::Tokenizer;
use rayon::prelude::*;

/// A text that a network wrote, with what a judge may want to know.
#[derive(Clone, Copy, Debug)]
pub struct WrittenText<'a> {
    /// The tokens it continues.
    pub prompt: &'a [u32],
    /// Its own tokens.
    pub tokens: &'a [u32],
    /// Its loss under the unsteered network, in nats a token; NaN without tokens.
    pub loss: f64,
    /// The mean loss of unsteered texts, in nats a token.
    pub plain_loss: f64,
}

/// A judgement, 0 to 2 each; `None` where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judgement {
    /// How clearly the text shows the concept.
    pub concept: Option<f64>,
    /// How well it reads.
    pub fluency: Option<f64>,
}

impl Judgement {
    /// The harmonic mean of both, 0 when either is; `None` when either is missing.
    pub fn score(&self) -> Option<f64> {
        let (concept, fluency) = (self.concept?, self.fluency?);
        Some(harmonic_mean(concept, fluency))
    }
}

fn harmonic_mean(a: f64, b: f64) -> f64 {
    if a > 0.0 && b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

/// Says whether texts show a concept and read well.
pub trait Judge {
    /// Its name, as results keep it.
    fn id(&self) -> String;

    /// A judgement for each text.
    ///
    /// # Errors
    /// When the judge cannot be asked; an answer that cannot be read is a missing judgement.
    fn judge(&self, texts: &[WrittenText<'_>]) -> Result<Vec<Judgement>>;
}

/// Judges by rule, without a language model.
#[derive(Clone, Copy)]
pub struct RuleJudge<'a> {
    /// How often the concept stands in a text, given its tokens.
    pub hits: &'a dyn Fn(&[u32]) -> usize,
}

/// Loss above the unsteered one at which a text is no longer fluent, in nats a token.
const FLUENCY_SPAN: f64 = 3.0;

impl Judge for RuleJudge<'_> {
    fn id(&self) -> String {
        "by rule".to_owned()
    }

    fn judge(&self, texts: &[WrittenText<'_>]) -> Result<Vec<Judgement>> {
        let one = |text: &WrittenText<'_>| {
            // A text without tokens has no loss and is not fluent.
            let loss = (text.loss - text.plain_loss) / FLUENCY_SPAN;
            let fluency = 2.0 * (1.0 - loss).clamp(0.0, 1.0);
            Judgement {
                concept: Some((self.hits)(text.tokens).min(2) as f64),
                fluency: Some(if fluency.is_nan() { 0.0 } else { fluency }),
            }
        };
        Ok(texts.iter().map(one).collect())
    }
}

/// Judges by asking a language model.
#[derive(Clone, Copy)]
pub struct ChatJudge<'a> {
    /// Who is asked.
    pub chat: &'a dyn Chat,
    /// Turns tokens into the text that is shown.
    pub tokenizer: &'a dyn Tokenizer,
    /// The concept, in words.
    pub concept: &'a str,
}

/// Tokens of an answer at most: a number, and room for a model that says more.
const ANSWER: usize = 64;

const CONCEPT: &str = "You grade short texts that a small language model wrote. You look only at \
    whether the text is about a given concept, not at its style or its grammar. Your whole answer is \
    one digit: 0 when the concept is absent, 1 when it is hinted at or stands in one place only, 2 \
    when it is plainly there.";

const FLUENCY: &str = "You grade short texts that a small language model wrote. You look only at how \
    they read, not at what they are about. They were cut off after a fixed length, which does not \
    matter. Your whole answer is one digit: 0 for text that cannot be followed or repeats itself, 1 \
    for text with clear mistakes that can still be followed, 2 for text that reads naturally.";

impl ChatJudge<'_> {
    fn ask(&self, system: &str, user: String) -> Result<Option<f64>> {
        let mut question = Question::new(system, user);
        question.tokens = ANSWER;
        Ok(grade(&self.chat.ask(&question)?).map(f64::from))
    }
}

impl Judge for ChatJudge<'_> {
    fn id(&self) -> String {
        self.chat.id().to_owned()
    }

    fn judge(&self, texts: &[WrittenText<'_>]) -> Result<Vec<Judgement>> {
        let one = |text: &WrittenText<'_>| -> Result<Judgement> {
            let written = self.tokenizer.decode(text.tokens)?;
            let concept = format!("Concept: {}\n\nText:\n{written}\n\nYour digit:", self.concept);
            let begun = self.tokenizer.decode(text.prompt)?;
            let fluency = format!("Text:\n{} {}\n\nYour digit:", begun.trim_end(), written.trim());
            Ok(Judgement {
                concept: self.ask(CONCEPT, concept)?,
                fluency: self.ask(FLUENCY, fluency)?,
            })
        };
        texts.par_iter().map(one).collect()
    }
}

/// The grade that an answer gives: the one number in it, when that is 0, 1 or 2.
///
/// An answer with two different numbers, a fraction, a sign, or none of the three says nothing.
fn grade(answer: &str) -> Option<u8> {
    let mut found = None;
    let bytes = answer.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let begin = at;
        while at < bytes.len() && bytes[at].is_ascii_digit() {
            at += 1;
        }
        let signed = begin > 0 && bytes[begin - 1] == b'-';
        let number: u32 = answer[begin..at].parse().ok()?;
        if signed || number > 2 || found.is_some_and(|before| before != number) {
            return None;
        }
        found = Some(number);
    }
    found.map(|number| number as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_grade_is_read() {
        for (answer, expected) in [
            ("2", Some(2)),
            (" 1.\n", Some(1)),
            ("**0**", Some(0)),
            ("Grade: 2", Some(2)),
            ("2 (the text says it twice, so 2)", Some(2)),
            ("", None),
            ("two", None),
            ("1.5", None),
            ("1 or 2", None),
            ("3", None),
            ("-1", None),
            ("20", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(grade(answer), expected, "{answer:?}");
        }
    }

    #[test]
    fn a_score_needs_both_grades_and_is_their_harmonic_mean() {
        let score = |concept, fluency| Judgement { concept, fluency }.score();
        assert_eq!(score(Some(1.0), None), None);
        assert_eq!(score(None, Some(0.0)), None, "missing is not 0");
        assert_eq!(score(Some(0.0), Some(2.0)), Some(0.0));
        assert!((score(Some(1.0), Some(2.0)).expect("both") - 4.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_rule_counts_hits_and_forgives_a_little_loss() {
        let hits = |tokens: &[u32]| tokens.iter().filter(|&&token| token == 1).count();
        let judge = RuleJudge { hits: &hits };
        let written = |tokens, loss| WrittenText { prompt: &[0], tokens, loss, plain_loss: 2.0 };
        let texts = [
            written(&[1, 1, 1], 1.0),
            written(&[1], 3.5),
            written(&[0], 0.5),
            written(&[], f64::NAN),
        ];
        let found = judge.judge(&texts).expect("a rule");
        let expected = [(2.0, 2.0), (1.0, 1.0), (0.0, 2.0), (0.0, 0.0)];
        for (found, (concept, fluency)) in found.iter().zip(expected) {
            assert_eq!((found.concept, found.fluency), (Some(concept), Some(fluency)));
        }
    }
}
