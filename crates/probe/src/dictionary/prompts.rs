//! Prompts with right and wrong answers.

use std::path::Path;

use nissl_core::network::Tokenizer;
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// A prompt of a file of JSON lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// The text.
    pub prompt: String,
    /// Right answers.
    pub good: Vec<Answer>,
    /// Wrong answers.
    pub bad: Vec<Answer>,
}

/// An answer, as text that is one token or as the token's number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// A token's number.
    Token(u32),
    /// The text of one token, its leading space included.
    Text(String),
}

/// A prompt as a network reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPrompt {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Tokens that are right after them.
    pub good: Vec<u32>,
    /// Tokens that are wrong.
    pub bad: Vec<u32>,
}

/// The prompts of a file of JSON lines: `{"prompt": …, "good": […], "bad": […]}`.
///
/// # Errors
/// A line that is no such prompt, or an answer that is not one token.
pub fn read_prompts(path: &Path, tokenizer: &dyn Tokenizer) -> Result<Vec<TaskPrompt>> {
    let mut prompts = Vec::new();
    for line in nissl_core::labelled_text::lines(path)? {
        let (number, line) = line?;
        if line.trim().is_empty() {
            continue;
        }
        let place = format!("line {number}");
        let wrong = |found: String, expected: &str| {
            Error::file(path, &place, found, expected.to_owned()).with_help(
                r#"one line is {"prompt": "2 + 2 =", "good": [" 4"], "bad": [" 5", " 3"]}"#,
            )
        };
        let prompt: Prompt = serde_json::from_str(&line)
            .map_err(|error| wrong(error.to_string(), "a prompt with `good` and `bad` answers"))?;
        let spans = tokenizer.encode(&prompt.prompt)?;
        // Special tokens after the text would stand between the prompt and its answer.
        let after = spans.iter().rev().take_while(|span| span.end == span.start).count();
        let tokens: Vec<u32> = spans[..spans.len() - after].iter().map(|span| span.id).collect();
        let side = |answers: &[Answer]| -> Result<Vec<u32>> {
            let mut ids = Vec::with_capacity(answers.len());
            for answer in answers {
                match answer {
                    Answer::Token(id) if (*id as usize) < tokenizer.size() => ids.push(*id),
                    Answer::Token(id) => {
                        return Err(wrong(format!("token {id}"), "a token of the network"));
                    }
                    Answer::Text(text) => {
                        let own: Vec<u32> = tokenizer
                            .encode(text)?
                            .iter()
                            .filter(|span| span.end > span.start)
                            .map(|span| span.id)
                            .collect();
                        let [id] = own[..] else {
                            let found = format!("`{text}`, {} tokens", own.len());
                            return Err(wrong(found, "answers of one token"));
                        };
                        ids.push(id);
                    }
                }
            }
            if ids.is_empty() {
                return Err(wrong("no answer".to_owned(), "at least one good and one bad answer"));
            }
            Ok(ids)
        };
        let (good, bad) = (side(&prompt.good)?, side(&prompt.bad)?);
        if tokens.is_empty() {
            return Err(wrong("an empty prompt".to_owned(), "a text"));
        }
        prompts.push(TaskPrompt { tokens, good, bad });
    }
    if prompts.is_empty() {
        let expected = "at least one prompt".to_owned();
        return Err(Error::Empty { what: path.display().to_string(), expected });
    }
    Ok(prompts)
}

#[cfg(test)]
mod tests {
    use nissl_core::network::TokenSpan;
    use nissl_core::store::write_bytes;

    use super::*;

    /// One token a letter, and a special one at each end.
    struct Letters;

    impl Tokenizer for Letters {
        fn encode(&self, text: &str) -> Result<Vec<TokenSpan>> {
            let special = TokenSpan { id: 0, start: 0, end: 0 };
            let letter =
                |(at, id): (usize, u8)| TokenSpan { id: u32::from(id), start: at, end: at + 1 };
            let letters = text.bytes().enumerate().map(letter);
            Ok([special].into_iter().chain(letters).chain([special]).collect())
        }

        fn decode(&self, _tokens: &[u32]) -> Result<String> {
            Ok(String::new())
        }

        fn token(&self, _id: u32) -> Option<String> {
            None
        }

        fn size(&self) -> usize {
            128
        }

        fn end(&self) -> Option<u32> {
            None
        }
    }

    fn read(text: &str) -> Result<Vec<TaskPrompt>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("task.jsonl");
        write_bytes(&path, text.as_bytes()).expect("writes");
        read_prompts(&path, &Letters)
    }

    #[test]
    fn answers_are_texts_of_one_token_or_numbers() {
        let text = r#"{"prompt": "ab", "good": ["c", 7], "bad": ["d"]}"#;
        let prompts = read(&format!("{text}\n\n{text}\n")).expect("reads");
        let one = TaskPrompt { tokens: vec![0, 97, 98], good: vec![99, 7], bad: vec![100] };
        assert_eq!(prompts, [one.clone(), one]);
    }

    #[test]
    fn what_is_no_prompt_is_told_with_its_line() {
        let refused = |line: &str, part: &str| {
            let good = r#"{"prompt": "ab", "good": ["c"], "bad": ["d"]}"#;
            let error = read(&format!("{good}\n{line}\n")).expect_err("is refused").to_string();
            assert!(error.contains("line 2") && error.contains(part), "{error}");
        };
        refused(r#"{"prompt": "ab", "good": ["cd"], "bad": ["d"]}"#, "`cd`, 2 tokens");
        refused(r#"{"prompt": "ab", "good": [128], "bad": ["d"]}"#, "token 128");
        refused(r#"{"prompt": "ab", "good": [], "bad": ["d"]}"#, "no answer");
        refused(r#"{"prompt": "ab", "good": ["c"]}"#, "bad");
        refused("not JSON", "`good` and `bad`");
        assert!(matches!(read("\n"), Err(Error::Empty { .. })));
    }
}
