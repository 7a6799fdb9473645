//! Tells one story word by word, with the exact distribution of each word.
//!
//! `p(w | state, words so far) = Σᵢ πᵢ pᵢ(w)` over all derivations `i` that agree with the words so
//! far, `πᵢ` their posterior shares; the entropy of this mixture is the token's entropy, and after
//! `w` is drawn `πᵢ ← πᵢ pᵢ(w) / p(w)`. Two rules that set the same word are thus never told apart
//! before they differ. At the end of a sentence one derivation is drawn by `π` and becomes the truth.
//!
//! Memory: the derivations of one sentence.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::concepts::{
    ANAPHOR, AUXILIARY, CONJUNCTION, Concepts, DETERMINER, FUTURE, NEGATED, OWNED_FIRST,
    OWNED_SECOND, OWNED_THIRD, PASSIVE, PAST, PLURAL, POLYSEMOUS, POSSESSIVE, PRESENT, PROGRESSIVE,
    PRONOUN, QUESTION, QUOTATION,
};
use super::grammar::{
    Case, ClassBy, Form, Grammar, Initial, NONE, Naming, Needs, Slot, Symbol, Who,
};
use super::state::{NOBODY, State};

/// A token as the teller sets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub word: u16,
    pub concepts: Concepts,
    pub entropy: f32,
    pub surprise: f32,
    /// Number of the sentence in its story
    pub sentence: u32,
}

/// One derivation that agrees with the words so far.
#[derive(Clone, Copy)]
struct Derivation {
    weight: f64,
    /// Rest of the sentence: index into `Teller::stacks`, 0 when it is told
    stack: u32,
    /// Concepts of the words so far: index into `Teller::traces`
    trace: u32,
    state: State,
}

/// One way to set the next word.
struct Way {
    word: u16,
    weight: f64,
    from: u32,
    concepts: Concepts,
    effect: Effect,
    push: [Option<Symbol>; 2],
}

#[derive(Clone, Copy)]
enum Effect {
    None,
    Bind(Slot, u16),
    Cast(Who, u8),
    Newcomer(u16, bool),
    Switch { on: Concepts, off: Concepts },
    EndClause,
    OpenQuote,
    CloseQuote,
}

/// Working memory of a telling.
pub(super) struct Teller<'a> {
    grammar: &'a Grammar,
    names: u16,
    stacks: Vec<(Symbol, u32)>,
    traces: Vec<(Concepts, u32)>,
    ways: Vec<Way>,
    shares: Vec<f64>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(grammar: &'a Grammar, names: u16) -> Self {
        let shares = vec![0.0; grammar.words.len()];
        Self { grammar, names, stacks: Vec::new(), traces: Vec::new(), ways: Vec::new(), shares }
    }

    /// Tells one sentence by one of `rules`, given with their weights; appends it to `told` and
    /// returns the state after it and which of `rules` it followed.
    pub(super) fn sentence(
        &mut self,
        state: &State,
        rules: &[(u16, f64)],
        rng: &mut ChaCha8Rng,
        told: &mut Vec<Told>,
    ) -> (State, usize) {
        self.stacks.clear();
        self.traces.clear();
        // Index 0 of both stands for nothing.
        self.stacks.push((Symbol::Be, 0));
        self.traces.push((Concepts::EMPTY, 0));
        let mut state = *state;
        state.begin_sentence();
        let first = told.len();
        let mut live = Vec::new();
        for (at, &(rule, weight)) in rules.iter().enumerate() {
            // The bottom of the trace tells by which rule the derivation began.
            self.traces.push((Concepts::EMPTY, at as u32));
            let trace = self.traces.len() as u32 - 1;
            let stack = self.push(Symbol::Rule(rule), 0);
            live.push(Derivation { weight, stack, trace, state });
        }
        loop {
            let frontier = self.expand(live);
            let (word, entropy, surprise) = self.draw(&frontier, rng);
            told.push(Told { word, concepts: Concepts::EMPTY, entropy, surprise, sentence: 0 });
            live = self.advance(&frontier, word);
            let done: f64 = live.iter().filter(|one| one.stack == 0).map(|one| one.weight).sum();
            if done > 0.0 {
                let end = done >= 1.0 - 1e-12 || rng.random::<f64>() < done;
                live.retain(|one| (one.stack == 0) == end);
                normalise(&mut live);
                if end {
                    break;
                }
            }
        }
        let mut draw = rng.random::<f64>();
        let mut truth = live[live.len() - 1];
        for one in &live {
            draw -= one.weight;
            if draw < 0.0 {
                truth = *one;
                break;
            }
        }
        let mut trace = truth.trace;
        for token in told[first..].iter_mut().rev() {
            (token.concepts, trace) = self.traces[trace as usize];
        }
        (truth.state, self.traces[trace as usize].1 as usize)
    }

    fn push(&mut self, symbol: Symbol, below: u32) -> u32 {
        self.stacks.push((symbol, below));
        self.stacks.len() as u32 - 1
    }

    /// Replaces rules and silent symbols until each derivation is about to set a word.
    fn expand(&mut self, mut work: Vec<Derivation>) -> Vec<(Derivation, Symbol)> {
        let mut frontier = Vec::with_capacity(work.len() * 2);
        while let Some(mut one) = work.pop() {
            if one.stack == 0 {
                continue;
            }
            let (symbol, below) = self.stacks[one.stack as usize];
            match symbol {
                Symbol::Rule(rule) => {
                    let alternatives = &self.grammar.rules[rule as usize];
                    let allowed = || alternatives.iter().filter(|it| one.state.allows(it));
                    let total: f64 = allowed().map(|it| it.weight).sum();
                    let start = work.len();
                    for alternative in allowed() {
                        let weight = one.weight * alternative.weight / total;
                        let mut stack = below;
                        for &symbol in alternative.symbols.iter().rev() {
                            self.stacks.push((symbol, stack));
                            stack = self.stacks.len() as u32 - 1;
                        }
                        work.push(Derivation { weight, stack, ..one });
                    }
                    debug_assert!(work.len() > start, "a rule has an alternative for every state");
                }
                Symbol::Switch { on, off } => {
                    one.state.clause = one.state.clause.without(off).with(on);
                    one.stack = below;
                    work.push(one);
                }
                Symbol::Pick { class, plural, article, initial, bind }
                    if !matches!(class, ClassBy::Fixed(_)) =>
                {
                    one.state.classes(class, |class, share| {
                        let class = ClassBy::Fixed(class);
                        let symbol = Symbol::Pick { class, plural, article, initial, bind };
                        frontier.push((
                            Derivation { weight: one.weight * share, stack: below, ..one },
                            symbol,
                        ));
                    });
                }
                Symbol::Verb { class, form } => {
                    one.state.classes(class, |class, share| {
                        let class = ClassBy::Fixed(class);
                        let mut add = |share: f64, form| {
                            let weight = one.weight * share;
                            let symbol = Symbol::Verb { class, form };
                            frontier.push((Derivation { weight, stack: below, ..one }, symbol));
                        };
                        if form == Form::Negatable {
                            add(share * 0.7, Form::Finite);
                            add(share * 0.3, Form::Negatable);
                        } else {
                            add(share, form);
                        }
                    });
                }
                _ => {
                    one.stack = below;
                    frontier.push((one, symbol));
                }
            }
        }
        frontier
    }

    /// Draws the next word; returns it with the entropy of the draw and `-ln p`, in nats.
    fn draw(&mut self, frontier: &[(Derivation, Symbol)], rng: &mut ChaCha8Rng) -> (u16, f32, f32) {
        self.ways.clear();
        for (from, (one, symbol)) in frontier.iter().enumerate() {
            self.ways_of(from as u32, one, *symbol);
        }
        let mut words = Vec::new();
        let mut total = 0.0;
        for way in &self.ways {
            let share = &mut self.shares[way.word as usize];
            if *share == 0.0 {
                words.push(way.word);
            }
            *share += way.weight;
            total += way.weight;
        }
        let mut draw = rng.random::<f64>() * total;
        let mut drawn = words[words.len() - 1];
        let mut found = false;
        let mut entropy = 0.0;
        for &word in &words {
            let p = self.shares[word as usize] / total;
            if p > 0.0 {
                entropy -= p * p.ln();
            }
            draw -= self.shares[word as usize];
            if draw < 0.0 && !found {
                (drawn, found) = (word, true);
            }
        }
        let surprise = -(self.shares[drawn as usize] / total).ln();
        for &word in &words {
            self.shares[word as usize] = 0.0;
        }
        (drawn, entropy.max(0.0) as f32, surprise.max(0.0) as f32)
    }

    /// The derivations that set `word`, with their posterior shares.
    fn advance(&mut self, frontier: &[(Derivation, Symbol)], word: u16) -> Vec<Derivation> {
        let grammar = self.grammar;
        let sense = if grammar.polysemous[word as usize] { POLYSEMOUS } else { Concepts::EMPTY };
        let mut live = Vec::new();
        for way in self.ways.iter().filter(|way| way.word == word && way.weight > 0.0) {
            let mut one = frontier[way.from as usize].0;
            one.weight = way.weight;
            let mut extra = Concepts::EMPTY;
            let state = &mut one.state;
            match way.effect {
                Effect::None => {}
                Effect::Bind(slot, entry) => {
                    state.bind(slot, entry, grammar.entries[entry as usize].scene);
                    extra = owned(state, slot);
                }
                Effect::Cast(Who::Actor, person) => state.act(person),
                Effect::Cast(Who::Other, person) => state.other = person,
                Effect::Newcomer(name, friend) => {
                    if friend {
                        state.other = if state.actor == NOBODY { state.last } else { state.actor };
                    }
                    let person = state.count;
                    state.people[person as usize].name = name;
                    state.people[person as usize].female = grammar.entries[name as usize].female;
                    state.count += 1;
                    state.act(person);
                }
                Effect::Switch { on, off } => state.clause = state.clause.without(off).with(on),
                Effect::EndClause => state.end_clause(),
                Effect::OpenQuote => {
                    state.clause = state.clause.without(PAST).with(PRESENT).with(QUOTATION);
                }
                Effect::CloseQuote => state.end_clause(),
            }
            let around = state.around();
            if matches!(way.effect, Effect::CloseQuote) {
                let inside = QUOTATION.with(QUESTION).with(PRESENT).with(PAST).with(FUTURE);
                state.clause = state.clause.without(inside);
                state.clause = state.clause.with(state.tense());
            }
            self.traces.push((way.concepts.with(around).with(extra).with(sense), one.trace));
            one.trace = self.traces.len() as u32 - 1;
            for symbol in way.push.into_iter().flatten() {
                self.stacks.push((symbol, one.stack));
                one.stack = self.stacks.len() as u32 - 1;
            }
            live.push(one);
        }
        normalise(&mut live);
        live
    }

    fn ways_of(&mut self, from: u32, one: &Derivation, symbol: Symbol) {
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
                way(1.0, fixed.quote, super::concepts::MARK, effect, [None; 2]);
            }
            Symbol::Pick { class: ClassBy::Fixed(id), plural, article, initial, bind } => {
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
                people(state, who, naming, &needs, |share, person, form| {
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
                let members = &grammar.classes[self.names as usize].members;
                let used = |id: u16| state.people.iter().any(|person| person.name == id);
                let free: f32 = members.iter().filter(|it| !used(it.0)).map(|it| it.1).sum();
                for &(id, share) in members.iter().filter(|it| !used(it.0)) {
                    let entry = &grammar.entries[id as usize];
                    let effect = Effect::Newcomer(id, friend);
                    way((share / free) as f64, entry.word, entry.concepts, effect, [None; 2]);
                }
            }
            Symbol::Verb { class: ClassBy::Fixed(id), form } => {
                let verbs = &grammar.verbs[id as usize];
                let class = ClassBy::Fixed(id);
                let base = Symbol::Verb { class, form: Form::Base };
                let told = match form {
                    Form::Negatable => {
                        let word = if state.past { fixed.did } else { fixed.does };
                        let on = NEGATED;
                        let effect = Effect::Switch { on, off: Concepts::EMPTY };
                        let concepts = super::concepts::AUXILIARY;
                        let not = Symbol::Word { word: fixed.not, concepts };
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
    needs: &Needs,
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
fn owned(state: &State, slot: Slot) -> Concepts {
    let Slot::Person(who, at) = slot else { return Concepts::EMPTY };
    let person = state.person(who);
    if at == 0 || person == NOBODY {
        return Concepts::EMPTY;
    }
    [OWNED_FIRST, OWNED_SECOND, OWNED_THIRD][person as usize]
}

fn normalise(live: &mut [Derivation]) {
    let total: f64 = live.iter().map(|one| one.weight).sum();
    for one in live {
        one.weight /= total;
    }
}
