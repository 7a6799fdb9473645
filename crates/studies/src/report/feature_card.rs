//! Feature cards: what a feature is, when it is active, what it does, what it is made of.

use serde::Serialize;

use super::Draw;
use super::html::Html;
use super::score_bars::{self, Score};
use super::style::LEVELS;
use super::text::{grouped, number, score, signed};

/// Examples shown before the fold.
const FIRST_EXAMPLES: usize = 4;

/// Below this share of the card's largest activity a token is left plain.
const FAINTEST: f64 = 0.05;

/// Features, one card each.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FeatureCards {
    /// What they have in common.
    pub caption: String,
    /// The cards.
    pub cards: Vec<FeatureCard>,
}

/// One feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FeatureCard {
    /// Its index in the dictionary.
    pub feature: usize,
    /// Its name or explanation.
    pub name: String,
    /// How well it is understood.
    pub quality: Option<Quality>,
    /// Why it is judged so, in a sentence.
    pub reason: String,
    /// What it corresponds to in the planted truth, where there is one.
    pub matched: Option<Match>,
    /// The share of samples on which it is active, 0 to 1.
    pub density: Option<f64>,
    /// Samples with the activity of each token.
    pub examples: Vec<Example>,
    /// Tokens it makes more likely, strongest first.
    pub up: Vec<TokenEffect>,
    /// Tokens it makes less likely, strongest first.
    pub down: Vec<TokenEffect>,
    /// Its strongest units.
    pub units: Vec<UnitWeight>,
    /// How many units it has in all; 0 when not told.
    pub units_in_all: usize,
}

/// How well a feature is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// It has one clear meaning.
    Good,
    /// It has not, or the evidence is thin.
    Weak,
}

/// A feature's best concept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Match {
    /// Whether that concept is found.
    pub truth: Truth,
    /// The concept.
    pub concept: String,
    /// AUROC of the feature's activity for the concept.
    pub score: Score,
}

/// Whether a feature matches the planted truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truth {
    /// It finds the concept.
    Found,
    /// It finds no concept.
    NotFound,
    /// It was not tested.
    Untested,
}

/// A stretch of text with the activity of each token.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Example {
    /// How it was chosen, such as `top` or `middle`.
    pub from: String,
    /// The tokens in order, each with the blank before it where the text has one.
    pub tokens: Vec<TokenActivity>,
}

/// A token and how active the feature is on it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenActivity {
    /// The token.
    pub text: String,
    /// The activity, of either sign.
    pub activity: f32,
}

/// A token and how much its logit changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenEffect {
    /// The token.
    pub text: String,
    /// The change of its logit.
    pub effect: f32,
}

/// A unit and its weight in a feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnitWeight {
    /// The unit's name or index.
    pub unit: String,
    /// Its weight, of either sign.
    pub weight: f32,
}

impl Truth {
    /// Sign, words before the concept, and class.
    fn says(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Found => ("✓", "finds the planted concept", "ok"),
            Self::NotFound => ("✗", "finds no planted concept; nearest is", "bad"),
            Self::Untested => ("○", "not tested against", "muted"),
        }
    }
}

impl Draw for FeatureCards {
    fn write(&self, html: &mut Html) {
        html.node("div", &[("class", "block")], |html| {
            html.leaf("p", &[("class", "caption")], &self.caption);
            if self.cards.is_empty() {
                html.leaf("p", &[("class", "empty")], "No features.");
                return;
            }
            key(html);
            for card in &self.cards {
                html.own("\n");
                html.node("article", &[("class", "card")], |html| card.write(html));
            }
        });
    }
}

impl FeatureCard {
    fn write(&self, html: &mut Html) {
        html.node("header", &[], |html| self.head(html));
        if let Some(matched) = &self.matched {
            matched.write(html);
        }
        if !self.reason.is_empty() {
            html.node("p", &[("class", "reason")], |html| html.rich(&self.reason));
        }
        html.node("div", &[("class", "parts")], |html| {
            html.node("div", &[], |html| self.when(html));
            html.node("div", &[], |html| {
                self.effects(html);
                self.made_of(html);
            });
        });
    }

    fn head(&self, html: &mut Html) {
        html.node("h3", &[], |html| {
            let index = format!("feature {}", self.feature);
            html.leaf("span", &[("class", "index")], &index);
            html.text(&self.name);
        });
        match self.quality {
            Some(Quality::Good) => html.leaf("span", &[("class", "tag ok")], "✓ good"),
            Some(Quality::Weak) => html.leaf("span", &[("class", "tag warn")], "△ weak"),
            None => {}
        }
        if let Some(density) = self.density {
            let text = format!("active on {} % of the tokens", number(100.0 * density));
            html.leaf("span", &[("class", "facts-line")], &text);
        }
    }

    /// The largest absolute activity of the card, for the highlights.
    fn strongest(&self) -> f64 {
        let activities = self.examples.iter().flat_map(|example| &example.tokens);
        activities
            .map(|token| f64::from(token.activity.abs()))
            .filter(|activity| activity.is_finite())
            .fold(0.0, f64::max)
    }

    fn when(&self, html: &mut Html) {
        html.leaf("h4", &[], "When is it active?");
        if self.examples.is_empty() {
            html.leaf("p", &[("class", "empty")], "On no sample that was seen.");
            return;
        }
        let strongest = self.strongest();
        let (first, rest) = self.examples.split_at(self.examples.len().min(FIRST_EXAMPLES));
        examples(html, first, strongest);
        if !rest.is_empty() {
            html.node("details", &[], |html| {
                let word = if rest.len() == 1 { "example" } else { "examples" };
                html.leaf("summary", &[], &format!("{} more {word}", rest.len()));
                examples(html, rest, strongest);
            });
        }
    }

    fn effects(&self, html: &mut Html) {
        if self.up.is_empty() && self.down.is_empty() {
            return;
        }
        html.leaf("h4", &[], "What does it do to the next token?");
        let sides = [("up", "warm", &self.up), ("down", "cool", &self.down)];
        for (word, class, effects) in sides.into_iter().filter(|(_, _, list)| !list.is_empty()) {
            html.node("div", &[("class", "effect")], |html| {
                html.leaf("span", &[("class", class)], if word == "up" { "+" } else { "−" });
                html.node("ul", &[("class", "pushed"), ("aria-label", word)], |html| {
                    for TokenEffect { text, effect } in effects {
                        html.node("li", &[], |html| {
                            html.lone_token(text, "");
                            html.space();
                            html.leaf("span", &[("class", class)], &signed(f64::from(*effect)));
                        });
                    }
                });
            });
        }
    }

    fn made_of(&self, html: &mut Html) {
        if self.units.is_empty() {
            return;
        }
        html.leaf("h4", &[], "What is it made of?");
        let finite =
            self.units.iter().map(|unit| unit.weight.abs()).filter(|size| size.is_finite());
        let strongest = f64::from(finite.fold(0.0, f32::max));
        html.node("div", &[("class", "units")], |html| {
            for UnitWeight { unit, weight } in &self.units {
                html.lone_token(unit, "");
                bar(html, f64::from(*weight), strongest);
                html.leaf("span", &[], &signed(f64::from(*weight)));
            }
        });
        if self.units_in_all > self.units.len() {
            let shown = grouped(self.units.len() as u64);
            let all = grouped(self.units_in_all as u64);
            html.leaf("p", &[("class", "note")], &format!("the {shown} strongest of {all} units"));
        }
    }
}

impl Match {
    fn write(&self, html: &mut Html) {
        let (sign, words, class) = self.truth.says();
        html.node("div", &[("class", "match")], |html| {
            html.node("span", &[], |html| {
                html.leaf("b", &[("class", class)], sign);
                html.text(&format!(" {words} "));
                html.leaf("bdi", &[], &self.concept);
            });
            score_bars::draw(html, &self.score, &format!("AUROC for {}", self.concept));
            let mut says = format!("AUROC {}", score(self.score.value));
            if let Some((low, high)) = self.score.interval {
                says = format!("{says} ({} – {})", score(low), score(high));
            }
            html.leaf("span", &[], &says);
        });
    }
}

/// What the highlights mean.
fn key(html: &mut Html) {
    html.node("p", &[("class", "note keys")], |html| {
        html.leaf("span", &[], "activity on a token:");
        for (class, text) in [
            ("p2", "a little"),
            ("p6", "more"),
            ("p10 peak", "most in its text"),
            ("n6", "negative"),
        ] {
            html.node("span", &[("class", "tokens")], |html| html.token(text, &[("class", class)]));
        }
        html.leaf("span", &[], "point at a token for its value");
    });
}

fn examples(html: &mut Html, examples: &[Example], strongest: f64) {
    html.node("ul", &[("class", "examples")], |html| {
        for example in examples {
            html.node("li", &[], |html| {
                html.leaf("span", &[("class", "from")], &example.from);
                html.node("span", &[("class", "tokens")], |html| {
                    tokens(html, &example.tokens, strongest);
                });
            });
        }
    });
}

fn tokens(html: &mut Html, tokens: &[TokenActivity], strongest: f64) {
    let peak = tokens.iter().map(|token| token.activity).fold(0.0, f32::max);
    for TokenActivity { text, activity } in tokens {
        let value = f64::from(*activity);
        let Some(level) = level(value, strongest) else {
            html.token(text, &[]);
            continue;
        };
        let side = if value > 0.0 { 'p' } else { 'n' };
        let peak = if value > 0.0 && *activity >= peak { " peak" } else { "" };
        let class = format!("{side}{level}{peak}");
        let title = format!("activity {}", number(value));
        html.token(text, &[("class", &class), ("title", &title)]);
    }
}

/// The step of a highlight, 1 to [`LEVELS`], or none for a faint one.
fn level(value: f64, strongest: f64) -> Option<usize> {
    let share = value.abs() / strongest;
    (share.is_finite() && share >= FAINTEST)
        .then(|| ((share * LEVELS as f64).ceil() as usize).clamp(1, LEVELS))
}

/// A bar from the middle to the side of its sign.
fn bar(html: &mut Html, weight: f64, strongest: f64) {
    let share =
        if strongest > 0.0 && !weight.is_nan() { (weight.abs() / strongest).min(1.0) } else { 0.0 };
    let (start, class) =
        if weight < 0.0 { (50.0 * (1.0 - share), "minus") } else { (50.0, "plus") };
    let (x, width) = (format!("{start:.1}%"), format!("{:.1}%", 50.0 * share));
    html.node("svg", &[("role", "presentation")], |html| {
        let shape =
            [("class", class), ("x", &*x), ("width", &*width), ("y", "3"), ("height", "10")];
        html.shape("rect", &shape);
        let zero = [("class", "zero"), ("x1", "50%"), ("x2", "50%"), ("y1", "0"), ("y2", "16")];
        html.shape("line", &zero);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highlights_grow_with_activity_and_keep_their_sign() {
        assert_eq!(level(10.0, 10.0), Some(10));
        assert_eq!(level(-5.0, 10.0), Some(5));
        assert_eq!(level(0.6, 10.0), Some(1));
        assert_eq!(level(0.1, 10.0), None);
        assert_eq!(level(0.0, 0.0), None);
        assert_eq!(level(f64::NAN, 10.0), None);
        let token = |text: &str, activity| TokenActivity { text: text.to_owned(), activity };
        let mut html = Html::default();
        tokens(&mut html, &[token("a", 0.0), token(" b", 4.0), token(" c", -2.0)], 8.0);
        assert_eq!(
            html.finish(),
            "<bdi>a</bdi> <bdi class=\"p5 peak\" title=\"activity 4\">b</bdi> \
             <bdi class=\"n3\" title=\"activity −2\">c</bdi>"
        );
    }

    #[test]
    fn bars_stay_within_their_half() {
        let drawn = |weight, strongest| {
            let mut html = Html::default();
            bar(&mut html, weight, strongest);
            html.finish()
        };
        assert!(drawn(-0.5, 1.0).contains("class=\"minus\" x=\"25.0%\" width=\"25.0%\""));
        assert!(drawn(2.0, 1.0).contains("class=\"plus\" x=\"50.0%\" width=\"50.0%\""));
        assert!(drawn(f64::NAN, 1.0).contains("width=\"0.0%\""), "nothing to draw");
    }
}
