//! Answers from a list or a function, for tests and offline stand-ins.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use nissl_core::chat::{Chat, Question};
use nissl_core::{Error, Result};

/// Turns a question into its answer; `None` where there is none.
type Answer = Box<dyn Fn(&Question) -> Option<String> + Send + Sync>;

/// A chat whose answers are known; it remembers what it was asked.
pub struct Scripted {
    id: String,
    answer: Answer,
    asked: Mutex<Vec<Question>>,
    failing: Mutex<usize>,
}

impl Scripted {
    /// Answers one after the other, in the order in which the questions come.
    pub fn list<T: Into<String>>(
        id: impl Into<String>,
        answers: impl IntoIterator<Item = T>,
    ) -> Self {
        let answers: VecDeque<String> = answers.into_iter().map(Into::into).collect();
        let answers = Mutex::new(answers);
        Self::function(id, move |_| {
            answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
        })
    }

    /// Answers that depend on the question alone.
    pub fn function(
        id: impl Into<String>,
        answer: impl Fn(&Question) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            id: id.into(),
            answer: Box::new(answer),
            asked: Mutex::default(),
            failing: Mutex::new(0),
        }
    }

    /// The same, but the first `questions` fail.
    #[must_use]
    pub fn failing_first(mut self, questions: usize) -> Self {
        self.failing = Mutex::new(questions);
        self
    }

    /// The questions that came so far, in their order.
    pub fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn missing(&self) -> Error {
        let what = format!("the script `{}`", self.id);
        Error::Remote { what, found: "no answer to this question".to_owned(), help: None }
    }
}

impl Chat for Scripted {
    fn id(&self) -> &str {
        &self.id
    }

    fn ask(&self, question: &Question) -> Result<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(question.clone());
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if *failing > 0 {
            *failing -= 1;
            return Err(self.missing());
        }
        drop(failing);
        (self.answer)(question).ok_or_else(|| self.missing())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_with_an_error_and_all_questions_are_remembered() {
        let script = Scripted::list("s", ["one", "two"]);
        let question = Question::new("a", "b");
        assert_eq!(script.ask(&question).expect("first"), "one");
        assert_eq!(script.ask(&question).expect("second"), "two");
        assert!(script.ask(&question).is_err(), "nothing is made up");
        assert_eq!(script.asked().len(), 3);
    }
}
