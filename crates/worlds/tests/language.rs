//! Laws of the language world: truth, entropy, grammar, determinism.

use std::collections::{BTreeMap, HashSet};

use nissl_worlds::language::{CONCEPTS, Concepts, LanguageWorld, Story, Token, index_of};

fn world(tokens: usize, seed: u64) -> LanguageWorld {
    LanguageWorld { tokens, seed, ..LanguageWorld::default() }
}

fn concept(name: &str) -> Concepts {
    Concepts::named(name).expect("a concept of the registry")
}

fn tokens(tokens: usize, seed: u64) -> Vec<Token> {
    world(tokens, seed).stories().flat_map(|story| story.tokens).collect()
}

#[test]
fn text_and_offsets_give_the_tokens_back() {
    for seed in 0..3 {
        let world = world(20_000, seed);
        let vocabulary = world.vocabulary();
        for story in world.stories() {
            let ids: Vec<u32> = story.tokens.iter().map(|token| token.id).collect();
            assert_eq!(world.tokenize(&story.text), ids, "{}", story.text);
            for token in &story.tokens {
                assert_eq!(&story.text[token.start..token.end], token.text);
                assert_eq!(vocabulary[token.id as usize], token.text);
            }
            assert!(!story.text.contains('\n'));
        }
    }
    assert_eq!(world(1, 0).tokenize("zzz the"), [0, world(1, 0).tokenize("the")[0]]);
}

#[test]
fn a_story_depends_on_seed_and_number_only() {
    for seed in [0, 7, u64::MAX] {
        let all: Vec<Story> = world(5_000, seed).stories().collect();
        assert_eq!(all, world(5_000, seed).stories().collect::<Vec<_>>());
        for story in &all {
            assert_eq!(*story, world(1, seed).story(story.index));
        }
        let later = LanguageWorld { first: 10, ..world(1_000, seed) };
        assert_eq!(later.stories().next().expect("a story"), all[10]);
        assert_ne!(all[0].text, all[1].text);
        assert_ne!(all[0].text, world(1, seed ^ 1).story(0).text);
    }
}

#[test]
fn stories_end_where_the_tokens_do_and_fit_a_context() {
    let stories: Vec<Story> = world(50_000, 3).stories().collect();
    let before: usize = stories[..stories.len() - 1].iter().map(|it| it.tokens.len()).sum();
    assert!(before < 50_000, "no story more than needed");
    let mut lengths: Vec<usize> = stories.iter().map(|story| story.tokens.len()).collect();
    lengths.sort_unstable();
    assert!(lengths[lengths.len() / 20] >= 60 && lengths[lengths.len() * 19 / 20] <= 140);
    for story in &stories {
        assert_eq!(story.tokens[0].text, "<story>");
        assert_eq!(story.tokens[story.tokens.len() - 1].text, "<end>");
    }
}

/// The law of large numbers: were one entropy wrong, `-ln p` would not average to it.
#[test]
fn surprise_averages_to_the_entropy() {
    for seed in 0..4 {
        let all = tokens(200_000, seed);
        let gaps = all.iter().map(|token| f64::from(token.surprise - token.entropy));
        let sum: f64 = gaps.clone().sum();
        let spread = gaps.map(|gap| gap * gap).sum::<f64>().sqrt();
        assert!((sum / spread).abs() < 3.5, "seed {seed}: {} standard errors", sum / spread);
        assert!(all.iter().all(|token| token.entropy >= 0.0 && token.surprise >= 0.0));
        // Where nothing can be chosen nothing surprises.
        assert!(all.iter().all(|token| token.entropy > 1e-6 || token.surprise < 1e-4));
    }
}

/// The same at single words, where errors of opposite sign could not hide each other.
#[test]
fn surprise_averages_to_the_entropy_after_each_frequent_word() {
    let all = tokens(400_000, 11);
    let mut after: BTreeMap<&str, (f64, f64, usize)> = BTreeMap::new();
    for pair in all.windows(2) {
        let gap = f64::from(pair[1].surprise - pair[1].entropy);
        let entry = after.entry(pair[0].text).or_default();
        *entry = (entry.0 + gap, entry.1 + gap * gap, entry.2 + 1);
    }
    let mut checked = 0;
    for (word, (sum, square, count)) in after {
        if count >= 2_000 && square > 1.0 {
            checked += 1;
            assert!((sum / square.sqrt()).abs() < 4.5, "after `{word}`: {}", sum / square.sqrt());
        }
    }
    assert!(checked >= 15, "{checked}");
}

#[test]
fn a_concept_brings_its_parents() {
    let parents: Vec<(Concepts, Concepts)> = CONCEPTS
        .iter()
        .enumerate()
        .filter_map(|(at, it)| it.parent.map(|parent| (Concepts::of(at), concept(parent))))
        .collect();
    for token in tokens(50_000, 0) {
        for (child, parent) in &parents {
            assert!(!token.concepts.holds(*child) || token.concepts.holds(*parent));
        }
    }
}

#[test]
fn concepts_are_many_rare_and_frequent() {
    let all = tokens(300_000, 0);
    assert!(CONCEPTS.len() >= 60);
    let (mut rare, mut frequent) = (0, 0);
    for (at, concept) in CONCEPTS.iter().enumerate() {
        let count = all.iter().filter(|token| token.concepts.has(at)).count();
        assert!(count >= 100, "{} occurs {count} times", concept.name);
        let density = count as f64 / all.len() as f64;
        rare += usize::from(density < 0.005);
        frequent += usize::from(density > 0.2);
    }
    assert!(rare >= 10 && frequent >= 5, "{rare} rare, {frequent} frequent");
}

#[test]
fn some_concepts_correlate_without_being_parent_and_child() {
    let all = tokens(100_000, 0);
    let n = all.len() as f64;
    let related = |child: usize, other: usize| {
        let mut at = CONCEPTS[child].parent;
        while let Some(parent) = at {
            let index = index_of(parent).expect("a parent is a concept");
            if index == other {
                return true;
            }
            at = CONCEPTS[index].parent;
        }
        false
    };
    let mut together = vec![vec![0.0_f64; CONCEPTS.len()]; CONCEPTS.len()];
    for token in &all {
        let present: Vec<usize> = token.concepts.iter().collect();
        for &a in &present {
            for &b in &present {
                together[a][b] += 1.0 / n;
            }
        }
    }
    let mut pairs = Vec::new();
    for a in 0..CONCEPTS.len() {
        for b in a + 1..CONCEPTS.len() {
            let (p, q, both) = (together[a][a], together[b][b], together[a][b]);
            let phi = (both - p * q) / (p * (1.0 - p) * q * (1.0 - q)).sqrt();
            if phi > 0.3 && phi < 0.95 && !related(a, b) && !related(b, a) {
                pairs.push((CONCEPTS[a].name, CONCEPTS[b].name));
            }
        }
    }
    assert!(pairs.len() >= 3, "{pairs:?}");
    assert!(pairs.contains(&("name", "sentence.start")), "{pairs:?}");
}

/// Lexical classes without function words, parents excluded: what distinguishes two senses.
fn sense(token: &Token) -> Option<u128> {
    let classes = [
        "weekday",
        "month",
        "season",
        "time",
        "colour",
        "animal",
        "food",
        "place",
        "profession",
        "body",
        "object",
        "nature",
        "verb",
        "adjective",
        "adverb",
        "function.auxiliary",
    ];
    let bits = classes.iter().map(|name| concept(name)).filter(|it| token.concepts.holds(*it));
    let bits = bits.fold(0, |all, one| all | one.bits());
    (bits != 0).then_some(bits)
}

#[test]
fn words_have_two_senses_by_context() {
    let all = tokens(200_000, 0);
    let mut words: BTreeMap<&str, BTreeMap<u128, usize>> = BTreeMap::new();
    for token in &all {
        if let Some(sense) = sense(token) {
            *words.entry(token.text).or_default().entry(sense).or_default() += 1;
        }
    }
    let second: BTreeMap<&str, usize> = words
        .into_iter()
        .filter(|(_, senses)| senses.len() > 1)
        .map(|(word, senses)| {
            let mut counts: Vec<usize> = senses.into_values().collect();
            counts.sort_unstable();
            (word, counts[counts.len() - 2])
        })
        .collect();
    let enough = second.values().filter(|count| **count >= 20).count();
    assert!(enough >= 8, "{enough}: {second:?}");
    // Two senses are never present at once, and the words are marked.
    let apart =
        [("bank", "place", "nature"), ("orange", "colour", "food"), ("rose", "nature", "verb")];
    let polysemous = concept("polysemous");
    for (word, a, b) in apart {
        let (a, b) = (concept(a), concept(b));
        let uses = || all.iter().filter(|it| it.text == word);
        assert!(uses().any(|it| it.concepts.holds(a)) && uses().any(|it| it.concepts.holds(b)));
        assert!(uses().all(|it| it.concepts.holds(a) != it.concepts.holds(b)), "{word}");
        assert!(uses().all(|it| it.concepts.holds(polysemous)), "{word}");
    }
}

#[test]
fn nearly_the_whole_vocabulary_is_used() {
    let size = world(1, 0).vocabulary().len();
    assert!((1_300..=1_700).contains(&size), "{size} words");
    let used: HashSet<u32> = tokens(300_000, 2).into_iter().map(|token| token.id).collect();
    assert!(used.len() as f64 >= 0.95 * size as f64, "{} of {size}", used.len());
}

#[test]
fn pronouns_agree_with_the_subject() {
    let (feminine, masculine) = (concept("subject.feminine"), concept("subject.masculine"));
    let mut counted = 0;
    for token in tokens(100_000, 5) {
        assert!(!token.concepts.holds(feminine) || !token.concepts.holds(masculine));
        match token.text {
            "she" => assert!(token.concepts.holds(feminine)),
            "he" => assert!(token.concepts.holds(masculine)),
            _ => continue,
        }
        assert!(token.concepts.holds(concept("anaphor")));
        counted += 1;
    }
    assert!(counted > 1_000, "{counted}");
}

#[test]
fn articles_fit_and_numbers_take_plurals() {
    let all = tokens(200_000, 6);
    let plural = concept("number.plural");
    let (mut articles, mut numbers) = (0, 0);
    for pair in all.windows(2) {
        let next = pair[1].text;
        let vowel = next.starts_with(['a', 'e', 'i', 'o', 'u']) && !next.starts_with("uni");
        match pair[0].text {
            "a" => assert!(!vowel, "a {next}"),
            "an" => assert!(vowel, "an {next}"),
            word => {
                let number = pair[0].concepts.holds(concept("number")) && word != "one";
                if number {
                    assert!(pair[1].concepts.holds(plural), "{word} {next}");
                    numbers += 1;
                }
                continue;
            }
        }
        assert!(!pair[1].concepts.holds(plural), "a {next}");
        articles += 1;
    }
    assert!(articles > 2_000 && numbers > 200, "{articles} {numbers}");
}

#[test]
fn quotations_are_marked_from_mark_to_mark() {
    let quotation = concept("quotation");
    for story in world(50_000, 8).stories() {
        let mut open = false;
        for token in &story.tokens {
            let mark = token.text == "\"";
            assert_eq!(token.concepts.holds(quotation), open || mark, "{}", story.text);
            open ^= mark;
        }
        assert!(!open);
    }
}

/// What belongs to someone returns with the same name.
#[test]
fn possessions_return() {
    let (owned, again) = (concept("owner.first"), concept("mention.repeated"));
    let object = concept("object");
    let mut returns = 0;
    for story in world(50_000, 9).stories() {
        let things =
            story.tokens.iter().filter(|it| it.concepts.holds(owned) && it.concepts.holds(object));
        let words: HashSet<&str> = things.clone().map(|it| it.text).collect();
        assert!(words.len() <= 1, "one thing for each person: {words:?} in {}", story.text);
        returns += things.filter(|it| it.concepts.holds(again)).count();
    }
    assert!(returns > 300, "{returns}");
}

#[test]
fn settings_out_of_range_are_refused() {
    let message = world(0, 0).validate().expect_err("no tokens").to_string();
    assert!(message.contains("tokens"), "{message}");
    assert!(world(1, 0).validate().is_ok());
}

#[test]
fn the_tokenizer_file_lists_the_vocabulary() {
    let world = world(1, 0);
    let json: serde_json::Value =
        serde_json::from_str(&world.tokenizer_json()).expect("the file is JSON");
    for (id, word) in world.vocabulary().iter().enumerate() {
        assert_eq!(json["model"]["vocab"][word], id);
    }
    let special = json["added_tokens"].as_array().expect("a list");
    assert_eq!(special.len(), 3);
}
