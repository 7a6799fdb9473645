//! What asking costs: counted as it goes, bounded, and estimated before.

use std::sync::{Arc, Mutex, PoisonError};

use nissl_core::chat::{Chat, Question};
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Tokens and questions, as far as they were paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Questions answered.
    pub questions: u64,
    /// Tokens of the questions.
    pub question_tokens: u64,
    /// Tokens of the answers.
    pub answer_tokens: u64,
    /// Whether the server told all of these numbers; else some are estimates by length.
    pub told: bool,
}

/// What a run will ask, known before it asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Questions.
    pub questions: u64,
    /// Those of them whose answer is at hand.
    pub cached: u64,
    /// Tokens of the questions still to be asked, estimated by their length.
    pub question_tokens: u64,
    /// Tokens of their answers at most.
    pub answer_tokens: u64,
}

/// Characters to a token, about, in English.
const CHARACTERS: usize = 4;
/// Tokens that a protocol adds to each message, about.
const FRAME: usize = 4;

/// The tokens of a text, estimated by its length: a token for four characters, rounded up.
pub fn tokens_of(text: &str) -> u64 {
    text.chars().count().div_ceil(CHARACTERS) as u64
}

/// The tokens of a question, estimated by its length.
pub(crate) fn question_tokens(question: &Question) -> u64 {
    question.messages.iter().map(|message| tokens_of(&message.content) + FRAME as u64).sum()
}

/// Counts tokens and holds a budget; shared by those who spend.
#[derive(Debug, Default)]
pub struct Meter {
    budget: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    spent: Spent,
    reserved: u64,
    guessed: bool,
}

impl Meter {
    /// A meter that stops at `budget` tokens of questions and answers together; 0 is no bound.
    pub fn new(budget: u64) -> Arc<Self> {
        Arc::new(Self { budget: (budget > 0).then_some(budget), state: Mutex::default() })
    }

    /// What was spent so far.
    pub fn spent(&self) -> Spent {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Spent { told: !state.guessed, ..state.spent }
    }

    /// Sets aside what a question and its longest answer would cost.
    ///
    /// # Errors
    /// The budget does not hold it.
    pub(crate) fn reserve<'a>(self: &'a Arc<Self>, question: &Question) -> Result<Reserved<'a>> {
        let cost = question_tokens(question) + question.tokens as u64;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = state.spent.question_tokens + state.spent.answer_tokens;
        if let Some(budget) = self.budget
            && spent + state.reserved + cost > budget
        {
            return Err(Error::setting(
                "chat-budget-tokens",
                budget,
                format!(
                    "at least {} for the next question and its answer: {spent} tokens are spent on \
                     {} answers (raise the budget; with --chat-cache the answers are kept)",
                    spent + state.reserved + cost,
                    state.spent.questions
                ),
            ));
        }
        state.reserved += cost;
        Ok(Reserved { meter: self, cost })
    }
}

/// Tokens set aside; they are free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved<'a> {
    meter: &'a Meter,
    cost: u64,
}

impl Reserved<'_> {
    /// Books what was spent: what the server told, or else what the lengths say.
    pub(crate) fn spend(self, question: &Question, answer: &str, told: Option<(u64, u64)>) {
        let mut state = self.meter.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, answered) =
            told.unwrap_or_else(|| (question_tokens(question), tokens_of(answer)));
        state.guessed |= told.is_none();
        state.spent.questions += 1;
        state.spent.question_tokens += asked;
        state.spent.answer_tokens += answered;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut state = self.meter.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reserved -= self.cost;
    }
}

/// Any chat, counted by the lengths of its questions and answers.
pub struct Metered<C> {
    chat: C,
    meter: Arc<Meter>,
}

impl<C: Chat> Metered<C> {
    /// Counts on `meter` what `chat` answers.
    pub fn new(chat: C, meter: Arc<Meter>) -> Self {
        Self { chat, meter }
    }
}

impl<C: Chat> Chat for Metered<C> {
    fn id(&self) -> &str {
        self.chat.id()
    }

    fn ask(&self, question: &Question) -> Result<String> {
        let reserved = self.meter.reserve(question)?;
        let answer = self.chat.ask(question)?;
        reserved.spend(question, &answer, None);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scripted;

    fn question() -> Question {
        Question { tokens: 10, ..Question::new("abcdefgh", "abc") }
    }

    #[test]
    fn a_budget_stops_before_it_is_passed() {
        // 2 + 4 and 1 + 4 tokens of question, at most 10 of answer, 1 answered.
        assert_eq!(question_tokens(&question()), 11);
        let meter = Meter::new(34);
        let chat =
            Metered::new(Scripted::function("m", |_| Some("four".to_owned())), meter.clone());
        chat.ask(&question()).expect("21 of 34");
        chat.ask(&question()).expect("12 + 21 of 34");
        let error = chat.ask(&question()).expect_err("24 + 21").to_string();
        assert!(error.contains("chat-budget-tokens") && error.contains("at least 45"), "{error}");
        let spent = Spent { questions: 2, question_tokens: 22, answer_tokens: 2, told: false };
        assert_eq!(meter.spent(), spent);
    }

    #[test]
    fn what_failed_is_free_again() {
        let meter = Meter::new(21);
        let chat = Metered::new(Scripted::list("m", ["", "four"]).failing_first(1), meter.clone());
        chat.ask(&question()).expect_err("fails");
        chat.ask(&question()).expect("the budget still holds one");
        assert_eq!(meter.spent().questions, 1);
    }
}
