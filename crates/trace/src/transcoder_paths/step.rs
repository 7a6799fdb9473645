//! Steps of a path: parts of the network at tokens, what they give, and conditions on them.

use std::fmt;
use std::str::FromStr;

use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// A part of the network that a path goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "component", rename_all = "kebab-case")]
pub enum Component {
    /// A feature of a layer's dictionary.
    Feature {
        /// The layer, from 0.
        layer: usize,
        /// Its number.
        feature: u32,
    },
    /// A head of a layer's attention; its token is the source.
    Head {
        /// The layer, from 0.
        layer: usize,
        /// The head, from 0.
        head: usize,
    },
    /// The skip connection of a layer's dictionary.
    Skip {
        /// The layer, from 0.
        layer: usize,
    },
    /// The whole MLP of a layer without a dictionary; a path ends there.
    Mlp {
        /// The layer, from 0.
        layer: usize,
    },
    /// The embedding of a token; a path ends there.
    Token,
    /// The embedding of a place; a path ends there.
    Place,
    /// A difference of logits; a path begins there.
    Logit,
}

impl Component {
    /// Its kind in tables and filters.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Feature { .. } => "feature",
            Self::Head { .. } => "head",
            Self::Skip { .. } => "skip",
            Self::Mlp { .. } => "mlp",
            Self::Token => "token",
            Self::Place => "place",
            Self::Logit => "logit",
        }
    }

    /// Its layer, where it has one.
    pub fn layer(&self) -> Option<usize> {
        match *self {
            Self::Feature { layer, .. }
            | Self::Head { layer, .. }
            | Self::Skip { layer }
            | Self::Mlp { layer } => Some(layer),
            Self::Token | Self::Place | Self::Logit => None,
        }
    }

    /// Whether a path can go on from it.
    pub(super) fn goes_on(&self) -> bool {
        !matches!(self, Self::Mlp { .. } | Self::Token | Self::Place)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feature { layer, feature } => write!(f, "layers.{layer}.mlp:{feature}"),
            Self::Head { layer, head } => write!(f, "layers.{layer}.attn:{head}"),
            Self::Skip { layer } => write!(f, "layers.{layer}.skip"),
            Self::Mlp { layer } => write!(f, "layers.{layer}.mlp"),
            Self::Token => f.write_str("token"),
            Self::Place => f.write_str("place"),
            Self::Logit => f.write_str("logit"),
        }
    }
}

/// A step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The part of the network.
    #[serde(flatten)]
    pub component: Component,
    /// The token position, from 0.
    pub position: usize,
    /// What it gives to the start of its path, along the path.
    pub contribution: f64,
}

impl Step {
    /// Where it is, without what it gives.
    pub fn place(&self) -> (Component, usize) {
        (self.component, self.position)
    }
}

/// A path from a start, the first step, up to its causes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Path {
    /// The start, and the steps from it.
    pub steps: Vec<Step>,
}

impl Path {
    /// What the last step gives to the start along the path.
    pub fn contribution(&self) -> f64 {
        self.steps.last().map_or(0.0, |step| step.contribution)
    }

    /// Whether steps that `pattern` describes follow each other anywhere in it.
    pub fn contains(&self, pattern: &[Filter]) -> bool {
        self.steps.windows(pattern.len().max(1)).any(|steps| all(steps, pattern))
    }

    /// Whether its last steps are those that `pattern` describes.
    pub fn ends_with(&self, pattern: &[Filter]) -> bool {
        let from = self.steps.len().checked_sub(pattern.len());
        from.is_some_and(|from| all(&self.steps[from..], pattern))
    }
}

fn all(steps: &[Step], pattern: &[Filter]) -> bool {
    steps.iter().zip(pattern).all(|(step, filter)| filter.describes(step))
}

/// What a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Layer,
    Position,
    Head,
    Feature,
    Component,
    Sublayer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Number(usize),
    Word(String),
}

/// Conditions on a step, all of which must hold: `layer<=3,component=head,position!=0`.
///
/// `layer`, `position`, `head` and `feature` are compared by `=`, `!=`, `<`, `<=`, `>`, `>=` (also `≠`,
/// `≤`, `≥`); `component` (feature, head, skip, mlp, token, place, logit) and `sublayer` (attn, mlp)
/// by `=` and `!=`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Filter {
    text: String,
    conditions: Vec<(Field, &'static str, Wanted)>,
}

impl Filter {
    /// Whether a search may take a step: a condition on what a step has not does not bar it.
    pub fn allows(&self, step: &Step) -> bool {
        self.conditions.iter().all(|condition| holds(condition, step).unwrap_or(true))
    }

    /// Whether a step is what is described: it must have all that is compared.
    pub fn describes(&self, step: &Step) -> bool {
        self.conditions.iter().all(|condition| holds(condition, step).unwrap_or(false))
    }
}

fn holds((field, sign, wanted): &(Field, &'static str, Wanted), step: &Step) -> Option<bool> {
    let number = match field {
        Field::Layer => step.component.layer(),
        Field::Position => Some(step.position),
        Field::Head => match step.component {
            Component::Head { head, .. } => Some(head),
            _ => None,
        },
        Field::Feature => match step.component {
            Component::Feature { feature, .. } => Some(feature as usize),
            _ => None,
        },
        Field::Component | Field::Sublayer => {
            let found = match (field, step.component) {
                (Field::Component, component) => component.kind(),
                (_, Component::Head { .. }) => "attn",
                (_, Component::Token | Component::Place | Component::Logit) => return None,
                _ => "mlp",
            };
            let Wanted::Word(word) = wanted else { return None };
            return Some((found == word) == (*sign == "="));
        }
    };
    let (found, Wanted::Number(wanted)) = (number?, wanted) else { return None };
    Some(match *sign {
        "=" => found == *wanted,
        "!=" => found != *wanted,
        "<" => found < *wanted,
        "<=" => found <= *wanted,
        ">" => found > *wanted,
        _ => found >= *wanted,
    })
}

/// Signs as they are written, the longer first, and as they are kept.
const SIGNS: [(&str, &str); 9] = [
    ("!=", "!="),
    ("<=", "<="),
    (">=", ">="),
    ("≠", "!="),
    ("≤", "<="),
    ("≥", ">="),
    ("=", "="),
    ("<", "<"),
    (">", ">"),
];

impl FromStr for Filter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let conditions = text
            .split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty())
            .map(condition)
            .collect::<Result<Vec<_>>>()?;
        if conditions.is_empty() {
            return Err(Error::setting("filter", format!("`{text}`"), "such as layer<=3,head!=0"));
        }
        Ok(Self { text: text.to_owned(), conditions })
    }
}

fn condition(text: &str) -> Result<(Field, &'static str, Wanted)> {
    let wrong = |expected: &str| Error::setting("filter", format!("`{text}`"), expected);
    // The first sign in the text; of several there, the longest.
    let at = text.find(['!', '<', '>', '=', '≠', '≤', '≥']);
    let sign = at.and_then(|at| {
        SIGNS.iter().find(|(written, _)| text[at..].starts_with(written)).map(|sign| (at, sign))
    });
    let Some((at, (written, sign))) = sign else {
        return Err(wrong("a comparison such as layer<=3"));
    };
    let (name, value) = (text[..at].trim(), text[at + written.len()..].trim());
    let field = match name {
        "layer" => Field::Layer,
        "position" | "token" => Field::Position,
        "head" => Field::Head,
        "feature" => Field::Feature,
        "component" => Field::Component,
        "sublayer" => Field::Sublayer,
        _ => return Err(wrong("layer, position, head, feature, component or sublayer")),
    };
    let words: &[&str] = match field {
        Field::Component => &["feature", "head", "skip", "mlp", "token", "place", "logit"],
        Field::Sublayer => &["attn", "mlp"],
        _ => {
            let Ok(number) = value.parse() else {
                return Err(wrong("a whole number after the sign"));
            };
            return Ok((field, sign, Wanted::Number(number)));
        }
    };
    if !matches!(*sign, "=" | "!=") {
        return Err(wrong("= or !=, since these are no numbers"));
    }
    if !words.contains(&value) {
        return Err(wrong(&format!("one of {}", words.join(", "))));
    }
    Ok((field, sign, Wanted::Word(value.to_owned())))
}

impl TryFrom<String> for Filter {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Filter> for String {
    fn from(filter: Filter) -> Self {
        filter.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(component: Component, position: usize) -> Step {
        Step { component, position, contribution: 1.0 }
    }

    fn filter(text: &str) -> Filter {
        text.parse().expect("a filter")
    }

    #[test]
    fn every_sign_compares_as_it_reads() {
        let at = step(Component::Head { layer: 3, head: 2 }, 5);
        for (text, truth) in [
            ("layer=3", true),
            ("layer!=3", false),
            ("layer≠2", true),
            ("layer<3", false),
            ("layer<=3", true),
            ("layer≤2", false),
            ("layer>2", true),
            ("layer>=4", false),
            ("head ≥ 2", true),
            ("position<6,head=1", false),
            ("component=head, sublayer=attn", true),
            ("sublayer!=attn", false),
        ] {
            assert_eq!(filter(text).allows(&at), truth, "{text}");
            assert_eq!(filter(text).describes(&at), truth, "{text}");
        }
        // What a step has not does not bar it from a search, but is not what a query describes.
        assert!(filter("feature=4").allows(&at) && !filter("feature=4").describes(&at));
        assert!(!filter("layer=0").describes(&step(Component::Token, 0)));
    }

    #[test]
    fn filters_that_say_nothing_are_told() {
        for text in ["", "layer", "layer=x", "depth=1", "component<head", "component=neuron"] {
            assert!(text.parse::<Filter>().is_err(), "{text}");
        }
    }

    #[test]
    fn paths_are_found_by_what_is_in_them_and_by_their_end() {
        let feature = |layer, feature| Component::Feature { layer, feature };
        let path = Path {
            steps: vec![
                step(feature(2, 9), 4),
                step(feature(1, 7), 4),
                step(Component::Head { layer: 0, head: 1 }, 2),
                step(Component::Token, 2),
            ],
        };
        let pattern = |texts: &[&str]| texts.iter().map(|text| filter(text)).collect::<Vec<_>>();
        assert!(path.contains(&pattern(&["feature=7", "head=1"])));
        assert!(!path.contains(&pattern(&["feature=9", "head=1"])));
        assert!(path.ends_with(&pattern(&["head=1", "component=token,position=2"])));
        assert!(!path.ends_with(&pattern(&["feature=7", "head=1"])));
        assert!(!path.ends_with(&vec![filter("position>=0"); 5]));
    }
}
