//! Laws of the aligned languages.

use std::collections::BTreeMap;

use nissl_worlds::language::{Concepts, Language, LanguageWorld};

fn world(tokens: usize, seed: u64) -> LanguageWorld {
    let languages = Language::ALL.to_vec();
    LanguageWorld { tokens, seed, languages, ..LanguageWorld::default() }
}

#[test]
fn translations_share_their_meaning() {
    let lexical = ["animal", "food", "colour", "verb", "place", "weekday", "number.plural"];
    let world = world(20_000, 1);
    // For each meaning and language the concepts, whatever their order.
    let mut sentences: BTreeMap<u32, BTreeMap<&str, Vec<u128>>> = BTreeMap::new();
    let kept = lexical
        .iter()
        .fold(Concepts::EMPTY, |all, name| all.with(Concepts::named(name).expect("a concept")));
    let kept = Concepts::named("negated").expect("a concept").with(kept).bits();
    for story in world.stories() {
        for token in &story.tokens {
            let concepts = token.concepts.bits() & kept;
            let sentence = sentences.entry(token.meaning).or_default();
            let language = sentence.entry(token.language.name()).or_default();
            if token.concepts.iter().count() > 1 && token.concepts.bits() & kept != 0 {
                language.push(concepts);
            }
        }
    }
    let mut complete = 0;
    for (meaning, mut languages) in sentences {
        if languages.len() < Language::ALL.len() {
            continue;
        }
        complete += 1;
        // Function words differ in number; content words must not.
        let negated = Concepts::named("negated").expect("a concept").bits();
        for concepts in languages.values_mut() {
            concepts.retain(|bits| bits & !negated != 0);
            concepts.sort_unstable();
        }
        let english = languages["english"].clone();
        for (language, concepts) in &languages {
            assert_eq!(*concepts, english, "meaning {meaning} in {language}");
        }
    }
    assert!(complete > 100, "{complete}");
}

#[test]
fn text_gives_the_tokens_back_in_every_language() {
    for seed in 0..3 {
        let world = world(10_000, seed);
        let mut seen = BTreeMap::new();
        for story in world.stories() {
            let ids: Vec<u32> = story.tokens.iter().map(|token| token.id).collect();
            assert_eq!(world.tokenize(&story.text), ids, "{}", story.text);
            assert!(!ids.contains(&0));
            for token in &story.tokens {
                assert_eq!(&story.text[token.start..token.end], token.text);
            }
            *seen.entry(story.tokens[0].language.name()).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), Language::ALL.len());
    }
}

#[test]
fn surprise_averages_to_the_entropy_in_every_language() {
    for language in Language::ALL {
        let languages = vec![language];
        let world = LanguageWorld { tokens: 20_000, seed: 4, languages, ..Default::default() };
        let (mut sum, mut square) = (0.0, 0.0);
        for token in world.stories().flat_map(|story| story.tokens) {
            let gap = f64::from(token.surprise - token.entropy);
            sum += gap;
            square += gap * gap;
        }
        assert!((sum / f64::sqrt(square)).abs() < 3.5, "{language:?}: {}", sum / square.sqrt());
    }
}

#[test]
fn a_language_named_twice_is_refused() {
    let languages = vec![Language::French, Language::French];
    let world = LanguageWorld { languages, ..LanguageWorld::default() };
    let message = world.validate().expect_err("twice").to_string();
    assert!(message.contains("french"), "{message}");
}
