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

use super::concepts::{Concepts, FUTURE, PAST, POLYSEMOUS, PRESENT, QUESTION, QUOTATION};
use super::grammar::Grammar;
use super::state::{NOBODY, State};
use super::symbol::{ClassBy, Form, Slot, Symbol, Who};
use super::ways::owned;

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
pub(super) struct Derivation {
    pub weight: f64,
    /// Rest of the sentence: index into `Teller::stacks`, 0 when it is told
    pub stack: u32,
    /// Concepts of the words so far: index into `Teller::traces`
    pub trace: u32,
    pub state: State,
}

/// One way to set the next word.
pub(super) struct Way {
    pub word: u16,
    pub weight: f64,
    /// Place of the derivation among those that are about to set a word
    pub from: u32,
    pub concepts: Concepts,
    pub effect: Effect,
    /// What must follow at once, the last of them first
    pub push: [Option<Symbol>; 2],
}

/// What a word changes in the state.
#[derive(Clone, Copy)]
pub(super) enum Effect {
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
    pub grammar: &'a Grammar,
    stacks: Vec<(Symbol, u32)>,
    traces: Vec<(Concepts, u32)>,
    pub ways: Vec<Way>,
    shares: Vec<f64>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(grammar: &'a Grammar) -> Self {
        let shares = vec![0.0; grammar.words.len()];
        Self { grammar, stacks: Vec::new(), traces: Vec::new(), ways: Vec::new(), shares }
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
                Effect::EndClause | Effect::CloseQuote => state.end_clause(),
                Effect::OpenQuote => {
                    state.clause = state.clause.without(PAST).with(PRESENT).with(QUOTATION);
                }
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
}

fn normalise(live: &mut [Derivation]) {
    let total: f64 = live.iter().map(|one| one.weight).sum();
    for one in live {
        one.weight /= total;
    }
}
