//! The ways in which a derivation can set its next word.

use super::concepts::{
    ANAPHOR, AUXILIARY, CONJUNCTION, Concepts, DETERMINER, FUTURE, MARK, NEGATED, OWNED_FIRST,
    OWNED_SECOND, OWNED_THIRD, PASSIVE, PAST, PLURAL, POSSESSIVE, PRESENT, PROGRESSIVE, PRONOUN,
};
use super::grammar::{Grammar, NONE};
use super::state::{NOBODY, State};
use super::symbol::{Case, ClassBy, Form, Initial, Naming, Needs, Slot, Symbol, Who};
use super::teller::{Derivation, Effect, Teller, Way};

impl Teller<'_> {
    /// Gathers the ways of derivation `from`, which is about to tell `symbol`.
    pub(super) fn ways_of(&mut self, from: u32, one: &Derivation, symbol: Symbol) {
        let grammar = self.grammar;
        let fixed = &grammar.fixed;
        let state = &one.state;
        let mut way = |share: f64, word: u16, concepts, effect, push| {
            let weight = one.weight * share;
            self.ways.push(Way { word, weight, from, concepts, effect, push });
        };
        match symbol {
            Symbol::Word { word, concepts } => {
                let ends = word == fixed.comma || concepts.holds(CONJUNCTION);
                let effect = if ends { Effect::EndClause } else { Effect::None };
                way(1.0, word, concepts, effect, [None; 2]);
            }
            Symbol::OpenQuote | Symbol::CloseQuote => {
                let opens = matches!(symbol, Symbol::OpenQuote);
                let effect = if opens { Effect::OpenQuote } else { Effect::CloseQuote };
                way(1.0, fixed.quote, MARK, effect, [None; 2]);
            }
            Symbol::Pick { class: ClassBy::Fixed(id), .. } => pick_ways(grammar, id, symbol, way),
            Symbol::Again { slot, article } => {
                let id = state.bound(slot);
                if id == NONE {
                    return;
                }
                let entry = &grammar.entries[id as usize];
                if article {
                    let word = if entry.vowel { fixed.an } else { fixed.a };
                    let noun = Symbol::Again { slot, article: false };
                    way(1.0, word, DETERMINER, Effect::None, [Some(noun), None]);
                } else {
                    way(
                        1.0,
                        entry.word,
                        entry.concepts.with(owned(state, slot)),
                        Effect::None,
                        [None; 2],
                    );
                }
            }
            Symbol::Pronoun { who, case } => {
                let person = state.person(who);
                if person != NOBODY {
                    let (word, concepts) = pronoun(grammar, state, person, case);
                    way(1.0, word, concepts, Effect::None, [None; 2]);
                }
            }
            Symbol::NameOf(who) => {
                let person = state.person(who);
                if person != NOBODY {
                    let (word, concepts) = state.name(grammar, person);
                    way(1.0, word, concepts, Effect::None, [None; 2]);
                }
            }
            Symbol::Person { who, naming, needs } => {
                people(state, who, naming, needs, |share, person, form| {
                    let effect = Effect::Cast(who, person);
                    match form {
                        Called::Name => {
                            let (word, concepts) = state.name(grammar, person);
                            way(share, word, concepts, effect, [None; 2]);
                        }
                        Called::Pronoun => {
                            let case = if who == Who::Actor { Case::Subject } else { Case::Object };
                            let (word, concepts) = pronoun(grammar, state, person, case);
                            way(share, word, concepts, effect, [None; 2]);
                        }
                        Called::Profession => {
                            let slot = Slot::Person(who, 0);
                            let noun = Symbol::Again { slot, article: false };
                            way(share, fixed.the, DETERMINER, effect, [Some(noun), None]);
                        }
                    }
                });
            }
            Symbol::Newcomer { friend } => {
                let members = &grammar.classes[grammar.names as usize].members;
                let used = |id: u16| state.people.iter().any(|person| person.name == id);
                let free: f32 = members.iter().filter(|it| !used(it.0)).map(|it| it.1).sum();
                for &(id, share) in members.iter().filter(|it| !used(it.0)) {
                    let entry = &grammar.entries[id as usize];
                    let effect = Effect::Newcomer(id, friend);
                    way((share / free) as f64, entry.word, entry.concepts, effect, [None; 2]);
                }
            }
            Symbol::Verb { class: ClassBy::Fixed(id), form } => {
                verb_ways(grammar, state, id, form, way);
            }
            Symbol::Be => {
                let word = if state.past { fixed.was } else { fixed.is };
                way(1.0, word, AUXILIARY, Effect::None, [None; 2]);
            }
            Symbol::Rule(_) | Symbol::Switch { .. } | Symbol::Pick { .. } | Symbol::Verb { .. } => {
                debug_assert!(false, "expanded before");
            }
        }
    }
}

/// Takes a way: its share, word, concepts, effect and what must follow.
trait Take: FnMut(f64, u16, Concepts, Effect, [Option<Symbol>; 2]) {}
impl<F: FnMut(f64, u16, Concepts, Effect, [Option<Symbol>; 2])> Take for F {}

/// The words of class `id`, or the articles before them.
fn pick_ways(grammar: &Grammar, id: u16, symbol: Symbol, mut way: impl Take) {
    let Symbol::Pick { plural, article, initial, bind, .. } = symbol else { return };
    let fixed = &grammar.fixed;
    let class = &grammar.classes[id as usize];
    if article {
        let class_by = ClassBy::Fixed(id);
        for (word, share, initial) in [
            (fixed.an, class.vowels, Initial::Vowel),
            (fixed.a, 1.0 - class.vowels, Initial::Consonant),
        ] {
            if share > 1e-6 {
                let (class, article) = (class_by, false);
                let noun = Symbol::Pick { class, plural, article, initial, bind };
                way(share as f64, word, DETERMINER, Effect::None, [Some(noun), None]);
            }
        }
        return;
    }
    let kept = match initial {
        Initial::Any => 1.0,
        Initial::Vowel => class.vowels,
        Initial::Consonant => 1.0 - class.vowels,
    };
    for &(id, share) in &class.members {
        let entry = &grammar.entries[id as usize];
        if initial != Initial::Any && entry.vowel != (initial == Initial::Vowel) {
            continue;
        }
        let number = if plural { PLURAL } else { Concepts::EMPTY };
        let word = if plural { entry.plural } else { entry.word };
        let effect = bind.map_or(Effect::None, |slot| Effect::Bind(slot, id));
        let share = (share / kept) as f64;
        way(share, word, entry.concepts.with(number), effect, [None; 2]);
    }
}

/// The verbs of class `id` in `form`, or the auxiliary before them.
fn verb_ways(grammar: &Grammar, state: &State, id: u16, form: Form, mut way: impl Take) {
    let fixed = &grammar.fixed;
    let verbs = &grammar.verbs[id as usize];
    let class = ClassBy::Fixed(id);
    let base = Symbol::Verb { class, form: Form::Base };
    let told = match form {
        Form::Negatable => {
            let word = if state.past { fixed.did } else { fixed.does };
            let effect = Effect::Switch { on: NEGATED, off: Concepts::EMPTY };
            let not = Symbol::Word { word: fixed.not, concepts: AUXILIARY };
            way(1.0, word, AUXILIARY, effect, [Some(base), Some(not)]);
            return;
        }
        Form::Future => {
            let effect = Effect::Switch { on: FUTURE, off: PAST.with(PRESENT) };
            way(1.0, fixed.will, AUXILIARY, effect, [Some(base), None]);
            return;
        }
        Form::Finite | Form::Plural if state.past => Form::Past,
        Form::Plural => Form::Base,
        Form::Finite => Form::Third,
        form => form,
    };
    let (extra, effect) = match form {
        Form::Progressive => (PROGRESSIVE, Effect::None),
        Form::Participle => (PASSIVE, Effect::None),
        Form::Past => (Concepts::EMPTY, Effect::Switch { on: PAST, off: PRESENT }),
        _ => (Concepts::EMPTY, Effect::None),
    };
    for verb in verbs {
        let share = 1.0 / verbs.len() as f64;
        let word = verb.forms[told as usize];
        way(share, word, verb.concepts.with(extra), effect, [None; 2]);
    }
}

/// How a person is called.
enum Called {
    Name,
    Pronoun,
    Profession,
}

/// Visits who may stand for `who`, how called, and with what share.
fn people(
    state: &State,
    who: Who,
    naming: Naming,
    needs: Needs,
    mut visit: impl FnMut(f64, u8, Called),
) {
    if naming == Naming::Again {
        visit(0.7, state.last, Called::Pronoun);
        visit(0.3, state.last, Called::Name);
        return;
    }
    let suits = |person: u8| state.suits(person, who, needs);
    let weight = |person: u8| if person == state.last && who == Who::Actor { 2.0 } else { 1.0 };
    let total: f64 = (0..state.count).filter(|it| suits(*it)).map(weight).sum();
    for person in (0..state.count).filter(|it| suits(*it)) {
        let share = weight(person) / total;
        let works = state.people[person as usize].slots[0] != NONE;
        // A pronoun must be clear: it means who acted last, never of the gender of both.
        let clear = person == state.last
            && (who == Who::Actor
                || state.actor != NOBODY
                    && state.people[state.actor as usize].female
                        != state.people[person as usize].female);
        let (mut name, mut pronoun, mut profession) = match (naming, clear) {
            (Naming::Free, true) => (0.25, 0.6, 0.15),
            (Naming::Free, false) => (0.75, 0.0, 0.25),
            _ => (0.8, 0.0, 0.2),
        };
        if !works {
            (name, profession) = (name + profession, 0.0);
        }
        let all = name + pronoun + profession;
        (name, pronoun, profession) = (name / all, pronoun / all, profession / all);
        visit(share * name, person, Called::Name);
        if pronoun > 0.0 {
            visit(share * pronoun, person, Called::Pronoun);
        }
        if profession > 0.0 {
            visit(share * profession, person, Called::Profession);
        }
    }
}

fn pronoun(grammar: &Grammar, state: &State, person: u8, case: Case) -> (u16, Concepts) {
    let female = state.people[person as usize].female;
    let word = grammar.fixed.pronouns[case as usize][usize::from(female)];
    let concepts = PRONOUN.with(ANAPHOR);
    (word, if case == Case::Possessive { concepts.with(POSSESSIVE) } else { concepts })
}

/// Whose the thing in `slot` is; nothing for what is no possession.
pub(super) fn owned(state: &State, slot: Slot) -> Concepts {
    let Slot::Person(who, at) = slot else { return Concepts::EMPTY };
    let person = state.person(who);
    if at == 0 || person == NOBODY {
        return Concepts::EMPTY;
    }
    [OWNED_FIRST, OWNED_SECOND, OWNED_THIRD][person as usize]
}
