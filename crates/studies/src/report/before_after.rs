//! Before and after: how a prompt goes on plainly, and steered along a feature.

use serde::Serialize;

use super::Draw;
use super::html::Html;
use super::text::{number, signed};

/// Continuations of one prompt, plain and steered along one feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BeforeAfter {
    /// The feature.
    pub feature: String,
    /// The concept whose words are marked.
    pub concept: String,
    /// The prompt.
    pub prompt: String,
    /// How the network goes on by itself.
    pub plain: Vec<Piece>,
    /// How it goes on when steered, by direction and strength.
    pub steered: Vec<Steered>,
}

/// A token of a continuation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// The token, with the blank before it where the text has one.
    pub text: String,
    /// Whether it belongs to the concept.
    pub in_concept: bool,
}

/// A steered continuation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Steered {
    /// Along the feature or against it.
    pub direction: Direction,
    /// The wanted change of the next token's distribution, KL divergence in nats.
    pub target_kl: f64,
    /// The change that was reached; none when no strength reaches the target.
    pub reached_kl: Option<f64>,
    /// The strength that reaches it.
    pub strength: Option<f64>,
    /// The continuation.
    pub text: Vec<Piece>,
}

/// Which way along a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Along it, for more of it.
    Along,
    /// Against it, for less of it.
    Against,
}

impl BeforeAfter {
    fn row(&self, html: &mut Html, row: Option<&Steered>) {
        let text = row.map_or(&self.plain, |row| &row.text);
        html.node("tr", &[], |html| {
            let (class, word) = match row.map(|row| row.direction) {
                None => ("sign muted", "plain"),
                Some(Direction::Along) => ("sign warm", "+ more"),
                Some(Direction::Against) => ("sign cool", "− less"),
            };
            html.node("th", &[("scope", "row")], |html| {
                html.leaf("span", &[("class", class)], word);
            });
            match row {
                None => {
                    html.leaf("td", &[("class", "n")], "0");
                    html.leaf("td", &[("class", "n")], "0");
                }
                Some(Steered { target_kl, reached_kl, strength, .. }) => {
                    let reached = match reached_kl {
                        Some(reached) => number(*reached),
                        None => format!("{} not reached", number(*target_kl)),
                    };
                    let title = format!("target {}", number(*target_kl));
                    html.leaf("td", &[("class", "n"), ("title", &title)], &reached);
                    let strength = strength.map_or_else(|| "–".to_owned(), signed);
                    html.leaf("td", &[("class", "n")], &strength);
                }
            }
            let found = text.iter().filter(|piece| piece.in_concept).count();
            html.leaf("td", &[("class", "n")], &format!("{found} of {}", text.len()));
            html.node("td", &[("class", "tokens says")], |html| pieces(html, text));
        });
    }
}

fn pieces(html: &mut Html, pieces: &[Piece]) {
    for Piece { text, in_concept } in pieces {
        let bare = text.trim_start_matches(' ');
        if *in_concept && !bare.is_empty() {
            if bare.len() < text.len() {
                html.space();
            }
            html.node("mark", &[], |html| html.token(bare, &[]));
        } else {
            html.token(text, &[]);
        }
    }
}

impl Draw for BeforeAfter {
    fn write(&self, html: &mut Html) {
        html.node("figure", &[("class", "block")], |html| {
            html.node("figcaption", &[], |html| {
                html.text(&self.feature);
                html.leaf("span", &[], " · prompt ");
                html.leaf("bdi", &[], &self.prompt);
                html.leaf("span", &[], " · words of the concept ");
                html.node("mark", &[], |html| html.leaf("bdi", &[], &self.concept));
                html.leaf("span", &[], " are marked");
            });
            html.node("div", &[("class", "scroll"), ("tabindex", "0")], |html| {
                html.node("table", &[], |html| {
                    html.node("thead", &[], |html| {
                        html.node("tr", &[], |html| {
                            html.leaf("th", &[("scope", "col")], "steering");
                            html.leaf("th", &[("scope", "col"), ("class", "n")], "KL (nats)");
                            html.leaf("th", &[("scope", "col"), ("class", "n")], "strength");
                            html.leaf("th", &[("scope", "col"), ("class", "n")], "marked");
                            html.leaf("th", &[("scope", "col")], "how the text goes on");
                        });
                    });
                    html.node("tbody", &[], |html| {
                        self.row(html, None);
                        for steered in &self.steered {
                            self.row(html, Some(steered));
                        }
                    });
                });
            });
        });
    }
}
