//! What a story knows at any moment: its people, what it has named, and the clause it is in.

use super::concepts::{
    ACTOR_FIRST, ACTOR_SECOND, ACTOR_THIRD, Concepts, FEMININE, FUTURE, MASCULINE, MOOD_CALM,
    MOOD_HAPPY, MOOD_SAD, MOOD_SCARY, NEGATED, PASSIVE, PAST, PRESENT, QUOTATION, SCENE_FARM,
    SCENE_FOREST, SCENE_HOME, SCENE_MARKET, SCENE_SCHOOL, SCENE_SEA, SCENE_TOWN, SUBORDINATE,
};
use super::grammar::{Grammar, NONE};
use super::symbol::{Alternative, ClassBy, Needs, PERSON_SLOTS, STORY_SLOTS, Slot, Who};

/// People a story can hold.
pub(super) const PEOPLE: usize = 3;
/// No person.
pub(super) const NOBODY: u8 = u8::MAX;

const SCENE_CONCEPTS: [Concepts; 7] =
    [SCENE_HOME, SCENE_MARKET, SCENE_SCHOOL, SCENE_FOREST, SCENE_SEA, SCENE_FARM, SCENE_TOWN];
const MOOD_CONCEPTS: [Concepts; 4] = [MOOD_HAPPY, MOOD_SAD, MOOD_SCARY, MOOD_CALM];
const ACTORS: [Concepts; PEOPLE] = [ACTOR_FIRST, ACTOR_SECOND, ACTOR_THIRD];
/// What ends with its clause.
const CLAUSE: Concepts = NEGATED.with(PASSIVE).with(FUTURE).with(SUBORDINATE);

/// Name and belongings as entries, [`NONE`] where the story has not told them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person {
    pub name: u16,
    pub female: bool,
    pub slots: [u16; PERSON_SLOTS.len()],
}

/// The state on which each choice depends.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub people: [Person; PEOPLE],
    pub count: u8,
    /// Who acted last
    pub last: u8,
    pub actor: u8,
    pub other: u8,
    pub slots: [u16; STORY_SLOTS.len()],
    pub mood: u8,
    pub past: bool,
    /// Concepts of the clause
    pub clause: Concepts,
    pub scene: Option<u8>,
}

impl State {
    /// The state before the first word.
    pub(super) fn new(mood: u8, past: bool) -> Self {
        let nobody = Person { name: NONE, female: false, slots: [NONE; PERSON_SLOTS.len()] };
        Self {
            people: [nobody; PEOPLE],
            count: 0,
            last: NOBODY,
            actor: NOBODY,
            other: NOBODY,
            slots: [NONE; STORY_SLOTS.len()],
            mood,
            past,
            clause: Concepts::EMPTY,
            scene: None,
        }
    }

    /// Forgets the clause of the sentence before.
    pub(super) fn begin_sentence(&mut self) {
        if self.actor != NOBODY {
            self.last = self.actor;
        }
        (self.actor, self.other) = (NOBODY, NOBODY);
        self.clause = self.tense();
    }

    /// The concept of the tense in which the clause stands unless a verb changes it.
    pub(super) fn tense(&self) -> Concepts {
        if self.past && !self.clause.holds(QUOTATION) { PAST } else { PRESENT }
    }

    /// Ends what lasts for one clause.
    pub(super) fn end_clause(&mut self) {
        if self.clause.holds(FUTURE) {
            self.clause = self.clause.with(self.tense());
        }
        self.clause = self.clause.without(CLAUSE);
    }

    /// Makes `person` the actor.
    pub(super) fn act(&mut self, person: u8) {
        self.actor = person;
        let gender = if self.people[person as usize].female { FEMININE } else { MASCULINE };
        let before = ACTORS.iter().fold(FEMININE.with(MASCULINE), |all, one| all.with(*one));
        self.clause = self.clause.without(before).with(gender).with(ACTORS[person as usize]);
    }

    /// The person meant by `who`.
    pub(super) fn person(&self, who: Who) -> u8 {
        match who {
            Who::Actor => self.actor,
            Who::Other => self.other,
        }
    }

    /// The entry bound to `slot`, or [`NONE`].
    pub(super) fn bound(&self, slot: Slot) -> u16 {
        match slot {
            Slot::Story(at) => self.slots[at as usize],
            Slot::Person(who, at) => match self.person(who) {
                NOBODY => NONE,
                person => self.people[person as usize].slots[at as usize],
            },
        }
    }

    /// Binds `entry` to `slot`.
    pub(super) fn bind(&mut self, slot: Slot, entry: u16, scene: Option<u8>) {
        match slot {
            Slot::Story(at) => {
                self.slots[at as usize] = entry;
                if at == 0 {
                    self.scene = scene;
                }
            }
            Slot::Person(who, at) => {
                let person = self.person(who);
                if person != NOBODY {
                    self.people[person as usize].slots[at as usize] = entry;
                }
            }
        }
    }

    /// Concepts that every token of the moment carries.
    pub(super) fn around(&self) -> Concepts {
        let scene = self.scene.map_or(Concepts::EMPTY, |scene| SCENE_CONCEPTS[scene as usize]);
        self.clause.with(scene).with(MOOD_CONCEPTS[self.mood as usize])
    }

    /// Bits of what `person` is known to have.
    pub(super) fn has(&self, person: u8) -> u8 {
        let slots = self.people[person as usize].slots.iter().enumerate();
        slots.fold(0, |bits, (at, &entry)| bits | u8::from(entry != NONE) << at)
    }

    /// Whether `person` can stand for `who` where `needs` must be met.
    pub(super) fn suits(&self, person: u8, who: Who, needs: Needs) -> bool {
        let (own, taken) = match who {
            Who::Actor => (needs.actor, self.other),
            Who::Other => (needs.other, self.actor),
        };
        if person == taken || self.has(person) & own != own {
            return false;
        }
        // Somebody must be left for the part that is not cast yet.
        let (open, left) = match who {
            Who::Actor => (self.other == NOBODY && needs.names_other, needs.other),
            Who::Other => (self.actor == NOBODY && needs.names_actor, needs.actor),
        };
        !open || (0..self.count).any(|rest| rest != person && self.has(rest) & left == left)
    }

    /// Whether `alternative` can be told now.
    pub(super) fn allows(&self, alternative: &Alternative) -> bool {
        let needs = alternative.needs;
        let place = self.scene.map_or(0, |scene| 1 << scene) | 1 << (self.mood + 8);
        if alternative.condition != 0 && alternative.condition & place == 0 {
            return false;
        }
        let told = self.slots.iter().enumerate();
        let told = told.fold(0_u8, |bits, (at, &entry)| bits | u8::from(entry != NONE) << at);
        if told & needs.story != needs.story || needs.newcomer && self.count as usize == PEOPLE {
            return false;
        }
        let cast = |who, named: bool, wanted: u8| match self.person(who) {
            NOBODY if named => (0..self.count).any(|person| self.suits(person, who, needs)),
            NOBODY => wanted == 0,
            person => self.has(person) & wanted == wanted,
        };
        cast(Who::Actor, needs.names_actor, needs.actor)
            && cast(Who::Other, needs.names_other, needs.other)
    }

    /// The class that `choice` means in this state, with its share.
    pub(super) fn classes(&self, choice: ClassBy, mut visit: impl FnMut(u16, f64)) {
        match choice {
            ClassBy::Fixed(class) => visit(class, 1.0),
            ClassBy::Gender(classes) => {
                let female = self.actor != NOBODY && self.people[self.actor as usize].female;
                visit(classes[usize::from(female)], 1.0);
            }
            ClassBy::Scene(classes) => visit(classes[self.scene.unwrap_or(0) as usize], 1.0),
            ClassBy::Mood(classes) => {
                for (mood, &class) in classes.iter().enumerate() {
                    visit(class, if mood == self.mood as usize { 0.88 } else { 0.04 });
                }
            }
        }
    }

    /// The word of the name of `person`.
    pub(super) fn name(&self, grammar: &Grammar, person: u8) -> (u16, Concepts) {
        let entry = grammar.entries[self.people[person as usize].name as usize];
        (entry.word, entry.concepts)
    }
}
