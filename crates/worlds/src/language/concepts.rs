//! Table: the concepts of the language world, on four levels, and the bit set a token carries.

use serde::Serialize;

/// The level of description to which a concept belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What kind of word it is, with a hierarchy of classes
    Lexical,
    /// The grammar of the clause around it
    Grammar,
    /// What the story says: owners, roles, place, mood
    Semantics,
    /// Where in the story it stands and who acts
    Discourse,
}

/// One binary concept; a token carries it or does not.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Concept {
    /// Dotted name; the column in files is `truth.<name>`
    pub name: &'static str,
    /// Level of description
    pub level: Level,
    /// Name of the wider concept that holds wherever this one holds
    pub parent: Option<&'static str>,
    /// When a token carries it
    pub describe: &'static str,
}

/// A set of concepts, one bit each in the order of [`CONCEPTS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Concepts(u128);

impl Concepts {
    /// The set without members.
    pub const EMPTY: Self = Self(0);

    /// The set of the concept at `index` of [`CONCEPTS`] and of its parents; empty past the end.
    #[must_use]
    pub const fn of(index: usize) -> Self {
        if index < CLOSED.len() { Self(CLOSED[index]) } else { Self::EMPTY }
    }

    /// The set of the concept called `name` and of its parents, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        index_of(name).map(Self::of)
    }

    /// Members of either set.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Members of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the concept at `index` of [`CONCEPTS`] is a member.
    #[must_use]
    pub const fn has(self, index: usize) -> bool {
        index < 128 && self.0 >> index & 1 == 1
    }

    /// Whether all members of `other` are members of this set.
    #[must_use]
    pub const fn holds(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is no member.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bits, lowest for the first of [`CONCEPTS`].
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// Indices of the members into [`CONCEPTS`], ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..CONCEPTS.len()).filter(move |&index| self.has(index))
    }
}

/// Place of the concept called `name` in [`CONCEPTS`].
#[must_use]
pub fn index_of(name: &str) -> Option<usize> {
    CONCEPTS.iter().position(|concept| concept.name == name)
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Each concept's bit together with those of its parents; a parent stands before its children.
const CLOSED: [u128; CONCEPTS.len()] = {
    let mut closed = [0_u128; CONCEPTS.len()];
    let mut child = 0;
    while child < CONCEPTS.len() {
        closed[child] = 1 << child;
        if let Some(parent) = CONCEPTS[child].parent {
            let mut at = 0;
            let mut found = false;
            while at < child {
                if same(CONCEPTS[at].name, parent) {
                    closed[child] |= closed[at];
                    found = true;
                }
                at += 1;
            }
            assert!(found, "a parent stands before its children");
        }
        child += 1;
    }
    closed
};

macro_rules! concepts {
    ($($constant:ident $name:literal $level:ident $parent:expr, $describe:literal;)*) => {
        /// All concepts, parents before children; the order is that of the bits of [`Concepts`].
        pub const CONCEPTS: &[Concept] = &[$(Concept {
            name: $name, level: Level::$level, parent: $parent, describe: $describe,
        }),*];
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "names of constants")]
        enum Place { $($constant),* }
        $(#[allow(dead_code, reason = "only some concepts are named in code, the rest in tables")]
        pub(super) const $constant: Concepts = Concepts::of(Place::$constant as usize);)*
    };
}

concepts! {
    WEEKDAY "weekday" Lexical None, "a day of the week";
    MONDAY "weekday.monday" Lexical Some("weekday"), "the word monday";
    TUESDAY "weekday.tuesday" Lexical Some("weekday"), "the word tuesday";
    WEDNESDAY "weekday.wednesday" Lexical Some("weekday"), "the word wednesday";
    THURSDAY "weekday.thursday" Lexical Some("weekday"), "the word thursday";
    FRIDAY "weekday.friday" Lexical Some("weekday"), "the word friday";
    SATURDAY "weekday.saturday" Lexical Some("weekday"), "the word saturday";
    SUNDAY "weekday.sunday" Lexical Some("weekday"), "the word sunday";
    MONTH "month" Lexical None, "a month of the year";
    MONTH_WINTER "month.winter" Lexical Some("month"), "december, january or february";
    MONTH_SPRING "month.spring" Lexical Some("month"), "march, april or may as a month";
    MONTH_SUMMER "month.summer" Lexical Some("month"), "june, july or august";
    MONTH_AUTUMN "month.autumn" Lexical Some("month"), "september, october or november";
    SEASON "season" Lexical None, "a season of the year";
    TIME "time" Lexical None, "a time of the day";
    WEATHER "weather" Lexical None, "a word for the weather";
    COLOUR "colour" Lexical None, "a colour";
    COLOUR_WARM "colour.warm" Lexical Some("colour"), "red, orange, yellow and their like";
    COLOUR_COOL "colour.cool" Lexical Some("colour"), "blue, green, violet and their like";
    COLOUR_NEUTRAL "colour.neutral" Lexical Some("colour"), "black, white, grey, brown and their like";
    ANIMAL "animal" Lexical None, "an animal";
    PET "animal.pet" Lexical Some("animal"), "an animal kept at home";
    FARM_ANIMAL "animal.farm" Lexical Some("animal"), "an animal kept on a farm";
    WILD_ANIMAL "animal.wild" Lexical Some("animal"), "an animal of the forest";
    BIRD "animal.bird" Lexical Some("animal"), "a bird";
    SEA_ANIMAL "animal.sea" Lexical Some("animal"), "an animal of the sea";
    FOOD "food" Lexical None, "something to eat or drink";
    FRUIT "food.fruit" Lexical Some("food"), "a fruit";
    VEGETABLE "food.vegetable" Lexical Some("food"), "a vegetable";
    DISH "food.dish" Lexical Some("food"), "a dish or staple";
    SWEET "food.sweet" Lexical Some("food"), "something sweet";
    DRINK "food.drink" Lexical Some("food"), "a drink";
    PLACE "place" Lexical None, "a place where a scene can be";
    PLACE_INDOORS "place.indoors" Lexical Some("place"), "a place with a roof";
    PLACE_OUTDOORS "place.outdoors" Lexical Some("place"), "a place under the sky";
    CITY "city" Lexical None, "the name of a city";
    EMOTION "emotion" Lexical None, "a feeling";
    EMOTION_POSITIVE "emotion.positive" Lexical Some("emotion"), "a pleasant feeling";
    EMOTION_NEGATIVE "emotion.negative" Lexical Some("emotion"), "an unpleasant feeling";
    PROFESSION "profession" Lexical None, "a profession";
    NUMBER "number" Lexical None, "a number word";
    NAME "name" Lexical None, "a person's name";
    NAME_FEMALE "name.female" Lexical Some("name"), "a woman's name";
    NAME_MALE "name.male" Lexical Some("name"), "a man's name";
    FAMILY "family" Lexical None, "a member of the family";
    BODY "body" Lexical None, "a part of the body";
    OBJECT "object" Lexical None, "a thing made by people";
    TOOL "object.tool" Lexical Some("object"), "a tool";
    CLOTHING "object.clothing" Lexical Some("object"), "something to wear";
    INSTRUMENT "object.instrument" Lexical Some("object"), "an instrument of music";
    TOY "object.toy" Lexical Some("object"), "a toy or a thing for games";
    VEHICLE "object.vehicle" Lexical Some("object"), "a vehicle";
    FURNITURE "object.household" Lexical Some("object"), "a thing of the household";
    NATURE "nature" Lexical None, "a thing of nature that is no animal";
    PLANT "nature.plant" Lexical Some("nature"), "a plant or a part of one";
    ACTION "verb" Lexical None, "a full verb";
    MOTION "verb.motion" Lexical Some("verb"), "a verb of motion";
    SPEECH "verb.speech" Lexical Some("verb"), "a verb of speech";
    PERCEPTION "verb.perception" Lexical Some("verb"), "a verb of perception or thought";
    MAKING "verb.making" Lexical Some("verb"), "a verb of making or changing";
    TRANSFER "verb.transfer" Lexical Some("verb"), "a verb of giving, taking or losing";
    QUALITY "adjective" Lexical None, "a word for a quality";
    SIZE "adjective.size" Lexical Some("adjective"), "a word for size";
    TRAIT "adjective.trait" Lexical Some("adjective"), "a trait of character";
    MANNER "adverb" Lexical None, "a word for the manner";
    FUNCTION "function" Lexical None, "a function word or a mark";
    DETERMINER "function.determiner" Lexical Some("function"), "an article or another determiner";
    PREPOSITION "function.preposition" Lexical Some("function"), "a preposition";
    CONJUNCTION "function.conjunction" Lexical Some("function"), "a conjunction";
    AUXILIARY "function.auxiliary" Lexical Some("function"), "an auxiliary or modal verb";
    PRONOUN "function.pronoun" Lexical Some("function"), "a pronoun, possessives included";
    MARK "function.mark" Lexical Some("function"), "a punctuation mark or a story marker";
    PAST "tense.past" Grammar None, "inside a clause told in the past";
    PRESENT "tense.present" Grammar None, "inside a clause in the present";
    FUTURE "tense.future" Grammar None, "from a future auxiliary to the end of its clause";
    PLURAL "number.plural" Grammar None, "a noun in the plural";
    FEMININE "subject.feminine" Grammar None, "from a feminine subject to the end of its clause";
    MASCULINE "subject.masculine" Grammar None, "from a masculine subject to the end of its clause";
    QUOTATION "quotation" Grammar None, "inside a quotation, its opening mark included";
    NEGATED "negated" Grammar None, "from a negated auxiliary to the end of its clause";
    PASSIVE "passive" Grammar None, "from the auxiliary of a passive to the end of its clause";
    QUESTION "question" Grammar None, "inside a question";
    PROGRESSIVE "progressive" Grammar None, "a verb in its -ing form";
    FIRST_PERSON "person.first" Grammar None, "a word of the first person";
    SECOND_PERSON "person.second" Grammar None, "a word of the second person";
    POSSESSIVE "possessive" Grammar None, "a possessive word or ending";
    SUBORDINATE "subordinate" Grammar None, "inside a subordinate clause";
    OWNED "owner" Semantics None, "a thing or pet that belongs to a character";
    OWNED_FIRST "owner.first" Semantics Some("owner"), "it belongs to the first character";
    OWNED_SECOND "owner.second" Semantics Some("owner"), "it belongs to the second character";
    OWNED_THIRD "owner.third" Semantics Some("owner"), "it belongs to the third character";
    SCENE_INDOORS "scene.indoors" Semantics None, "the scene has a roof";
    SCENE_HOME "scene.home" Semantics Some("scene.indoors"), "the scene is a home";
    SCENE_MARKET "scene.market" Semantics Some("scene.indoors"), "the scene is a place of trade";
    SCENE_SCHOOL "scene.school" Semantics Some("scene.indoors"), "the scene is a place of learning";
    SCENE_OUTDOORS "scene.outdoors" Semantics None, "the scene is under the sky";
    SCENE_FOREST "scene.forest" Semantics Some("scene.outdoors"), "the scene is in the woods or hills";
    SCENE_SEA "scene.sea" Semantics Some("scene.outdoors"), "the scene is by the water";
    SCENE_FARM "scene.farm" Semantics Some("scene.outdoors"), "the scene is on a farm";
    SCENE_TOWN "scene.town" Semantics Some("scene.outdoors"), "the scene is in a town";
    MOOD_HAPPY "mood.happy" Semantics None, "the story is happy";
    MOOD_SAD "mood.sad" Semantics None, "the story is sad";
    MOOD_SCARY "mood.scary" Semantics None, "the story is scary";
    MOOD_CALM "mood.calm" Semantics None, "the story is calm";
    POLYSEMOUS "polysemous" Semantics None, "a word form that has another sense elsewhere";
    FIRST_MENTION "mention.first" Discourse None, "a noun or name that the story had not used before";
    REPEATED "mention.repeated" Discourse None, "a noun or name that the story has used before";
    STORY_START "story.start" Discourse None, "inside the first sentence of the story";
    STORY_END "story.end" Discourse None, "inside the last sentence of the story";
    SENTENCE_START "sentence.start" Discourse None, "the first token of a sentence";
    ACTOR_FIRST "actor.first" Discourse None, "the first character acts in this clause";
    ACTOR_SECOND "actor.second" Discourse None, "the second character acts in this clause";
    ACTOR_THIRD "actor.third" Discourse None, "the third character acts in this clause";
    ANAPHOR "anaphor" Discourse None, "a pronoun that stands for a character";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_brings_its_parents() {
        let monday = Concepts::named("weekday.monday").expect("a concept");
        assert!(monday.has(index_of("weekday").expect("a concept")));
        assert_eq!(monday.iter().count(), 2);
        assert_eq!(monday, MONDAY);
        assert!(CONCEPTS.len() >= 60 && CONCEPTS.len() <= 128);
    }

    #[test]
    fn names_are_unique() {
        for (index, concept) in CONCEPTS.iter().enumerate() {
            assert_eq!(index_of(concept.name), Some(index), "{}", concept.name);
        }
    }
}
