//! A story from its seed and number: sentences in order, text, offsets, discourse concepts.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::aligned::Language;
use super::concepts::{
    ANIMAL, CITY, Concepts, FAMILY, FIRST_MENTION, FOOD, MARK, NAME, NATURE, OBJECT, PLACE,
    PROFESSION, REPEATED, SENTENCE_START, STORY_END, STORY_START,
};
use super::grammar::{GRAMMAR, Grammar};
use super::state::State;
use super::teller::Teller;

pub(super) use super::teller::Told;

/// Sentences of the middle part, at least and at most.
const BODY: std::ops::RangeInclusive<usize> = 3..=7;
/// Probability that a story closes at each sentence after the least number.
const CLOSING: f64 = 0.25;
/// Share of stories told in the past.
const PAST_SHARE: f64 = 0.75;

/// One story with its truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// Number of the story under its seed
    pub index: u64,
    /// All tokens, the opening `<story>` and the closing `<end>` included
    pub tokens: Vec<Token>,
    /// The tokens as one line of text
    pub text: String,
}

/// One token with its truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Place in the vocabulary
    pub id: u32,
    /// The word
    pub text: &'static str,
    /// Its first byte in the story's text
    pub start: usize,
    /// Byte after the last
    pub end: usize,
    /// The concepts it carries
    pub concepts: Concepts,
    /// Entropy of the generator's choice given its full state, in nats
    pub entropy: f32,
    /// `-ln p` of this word under the generator, in nats
    pub surprise: f32,
    /// Language of the story
    pub language: Language,
    /// Number of the sentence's meaning: stories that translate each other share it; in English
    /// stories the number of the sentence in its story
    pub meaning: u32,
}

/// Tells story `index` of `seed`.
pub(super) fn tell(seed: u64, index: u64) -> Story {
    let grammar: &'static Grammar = &GRAMMAR;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index);
    let rule = |name: &str| grammar.rule_ids[name];
    let mut state = State::new(rng.random_range(0..4), rng.random_bool(PAST_SHARE));
    let mut teller = Teller::new(grammar);
    let certain =
        |word, sentence| Told { word, concepts: MARK, entropy: 0.0, surprise: 0.0, sentence };
    let mut told = vec![certain(grammar.fixed.story, 0)];
    let mut starts = vec![0];
    for name in ["open", "introduce", "second"] {
        starts.push(told.len());
        (state, _) = teller.sentence(&state, &[(rule(name), 1.0)], &mut rng, &mut told);
    }
    let (body, close) = (rule("body"), rule("close"));
    let mut sentences = 0;
    loop {
        let closing = match sentences {
            few if few < *BODY.start() => 0.0,
            many if many >= *BODY.end() => 1.0,
            _ => CLOSING,
        };
        let rules = [(body, 1.0 - closing), (close, closing)];
        let rules = match closing {
            0.0 => &rules[..1],
            1.0 => &rules[1..],
            _ => &rules[..],
        };
        starts.push(told.len());
        let which;
        (state, which) = teller.sentence(&state, rules, &mut rng, &mut told);
        if rules[which].0 == close {
            break;
        }
        sentences += 1;
    }
    mark_discourse(&mut told, &starts);
    told.push(certain(grammar.fixed.end, starts.len() as u32 - 2));
    render(&grammar.words, index, &told)
}

/// Adds the concepts that depend on the whole story.
fn mark_discourse(told: &mut [Told], starts: &[usize]) {
    let mut seen = vec![];
    let last = starts[starts.len() - 1];
    let second = starts.get(2).copied().unwrap_or(told.len());
    for (at, token) in told.iter_mut().enumerate() {
        token.sentence = starts.iter().skip(2).filter(|start| **start <= at).count() as u32;
        let nominal = [NAME, ANIMAL, FOOD, PLACE, CITY, PROFESSION, FAMILY, OBJECT, NATURE];
        let mut add = Concepts::EMPTY;
        if nominal.iter().any(|kind| token.concepts.holds(*kind)) {
            if seen.contains(&token.word) {
                add = add.with(REPEATED);
            } else {
                seen.push(token.word);
                add = add.with(FIRST_MENTION);
            }
        }
        if at < second {
            add = add.with(STORY_START);
        }
        if at >= last {
            add = add.with(STORY_END);
        }
        if at > 0 && starts.contains(&at) {
            add = add.with(SENTENCE_START);
        }
        token.concepts = token.concepts.with(add);
    }
}

/// Sets the words to text: no space before a mark, none inside quotation marks.
pub(super) fn render(words: &'static [String], index: u64, told: &[Told]) -> Story {
    let mut text = String::new();
    let mut tokens = Vec::with_capacity(told.len());
    let mut quoted = false;
    let mut glue = true;
    for token in told {
        let word = words[token.word as usize].as_str();
        let quote = word == "\"";
        let closes = quote && quoted;
        if !glue && !closes && !matches!(word, "." | "," | "?" | "!" | "'s") {
            text.push(' ');
        }
        quoted ^= quote;
        glue = quote && quoted;
        let start = text.len();
        text.push_str(word);
        tokens.push(Token {
            id: u32::from(token.word),
            text: word,
            start,
            end: text.len(),
            concepts: token.concepts,
            entropy: token.entropy,
            surprise: token.surprise,
            language: Language::English,
            meaning: token.sentence,
        });
    }
    Story { index, tokens, text }
}
