//! Score bars: baseline `▯`, 95 % interval `├─┤` and value `▮` on an axis from 0 to 1.

use serde::Serialize;

use super::Draw;
use super::html::Html;
use super::text::{grouped, score};

/// A score with what it must be seen beside.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The score, 0 to 1; NaN when it is undefined.
    pub value: f64,
    /// Lower and upper end of its 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// What would be had without finding anything, such as chance.
    pub baseline: Option<f64>,
    /// How many samples, concepts or examples it rests on.
    pub count: Option<u64>,
}

/// Scores of several methods or scorers, one row each.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ScoreBars {
    /// What is compared.
    pub caption: String,
    /// The name of the score, such as `mean AUROC`.
    pub measure: String,
    /// What the baseline is, such as `chance`.
    pub baseline: String,
    /// What `count` counts, such as `concepts`.
    pub counted: String,
    /// The rows, best first or in the order of the text.
    pub rows: Vec<ScoreRow>,
}

/// One method's score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreRow {
    /// The method.
    pub label: String,
    /// What to know about it.
    pub note: String,
    /// Its score.
    pub score: Score,
    /// Whether this is the row the report is about.
    pub chosen: bool,
}

impl Score {
    /// A bare score.
    pub fn new(value: f64) -> Self {
        Self { value, interval: None, baseline: None, count: None }
    }

    /// The same score with its 95 % interval.
    #[must_use]
    pub fn with_interval(mut self, low: f64, high: f64) -> Self {
        self.interval = Some((low, high));
        self
    }

    /// The same score with its baseline.
    #[must_use]
    pub fn with_baseline(mut self, baseline: f64) -> Self {
        self.baseline = Some(baseline);
        self
    }

    /// The same score with the number of things it rests on.
    #[must_use]
    pub fn with_count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Whether the baseline lies within the interval, so that nothing is shown to be found.
    pub fn touches_baseline(&self) -> bool {
        let (low, high) = self.interval.unwrap_or((self.value, self.value));
        self.baseline.is_some_and(|baseline| low <= baseline && baseline <= high)
    }

    /// The score in words.
    fn says(&self, measure: &str) -> String {
        let mut text = format!("{measure} {}", score(self.value));
        if let Some((low, high)) = self.interval {
            text = format!("{text}, 95 % interval {} to {}", score(low), score(high));
        }
        if let Some(baseline) = self.baseline {
            text = format!("{text}, baseline {}", score(baseline));
        }
        if self.touches_baseline() {
            text += "; the interval touches the baseline";
        }
        text
    }
}

impl ScoreBars {
    /// Score bars without rows.
    pub fn new(caption: impl Into<String>, measure: impl Into<String>) -> Self {
        Self {
            caption: caption.into(),
            measure: measure.into(),
            baseline: "baseline".to_owned(),
            counted: "n".to_owned(),
            rows: Vec::new(),
        }
    }

    /// The same bars with one more row.
    #[must_use]
    pub fn with_row(mut self, row: ScoreRow) -> Self {
        self.rows.push(row);
        self
    }
}

impl ScoreRow {
    /// A row.
    pub fn new(label: impl Into<String>, score: Score) -> Self {
        Self { label: label.into(), note: String::new(), score, chosen: false }
    }

    /// The same row with a remark.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The same row, standing out.
    #[must_use]
    pub fn chosen(mut self) -> Self {
        self.chosen = true;
        self
    }
}

impl Draw for ScoreBars {
    fn write(&self, html: &mut Html) {
        html.node("figure", &[("class", "block")], |html| {
            html.node("figcaption", &[], |html| {
                html.text(&self.caption);
                html.leaf("span", &[], &format!(" · {}", self.measure));
            });
            key(html, &self.baseline);
            if self.rows.is_empty() {
                html.leaf("p", &[("class", "empty")], "No scores.");
                return;
            }
            let counts = self.rows.iter().any(|row| row.score.count.is_some());
            html.node("div", &[("class", "scroll"), ("tabindex", "0")], |html| {
                html.node("table", &[], |html| {
                    html.leaf("caption", &[("class", "sr")], &self.caption);
                    html.node("thead", &[], |html| self.head(html, counts));
                    html.node("tbody", &[], |html| {
                        for row in &self.rows {
                            self.row(html, row, counts);
                        }
                    });
                });
            });
        });
    }
}

impl ScoreBars {
    fn head(&self, html: &mut Html, counts: bool) {
        html.node("tr", &[], |html| {
            html.leaf("th", &[("scope", "col")], "method");
            html.node("th", &[("scope", "col"), ("class", "drawing")], |html| {
                html.node("span", &[("class", "scale")], |html| {
                    for tick in ["0", "0.5", "1"] {
                        html.leaf("span", &[], tick);
                    }
                });
            });
            html.leaf("th", &[("scope", "col"), ("class", "n")], &self.measure);
            html.leaf("th", &[("scope", "col"), ("class", "n")], "95 % interval");
            if counts {
                html.leaf("th", &[("scope", "col"), ("class", "n")], &self.counted);
            }
        });
    }

    fn row(&self, html: &mut Html, row: &ScoreRow, counts: bool) {
        let ScoreRow { label, note, score: measured, chosen } = row;
        let faint = if measured.touches_baseline() { "n faint" } else { "n" };
        html.node("tr", &[("class", if *chosen { "chosen" } else { "" })], |html| {
            html.node("th", &[("scope", "row")], |html| {
                html.text(label);
                if !note.is_empty() {
                    html.space();
                    html.leaf("span", &[("class", "note")], note);
                }
            });
            html.node("td", &[("class", "drawing")], |html| draw(html, measured, &self.measure));
            html.leaf("td", &[("class", faint)], &score(measured.value));
            let interval = measured.interval.map_or_else(
                || "–".to_owned(),
                |(low, high)| format!("{} – {}", score(low), score(high)),
            );
            html.leaf("td", &[("class", faint)], &interval);
            if counts {
                let count = measured.count.map_or_else(|| "–".to_owned(), grouped);
                html.leaf("td", &[("class", "n")], &count);
            }
        });
    }
}

/// What the marks mean.
fn key(html: &mut Html, baseline: &str) {
    html.node("p", &[("class", "note keys")], |html| {
        let mut entry = |class: &str, score: Score, text: &str| {
            html.node("span", &[("class", class)], |html| {
                draw(html, &score, "");
                html.text(text);
            });
        };
        let nothing = Score::new(f64::NAN);
        entry("key narrow-key", Score::new(0.5), "value");
        entry("key", nothing.with_interval(0.05, 0.95), "95 % interval");
        entry("key narrow-key", nothing.with_baseline(0.5), baseline);
        html.leaf("span", &[], &format!("grey: cannot be told from {baseline}"));
    });
}

/// The drawing itself; it fills the width it is given.
pub(super) fn draw(html: &mut Html, score: &Score, measure: &str) {
    let Score { value, interval, baseline, .. } = *score;
    let class = if score.touches_baseline() { "scorebar faint" } else { "scorebar" };
    let says = score.says(measure);
    // A key beside words that say the same needs no name of its own.
    let (role, label) =
        if measure.is_empty() { ("presentation", "") } else { ("img", says.as_str()) };
    html.node("svg", &[("class", class), ("role", role), ("aria-label", label)], |html| {
        if !measure.is_empty() {
            html.leaf("title", &[], &says);
            line(html, "axis", (0.0, 1.0), ("50%", "50%"));
            for tick in [0.0, 0.5, 1.0] {
                line(html, "axis", (tick, tick), ("30%", "70%"));
            }
        }
        if let Some((low, high)) = interval.filter(|(low, high)| low <= high) {
            line(html, "whisker", (low, high), ("50%", "50%"));
            line(html, "whisker", (low, low), ("28%", "72%"));
            line(html, "whisker", (high, high), ("28%", "72%"));
        }
        if let Some(baseline) = baseline.filter(|baseline| baseline.is_finite()) {
            block(html, "base", baseline, "20%", "60%");
        }
        if value.is_finite() {
            block(html, "value", value, "15%", "70%");
        }
    });
}

/// Where a value stands, in percent of the width.
fn percent(value: f64) -> String {
    let text = format!("{:.2}", 100.0 * value.clamp(0.0, 1.0));
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

fn line(html: &mut Html, class: &str, (from, to): (f64, f64), (top, bottom): (&str, &str)) {
    let (x1, x2) = (percent(from), percent(to));
    html.shape("line", &[("class", class), ("x1", &x1), ("x2", &x2), ("y1", top), ("y2", bottom)]);
}

fn block(html: &mut Html, class: &str, value: f64, top: &str, height: &str) {
    let x = percent(value);
    html.shape(
        "rect",
        &[
            ("class", class),
            ("x", &x),
            ("y", top),
            ("width", "5"),
            ("height", height),
            ("transform", "translate(-2.5 0)"),
        ],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(score: &Score) -> String {
        let mut html = Html::default();
        draw(&mut html, score, "AUROC");
        html.finish()
    }

    #[test]
    fn a_score_is_drawn_where_it_is() {
        let text = drawn(&Score::new(0.8).with_interval(0.75, 0.9).with_baseline(0.5));
        assert!(text.contains("class=\"value\" x=\"80%\""), "{text}");
        assert!(text.contains("class=\"base\" x=\"50%\""), "{text}");
        assert!(text.contains("class=\"whisker\" x1=\"75%\" x2=\"90%\""), "{text}");
        assert!(
            text.contains("AUROC 0.800, 95 % interval 0.750 to 0.900, baseline 0.500"),
            "{text}"
        );
    }

    #[test]
    fn a_score_off_the_axis_stays_on_the_drawing() {
        assert!(drawn(&Score::new(1.7)).contains("x=\"100%\""));
        assert!(drawn(&Score::new(-0.2)).contains("x=\"0%\""));
        let undefined = drawn(&Score::new(f64::NAN).with_interval(f64::NAN, f64::NAN));
        assert!(!undefined.contains("class=\"value\"") && !undefined.contains("whisker"));
    }

    #[test]
    fn only_intervals_that_touch_the_baseline_are_muted() {
        let score = Score::new(0.6).with_baseline(0.5);
        assert!(score.with_interval(0.5, 0.7).touches_baseline());
        assert!(!score.with_interval(0.51, 0.7).touches_baseline());
        assert!(!score.touches_baseline());
        // Worse than the baseline is a finding, too.
        assert!(!Score::new(0.4).with_interval(0.3, 0.45).with_baseline(0.5).touches_baseline());
        assert!(drawn(&score.with_interval(0.45, 0.7)).contains("scorebar faint"));
    }
}
