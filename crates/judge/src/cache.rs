//! Answers kept on disk, so that a run resumes where it stopped and can be replayed.
//!
//! A folder with `answers.jsonl`: one answer a line, with its model, its question and the hash of
//! both. Lines are only ever appended, each by one write; what a crash left unfinished at the end
//! is dropped.
//!
//! Memory: all answers of the folder.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use nissl_core::chat::{Chat, Question, Role};
use nissl_core::{Error, IoContext, Result};
use serde::{Deserialize, Serialize};

/// The file of a cache's folder.
const FILE: &str = "answers.jsonl";

/// Identifies a question to a model: a SHA-256 in hexadecimal over both, temperature and seed too.
pub fn question_key(model: &str, question: &Question) -> String {
    // Only non-finite numbers could fail, and those become null.
    let text = serde_json::to_vec(&(model, question)).unwrap_or_default();
    nissl_core::store::sha256_bytes(&text)
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    model: String,
    question: Question,
    answer: String,
}

/// A folder of answers.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    answers: RwLock<HashMap<String, String>>,
    file: Option<File>,
}

impl Cache {
    /// Opens or creates the cache in `folder`.
    ///
    /// # Errors
    /// A line that is no answer, or a failed file operation.
    pub fn open(folder: &Path) -> Result<Arc<Self>> {
        let path = folder.join(FILE);
        std::fs::create_dir_all(folder).at(folder, "create")?;
        let file = OpenOptions::new().create(true).append(true).open(&path).at(&path, "open")?;
        let (answers, whole) = load(&path)?;
        file.set_len(whole).at(&path, "shorten")?;
        Ok(Arc::new(Self { path, answers: RwLock::new(answers), file: Some(file) }))
    }

    /// Opens a cache that must be there, and is only read.
    ///
    /// # Errors
    /// As [`Cache::open`]; no cache there.
    pub fn open_read(folder: &Path) -> Result<Arc<Self>> {
        let path = folder.join(FILE);
        let (answers, _) = load(&path)?;
        Ok(Arc::new(Self { path, answers: RwLock::new(answers), file: None }))
    }

    /// The kept answer of `model`.
    pub fn get(&self, model: &str, question: &Question) -> Option<String> {
        let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        answers.get(&question_key(model, question)).cloned()
    }

    /// Answers at hand.
    pub fn len(&self) -> usize {
        self.answers.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps an answer; the first one to a question stays.
    ///
    /// # Errors
    /// A failed file operation, or a cache that is only read.
    pub fn insert(&self, model: &str, question: &Question, answer: &str) -> Result<()> {
        let key = question_key(model, question);
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        if answers.contains_key(&key) {
            return Ok(());
        }
        let line = Line {
            key: key.clone(),
            model: model.to_owned(),
            question: question.clone(),
            answer: answer.to_owned(),
        };
        let mut bytes = serde_json::to_vec(&line)
            .map_err(|error| Error::file(&self.path, "answer", error, "JSON"))?;
        bytes.push(b'\n');
        let Some(mut file) = self.file.as_ref() else {
            return Err(Error::file(&self.path, "mode", "read only", "a cache open for writing"));
        };
        // The lock is held: two threads never write at once.
        file.write_all(&bytes).and_then(|()| file.sync_data()).at(&self.path, "append")?;
        answers.insert(key, answer.to_owned());
        Ok(())
    }
}

/// The answers of a file, and the bytes of its whole lines.
fn load(path: &Path) -> Result<(HashMap<String, String>, u64)> {
    let bytes = std::fs::read(path).at(path, "read")?;
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    let mut answers = HashMap::new();
    for (number, line) in (1..).zip(bytes[..whole].split(|&byte| byte == b'\n')) {
        if line.is_empty() {
            continue;
        }
        let line: Line = serde_json::from_slice(line).map_err(|error| {
            Error::file(path, format!("line {number}"), error, "an answer in JSON")
                .with_help("remove that line; its question is then asked again")
        })?;
        if line.key != question_key(&line.model, &line.question) {
            let expected = "the hash of its model and question";
            return Err(Error::file(path, format!("key of line {number}"), line.key, expected)
                .with_help("the line was changed; remove it, and its question is asked again"));
        }
        answers.entry(line.key).or_insert(line.answer);
    }
    Ok((answers, whole as u64))
}

/// Asks a chat what the cache does not know, and keeps the answer.
pub struct Cached<C> {
    chat: C,
    cache: Arc<Cache>,
}

impl<C: Chat> Cached<C> {
    /// `chat` behind `cache`.
    pub fn new(chat: C, cache: Arc<Cache>) -> Self {
        Self { chat, cache }
    }
}

impl<C: Chat> Chat for Cached<C> {
    fn id(&self) -> &str {
        self.chat.id()
    }

    fn ask(&self, question: &Question) -> Result<String> {
        if let Some(answer) = self.cache.get(self.id(), question) {
            return Ok(answer);
        }
        let answer = self.chat.ask(question)?;
        self.cache.insert(self.id(), question, &answer)?;
        Ok(answer)
    }
}

/// Answers from a cache alone.
pub struct Replay {
    model: String,
    cache: Arc<Cache>,
}

impl Replay {
    /// The answers that `model` once gave.
    pub fn new(model: impl Into<String>, cache: Arc<Cache>) -> Self {
        Self { model: model.into(), cache }
    }
}

/// Characters of a question shown in messages.
const SHOWN: usize = 80;

impl Chat for Replay {
    fn id(&self) -> &str {
        &self.model
    }

    fn ask(&self, question: &Question) -> Result<String> {
        self.cache.get(&self.model, question).ok_or_else(|| {
            let said = question.messages.iter().rfind(|message| message.role == Role::User);
            let said = said.map(|message| message.content.as_str()).unwrap_or_default();
            let shown: String = said.chars().take(SHOWN).collect();
            let more = if said.chars().count() > SHOWN { "…" } else { "" };
            let key = question_key(&self.model, question);
            let field = format!("answer of {} to {}", self.model, &key[..12]);
            let shown = format!("absent, for the question {:?}", shown + more);
            Error::file(&self.cache.path, field, shown, "an answer kept by an earlier run")
                .with_help(
                    "run without --chat-replay to ask it; a changed prompt is a new question",
                )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scripted;

    fn question(text: &str) -> Question {
        Question::new("system", text)
    }

    #[test]
    fn what_was_answered_is_not_asked_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let ask = |answers: &[&str], texts: &[&str]| {
            let script = Scripted::list("m", answers.iter().copied());
            let chat = Cached::new(script, Cache::open(folder.path()).expect("opens"));
            let answers: Vec<Result<String>> =
                texts.iter().map(|text| chat.ask(&question(text))).collect();
            (answers, chat.chat.asked().len())
        };
        let (answers, asked) = ask(&["one", "two\nlines \u{1F600}"], &["a", "a", "b"]);
        let words: Vec<_> = answers.into_iter().map(|answer| answer.expect("answers")).collect();
        assert_eq!((words, asked), (vec!["one".into(), "one".into(), "two\nlines 😀".into()], 2));
        let (answers, asked) = ask(&["three"], &["b", "c", "a"]);
        let words: Vec<_> = answers.into_iter().map(|answer| answer.expect("answers")).collect();
        assert_eq!((words, asked), (vec!["two\nlines 😀".into(), "three".into(), "one".into()], 1));
    }

    #[test]
    fn model_temperature_and_seed_make_another_question() {
        let base = question("a");
        let keys: std::collections::BTreeSet<String> = [
            question_key("m", &base),
            question_key("n", &base),
            question_key("m", &Question { temperature: 1.0, ..base.clone() }),
            question_key("m", &Question { seed: 1, ..base.clone() }),
            question_key("m", &Question { tokens: 1, ..base.clone() }),
            question_key("m", &question("b")),
        ]
        .into();
        assert_eq!(keys.len(), 6);
        assert_eq!(question_key("m", &base), question_key("m", &question("a")));
    }

    #[test]
    fn a_replay_gives_the_same_bytes_and_names_what_is_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(folder.path()).expect("opens");
        cache.insert("m", &question("a"), "x\r\n ").expect("keeps");
        let before = std::fs::read(folder.path().join(FILE)).expect("reads");
        let replay = Replay::new("m", Cache::open_read(folder.path()).expect("opens"));
        assert_eq!(replay.ask(&question("a")).expect("is there"), "x\r\n ");
        let error = replay.ask(&question("what is b?")).expect_err("missing").to_string();
        assert!(error.contains("what is b?") && error.contains(FILE), "{error}");
        let other = Replay::new("n", Cache::open_read(folder.path()).expect("opens"));
        assert!(other.ask(&question("a")).is_err(), "another model's answer is no answer");
        assert_eq!(std::fs::read(folder.path().join(FILE)).expect("reads"), before);
        let nowhere = Cache::open_read(&folder.path().join("nowhere")).expect_err("absent");
        assert!(nowhere.to_string().contains("nowhere"));
    }

    #[test]
    fn an_unfinished_line_is_dropped_and_a_broken_one_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        let cache = Cache::open(folder.path()).expect("opens");
        cache.insert("m", &question("a"), "one").expect("keeps");
        cache.insert("m", &question("b"), "two").expect("keeps");
        drop(cache);
        let bytes = std::fs::read(&path).expect("reads");
        nissl_core::store::write_bytes(&path, &bytes[..bytes.len() - 5]).expect("cuts");
        let cache = Cache::open(folder.path()).expect("opens");
        assert_eq!(cache.len(), 1);
        cache.insert("m", &question("b"), "two").expect("keeps");
        drop(cache);
        assert_eq!(std::fs::read(&path).expect("reads"), bytes, "as if never cut");

        for (broken, field) in [
            (b"{\"key\":1}\n".to_vec(), "`line 3`"),
            (
                bytes[..bytes.len() / 2]
                    .iter()
                    .map(|b| if *b == b'a' { b'c' } else { *b })
                    .collect(),
                "",
            ),
            (String::from_utf8_lossy(&bytes).replace("\"b\"", "\"c\"").into_bytes(), "key of line"),
        ] {
            let all = if field == "`line 3`" { [bytes.clone(), broken].concat() } else { broken };
            nissl_core::store::write_bytes(&path, &all).expect("writes");
            let outcome = Cache::open(folder.path());
            if !field.is_empty() {
                let error = outcome.expect_err("is refused").to_string();
                assert!(error.contains(field), "{error}");
            }
        }
    }
}
