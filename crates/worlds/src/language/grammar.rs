//! The tables of words and rules in the form in which stories are told from them.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::concepts::{Concepts, FUNCTION};
use super::inflect;
use super::lexicon::{FUNCTIONS, NOUNS, QUALITIES};
use super::parse;
use super::rules::RULES;
use super::symbol::{Alternative, Symbol};
use super::verbs::VERBS;

/// Marks a word, an entry or a person that is not set.
pub(super) const NONE: u16 = u16::MAX;
pub(super) const UNKNOWN: &str = "<unk>";
pub(super) const SCENES: [&str; 7] = ["home", "market", "school", "forest", "sea", "farm", "town"];
pub(super) const MOODS: [&str; 4] = ["happy", "sad", "scary", "calm"];
/// The kind of animal met in each of [`SCENES`].
pub(super) const SCENE_ANIMALS: [&str; 7] = ["pet", "bird", "pet", "wild", "sea", "farm", "bird"];

/// One word of an open class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub word: u16,
    pub plural: u16,
    pub concepts: Concepts,
    pub vowel: bool,
    /// Index into [`SCENES`] where the word is a place
    pub scene: Option<u8>,
    pub female: bool,
}

/// Entries and their shares, which sum to one.
#[derive(Clone, Debug, Default)]
pub(super) struct Class {
    pub members: Vec<(u16, f32)>,
    /// Share of the members that begin with a vowel
    pub vowels: f32,
}

/// The forms of one verb.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verb {
    pub forms: [u16; 5],
    pub concepts: Concepts,
}

/// All words, classes, verbs and rules.
#[derive(Debug, Default)]
pub(super) struct Grammar {
    pub words: Vec<String>,
    ids: HashMap<String, u16>,
    pub entries: Vec<Entry>,
    pub classes: Vec<Class>,
    class_ids: HashMap<String, u16>,
    class_lines: Vec<(String, Vec<u16>)>,
    pub verbs: Vec<Vec<Verb>>,
    verb_ids: HashMap<String, u16>,
    verb_lines: Vec<(String, Vec<Verb>)>,
    functions: HashMap<String, Concepts>,
    pub rules: Vec<Vec<Alternative>>,
    pub rule_ids: HashMap<String, u16>,
    /// For each word whether it has two senses
    pub polysemous: Vec<bool>,
    pub fixed: Fixed,
    /// The class of all names of people
    pub names: u16,
}

/// Words that the teller itself sets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fixed {
    pub story: u16,
    pub end: u16,
    pub quote: u16,
    pub comma: u16,
    pub the: u16,
    pub a: u16,
    pub an: u16,
    pub not: u16,
    pub did: u16,
    pub does: u16,
    pub will: u16,
    pub was: u16,
    pub is: u16,
    /// By case, masculine and feminine
    pub pronouns: [[u16; 2]; 3],
}

/// The grammar, compiled once.
pub(super) static GRAMMAR: LazyLock<Grammar> = LazyLock::new(Grammar::compile);

impl Grammar {
    fn compile() -> Self {
        let mut grammar = Self::default();
        grammar.word(UNKNOWN);
        grammar.add_fixed();
        for (concepts, words) in FUNCTIONS {
            for word in words.split_whitespace() {
                grammar.functions.insert(word.to_owned(), parse::concepts(concepts));
            }
        }
        for &(class, concepts, words) in NOUNS.iter().chain(QUALITIES) {
            grammar.add_class(class, concepts, words);
        }
        for &(class, concept, verbs) in VERBS {
            grammar.add_verbs(class, concept, verbs);
        }
        // Names first, so that rules may refer to rules that stand below them.
        for (id, (name, _)) in RULES.iter().enumerate() {
            grammar.rule_ids.insert((*name).to_owned(), id as u16);
            grammar.rules.push(Vec::new());
        }
        for (id, (_, lines)) in RULES.iter().enumerate() {
            for line in lines.lines().filter(|line| !line.trim().is_empty()) {
                let alternative = parse::alternative(&mut grammar, line);
                grammar.rules[id].push(alternative);
            }
        }
        grammar.names = grammar.class("name");
        grammar.keep_reachable();
        grammar
    }

    fn add_fixed(&mut self) {
        let pronouns = [["he", "she"], ["him", "her"], ["his", "her"]];
        self.fixed = Fixed {
            story: self.word("<story>"),
            end: self.word("<end>"),
            quote: self.word("\""),
            comma: self.word(","),
            the: self.word("the"),
            a: self.word("a"),
            an: self.word("an"),
            not: self.word("not"),
            did: self.word("did"),
            does: self.word("does"),
            will: self.word("will"),
            was: self.word("was"),
            is: self.word("is"),
            pronouns: pronouns.map(|both| both.map(|word| self.word(word))),
        };
    }

    /// Drops the forms that no rule can set, and finds the words with two senses among the rest.
    fn keep_reachable(&mut self) {
        let fixed = self.fixed.pronouns.as_flattened().iter().copied().max().unwrap_or(0);
        let mut senses: Vec<Vec<Concepts>> = vec![Vec::new(); self.words.len()];
        for (word, kept) in senses.iter_mut().enumerate().take(fixed as usize + 1) {
            kept.push(self.function_concepts(&self.words[word]));
        }
        let symbols = self.rules.iter().flatten().flat_map(|alternative| &alternative.symbols);
        for symbol in symbols {
            match *symbol {
                Symbol::Word { word, concepts } => senses[word as usize].push(concepts),
                Symbol::Pick { class, plural, .. } => {
                    for &class in class.all() {
                        for &(entry, _) in &self.classes[class as usize].members {
                            let entry = self.entries[entry as usize];
                            let word = if plural { entry.plural } else { entry.word };
                            senses[word as usize].push(entry.concepts);
                        }
                    }
                }
                Symbol::Newcomer { .. } => {
                    for class in ["name.female", "name.male"] {
                        let lines = self.class_lines.iter().filter(|(line, _)| line == class);
                        for &entry in lines.flat_map(|(_, entries)| entries) {
                            let entry = self.entries[entry as usize];
                            senses[entry.word as usize].push(entry.concepts);
                        }
                    }
                }
                Symbol::Verb { class, form } => {
                    for &class in class.all() {
                        for verb in &self.verbs[class as usize] {
                            for &form in form.forms() {
                                senses[verb.forms[form as usize] as usize].push(verb.concepts);
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        let mut renumbered = vec![NONE; self.words.len()];
        let mut words = Vec::new();
        for (old, senses) in senses.iter_mut().enumerate() {
            if senses.is_empty() && old != 0 {
                continue;
            }
            renumbered[old] = words.len() as u16;
            words.push(self.words[old].clone());
            senses.sort_by_key(|sense| sense.bits());
            senses.dedup();
            let open = senses.iter().any(|sense| !sense.holds(FUNCTION) && !sense.is_empty());
            self.polysemous.push(open && senses.len() > 1);
        }
        self.words = words;
        self.ids = self.words.iter().cloned().zip(0..).collect();
        self.renumber(&renumbered);
    }

    fn renumber(&mut self, new: &[u16]) {
        let put = |word: &mut u16| *word = new[*word as usize];
        for entry in &mut self.entries {
            put(&mut entry.word);
            put(&mut entry.plural);
        }
        for verb in self.verbs.iter_mut().flatten() {
            verb.forms.iter_mut().for_each(put);
        }
        let alternatives = self.rules.iter_mut().flatten();
        for symbol in alternatives.flat_map(|alternative| &mut alternative.symbols) {
            if let Symbol::Word { word, .. } = symbol {
                put(word);
            }
        }
        let fixed = &mut self.fixed;
        for word in [
            &mut fixed.story,
            &mut fixed.end,
            &mut fixed.quote,
            &mut fixed.comma,
            &mut fixed.the,
            &mut fixed.a,
            &mut fixed.an,
            &mut fixed.not,
            &mut fixed.did,
            &mut fixed.does,
            &mut fixed.will,
            &mut fixed.was,
            &mut fixed.is,
        ] {
            put(word);
        }
        fixed.pronouns.as_flattened_mut().iter_mut().for_each(put);
    }

    /// Number of `text` among the words, given now if it has none.
    pub(super) fn word(&mut self, text: &str) -> u16 {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = self.words.len() as u16;
        self.words.push(text.to_owned());
        self.ids.insert(text.to_owned(), id);
        id
    }

    /// Number of `text` among the words.
    pub(super) fn id(&self, text: &str) -> Option<u16> {
        self.ids.get(text).copied()
    }

    pub(super) fn function_concepts(&self, word: &str) -> Concepts {
        self.functions.get(word).copied().unwrap_or_default()
    }

    fn add_class(&mut self, name: &str, concepts: &str, words: &str) {
        let concepts = parse::concepts(concepts);
        let scene = name
            .strip_prefix("place.")
            .and_then(|scene| SCENES.iter().position(|known| *known == scene))
            .map(|scene| scene as u8);
        let mut members = Vec::new();
        for item in words.split_whitespace() {
            let (singular, plural) = match item.split_once('+') {
                Some((singular, plural)) => (singular, plural.to_owned()),
                None => (item, inflect::plural_of(item)),
            };
            let first = singular.as_bytes()[0];
            let vowel = matches!(first, b'a' | b'e' | b'i' | b'o' | b'u')
                && !singular.starts_with("uni")
                && !singular.starts_with("eu");
            members.push(self.entries.len() as u16);
            let word = self.word(singular);
            let plural = self.word(&plural);
            self.entries.push(Entry {
                word,
                plural,
                concepts,
                vowel,
                scene,
                female: name == "name.female",
            });
        }
        self.class_lines.push((name.to_owned(), members));
    }

    fn add_verbs(&mut self, name: &str, concept: &str, verbs: &str) {
        let concepts = parse::concepts(concept);
        let mut members = Vec::new();
        for item in verbs.split_whitespace() {
            let forms = inflect::verb_forms(item).map(|form| self.word(&form));
            members.push(Verb { forms, concepts });
        }
        self.verb_lines.push((name.to_owned(), members));
    }

    /// The class called `name` together with those below it.
    pub(super) fn class(&mut self, name: &str) -> u16 {
        if let Some(&id) = self.class_ids.get(name) {
            return id;
        }
        let mut class = Class::default();
        for (line, entries) in &self.class_lines {
            if below(line, name) {
                for (rank, &entry) in entries.iter().enumerate() {
                    class.members.push((entry, 1.0 / (rank as f32 + 3.0).sqrt()));
                }
            }
        }
        assert!(!class.members.is_empty(), "no class of words is called `{name}`");
        let total: f32 = class.members.iter().map(|member| member.1).sum();
        for member in &mut class.members {
            member.1 /= total;
        }
        class.vowels = class
            .members
            .iter()
            .filter(|it| self.entries[it.0 as usize].vowel)
            .map(|it| it.1)
            .sum();
        let id = self.classes.len() as u16;
        self.classes.push(class);
        self.class_ids.insert(name.to_owned(), id);
        id
    }

    /// The verbs of the class called `name` and of those below it.
    pub(super) fn verb_class(&mut self, name: &str) -> u16 {
        if let Some(&id) = self.verb_ids.get(name) {
            return id;
        }
        let lines = self.verb_lines.iter().filter(|(line, _)| below(line, name));
        let mut verbs: Vec<Verb> = lines.flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        if verbs.is_empty() {
            // The name of a verb means that verb alone.
            let base = self.id(name);
            let all = self.verb_lines.iter().flat_map(|(_, verbs)| verbs);
            verbs.extend(all.copied().find(|verb| Some(verb.forms[0]) == base));
        }
        assert!(!verbs.is_empty(), "no verb and no class of verbs is called `{name}`");
        let id = self.verbs.len() as u16;
        self.verbs.push(verbs);
        self.verb_ids.insert(name.to_owned(), id);
        id
    }

    /// Registers a choice that a rule makes in its midst.
    pub(super) fn add_rule(&mut self, alternatives: Vec<Alternative>) -> u16 {
        self.rules.push(alternatives);
        self.rules.len() as u16 - 1
    }
}

fn below(line: &str, name: &str) -> bool {
    line == name || line.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
}
