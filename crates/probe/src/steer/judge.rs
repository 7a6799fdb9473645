//! Who says whether a steered text shows its concept and reads well: a rule, or a language model.
//!
//! By rule: 0, 1, 2 for no, one, several hits of a predicate on the text's tokens, and fluency
//! `2 · clamp₀₁(1 − (nll − nll_base) / 3)` under the unsteered network (nll in nats a token).
//! By a language model: two questions a text at temperature 0, each answered by 0, 1 or 2.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, concept steering.
//! Differs: an answer that is none of the three numbers is missing and counted, never 0.

use nissl_core::chat::{Chat, Question};
use nissl_core::network::Tokenizer;
use nissl_core::{Progress, Result};
use nissl_judge::Client;
use nissl_judge::answers::whole_number;

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
    pub client: &'a Client,
    /// Turns tokens into the text that is shown: the prompt with what was written.
    pub tokenizer: &'a dyn Tokenizer,
    /// The concept, in words.
    pub concept: &'a str,
    /// Told of each answer, and able to stop the asking.
    pub progress: &'a Progress,
}

/// Tokens of an answer at most: a digit, and room for a model that thinks aloud.
const ANSWER: usize = 256;

const CONCEPT: &str = "You grade short texts that a small language model wrote. You look only at \
    whether the text is about a given concept, not at its style or its grammar. Your whole answer is \
    one digit: 0 when the concept is absent, 1 when it is hinted at or stands in one place only, 2 \
    when it is plainly there.";

const FLUENCY: &str = "You grade short texts that a small language model wrote. You look only at how \
    they read, not at what they are about. They were cut off after a fixed length, which does not \
    matter. Your whole answer is one digit: 0 for text that cannot be followed or repeats itself, 1 \
    for text with clear mistakes that can still be followed, 2 for text that reads naturally.";

impl Judge for ChatJudge<'_> {
    fn id(&self) -> String {
        self.client.id().to_owned()
    }

    fn judge(&self, texts: &[WrittenText<'_>]) -> Result<Vec<Judgement>> {
        let ask = |system: &str, user| Question { tokens: ANSWER, ..Question::new(system, user) };
        let mut questions = Vec::with_capacity(2 * texts.len());
        for text in texts {
            let shown = self.tokenizer.decode(&[text.prompt, text.tokens].concat())?;
            let concept = self.concept;
            questions.push(ask(CONCEPT, format!("Concept: {concept}\n\nText:\n{shown}\n\nDigit:")));
            questions.push(ask(FLUENCY, format!("Text:\n{shown}\n\nDigit:")));
        }
        let answers = self.client.ask_all(&questions, self.progress)?;
        let grade = |answer: &String| whole_number(answer, 0..=2).map(f64::from);
        let both = answers.chunks_exact(2);
        Ok(both.map(|two| Judgement { concept: grade(&two[0]), fluency: grade(&two[1]) }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
