//! Sentences that speak of a concept, and sentences that do not.

use std::collections::BTreeMap;
use std::ops::Range;

use nissl_core::network::Tokenizer;
use nissl_core::seed::rng;
use nissl_core::{Column, Error, Result, Table};
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::truth::PREFIX;

/// A concept with sentences that speak of it and sentences that do not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConceptSentences {
    /// The concept, in words.
    pub concept: String,
    /// Sentences that speak of it.
    pub activating: Vec<String>,
    /// Sentences that do not.
    pub neutral: Vec<String>,
}

/// Gives each concept without neutral sentences as many as it has activating ones, drawn from the
/// activating sentences of the others.
///
/// A sentence that also stands under the concept itself is never drawn.
///
/// # Errors
/// A concept for which the others have no sentence.
pub fn draw_neutral(concepts: &mut [ConceptSentences], seed: u64) -> Result<()> {
    let all: Vec<Vec<String>> = concepts.iter().map(|concept| concept.activating.clone()).collect();
    for (place, concept) in concepts.iter_mut().enumerate() {
        if !concept.neutral.is_empty() {
            continue;
        }
        let others = all.iter().enumerate().filter(|(other, _)| *other != place);
        let mut pool: Vec<&String> = others.flat_map(|(_, sentences)| sentences).collect();
        pool.retain(|sentence| !all[place].contains(sentence));
        pool.shuffle(&mut rng(seed, 0xde7e_0000 + place as u64));
        pool.truncate(concept.activating.len());
        concept.neutral = pool.into_iter().cloned().collect();
        if concept.neutral.is_empty() {
            return Err(Error::setting(
                "sentences",
                format!("without neutral ones for `{}`", concept.concept),
                "sentences under a second label, or neutral ones for each concept",
            ));
        }
    }
    Ok(())
}

/// A sentence as a network reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSentence {
    /// Its tokens, with those that the tokenizer adds.
    pub tokens: Vec<u32>,
    /// The positions that count: all but those that the tokenizer added.
    pub counted: Range<usize>,
}

impl TokenSentence {
    /// A sentence of which every token counts.
    pub fn whole(tokens: Vec<u32>) -> Self {
        let counted = 0..tokens.len();
        Self { tokens, counted }
    }

    /// The tokens of `text`, at most `context` of them.
    ///
    /// # Errors
    /// A text that cannot be encoded, or without a token of its own.
    pub fn of(text: &str, tokenizer: &dyn Tokenizer, context: usize) -> Result<Self> {
        let spans = tokenizer.encode(text)?;
        // Special tokens cover no text.
        let before = spans.iter().take_while(|span| span.start == span.end).count();
        let after = spans[before..].iter().rev().take_while(|span| span.start == span.end).count();
        let mut tokens: Vec<u32> = spans.iter().map(|span| span.id).collect();
        tokens.truncate(context);
        let counted = before..(spans.len() - after).min(context);
        if counted.is_empty() {
            return Err(Error::Empty {
                what: format!("the sentence `{text}`"),
                expected: "at least one token within the network's context".to_owned(),
            });
        }
        Ok(Self { tokens, counted })
    }
}

/// A concept as a network reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConceptTokens {
    /// The concept, in words.
    pub concept: String,
    /// Sentences that speak of it.
    pub activating: Vec<TokenSentence>,
    /// Sentences that do not.
    pub neutral: Vec<TokenSentence>,
}

impl ConceptTokens {
    /// The tokens of a concept's sentences, each at most `context` long.
    ///
    /// # Errors
    /// As [`TokenSentence::of`].
    pub fn of(
        sentences: &ConceptSentences,
        tokenizer: &dyn Tokenizer,
        context: usize,
    ) -> Result<Self> {
        let side = |texts: &[String]| -> Result<Vec<TokenSentence>> {
            texts.iter().map(|text| TokenSentence::of(text, tokenizer, context)).collect()
        };
        Ok(Self {
            concept: sentences.concept.clone(),
            activating: side(&sentences.activating)?,
            neutral: side(&sentences.neutral)?,
        })
    }
}

/// Draws sentences for every planted concept from texts whose tokens carry their truth.
///
/// A text is cut at tokens that end a sentence; a sentence speaks of a concept when one of its
/// tokens carries it. Of each kind an even draw is kept, whatever the length of the stream.
/// Memory: the sentences kept.
pub struct SentenceDraw {
    each: usize,
    rng: rand_chacha::ChaCha8Rng,
    seen: u64,
    concepts: BTreeMap<String, [Kept; 2]>,
}

/// An even draw from the sentences seen so far.
#[derive(Clone, Default)]
struct Kept {
    sentences: Vec<String>,
    seen: u64,
}

impl SentenceDraw {
    /// Keeps `each` sentences with and without each concept.
    pub fn new(each: usize, seed: u64) -> Self {
        Self { each, rng: rng(seed, 0xd4a3), seen: 0, concepts: BTreeMap::new() }
    }

    /// The sentences of one text; `truth` has a row for each of its tokens, with `start` and `end`
    /// in bytes and yes-or-no columns `truth.<concept>`.
    ///
    /// # Errors
    /// A truth without those columns, or with places outside the text.
    pub fn push(&mut self, text: &str, truth: &Table) -> Result<()> {
        let (starts, ends) = (truth.u32s("start")?, truth.u32s("end")?);
        let labels: Vec<(&str, &[bool])> = truth
            .columns()
            .filter_map(|(name, column)| match column {
                Column::Bool(labels) => Some((name.strip_prefix(PREFIX)?, labels.as_slice())),
                _ => None,
            })
            .collect();
        let mut first = 0;
        for token in 0..starts.len() {
            let span = starts[token] as usize..ends[token] as usize;
            let Some(word) = text.get(span) else {
                let found = format!("{} to {}", starts[token], ends[token]);
                return Err(Error::setting("token", found, "a place in its text"));
            };
            let last = token + 1 == starts.len();
            if !last && !matches!(word.trim(), "." | "!" | "?") {
                continue;
            }
            let sentence = &text[starts[first] as usize..ends[token] as usize];
            for &(concept, labels) in &labels {
                let carried = labels[first..=token].contains(&true);
                self.keep(concept, carried, sentence);
            }
            self.seen += 1;
            first = token + 1;
        }
        Ok(())
    }

    fn keep(&mut self, concept: &str, carried: bool, sentence: &str) {
        let sides = match self.concepts.get_mut(concept) {
            Some(sides) => sides,
            None => self.concepts.entry(concept.to_owned()).or_default(),
        };
        let kept = &mut sides[usize::from(carried)];
        // The same words said twice are one sentence.
        if kept.sentences.iter().any(|other| other == sentence) {
            return;
        }
        kept.seen += 1;
        if kept.sentences.len() < self.each {
            kept.sentences.push(sentence.to_owned());
        } else {
            let place = self.rng.random_range(0..kept.seen) as usize;
            if let Some(old) = kept.sentences.get_mut(place) {
                sentence.clone_into(old);
            }
        }
    }

    /// The concepts with at least `least` sentences of either kind, and the names of the others.
    ///
    /// # Errors
    /// When no concept has enough.
    pub fn finish(self, least: usize) -> Result<(Vec<ConceptSentences>, Vec<String>)> {
        let (mut concepts, mut rare) = (Vec::new(), Vec::new());
        for (concept, [without, with]) in self.concepts {
            if with.sentences.len() < least || without.sentences.len() < least {
                rare.push(concept);
            } else {
                let (activating, neutral) = (with.sentences, without.sentences);
                concepts.push(ConceptSentences { concept, activating, neutral });
            }
        }
        if concepts.is_empty() {
            return Err(Error::Empty {
                what: format!("the list of concepts with {least} sentences of either kind"),
                expected: format!("one concept among {} sentences", self.seen),
            });
        }
        Ok((concepts, rare))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concept(name: &str, sentences: &[&str]) -> ConceptSentences {
        let activating = sentences.iter().map(|&text| text.to_owned()).collect();
        ConceptSentences { concept: name.to_owned(), activating, neutral: Vec::new() }
    }

    #[test]
    fn neutral_sentences_come_from_the_other_labels_only() {
        for seed in 0..5 {
            let mut all = [
                concept("a", &["a1", "a2", "both"]),
                concept("b", &["b1", "both"]),
                concept("c", &["c1"]),
            ];
            all[2].neutral = vec!["given".to_owned()];
            draw_neutral(&mut all, seed).expect("drawn");
            assert_eq!(all[0].neutral.len(), 2, "b1 and c1 are all that is left");
            assert!(all[0].neutral.iter().all(|text| text == "b1" || text == "c1"), "{all:?}");
            assert_eq!(all[1].neutral.len(), 2);
            assert!(!all[1].neutral.contains(&"both".to_owned()));
            assert_eq!(all[2].neutral, ["given"]);
        }
        let error = draw_neutral(&mut [concept("alone", &["x"])], 0).expect_err("no other");
        assert!(error.to_string().contains("alone"), "{error}");
    }

    fn story(words: &[(&str, bool)]) -> (String, Table) {
        let mut text = String::new();
        let (mut starts, mut ends, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for (word, carried) in words {
            if !text.is_empty() {
                text.push(' ');
            }
            starts.push(text.len() as u32);
            text += word;
            ends.push(text.len() as u32);
            labels.push(*carried);
        }
        let table = Table::new()
            .with("start", Column::U32(starts))
            .with("end", Column::U32(ends))
            .with("truth.animal", Column::Bool(labels));
        (text, table)
    }

    #[test]
    fn a_story_gives_the_sentences_with_and_without_each_concept() {
        let mut draw = SentenceDraw::new(10, 0);
        let (text, truth) = story(&[
            ("the", false),
            ("cat", true),
            (".", false),
            ("it", false),
            ("rains", false),
            (".", false),
            ("dogs", true),
        ]);
        draw.push(&text, &truth).expect("fits");
        draw.push(&text, &truth).expect("fits");
        let (found, rare) = draw.finish(1).expect("one concept");
        assert!(rare.is_empty());
        assert_eq!(found[0].concept, "animal");
        assert_eq!(found[0].activating, ["the cat .", "dogs"]);
        assert_eq!(found[0].neutral, ["it rains ."]);
        let mut draw = SentenceDraw::new(10, 0);
        draw.push(&text, &truth).expect("fits");
        assert!(draw.finish(2).is_err(), "one neutral sentence is too few");
    }

    #[test]
    fn the_draw_is_even_over_the_stream() {
        let mut firsts = [0; 4];
        for seed in 0..400 {
            let mut draw = SentenceDraw::new(1, seed);
            for word in ["a", "b", "c", "d"] {
                let (text, truth) = story(&[(word, true)]);
                draw.push(&text, &truth).expect("fits");
            }
            let (text, truth) = story(&[("none", false)]);
            draw.push(&text, &truth).expect("fits");
            let kept = draw.finish(1).expect("kept").0[0].activating[0].clone();
            firsts[usize::from(kept.as_bytes()[0] - b'a')] += 1;
        }
        // 100 each with a deviation of 9.
        assert!(firsts.iter().all(|count| (65..=135).contains(count)), "{firsts:?}");
    }
}
