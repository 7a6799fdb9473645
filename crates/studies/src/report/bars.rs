//! A study's bars: what the paper has, what we measured, what it had to reach.

use std::fmt;

use serde::Serialize;

use super::html::Html;
use super::text::number;
use super::{Draw, Verdict};

/// The bars of a study.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Bars {
    /// What was studied.
    pub caption: String,
    /// The bars; missed ones are shown first.
    pub bars: Vec<Bar>,
}

/// One claim with its bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// The claim, in words.
    pub name: String,
    /// The paper's figure, where it has one on the same scale.
    pub paper: Option<f64>,
    /// Our figure.
    pub value: f64,
    /// What it had to reach.
    pub bound: Bound,
    /// What to know about it.
    pub note: String,
}

/// What a figure has to reach, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// Between two figures.
    Within(f64, f64),
}

impl Bound {
    /// Whether `value` reaches it; NaN never does.
    pub fn holds(self, value: f64) -> bool {
        let (low, high) = self.ends();
        low <= value && value <= high
    }

    fn ends(self) -> (f64, f64) {
        match self {
            Self::AtLeast(low) => (low, f64::INFINITY),
            Self::AtMost(high) => (f64::NEG_INFINITY, high),
            Self::Within(low, high) => (low, high),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(low) => write!(out, "≥ {}", number(*low)),
            Self::AtMost(high) => write!(out, "≤ {}", number(*high)),
            Self::Within(low, high) => write!(out, "{} to {}", number(*low), number(*high)),
        }
    }
}

impl Bar {
    /// A bar.
    pub fn new(name: impl Into<String>, value: f64, bound: Bound) -> Self {
        Self { name: name.into(), paper: None, value, bound, note: String::new() }
    }

    /// The same bar with the paper's figure.
    #[must_use]
    pub fn with_paper(mut self, figure: f64) -> Self {
        self.paper = Some(figure);
        self
    }

    /// The same bar with a remark.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Whether it holds.
    pub fn pass(&self) -> bool {
        self.bound.holds(self.value)
    }

    fn write(&self, html: &mut Html) {
        let (class, word) = if self.pass() { ("ok", "✓ holds") } else { ("bad", "✗ missed") };
        html.node("tr", &[], |html| {
            html.node("td", &[("class", "sign")], |html| {
                html.leaf("span", &[("class", class)], word);
            });
            html.node("th", &[("scope", "row")], |html| {
                html.rich(&self.name);
                if !self.note.is_empty() {
                    html.space();
                    html.node("span", &[("class", "note")], |html| html.rich(&self.note));
                }
            });
            let paper = self.paper.map_or_else(|| "–".to_owned(), number);
            html.leaf("td", &[("class", "n")], &paper);
            html.node("td", &[("class", "n")], |html| html.leaf("b", &[], &number(self.value)));
            html.leaf("td", &[("class", "n")], &self.bound.to_string());
            html.node("td", &[("class", "small-drawing")], |html| self.draw(html));
        });
    }

    /// The range drawn: three times a bound with two ends; else 0 to 1 where that holds all, else
    /// from zero to a little past the largest.
    fn range(&self) -> (f64, f64) {
        let (low, high) = self.bound.ends();
        if let Bound::Within(low, high) = self.bound {
            let room = (high - low).max(1e-9);
            let ends = [low - room, high + room];
            let known =
                self.paper.into_iter().chain([self.value]).filter(|value| value.is_finite());
            return known.fold((ends[0], ends[1]), |(start, end), value| {
                (start.min(value - 0.5 * room), end.max(value + 0.5 * room))
            });
        }
        let all = [Some(self.value), self.paper, Some(low), Some(high)];
        let finite = all.into_iter().flatten().filter(|value| value.is_finite());
        let (low, high) =
            finite.fold((0.0f64, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
        match (low, high) {
            (0.0, high) if high <= 1.0 && high > 0.05 => (0.0, 1.0),
            (0.0, 0.0) => (0.0, 1.0),
            (low, high) => {
                let room = 0.1 * (high - low);
                (
                    if low < 0.0 { low - room } else { low },
                    if high > 0.0 { high + room } else { high },
                )
            }
        }
    }

    fn draw(&self, html: &mut Html) {
        let (start, end) = self.range();
        let place = |value: f64| 100.0 * ((value - start) / (end - start)).clamp(0.0, 1.0);
        let percent = |share: f64| format!("{share:.1}%");
        let says = format!("{}: {}, bound {}", self.name, number(self.value), self.bound);
        html.node(
            "svg",
            &[("class", "scorebar"), ("role", "img"), ("aria-label", &says)],
            |html| {
                html.leaf("title", &[], &says);
                let (low, high) = self.bound.ends();
                let (from, to) = (place(low), place(high));
                let (x, width) = (percent(from), percent(to - from));
                let area = [
                    ("class", "bound"),
                    ("x", &*x),
                    ("width", &*width),
                    ("y", "3"),
                    ("height", "14"),
                ];
                html.shape("rect", &area);
                let mut line = |class: &str, x1: f64, x2: f64, y1: &str, y2: &str| {
                    let (x1, x2) = (percent(x1), percent(x2));
                    html.shape(
                        "line",
                        &[("class", class), ("x1", &x1), ("x2", &x2), ("y1", y1), ("y2", y2)],
                    );
                };
                line("axis", 0.0, 100.0, "50%", "50%");
                for end in [low, high].into_iter().filter(|end| end.is_finite()) {
                    line("edge", place(end), place(end), "1", "19");
                }
                if let Some(paper) = self.paper.filter(|paper| paper.is_finite()) {
                    mark(html, "paper", &percent(place(paper)), "4", "12");
                }
                if self.value.is_finite() {
                    let class = if self.pass() { "ours-ok" } else { "ours-bad" };
                    mark(html, class, &percent(place(self.value)), "3", "14");
                }
            },
        );
    }
}

/// What the marks mean.
fn key(html: &mut Html) {
    html.node("p", &[("class", "note keys")], |html| {
        let entries =
            [("ours-ok", "ours, holds"), ("ours-bad", "ours, missed"), ("paper", "the paper’s")];
        for (class, text) in entries {
            html.node("span", &[("class", "key narrow-key")], |html| {
                let bare = [("class", "scorebar"), ("role", "presentation")];
                html.node("svg", &bare, |html| mark(html, class, "50%", "1", "12"));
                html.text(text);
            });
        }
        html.leaf("span", &[], "green ground: reaches the bound");
    });
}

fn mark(html: &mut Html, class: &str, x: &str, top: &str, height: &str) {
    let place = [("x", x), ("y", top), ("width", "6"), ("height", height)];
    let [a, b, c, d] = place;
    html.shape("rect", &[("class", class), a, b, c, d, ("transform", "translate(-3 0)")]);
}

impl Bars {
    /// No bars yet.
    pub fn new(caption: impl Into<String>) -> Self {
        Self { caption: caption.into(), bars: Vec::new() }
    }

    /// The same with one more bar.
    #[must_use]
    pub fn with_bar(mut self, bar: Bar) -> Self {
        self.bars.push(bar);
        self
    }

    /// Pass when there are bars and all hold.
    pub fn verdict(&self) -> Verdict {
        let missed: Vec<&str> =
            self.bars.iter().filter(|bar| !bar.pass()).map(|bar| bar.name.as_str()).collect();
        let all = self.bars.len();
        let says = match missed.as_slice() {
            [] if all == 0 => "No bar was measured.".to_owned(),
            [] => format!("All {all} bars hold."),
            missed => format!("{} of {all} bars missed: {}.", missed.len(), missed.join("; ")),
        };
        Verdict { pass: all > 0 && missed.is_empty(), says }
    }
}

impl Draw for Bars {
    fn write(&self, html: &mut Html) {
        html.node("figure", &[("class", "block")], |html| {
            html.leaf("figcaption", &[], &self.caption);
            key(html);
            if self.bars.is_empty() {
                html.leaf("p", &[("class", "empty")], "No bars.");
                return;
            }
            html.node("div", &[("class", "scroll"), ("tabindex", "0")], |html| {
                html.node("table", &[], |html| {
                    html.leaf("caption", &[("class", "sr")], &self.caption);
                    html.node("thead", &[], |html| {
                        html.node("tr", &[], |html| {
                            html.leaf("th", &[("scope", "col")], "verdict");
                            html.leaf("th", &[("scope", "col")], "claim");
                            for name in ["paper", "ours", "bound"] {
                                html.leaf("th", &[("scope", "col"), ("class", "n")], name);
                            }
                            let class = [("scope", "col"), ("class", "small-drawing")];
                            html.leaf("th", &class, "figure beside figure");
                        });
                    });
                    html.node("tbody", &[], |html| {
                        let (held, missed): (Vec<_>, Vec<_>) =
                            self.bars.iter().partition(|bar| bar.pass());
                        for bar in missed.into_iter().chain(held) {
                            bar.write(html);
                        }
                    });
                });
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_at_their_ends_and_never_for_nan() {
        for (bound, inside, outside) in [
            (Bound::AtLeast(0.95), 0.95, 0.949),
            (Bound::AtMost(0.1), 0.1, 0.11),
            (Bound::Within(2.0, 3.0), 3.0, 1.9),
        ] {
            assert!(bound.holds(inside) && !bound.holds(outside) && !bound.holds(f64::NAN));
        }
    }

    #[test]
    fn one_missed_bar_fails_the_study_and_none_proves_nothing() {
        let good = Bar::new("a", 1.0, Bound::AtLeast(0.9));
        let poor = Bar::new("b", 0.8, Bound::AtLeast(0.9));
        assert!(Bars::new("").with_bar(good.clone()).verdict().pass);
        let verdict = Bars::new("").with_bar(good).with_bar(poor).verdict();
        assert!(!verdict.pass);
        assert_eq!(verdict.says, "1 of 2 bars missed: b.");
        assert!(!Bars::new("").verdict().pass);
    }

    #[test]
    fn figures_and_bounds_share_one_scale() {
        let bar = Bar::new("share", 0.8, Bound::AtLeast(0.95)).with_paper(0.5);
        let mut html = Html::default();
        bar.draw(&mut html);
        let text = html.finish();
        assert!(text.contains("class=\"ours-bad\" x=\"80.0%\""), "{text}");
        assert!(text.contains("class=\"paper\" x=\"50.0%\""), "{text}");
        assert!(text.contains("class=\"bound\" x=\"95.0%\" width=\"5.0%\""), "{text}");
        assert_eq!(Bar::new("", 12.0, Bound::AtMost(20.0)).range(), (0.0, 22.0));
    }
}
