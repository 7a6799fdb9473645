//! What an answer says, where a form was asked for: numbers, words, lists. A missing answer is missing.

use std::ops::RangeInclusive;

/// The answer without the thoughts that some models put before it.
pub fn without_thoughts(answer: &str) -> &str {
    answer.rsplit_once("</think>").map_or(answer, |(_, said)| said).trim()
}

/// The one whole number within `range` that an answer gives; `None` when it gives none, several, or
/// one outside.
///
/// `2`, `**2**`, `Score: 2`, `{"score": 2}`, `2/2` and `2 out of 2` are all a two of `0..=2`. Of
/// several lines, one that is a number alone decides.
pub fn whole_number(answer: &str, range: RangeInclusive<u32>) -> Option<u32> {
    let answer = without_thoughts(answer);
    let alone = |line: &str| {
        let line = line.trim_matches(|c: char| c.is_whitespace() || "*`\"'[]().".contains(c));
        line.parse::<u32>().ok()
    };
    let found = if let Some(number) = answer.lines().rev().find_map(alone) {
        number
    } else {
        let mut numbers = numbers(answer, *range.end())?;
        numbers.dedup();
        let [only] = numbers[..] else { return None };
        only
    };
    range.contains(&found).then_some(found)
}

/// All numbers of a text; a bound told after `/` or `out of` is left out. `None` when one of them is
/// no whole number.
fn numbers(text: &str, most: u32) -> Option<Vec<u32>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let before = &rest[..start];
        let digits: String = rest[start..].chars().take_while(char::is_ascii_digit).collect();
        let after = &rest[start + digits.len()..];
        let fraction =
            after.starts_with('.') && after[1..].starts_with(|c: char| c.is_ascii_digit());
        let within_word = before.ends_with(|c: char| c.is_alphabetic() || c == '_');
        let negative =
            before.ends_with('-') && !before.trim_end_matches('-').ends_with(char::is_alphanumeric);
        if fraction || negative {
            return None;
        }
        let number: u32 = digits.parse().ok()?;
        let said = before.trim_end();
        let is_bound = number == most
            && !found.is_empty()
            && (said.ends_with('/') || said.to_lowercase().ends_with("out of"));
        if !within_word && !is_bound {
            found.push(number);
        }
        rest = after;
    }
    Some(found)
}

/// The list of texts that an answer gives in JSON; `None` when there is none.
pub fn list_of_texts(answer: &str) -> Option<Vec<String>> {
    let answer = without_thoughts(answer);
    let start = answer.find('[')?;
    let end = answer.rfind(']')?;
    serde_json::from_str(answer.get(start..=end)?).ok()
}

/// The words after the last `tag` of an answer, without marks around them; the whole answer where the
/// tag is missing. `None` when nothing is said.
pub fn after_tag(answer: &str, tag: &str) -> Option<String> {
    let answer = without_thoughts(answer);
    let said = answer.rsplit_once(tag).map_or(answer, |(_, said)| said);
    let said = said.trim().lines().next().unwrap_or_default();
    let said = said.trim_matches(|c: char| c.is_whitespace() || "*`\"".contains(c));
    (!said.is_empty()).then(|| said.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_number_is_found_however_it_is_dressed() {
        for text in [
            "2",
            " 2\n",
            "**2**",
            "Score: 2",
            "[[2]]",
            "{\"score\": 2}",
            "2/2",
            "2 / 2",
            "2 out of 2",
            "The text shows it clearly.\n2",
            "2.",
            "\"2\"",
            "<think>0 or 1?</think> 2",
            "Rating = 2!",
            "It mentions 3 animals.\n\n2",
        ] {
            assert_eq!(whole_number(text, 0..=2), Some(2), "{text}");
        }
        assert_eq!(whole_number("1/2", 0..=2), Some(1));
        assert_eq!(whole_number("0 out of 2", 0..=2), Some(0));
    }

    #[test]
    fn what_is_missing_is_missing() {
        for text in [
            "",
            "two",
            "I cannot tell.",
            "3",
            "-1",
            "1.5",
            "0 or 1",
            "1-2",
            "between 0 and 2",
            "12",
            "99999999999999999999",
            "gpt2",
            "Score: -1",
            "1, 2",
        ] {
            assert_eq!(whole_number(text, 0..=2), None, "{text}");
        }
    }

    #[test]
    fn lists_and_tags_are_found() {
        let list = list_of_texts("Here:\n```json\n[\"a\", \"b]\"]\n```").expect("a list");
        assert_eq!(list, ["a", "b]"]);
        assert!(list_of_texts("none").is_none() && list_of_texts("] [").is_none());
        assert!(list_of_texts("[1, 2]").is_none());
        assert_eq!(after_tag("First.\nLink: **days** \nmore", "Link:").as_deref(), Some("days"));
        assert_eq!(after_tag("days", "Link:").as_deref(), Some("days"));
        assert_eq!(after_tag("Link: ", "Link:"), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(text in any::<String>()) {
            whole_number(&text, 0..=2);
            list_of_texts(&text);
            after_tag(&text, "Link:");
        }

        #[test]
        fn a_bare_number_is_itself(number in 0u32..50) {
            prop_assert_eq!(whole_number(&number.to_string(), 0..=2), (number <= 2).then_some(number));
        }
    }
}
