//! Words and their tokens, on a small vocabulary with all that real ones have.

use nissl_core::Result;
use nissl_core::network::{TokenSpan, Tokenizer};
use nissl_explain::lm_head::{Families, Split};

const TOKENS: [&str; 24] = [
    " dog",
    "Dog",
    " dogs",
    "dog",
    " Dogs",
    " cat",
    "city",
    " cities",
    " box",
    " boxes",
    " bus",
    " is",
    "i",
    " class",
    " cal",
    "ifor",
    "nia",
    " California",
    " Hund",
    "<s>",
    ".",
    " glass",
    "s",
    " DOG",
];

/// Cuts greedily into the longest tokens.
struct Greedy;

impl Tokenizer for Greedy {
    fn encode(&self, text: &str) -> Result<Vec<TokenSpan>> {
        let mut spans = vec![TokenSpan { id: 19, start: 0, end: 0 }];
        let mut at = 0;
        while at < text.len() {
            let fitting = (0..TOKENS.len()).filter(|&id| text[at..].starts_with(TOKENS[id]));
            let Some(id) = fitting.max_by_key(|&id| TOKENS[id].len()) else {
                at += 1;
                continue;
            };
            spans.push(TokenSpan { id: id as u32, start: at, end: at + TOKENS[id].len() });
            at += TOKENS[id].len();
        }
        Ok(spans)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String> {
        Ok(tokens.iter().map(|&id| TOKENS[id as usize]).collect())
    }

    fn token(&self, id: u32) -> Option<String> {
        TOKENS.get(id as usize).map(|text| (*text).to_owned())
    }

    fn size(&self) -> usize {
        TOKENS.len()
    }

    fn end(&self) -> Option<u32> {
        None
    }
}

fn texts(tokens: &[u32]) -> Vec<&'static str> {
    tokens.iter().map(|&id| TOKENS[id as usize]).collect()
}

#[test]
fn a_word_is_all_its_surface_forms() {
    let families = Families::of(&Greedy, 24, &[]);
    let of = |word: &str| texts(&families.word(word, Split::Refuse).expect("a word").tokens);
    for form in ["dog", "Dog", " dogs", "DOG"] {
        assert_eq!(of(form), [" dog", "Dog", " dogs", "dog", " Dogs", " DOG"], "{form}");
    }
    assert_eq!(of("cities"), ["city", " cities"]);
    assert_eq!(of("box"), [" box", " boxes"]);
    // No plural of what is no word: of `bu`, `i`, `clas`.
    assert_eq!(of("bus"), [" bus"]);
    assert_eq!(of("is"), [" is"]);
    assert_eq!(of("class"), [" class"]);
    assert!(families.are_one(0, 4) && !families.are_one(0, 5));
    assert!(families.are_one(21, 21) && !families.are_one(13, 21));
}

#[test]
fn a_list_joins_words_of_other_languages() {
    let lists = [vec!["dog".to_owned(), "Hund".to_owned(), "chien".to_owned()]];
    let families = Families::of(&Greedy, 24, &lists);
    let all = families.word("Hund", Split::Refuse).expect("a word").tokens;
    assert!(texts(&all).contains(&" dogs") && texts(&all).contains(&" Hund"));
    // A listed word without a token of its own stands for its list.
    assert_eq!(families.word("chien", Split::Refuse).expect("a word").tokens, all);
}

#[test]
fn a_word_of_several_tokens_needs_a_choice() {
    let families = Families::of(&Greedy, 24, &[]);
    assert_eq!(
        texts(&families.word("California", Split::Refuse).expect("one").tokens),
        [" California"]
    );
    let without = Families::of(&Greedy, 17, &[]);
    let error = without.word("california", Split::Refuse).expect_err("several").to_string();
    for part in ["\" cal\" \"ifor\" \"nia\"", "--split first", "--split family"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(texts(&without.word("california", Split::First).expect("first").tokens), [" cal"]);
    assert!(without.word("california", Split::Family).is_err(), "no form of it is one token");
    // Its plural is one token, the word itself is not.
    let plural = Families::of(&Greedy, 24, &[]);
    assert_eq!(texts(&plural.word("classes", Split::Family).expect("family").tokens), [" class"]);
    assert!(plural.word("classes", Split::Refuse).is_err());
    assert!(plural.word("  ", Split::First).is_err());
}

#[test]
fn a_regular_expression_selects_tokens_by_their_text() {
    let families = Families::of(&Greedy, 24, &[]);
    assert_eq!(
        texts(&families.matching("^ c").expect("matches").tokens),
        [" cat", " cities", " class", " cal"]
    );
    assert!(families.matching("^zzz$").expect_err("nothing").to_string().contains("is empty"));
    assert!(families.matching("(").expect_err("no regex").to_string().contains("`regex`"));
}

#[test]
fn probabilities_of_one_family_add_up() {
    let families = Families::of(&Greedy, 24, &[]);
    let tokens = [(5, 3.0), (0, 2.0), (2, 1.0), (20, 0.0)];
    let merged = families.merged(&tokens, &[0.4, 0.3, 0.2, 0.1]);
    assert_eq!(merged[0].0, "dog");
    assert!((merged[0].1 - 0.5).abs() < 1e-6);
    assert_eq!(merged[1], ("cat".to_owned(), 0.4));
    assert_eq!(merged[2].0, ".");
}
