//! Descriptions without a language model.
//!
//! Input side: the pattern of the examples, as names are found. Output side: the form that most of
//! the pushed tokens share (numbers, punctuation, an ending, a beginning) though few of the vocabulary
//! have it; else the tokens themselves, when the first stands out of the vocabulary.
//!
//! Left out: links of meaning; those need a language model, or a person who reads the tokens.

use std::collections::BTreeMap;

use nissl_core::network::LanguageNetwork;

use crate::examples::Example;
use crate::logit_lens::Pushed;
use crate::name::{Background, Form, name, plain, tail};

/// Who describes by rule.
pub(super) const SOURCE: &str = "nissl, by rule";
/// The share of tokens that must have a form.
const MOST: f64 = 0.6;
/// Probability of as many by chance below which a form is believed.
const CHANCE: f64 = 1e-4;
/// Tokens named.
const NAMED: usize = 6;
/// Letters of a beginning that is shared, at least.
const BEGINNING: usize = 3;

/// The pattern of a feature's examples, with its score.
pub(super) fn input(examples: &[Example], background: &Background) -> Option<(String, f64)> {
    let name = name(examples, None, background);
    name.pattern.as_ref().map(|_| (name.text.clone(), name.score))
}

/// How common each form is in a vocabulary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VocabularyForms {
    shares: Vec<(Form, f64)>,
    beginnings: BTreeMap<String, f64>,
    size: usize,
}

impl VocabularyForms {
    /// The forms of a network's vocabulary; none where it has no tokenizer.
    pub fn of(network: &dyn LanguageNetwork) -> Self {
        let size = network.vocabulary();
        let tokenizer = network.tokenizer().ok();
        let token = |id| tokenizer.and_then(|tokenizer| tokenizer.token(id));
        Self::of_tokens((0..size as u32).filter_map(token), size)
    }

    fn of_tokens(tokens: impl Iterator<Item = String>, size: usize) -> Self {
        let mut counts = [0_u64; Form::ALL.len()];
        let mut beginnings: BTreeMap<String, f64> = BTreeMap::new();
        let share = 1.0 / size.max(1) as f64;
        for token in tokens {
            let token = plain(&token);
            for (count, form) in counts.iter_mut().zip(Form::ALL) {
                *count += u64::from(form.matches(&token));
            }
            if let Some(beginning) = beginning(&token) {
                *beginnings.entry(beginning).or_default() += share;
            }
        }
        let shares = Form::ALL.into_iter().zip(counts);
        let shares = shares.map(|(form, count)| (form, count as f64 * share)).collect();
        Self { shares, beginnings, size }
    }

    /// What the pushed `tokens` share, with the share of those that have it; or which they are, when
    /// the first stands out; else `None`.
    pub fn describe(&self, pushed: &Pushed, tokens: &[String]) -> Option<(String, f64)> {
        let words: Vec<String> = tokens.iter().map(|token| plain(token)).collect();
        let shown = |count: usize| {
            tokens.iter().take(count).map(|token| token.trim()).collect::<Vec<_>>().join(", ")
        };
        let believed = |hits: usize, chance: f64| {
            let share = hits as f64 / words.len().max(1) as f64;
            (share >= MOST && tail(words.len(), hits, chance) < CHANCE).then_some(share)
        };
        for &(form, chance) in &self.shares {
            let hits = words.iter().filter(|word| form.matches(word)).count();
            if let Some(share) = believed(hits, chance) {
                return Some((format!("{} ({})", form.text(), shown(NAMED / 2)), share));
            }
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for word in words.iter().filter_map(|word| beginning(word)) {
            *counts.entry(word).or_default() += 1;
        }
        let most = counts.iter().max_by_key(|(word, count)| (**count, std::cmp::Reverse(*word)));
        if let Some((word, &hits)) = most {
            let chance = self.beginnings.get(word).copied().unwrap_or(0.0);
            if let Some(share) = believed(hits, chance) {
                let text = format!("words beginning with {word}- ({})", shown(NAMED / 2));
                return Some((text, share));
            }
        }
        pushed.stands_out(self.size).then(|| (shown(NAMED), 0.0))
    }
}

fn beginning(word: &str) -> Option<String> {
    let letters: String = word.chars().take_while(|c| c.is_alphabetic()).take(BEGINNING).collect();
    (letters.chars().count() == BEGINNING).then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vec<String> {
        let mut words: Vec<String> = (0..2000).map(word).collect();
        words.extend((0..100).map(|n| format!(" {n}")));
        words.extend((0..60).map(|n| format!(" {}ing", word(n).trim())));
        words.extend((0..30).map(|n| format!(" pre{}", word(n).trim())));
        words
    }

    /// Four letters and one of many beginnings.
    fn word(n: usize) -> String {
        let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
        format!(" {}{}{}o", letter(n), letter(n / 26 + n), letter(n * 7 + 3))
    }

    fn pushed(peak: f32) -> Pushed {
        Pushed { tokens: vec![(0, 1.0)], peak }
    }

    #[test]
    fn a_shared_form_is_named_and_chance_is_not() {
        let all = vocabulary();
        let forms = VocabularyForms::of_tokens(all.iter().cloned(), all.len());
        let told = |tokens: &[String], peak| forms.describe(&pushed(peak), tokens);
        let (numbers, share) = told(&all[2000..2025], 0.0).expect("numbers");
        assert!(numbers.starts_with("numbers (0, 1, 2") && share > 0.99, "{numbers}");
        let (ending, _) = told(&all[2100..2125], 0.0).expect("an ending");
        assert!(ending.contains("-ing"), "{ending}");
        let (start, _) = told(&all[2160..2185], 0.0).expect("a beginning");
        assert!(start.contains("pre-"), "{start}");
        let mixed: Vec<String> = (0..25).map(|n| word(n * 61 + 5)).collect();
        assert_eq!(told(&mixed, 0.0), None);
        let (listed, score) = told(&mixed, 50.0).expect("stands out");
        assert_eq!((listed.matches(", ").count(), score.to_bits()), (NAMED - 1, 0));
    }

    #[test]
    fn half_of_them_are_not_most_of_them() {
        let all = vocabulary();
        let forms = VocabularyForms::of_tokens(all.iter().cloned(), all.len());
        let mut tokens: Vec<String> = all[2000..2013].to_vec();
        tokens.extend((0..12).map(|n| word(n * 61 + 5)));
        assert_eq!(forms.describe(&pushed(0.0), &tokens), None);
    }
}
