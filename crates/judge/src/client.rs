//! Many questions at once, their answers kept and counted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nissl_core::chat::{Chat, Question};
use nissl_core::{Error, Progress, Result};

use crate::cache::{Cache, Cached, Replay};
use crate::http::Http;
use crate::meter::{Estimate, Meter, Metered, Spent, question_tokens};
use crate::settings::{ChatSettings, Reach};

/// A language model as the settings describe it: behind a cache, on a budget.
pub struct Client {
    chat: Box<dyn Chat>,
    cache: Option<Arc<Cache>>,
    meter: Arc<Meter>,
    at_once: usize,
}

impl Client {
    /// Whoever the settings name: a server, or the answers of an earlier run.
    ///
    /// # Errors
    /// Settings outside their range, a server where [`Reach::Offline`] forbids one, a key that is
    /// not there, or a cache that cannot be read.
    pub fn connect(settings: &ChatSettings, reach: Reach, progress: &Progress) -> Result<Self> {
        settings.validate()?;
        let model = settings.model()?;
        let meter = Meter::new(settings.chat_budget_tokens);
        if let (true, Some(folder)) = (settings.chat_replay, &settings.chat_cache) {
            let cache = Cache::open_read(folder)?;
            let chat = Box::new(Replay::new(model, Arc::clone(&cache)));
            let at_once = settings.chat_at_once;
            return Ok(Self { chat, cache: Some(cache), meter, at_once });
        }
        let http = Http::connect(settings, reach, Arc::clone(&meter), progress)?;
        Self::behind_cache(http, settings, meter)
    }

    /// Any other chat, such as a local network; its tokens are estimated by length.
    ///
    /// # Errors
    /// Settings outside their range, or a cache that cannot be read.
    pub fn new(chat: impl Chat + 'static, settings: &ChatSettings) -> Result<Self> {
        settings.validate()?;
        let meter = Meter::new(settings.chat_budget_tokens);
        Self::behind_cache(Metered::new(chat, Arc::clone(&meter)), settings, meter)
    }

    fn behind_cache(
        chat: impl Chat + 'static,
        settings: &ChatSettings,
        meter: Arc<Meter>,
    ) -> Result<Self> {
        let cache = settings.chat_cache.as_deref().map(Cache::open).transpose()?;
        let chat: Box<dyn Chat> = match &cache {
            Some(cache) => Box::new(Cached::new(chat, Arc::clone(cache))),
            None => Box::new(chat),
        };
        Ok(Self { chat, cache, meter, at_once: settings.chat_at_once })
    }

    /// What was spent so far; answers from the cache cost nothing.
    pub fn spent(&self) -> Spent {
        self.meter.spent()
    }

    /// What these questions would cost, without asking one.
    pub fn estimate(&self, questions: &[Question]) -> Estimate {
        let mut estimate = Estimate { questions: questions.len() as u64, ..Estimate::default() };
        for question in questions {
            let known = |cache: &Arc<Cache>| cache.get(self.id(), question).is_some();
            if self.cache.as_ref().is_some_and(known) {
                estimate.cached += 1;
            } else {
                estimate.question_tokens += question_tokens(question);
                estimate.answer_tokens += question.tokens as u64;
            }
        }
        estimate
    }

    /// The answers, in the order of the questions.
    ///
    /// # Errors
    /// The failure of the earliest question that failed, once those under way have ended; answers
    /// that came before are in the cache. An interruption.
    pub fn ask_all(&self, questions: &[Question], progress: &Progress) -> Result<Vec<String>> {
        let stage = progress.stage("questions", questions.len() as u64, "answers");
        let next = AtomicUsize::new(0);
        let stop = AtomicUsize::new(usize::MAX);
        let answers: Mutex<Vec<Option<Result<String>>>> =
            Mutex::new(questions.iter().map(|_| None).collect());
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                // Earlier questions than the failed one still run, so that the error is always the same.
                if at >= questions.len() || at > stop.load(Ordering::Relaxed) {
                    break;
                }
                let answer = progress.check(|| format!("{at} of {} questions", questions.len()));
                let answer = answer.and_then(|()| self.chat.ask(&questions[at]));
                if answer.is_err() {
                    stop.fetch_min(at, Ordering::Relaxed);
                }
                answers.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(answer);
                stage.advance(1);
                stage.show("tokens", tokens(self.spent()));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.at_once.min(questions.len()) {
                scope.spawn(work);
            }
            work();
        });
        let answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        let never = || Error::Empty { what: "an answer".to_owned(), expected: "text".to_owned() };
        // Nothing is left out before the first failure, and `collect` ends there.
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(never()))).collect()
    }
}

fn tokens(spent: Spent) -> f64 {
    (spent.question_tokens + spent.answer_tokens) as f64
}

impl Chat for Client {
    fn id(&self) -> &str {
        self.chat.id()
    }

    fn ask(&self, question: &Question) -> Result<String> {
        self.chat.ask(question)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::time::Duration;

    use super::*;
    use crate::Scripted;

    fn questions(count: usize) -> Vec<Question> {
        (0..count).map(|n| Question { tokens: 4, ..Question::new("s", n.to_string()) }).collect()
    }

    fn text(question: &Question) -> &str {
        &question.messages[1].content
    }

    #[test]
    fn answers_come_in_the_order_of_the_questions() {
        let echo = Scripted::function("m", |question| {
            let number: u64 = text(question).parse().ok()?;
            std::thread::sleep(Duration::from_millis(9 - number % 10));
            Some(format!("answer {number}"))
        });
        let settings = ChatSettings { chat_at_once: 7, ..ChatSettings::default() };
        let client = Client::new(echo, &settings).expect("a client");
        let answers = client.ask_all(&questions(40), &Progress::silent()).expect("answers");
        let expected: Vec<String> = (0..40).map(|number| format!("answer {number}")).collect();
        assert_eq!(answers, expected);
        assert!(client.ask_all(&[], &Progress::silent()).expect("nothing").is_empty());
    }

    #[test]
    fn as_many_as_allowed_are_asked_together_and_no_more() {
        let state = Arc::new((Mutex::new((0, 0)), Condvar::new()));
        let inner = Arc::clone(&state);
        let chat = Scripted::function("m", move |_| {
            let (lock, full) = &*inner;
            let mut counts = lock.lock().ok()?;
            counts.0 += 1;
            counts.1 = counts.1.max(counts.0);
            full.notify_all();
            // Waits until three are here, or long enough to see that there are not.
            let waited =
                full.wait_timeout_while(counts, Duration::from_secs(5), |counts| counts.1 < 3);
            let mut counts = waited.ok()?.0;
            counts.0 -= 1;
            Some(String::new())
        });
        let settings = ChatSettings { chat_at_once: 3, ..ChatSettings::default() };
        let client = Client::new(chat, &settings).expect("a client");
        client.ask_all(&questions(12), &Progress::silent()).expect("answers");
        assert_eq!(state.0.lock().expect("counts").1, 3);
    }

    #[test]
    fn the_earliest_failure_is_told_and_what_was_answered_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = |at_once| ChatSettings {
            chat_at_once: at_once,
            chat_cache: Some(folder.path().to_owned()),
            ..ChatSettings::default()
        };
        let broken = Scripted::function("m", |question| {
            let number: u32 = text(question).parse().ok()?;
            (number != 5 && number < 7).then(|| format!("{number}"))
        });
        let client = Client::new(broken, &settings(1)).expect("a client");
        assert!(client.ask_all(&questions(20), &Progress::silent()).is_err());

        let whole = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&whole);
        let good = Scripted::function("m", move |question| {
            seen.lock().ok()?.push(text(question).to_owned());
            Some(text(question).to_owned())
        });
        let client = Client::new(good, &settings(1)).expect("a client");
        let estimate = client.estimate(&questions(20));
        assert_eq!((estimate.questions, estimate.cached, estimate.answer_tokens), (20, 5, 60));
        let answers = client.ask_all(&questions(20), &Progress::silent()).expect("answers");
        assert_eq!(answers.len(), 20);
        assert_eq!(whole.lock().expect("seen").len(), 15, "five were known");
        assert_eq!(client.spent().questions, 15);
    }

    #[test]
    fn the_budget_stops_and_a_replay_needs_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = ChatSettings {
            chat_budget_tokens: 100,
            chat_at_once: 1,
            chat_cache: Some(folder.path().to_owned()),
            chat_model: Some("m".to_owned()),
            ..ChatSettings::default()
        };
        let echo = Scripted::function("m", |question| Some(text(question).to_owned()));
        let client = Client::new(echo, &settings).expect("a client");
        let error = client.ask_all(&questions(50), &Progress::silent()).expect_err("stops");
        assert!(error.to_string().contains("chat-budget-tokens"), "{error}");
        let answered = client.spent().questions as usize;
        assert!((1..50).contains(&answered), "{answered}");

        let replay = ChatSettings { chat_replay: true, chat_budget_tokens: 1, ..settings };
        let replay = Client::connect(&replay, Reach::Offline, &Progress::silent()).expect("opens");
        let known = replay.ask_all(&questions(answered), &Progress::silent()).expect("known");
        assert_eq!(known, (0..answered).map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(replay.ask_all(&questions(answered + 1), &Progress::silent()).is_err());
    }

    #[test]
    fn an_interruption_stops_the_questions() {
        let progress = Progress::silent();
        let clone = progress.clone();
        let chat = Scripted::function("m", move |_| {
            clone.interrupt();
            Some(String::new())
        });
        let settings = ChatSettings { chat_at_once: 1, ..ChatSettings::default() };
        let client = Client::new(chat, &settings).expect("a client");
        let error = client.ask_all(&questions(3), &progress).expect_err("stops");
        assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    }
}
