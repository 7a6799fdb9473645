//! Reads the notation of the tables into symbols.

use super::concepts::Concepts;
use super::grammar::{Grammar, MOODS, SCENE_ANIMALS, SCENES};
use super::symbol::{
    Alternative, Case, ClassBy, Form, Initial, Naming, Needs, PERSON_SLOTS, STORY_SLOTS, Slot,
    Symbol, Who,
};

/// The union of the concepts named in `names`.
pub(super) fn concepts(names: &str) -> Concepts {
    names.split([' ', '+']).fold(Concepts::EMPTY, |all, name| {
        let one = Concepts::named(name);
        assert!(one.is_some(), "no concept is called `{name}`");
        all.with(one.unwrap_or_default())
    })
}

/// One line of a rule.
pub(super) fn alternative(grammar: &mut Grammar, line: &str) -> Alternative {
    let (head, body) = line.split_once(':').unwrap_or((line, ""));
    let mut head = head.split_whitespace();
    let weight = head.next().and_then(|weight| weight.parse().ok()).unwrap_or(1.0);
    let names = head.next().unwrap_or("-").split(',').filter(|name| *name != "-");
    let condition = names.fold(0, |bits, name| {
        let scene = SCENES.iter().position(|known| *known == name);
        let mood = MOODS.iter().position(|known| *known == name).map(|mood| mood + 8);
        let bit = scene.or(mood);
        assert!(bit.is_some(), "no scene or mood is called `{name}`");
        bits | 1 << bit.unwrap_or_default()
    });
    let mut tokens = body.split_whitespace().peekable();
    let symbols = sequence(grammar, &mut tokens);
    finish(grammar, weight, condition, symbols)
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn sequence(grammar: &mut Grammar, tokens: &mut Tokens<'_>) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    let mut article = false;
    while let Some(&token) = tokens.peek() {
        if token == "|" || token == "]" {
            break;
        }
        tokens.next();
        if token == "a" {
            article = true;
            continue;
        }
        if token == "[" {
            let mut alternatives = Vec::new();
            loop {
                let symbols = sequence(grammar, tokens);
                alternatives.push(finish(grammar, 1.0, 0, symbols));
                if tokens.next() != Some("|") {
                    break;
                }
            }
            symbols.push(Symbol::Rule(grammar.add_rule(alternatives)));
            continue;
        }
        let mut symbol = symbol(grammar, token);
        match &mut symbol {
            Symbol::Pick { article: with, .. } | Symbol::Again { article: with, .. } => {
                *with = article;
            }
            Symbol::Word { word, .. } if article => {
                let next = &grammar.words[*word as usize];
                assert!(!next.starts_with(['a', 'e', 'i', 'o', 'u']), "a {next}");
                let word = grammar.word("a");
                let concepts = grammar.function_concepts("a");
                symbols.push(Symbol::Word { word, concepts });
            }
            _ => assert!(!article, "`a` stands before `{token}`, which has no initial of its own"),
        }
        article = false;
        symbols.push(symbol);
    }
    symbols
}

fn symbol(grammar: &mut Grammar, token: &str) -> Symbol {
    let person = |who, naming| Symbol::Person { who, naming, needs: Needs::default() };
    match token {
        "S" => return person(Who::Actor, Naming::Free),
        "O" => return person(Who::Other, Naming::Free),
        "NAMED" => return person(Who::Actor, Naming::Named),
        "ONAMED" => return person(Who::Other, Naming::Named),
        "AGAIN" => return person(Who::Actor, Naming::Again),
        "NEW" => return Symbol::Newcomer { friend: false },
        "FRIEND" => return Symbol::Newcomer { friend: true },
        "BE" => return Symbol::Be,
        "<q" => return Symbol::OpenQuote,
        "q>" => return Symbol::CloseQuote,
        _ => {}
    }
    if let Some(word) = token.strip_prefix('%') {
        let (who, word) = match word.strip_prefix('o') {
            Some(word) => (Who::Other, word),
            None => (Who::Actor, word),
        };
        let case = match word {
            "he" => Case::Subject,
            "him" => Case::Object,
            "his" => Case::Possessive,
            _ => return Symbol::NameOf(who),
        };
        return Symbol::Pronoun { who, case };
    }
    if let Some(name) = token.strip_prefix('+') {
        let on = concepts(name);
        return Symbol::Switch { on, off: Concepts::EMPTY };
    }
    if let Some(name) = token.strip_prefix('-') {
        return Symbol::Switch { on: Concepts::EMPTY, off: concepts(name) };
    }
    if let Some(name) = token.strip_prefix('{') {
        let name = name.trim_end_matches('}');
        let rule = grammar.rule_ids.get(name).copied();
        assert!(rule.is_some(), "no rule is called `{name}`");
        return Symbol::Rule(rule.unwrap_or_default());
    }
    if let Some((kind, rest)) = token.split_once('(') {
        let (class, bind) = rest.split_once(')').unwrap_or((rest, ""));
        return call(grammar, kind, class, bind.strip_prefix('=').map(slot));
    }
    let (text, sense) = match token.split_once('/') {
        Some((text, sense)) => (text, Some(concepts(sense))),
        None => (token, None),
    };
    let concepts = sense.unwrap_or_else(|| grammar.function_concepts(text));
    Symbol::Word { word: grammar.word(text), concepts }
}

fn call(grammar: &mut Grammar, kind: &str, class: &str, bind: Option<Slot>) -> Symbol {
    let form = match kind {
        "ref" => return Symbol::Again { slot: slot(class), article: false },
        "n" | "j" | "pl" => {
            let class = class_by(class, |name| grammar.class(name));
            let (article, initial) = (false, Initial::Any);
            return Symbol::Pick { class, plural: kind == "pl", article, initial, bind };
        }
        "v" => Form::Finite,
        "vn" => Form::Negatable,
        "vp" => Form::Plural,
        "b" => Form::Base,
        "g" => Form::Progressive,
        "p" => Form::Participle,
        "z" => Form::Third,
        "d" => Form::Past,
        _ => {
            assert!(kind == "will", "no symbol is called `{kind}`");
            Form::Future
        }
    };
    Symbol::Verb { class: class_by(class, |name| grammar.verb_class(name)), form }
}

fn class_by(name: &str, mut find: impl FnMut(&str) -> u16) -> ClassBy {
    if let Some(stem) = name.strip_suffix("@m") {
        ClassBy::Mood(MOODS.map(|mood| find(&format!("{stem}{mood}"))))
    } else if let Some(stem) = name.strip_suffix("@g") {
        ClassBy::Gender(["male", "female"].map(|gender| find(&format!("{stem}{gender}"))))
    } else if name == "animal.@s" {
        ClassBy::Scene(SCENE_ANIMALS.map(|kind| find(&format!("animal.{kind}"))))
    } else if let Some(stem) = name.strip_suffix("@s") {
        ClassBy::Scene(SCENES.map(|scene| find(&format!("{stem}{scene}"))))
    } else {
        ClassBy::Fixed(find(name))
    }
}

fn slot(name: &str) -> Slot {
    let person = |who, name: &str| {
        let at = PERSON_SLOTS.iter().position(|known| *known == name);
        assert!(at.is_some(), "no binding of a person is called `{name}`");
        Slot::Person(who, at.unwrap_or_default() as u8)
    };
    match name.split_once('.') {
        Some(("a", name)) => person(Who::Actor, name),
        Some(("o", name)) => person(Who::Other, name),
        _ => {
            let at = STORY_SLOTS.iter().position(|known| *known == name);
            assert!(at.is_some(), "no binding is called `{name}`");
            Slot::Story(at.unwrap_or_default() as u8)
        }
    }
}

/// Adds what the symbols need to be told, less what they bind themselves.
fn finish(grammar: &Grammar, weight: f64, condition: u16, mut symbols: Vec<Symbol>) -> Alternative {
    let mut needs = Needs::default();
    let (mut bound_story, mut bound_person) = (0_u8, [0_u8; 2]);
    let need = |needs: &mut Needs, slot: Slot, story: u8, person: [u8; 2]| match slot {
        Slot::Story(at) => needs.story |= 1 << at & !story,
        Slot::Person(Who::Actor, at) => needs.actor |= 1 << at & !person[0],
        Slot::Person(Who::Other, at) => needs.other |= 1 << at & !person[1],
    };
    for symbol in &symbols {
        match *symbol {
            Symbol::Again { slot, .. } => need(&mut needs, slot, bound_story, bound_person),
            Symbol::Pick { class, bind, .. } => {
                if matches!(class, ClassBy::Scene(_)) {
                    need(&mut needs, Slot::Story(0), bound_story, bound_person);
                }
                match bind {
                    Some(Slot::Story(at)) => bound_story |= 1 << at,
                    Some(Slot::Person(Who::Actor, at)) => bound_person[0] |= 1 << at,
                    Some(Slot::Person(Who::Other, at)) => bound_person[1] |= 1 << at,
                    None => {}
                }
            }
            Symbol::Person { who: Who::Actor, .. } => needs.names_actor = true,
            Symbol::Person { who: Who::Other, .. } => needs.names_other = true,
            Symbol::Verb { class: ClassBy::Scene(_), .. } => needs.story |= 1 & !bound_story,
            Symbol::Rule(rule) => {
                // Needed here is what no alternative can do without.
                let alternatives = &grammar.rules[rule as usize];
                assert!(!alternatives.is_empty(), "a rule stands below those it names");
                let all = |bits: &dyn Fn(&Needs) -> u8| {
                    alternatives.iter().fold(u8::MAX, |all, one| all & bits(&one.needs))
                };
                needs.story |= all(&|needs| needs.story) & !bound_story;
                needs.actor |= all(&|needs| needs.actor) & !bound_person[0];
                needs.other |= all(&|needs| needs.other) & !bound_person[1];
                needs.newcomer |= alternatives.iter().all(|one| one.needs.newcomer);
            }
            Symbol::Newcomer { .. } => {
                needs.newcomer = true;
                bound_person = [0, bound_person[1]];
            }
            _ => {}
        }
    }
    for symbol in &mut symbols {
        if let Symbol::Person { needs: wanted, .. } = symbol {
            *wanted = needs;
        }
    }
    Alternative { weight, condition, needs, symbols }
}
