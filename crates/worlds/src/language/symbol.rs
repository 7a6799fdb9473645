//! The symbols of which rules are made.

use super::concepts::Concepts;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Base = 0,
    Third = 1,
    Past = 2,
    Participle = 3,
    Progressive = 4,
    /// Past or third person by the story's tense
    Finite,
    /// As `Finite`, at times negated
    Negatable,
    /// As `Finite`, for more than one
    Plural,
    Future,
}

impl Form {
    /// The forms of which this one may turn out to be.
    pub(super) fn forms(self) -> &'static [Self] {
        match self {
            Self::Base | Self::Future => &[Self::Base],
            Self::Third => &[Self::Third],
            Self::Past => &[Self::Past],
            Self::Participle => &[Self::Participle],
            Self::Progressive => &[Self::Progressive],
            Self::Finite => &[Self::Past, Self::Third],
            Self::Plural => &[Self::Past, Self::Base],
            Self::Negatable => &[Self::Past, Self::Third, Self::Base],
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum ClassBy {
    Fixed(u16),
    Mood([u16; 4]),
    Scene([u16; 7]),
    /// By the actor's gender: masculine, feminine
    Gender([u16; 2]),
}

impl ClassBy {
    /// Every class it may turn out to be.
    pub(super) fn all(&self) -> &[u16] {
        match self {
            Self::Fixed(class) => std::slice::from_ref(class),
            Self::Mood(classes) => classes,
            Self::Scene(classes) => classes,
            Self::Gender(classes) => classes,
        }
    }
}

/// With which letters the next word may begin, after an article.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Initial {
    Any,
    Consonant,
    Vowel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Actor,
    Other,
}

/// What a story remembers: of itself, or of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Story(u8),
    Person(Who, u8),
}
pub(super) const STORY_SLOTS: [&str; 5] = ["place", "thing", "creature", "food", "day"];
pub(super) const PERSON_SLOTS: [&str; 4] = ["prof", "object", "colour", "pet"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Subject,
    Object,
    Possessive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// A name, a pronoun or the profession
    Free,
    Named,
    /// The last actor once more
    Again,
}

/// One symbol of a rule.
#[derive(Clone, Copy, Debug)]
pub(super) enum Symbol {
    Word { word: u16, concepts: Concepts },
    Switch { on: Concepts, off: Concepts },
    OpenQuote,
    CloseQuote,
    Pick { class: ClassBy, plural: bool, article: bool, initial: Initial, bind: Option<Slot> },
    Again { slot: Slot, article: bool },
    Pronoun { who: Who, case: Case },
    NameOf(Who),
    Person { who: Who, naming: Naming, needs: Needs },
    Newcomer { friend: bool },
    Verb { class: ClassBy, form: Form },
    Be,
    Rule(u16),
}

/// What must be known before an alternative can be told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    /// Bits of [`PERSON_SLOTS`] of the actor
    pub actor: u8,
    /// Bits of [`PERSON_SLOTS`] of the other person
    pub other: u8,
    /// Bits of [`STORY_SLOTS`]
    pub story: u8,
    /// The alternative itself chooses who acts
    pub names_actor: bool,
    /// The alternative itself chooses the other person
    pub names_other: bool,
    /// A newcomer must find room
    pub newcomer: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Alternative {
    pub weight: f64,
    /// Bits of [`SCENES`] and, from 8, of [`MOODS`]; 0 for no condition
    pub condition: u16,
    pub needs: Needs,
    pub symbols: Vec<Symbol>,
}
