//! The questions that a language model is asked about a feature.

use std::fmt::Write as _;

use nissl_core::chat::Question;

use crate::examples::Example;
use crate::name::plain;

/// What begins the line of an answer that counts.
pub(super) const TAG: &str = "Link:";

const INPUT: &str = "\
You study one feature of a language model: a number that is large at some tokens of a text and zero \
at most others. You see the tokens at which it was largest, strongest first; each with its \
coefficient and the text around it, in which the token itself stands between << and >>.

Say what links them, and only the one thing that is most obvious.
- Begin with the tokens alone. If they share a meaning, a topic, a form or a grammatical role, that \
is the link, and the texts around them do not matter.
- Only if the tokens have nothing in common, look for what their texts share.
- Strong coefficients count more than weak ones; one or two strays may be ignored.
- Be concrete and short: a phrase, no list of possibilities, nothing about marks, numbers or features.
- If you see no link, the answer is TRASH.

You may think in a few words. End with one line that begins with \"Link:\" and holds the phrase, or \
TRASH.";

const OUTPUT: &str = "\
You study one direction inside a language model: pushing the model along it makes some tokens more \
likely as the next one. You see the tokens that gain most, strongest first. They may be pieces of \
words, and of any language.

Say what links most of them, and only the one thing that is most obvious: a meaning, a topic, a form \
or a grammatical role. Be concrete and short: a phrase, no list of possibilities, nothing about \
tokens or directions. A few strays among them may be ignored. If you see no link, the answer is TRASH.

You may think in a few words. End with one line that begins with \"Link:\" and holds the phrase, or \
TRASH.";

/// Asks what links the tokens at which a feature is strongest.
pub fn input_question(examples: &[&Example], answer_tokens: usize) -> Question {
    let mut user = String::new();
    for (number, example) in (1..).zip(examples) {
        let token = example.tokens.get(example.focus).map(String::as_str).unwrap_or_default();
        let coefficient = nissl_core::progress::significant(f64::from(example.activation));
        let context = context(&example.tokens, example.focus);
        let _never_fails = writeln!(
            user,
            "{number}. token {:?}, coefficient {coefficient}\n   {context}",
            bare(token)
        );
    }
    Question { tokens: answer_tokens, ..Question::new(INPUT, user) }
}

/// Asks what links the tokens that a direction pushes towards.
pub fn output_question(tokens: &[String], answer_tokens: usize) -> Question {
    let list: Vec<String> =
        (1..).zip(tokens).map(|(number, token)| format!("{number}. {:?}", spaced(token))).collect();
    Question { tokens: answer_tokens, ..Question::new(OUTPUT, list.join("\n")) }
}

/// A token with plain spaces in the place of a tokenizer's marks.
fn spaced(token: &str) -> String {
    token.replace(['Ġ', '▁'], " ").replace('Ċ', "\n")
}

fn bare(token: &str) -> String {
    spaced(token).trim().to_owned()
}

/// A window as one line of text, with the token at `focus` marked.
pub(crate) fn context(tokens: &[String], focus: usize) -> String {
    let words: Vec<String> = tokens.iter().map(|token| spaced(token)).collect();
    // Tokens of whole words have no spaces of their own.
    let between = if has_spaces(&words) { "" } else { " " };
    let marked: Vec<String> = words
        .iter()
        .enumerate()
        .map(|(place, word)| {
            if place != focus {
                return word.clone();
            }
            let inner = word.trim();
            let start = word.len() - word.trim_start().len();
            format!("{}<<{inner}>>{}", &word[..start], &word[start + inner.len()..])
        })
        .collect();
    marked.join(between).replace('\n', " ↵ ").trim().to_owned()
}

/// A window as plain text.
pub(crate) fn text(tokens: &[String]) -> String {
    let words: Vec<String> = tokens.iter().map(|token| spaced(token)).collect();
    let between = if has_spaces(&words) { "" } else { " " };
    words.join(between).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has_spaces(words: &[String]) -> bool {
    words.iter().any(|word| word.contains(char::is_whitespace))
}

/// The first `count` tokens that can be read and were not there before in another dress.
pub(super) fn readable(tokens: impl Iterator<Item = String>, count: usize) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let readable = |token: &String| {
        let plain = plain(token);
        let broken = |c: char| c == char::REPLACEMENT_CHARACTER || c.is_control();
        !plain.is_empty() && !plain.contains(broken) && seen.insert(plain)
    };
    tokens.filter(readable).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_in_another_dress_and_broken_ones_are_left_out() {
        let tokens = [" day", "Day", "\u{fffd}", " ", "\n", "night", "x\u{7}", " noon", "dusk"];
        let kept = readable(tokens.into_iter().map(str::to_owned), 3);
        assert_eq!(kept, [" day", "night", " noon"]);
    }

    fn example(tokens: &[&str], focus: usize, activation: f32) -> Example {
        let tokens: Vec<String> = tokens.iter().map(|&token| token.to_owned()).collect();
        Example { activation, tokens, focus, ..Example::default() }
    }

    #[test]
    fn a_question_holds_the_triples_and_nothing_else() {
        let examples = [
            example(&["On", " Monday", ",", " we"], 1, 2.5),
            example(&["\u{120}by", "\u{120}Friday", "\u{10a}"], 1, 1.25),
        ];
        let question = input_question(&examples.iter().collect::<Vec<_>>(), 99);
        assert_eq!(
            question.messages[1].content,
            "1. token \"Monday\", coefficient 2.50\n   On <<Monday>>, we\n\
             2. token \"Friday\", coefficient 1.25\n   by <<Friday>> ↵\n"
        );
        assert_eq!((question.temperature, question.tokens), (0.0, 99));
        let system = &question.messages[0].content;
        assert!(
            system.contains("TRASH") && system.contains(TAG) && system.contains("tokens alone")
        );
    }

    #[test]
    fn a_list_of_tokens_is_numbered() {
        let tokens = [" day".to_owned(), "▁Nacht".to_owned(), "\"".to_owned()];
        let question = output_question(&tokens, 8);
        assert_eq!(question.messages[1].content, "1. \" day\"\n2. \" Nacht\"\n3. \"\\\"\"");
    }

    #[test]
    fn words_without_spaces_get_some() {
        let words = ["the", "cat", "sat"].map(str::to_owned);
        assert_eq!(context(&words, 1), "the <<cat>> sat");
        assert_eq!(text(&words), "the cat sat");
        assert_eq!(text(&[" the".to_owned(), " c".to_owned(), "at\n".to_owned()]), "the cat");
    }
}
