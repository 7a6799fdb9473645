//! Stories of aligned sentences: one meaning, told in English, French, German, Spanish or a code.
//!
//! Story `i` is told in language `i mod L` from the meanings of group `⌊i / L⌋`, so that `L`
//! stories in a row translate each other sentence by sentence. A sentence is a row of phrases; the
//! entropy of a token is that of the next word among the phrases that agree with the words so far,
//! given which phrases the sentence has, its number and whether it is negated.
//!
//! The synthetic language puts the object first and the verb last, sets colours after nouns, has
//! no article, and marks the plural by `ri`, place by `be` and negation by `wu`.

use std::collections::HashMap;
use std::sync::LazyLock;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::aligned_lexicon::{OBJECTS, SUBJECTS};
use super::concepts::{MARK, NEGATED, PRESENT, SENTENCE_START, STORY_END, STORY_START};
use super::phrases::{Phrase, Phrases, days, negation, nouns, places, verbs};
use super::story::{Story, Told, render};

/// Sentences of a story.
const SENTENCES: u64 = 8;

/// A language of the aligned stories.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English
    #[default]
    English,
    /// French
    French,
    /// German
    German,
    /// Spanish
    Spanish,
    /// A code of made-up words with an order of its own
    Synthetic,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 5] =
        [Self::English, Self::French, Self::German, Self::Spanish, Self::Synthetic];

    /// Its name as it stands in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "english",
            Self::French => "french",
            Self::German => "german",
            Self::Spanish => "spanish",
            Self::Synthetic => "synthetic",
        }
    }
}

/// What one sentence says; each field but the first three is the place of a phrase in its list.
#[derive(Clone, Copy)]
struct Meaning {
    plural: bool,
    negated: bool,
    object_plural: bool,
    day: Option<usize>,
    subject: usize,
    verb: usize,
    object: usize,
    place: Option<usize>,
}

/// The words of all languages in the order of their ids.
pub(super) static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut words: Vec<String> = ["<unk>", "<story>", "<end>", ".", ","].map(str::to_owned).into();
    for language in Language::ALL {
        let mut add = |phrases: Phrases| {
            for word in phrases.into_iter().flat_map(|(_, phrase)| phrase) {
                if !words.contains(&word.0) {
                    words.push(word.0);
                }
            }
        };
        for plural in [false, true] {
            for accusative in [false, true] {
                let table = if accusative { OBJECTS } else { SUBJECTS };
                add(nouns(language, table, plural, accusative));
            }
            for negated in [false, true] {
                add(verbs(language, plural, negated));
            }
        }
        add(days(language));
        add(places(language));
        add(vec![(1.0, negation(language))]);
    }
    words
});

static IDS: LazyLock<HashMap<&'static str, u16>> =
    LazyLock::new(|| WORDS.iter().map(String::as_str).zip(0..).collect());

/// Place of `word` in [`WORDS`].
pub(super) fn id(word: &str) -> Option<u16> {
    IDS.get(word).copied()
}

/// Tells story `index` of `seed` in its language.
pub(super) fn tell(seed: u64, index: u64, languages: &[Language]) -> Story {
    let language = languages[(index % languages.len() as u64) as usize];
    let group = index / languages.len() as u64;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // English stories use the streams from 0 on.
    rng.set_stream(u64::MAX - group);
    let mark = |word: &str, sentence: u32| Told {
        word: IDS[word],
        concepts: MARK,
        entropy: 0.0,
        surprise: 0.0,
        sentence,
    };
    let mut told = vec![mark("<story>", 0)];
    for sentence in 0..SENTENCES {
        let meaning = draw(&mut rng);
        let first = told.len();
        let mut pending = Vec::new();
        let row = sentence_of(language, &meaning);
        for (at, phrase) in row.iter().enumerate() {
            let following = row.get(at + 1).map(|(phrases, _)| phrases);
            pending = tell_phrase(phrase, following, pending, sentence as u32, &mut told);
        }
        let mut around = PRESENT;
        if meaning.negated {
            around = around.with(NEGATED);
        }
        if sentence == 0 {
            around = around.with(STORY_START);
        } else if sentence == SENTENCES - 1 {
            around = around.with(STORY_END);
        }
        for token in &mut told[first..] {
            token.concepts = token.concepts.with(around);
        }
        told[first].concepts = told[first].concepts.with(SENTENCE_START);
    }
    told.push(mark("<end>", SENTENCES as u32 - 1));
    let mut story = render(&WORDS, index, &told);
    for (token, told) in story.tokens.iter_mut().zip(&told) {
        token.language = language;
        token.meaning = (group * SENTENCES) as u32 + told.sentence;
    }
    story
}

fn draw(rng: &mut ChaCha8Rng) -> Meaning {
    let pattern = rng.random_range(0..4);
    let (plural, object_plural) = (rng.random_bool(0.3), rng.random_bool(0.3));
    let negated = rng.random_bool(0.2);
    let english = Language::English;
    let subjects = nouns(english, SUBJECTS, plural, false);
    let objects = nouns(english, OBJECTS, object_plural, true);
    let day = pick(rng, &days(english));
    let place = pick(rng, &places(english));
    Meaning {
        plural,
        negated,
        object_plural,
        day: (pattern & 1 == 1).then_some(day),
        subject: pick(rng, &subjects),
        verb: pick(rng, &verbs(english, plural, negated)),
        object: pick(rng, &objects),
        place: (pattern & 2 == 2).then_some(place),
    }
}

fn pick(rng: &mut ChaCha8Rng, phrases: &Phrases) -> usize {
    let mut draw = rng.random::<f64>();
    for (at, (share, _)) in phrases.iter().enumerate() {
        draw -= share;
        if draw < 0.0 {
            return at;
        }
    }
    phrases.len() - 1
}

/// The phrases of the sentence in the order of `language`, each list with the place of the chosen.
fn sentence_of(language: Language, meaning: &Meaning) -> Vec<(Phrases, usize)> {
    let subject = (nouns(language, SUBJECTS, meaning.plural, false), meaning.subject);
    let object = (nouns(language, OBJECTS, meaning.object_plural, true), meaning.object);
    let verb = (verbs(language, meaning.plural, meaning.negated), meaning.verb);
    let day = meaning.day.map(|day| (days(language), day));
    let place = meaning.place.map(|place| (places(language), place));
    let not = meaning.negated.then(|| (vec![(1.0, negation(language))], 0));
    let not = not.filter(|(phrases, _)| !phrases[0].1.is_empty());
    let mut row = Vec::new();
    let fronted = day.is_some();
    row.extend(day);
    match language {
        Language::German if fronted => row.extend([verb, subject, object]),
        Language::Synthetic => row.extend([object, subject, verb]),
        _ => row.extend([subject, verb, object]),
    }
    // Only in these two does the negation stand apart from the verb.
    if language == Language::Synthetic {
        row.extend(place);
        row.extend(not);
    } else {
        row.extend(not);
        row.extend(place);
    }
    row.push((vec![(1.0, vec![(".".to_owned(), MARK)])], 0));
    row
}

/// Words with their probabilities.
type Next = Vec<(String, f64)>;

fn add(next: &mut Next, word: &str, p: f64) {
    match next.iter_mut().find(|(known, _)| known == word) {
        Some((_, sum)) => *sum += p,
        None => next.push((word.to_owned(), p)),
    }
}

/// Appends the words of the chosen phrase, each with the entropy of the next word.
///
/// `pending` are the words by which the phrase before might have gone on, with their
/// probabilities; what this one might have gone on with is returned. A phrase that may end is
/// followed by the first word of the `following`.
fn tell_phrase(
    (phrases, chosen): &(Phrases, usize),
    following: Option<&Phrases>,
    mut pending: Next,
    sentence: u32,
    told: &mut Vec<Told>,
) -> Next {
    let phrase = &phrases[*chosen].1;
    let mut live: Vec<&(f64, Phrase)> = phrases.iter().collect();
    // The next word where each of `live` has one at `at`; those that end there are left out.
    let next_of = |live: &[&(f64, Phrase)], at: usize, share: f64, next: &mut Next| {
        let total: f64 = live.iter().map(|(weight, _)| weight).sum();
        for (weight, other) in live {
            if let Some((word, _)) = other.get(at) {
                add(next, word, share * weight / total);
            }
        }
    };
    for (at, (word, concepts)) in phrase.iter().enumerate() {
        let mut next = std::mem::take(&mut pending);
        let share = 1.0 - next.iter().map(|(_, p)| p).sum::<f64>();
        next_of(&live, at, share, &mut next);
        let ends = 1.0 - next.iter().map(|(_, p)| p).sum::<f64>();
        if let Some(following) = following.filter(|_| ends > 1e-9) {
            next_of(&following.iter().collect::<Vec<_>>(), 0, ends, &mut next);
        }
        let entropy: f64 = next.iter().map(|(_, p)| -p * p.ln()).sum();
        let p = next.iter().find(|(known, _)| known == word).map_or(1.0, |(_, p)| *p);
        told.push(Told {
            word: IDS[word.as_str()],
            concepts: *concepts,
            entropy: entropy.max(0.0) as f32,
            surprise: (-p.ln()).max(0.0) as f32,
            sentence,
        });
        live.retain(|(_, other)| other.get(at).is_some_and(|(known, _)| known == word));
    }
    next_of(&live, phrase.len(), 1.0, &mut pending);
    pending
}
