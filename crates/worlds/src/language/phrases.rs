//! The phrases of the aligned languages, agreeing in gender, number and case.

use super::aligned::Language;
use super::aligned_lexicon::{COLOURS, DAYS, PLACES, SUBJECTS, VERBS};
use super::concepts::{AUXILIARY, Concepts, DETERMINER, FUNCTION, MARK, PLURAL, PREPOSITION};
use super::parse::concepts;

/// Share of nouns that have a colour, where they may.
const COLOURED: f64 = 0.4;

/// A phrase: its words with their concepts.
pub(super) type Phrase = Vec<(String, Concepts)>;
/// Phrases with their probabilities, in the same order in every language.
pub(super) type Phrases = Vec<(f64, Phrase)>;

/// Noun phrases of `table`, each noun plain and, unless it is a person, in each colour.
pub(super) fn nouns(
    language: Language,
    table: &[(&str, [&str; 4])],
    plural: bool,
    accusative: bool,
) -> Phrases {
    let base = if accusative { SUBJECTS.len() } else { 0 };
    let mut phrases = Vec::new();
    for (row, (kind, forms)) in table.iter().enumerate() {
        let share = 1.0 / table.len() as f64;
        let person = *kind == "profession";
        let noun = concepts(kind).with(if plural { PLURAL } else { Concepts::EMPTY });
        let plain = if person { 1.0 } else { 1.0 - COLOURED };
        let form = (forms, row + base);
        phrases.push((share * plain, noun_phrase(language, form, noun, plural, accusative, None)));
        if !person {
            for colour in 0..COLOURS.len() {
                let phrase = noun_phrase(language, form, noun, plural, accusative, Some(colour));
                phrases.push((share * COLOURED / COLOURS.len() as f64, phrase));
            }
        }
    }
    phrases
}

fn noun_phrase(
    language: Language,
    (forms, code): (&[&str; 4], usize),
    concepts_of_noun: Concepts,
    plural: bool,
    accusative: bool,
    colour: Option<usize>,
) -> Phrase {
    if language == Language::Synthetic {
        let mut noun = synthetic(code);
        if plural {
            noun.push_str("ri");
        }
        let mut phrase = vec![(noun, concepts_of_noun)];
        phrase.extend(colour.map(|at| (synthetic(40 + at), concepts(COLOURS[at].0))));
        return phrase;
    }
    let form = forms[language as usize];
    let part = |at: usize| form.split('/').nth(at).unwrap_or_default();
    let noun = (part(usize::from(plural)).to_owned(), concepts_of_noun);
    let gender = part(2);
    let article = match (language, gender, plural) {
        (Language::French, _, true) => "les",
        (Language::French, "f", _) => "la",
        (Language::French, ..) => "le",
        (Language::German, _, true) | (Language::German, "f", _) => "die",
        (Language::German, "n", _) => "das",
        (Language::German, ..) if accusative => "den",
        (Language::German, ..) => "der",
        (Language::Spanish, "f", true) => "las",
        (Language::Spanish, _, true) => "los",
        (Language::Spanish, "f", _) => "la",
        (Language::Spanish, ..) => "el",
        _ => "the",
    };
    let article = (article.to_owned(), DETERMINER);
    let colour = colour.map(|at| {
        let (kind, forms) = COLOURS[at];
        let form = forms[language as usize];
        let word = match language {
            Language::French | Language::Spanish => {
                let at = usize::from(gender == "f") + 2 * usize::from(plural);
                form.split('/').nth(at).unwrap_or_default().to_owned()
            }
            Language::German if plural || accusative && gender == "m" => format!("{form}en"),
            Language::German => format!("{form}e"),
            _ => form.to_owned(),
        };
        (word, concepts(kind))
    });
    let mut phrase = vec![article];
    if matches!(language, Language::French | Language::Spanish) {
        phrase.push(noun);
        phrase.extend(colour);
    } else {
        phrase.extend(colour);
        phrase.push(noun);
    }
    phrase
}

pub(super) fn verbs(language: Language, plural: bool, negated: bool) -> Phrases {
    let all = VERBS.iter().enumerate().map(|(row, (kind, forms))| {
        let kind = concepts(kind);
        let form = |plural: bool| {
            if language == Language::Synthetic {
                return synthetic(50 + row);
            }
            let forms = forms[language as usize];
            forms.split('/').nth(usize::from(plural)).unwrap_or_default().to_owned()
        };
        let verb = (form(plural), kind);
        let word = |word: &str| (word.to_owned(), FUNCTION);
        let phrase = match language {
            Language::English if negated => {
                let auxiliary = if plural { "do" } else { "does" };
                let auxiliary = (auxiliary.to_owned(), AUXILIARY);
                vec![auxiliary, word("not"), (form(true), kind)]
            }
            Language::French if negated => vec![word("ne"), verb, word("pas")],
            Language::Spanish if negated => vec![word("no"), verb],
            _ => vec![verb],
        };
        (1.0 / VERBS.len() as f64, phrase)
    });
    all.collect()
}

/// The negation where it is a phrase of its own.
pub(super) fn negation(language: Language) -> Phrase {
    match language {
        Language::German => vec![("nicht".to_owned(), FUNCTION)],
        Language::Synthetic => vec![("wu".to_owned(), FUNCTION)],
        _ => Vec::new(),
    }
}

pub(super) fn days(language: Language) -> Phrases {
    let all = DAYS.iter().enumerate().map(|(row, (kind, forms))| {
        let before = match language {
            Language::English => Some(("on", PREPOSITION)),
            Language::French => Some(("le", DETERMINER)),
            Language::German => Some(("am", PREPOSITION)),
            Language::Spanish => Some(("el", DETERMINER)),
            Language::Synthetic => None,
        };
        let day = match language {
            Language::Synthetic => synthetic(65 + row),
            _ => forms[language as usize].to_owned(),
        };
        let mut phrase: Phrase =
            before.into_iter().map(|(word, kind)| (word.into(), kind)).collect();
        phrase.push((day, concepts(kind)));
        if language == Language::French {
            phrase.push((",".to_owned(), MARK));
        }
        (1.0 / DAYS.len() as f64, phrase)
    });
    all.collect()
}

pub(super) fn places(language: Language) -> Phrases {
    let all = PLACES.iter().enumerate().map(|(row, (kind, forms))| {
        let kind = concepts(kind);
        let phrase = if language == Language::Synthetic {
            vec![(synthetic(75 + row), kind), ("be".to_owned(), PREPOSITION)]
        } else {
            let form = forms[language as usize];
            let mut parts = form.split('/');
            let place = (parts.next().unwrap_or_default().to_owned(), kind);
            let feminine = parts.nth(1) == Some("f");
            let before: &[(&str, Concepts)] = match (language, feminine) {
                (Language::French, true) => &[("dans", PREPOSITION), ("la", DETERMINER)],
                (Language::French, false) => &[("dans", PREPOSITION), ("le", DETERMINER)],
                (Language::German, true) => &[("in", PREPOSITION), ("der", DETERMINER)],
                (Language::German, false) => &[("im", PREPOSITION)],
                (Language::Spanish, true) => &[("en", PREPOSITION), ("la", DETERMINER)],
                (Language::Spanish, false) => &[("en", PREPOSITION), ("el", DETERMINER)],
                _ => &[("in", PREPOSITION), ("the", DETERMINER)],
            };
            let mut phrase: Phrase =
                before.iter().map(|(word, kind)| ((*word).to_owned(), *kind)).collect();
            phrase.push(place);
            phrase
        };
        (1.0 / PLACES.len() as f64, phrase)
    });
    all.collect()
}

/// The synthetic word for concept number `code`, of two syllables.
fn synthetic(code: usize) -> String {
    let syllable = |at: usize| {
        let at = at % 40;
        [["z", "v", "w", "x", "q", "j", "k", "b"][at % 8], ["a", "e", "i", "o", "u"][at / 8]]
            .concat()
    };
    syllable(code) + &syllable(code * 13 + code / 40 * 5 + 7)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::aligned_lexicon::OBJECTS;
    use super::*;

    #[test]
    fn synthetic_words_are_a_code() {
        let words: HashSet<_> = (0..85).map(synthetic).collect();
        assert_eq!(words.len(), 85, "no two concepts share a word");
        for (_, forms) in SUBJECTS.iter().chain(OBJECTS).chain(PLACES) {
            for form in forms {
                assert!(!words.contains(form.split('/').next().unwrap_or_default()));
            }
        }
    }

    #[test]
    fn phrases_agree_in_gender_number_and_case() {
        let text = |language, row: usize, plural, accusative: bool, colour| {
            let table = if accusative { OBJECTS } else { SUBJECTS };
            let form = (&table[row].1, row);
            let phrase =
                noun_phrase(language, form, Concepts::EMPTY, plural, accusative, Some(colour));
            phrase.into_iter().map(|(word, _)| word).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text(Language::German, 0, false, true, 0), "den roten Apfel");
        assert_eq!(text(Language::German, 0, false, false, 0), "der rote Hund");
        assert_eq!(text(Language::German, 2, false, false, 4), "das schwarze Pferd");
        assert_eq!(text(Language::German, 3, true, false, 2), "die grünen Kühe");
        assert_eq!(text(Language::French, 3, true, false, 3), "les vaches blanches");
        assert_eq!(text(Language::French, 2, false, true, 2), "le gâteau vert");
        assert_eq!(text(Language::Spanish, 4, true, true, 0), "los tomates rojos");
        assert_eq!(text(Language::Spanish, 0, false, true, 0), "la manzana roja");
        assert_eq!(text(Language::English, 4, true, false, 7), "the grey mice");
    }
}
