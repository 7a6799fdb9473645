//! Axes of charts: where a value stands, and which ticks to write.

use serde::Serialize;

use super::html::Html;
use super::text::{grouped, number, superscript};

/// What an axis shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Axis {
    /// Quantity and unit.
    pub label: String,
    /// How values are spread.
    pub scale: Scale,
}

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// By their logarithm; values of zero and below are left out and counted.
    Log,
}

/// A value marked on an axis, such as a known bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reference {
    /// What it is.
    pub label: String,
    /// The value.
    pub value: f64,
}

impl Axis {
    /// An evenly spread axis.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Linear }
    }

    /// A logarithmic axis.
    pub fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Log }
    }
}

impl Scale {
    /// Whether a value has a place on such an axis.
    pub(super) fn holds(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Linear || value > 0.0)
    }

    fn apply(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.log10(),
        }
    }
}

/// An axis laid out over a range of pixels.
pub(super) struct Span {
    scale: Scale,
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Span {
    /// An axis from the smallest to the largest of `values`, drawn from `start` to `end`.
    pub(super) fn over(
        values: impl Iterator<Item = f64>,
        scale: Scale,
        (start, end): (f64, f64),
    ) -> Option<Self> {
        let values = values.filter(|value| scale.holds(*value)).map(|value| scale.apply(value));
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low > high {
            return None;
        }
        // An axis that nearly reaches zero starts there.
        let low = if scale == Scale::Linear && low > 0.0 && low < 0.05 * high { 0.0 } else { low };
        let room = if high - low > 1e-12 * high.abs().max(1e-300) {
            0.0
        } else {
            (0.1 * high.abs()).max(1e-3)
        };
        Some(Self { scale, low: low - room, high: high + room, start, end })
    }

    /// The same axis, widened to whole ticks.
    pub(super) fn rounded(mut self) -> Self {
        if self.scale == Scale::Linear {
            let step = self.step();
            self.low = (self.low / step + 1e-9).floor() * step;
            self.high = (self.high / step - 1e-9).ceil() * step;
        } else {
            let room = 0.05 * (self.high - self.low);
            self.low -= room;
            self.high += room;
        }
        self
    }

    /// The pixel of a value that the scale holds.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = (self.scale.apply(value) - self.low) / (self.high - self.low);
        self.start + share.clamp(-0.01, 1.01) * (self.end - self.start)
    }

    /// The distance of linear ticks: 1, 2 or 5 times a power of ten.
    fn step(&self) -> f64 {
        let rough = (self.high - self.low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough * 0.999);
        power * factor.unwrap_or(10.0)
    }

    /// Values to write on the axis, with their text.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => self.linear_ticks(),
            Scale::Log => self.log_ticks(),
        }
    }

    fn linear_ticks(&self) -> Vec<(f64, String)> {
        let step = self.step();
        let decimals = (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
        let first = (self.low / step - 1e-6).ceil() as i64;
        let last = (self.high / step + 1e-6).floor() as i64;
        (first..=last.min(first.saturating_add(12)))
            .map(|index| {
                let value = index as f64 * step;
                let text = match decimals {
                    _ if index == 0 => "0".to_owned(),
                    0 if value.abs() < 1e15 => {
                        let sign = if value < 0.0 { "−" } else { "" };
                        format!("{sign}{}", grouped(value.abs().round() as u64))
                    }
                    1..=6 => format!("{value:.decimals$}").replace('-', "−"),
                    _ => number(value),
                };
                (value, text)
            })
            .collect()
    }

    fn log_ticks(&self) -> Vec<(f64, String)> {
        let powers = self.low.floor() as i32..=self.high.ceil() as i32;
        let stride = ((self.high - self.low) / 6.0).ceil().max(1.0) as i32;
        let within = |value: f64| {
            let place = value.log10();
            place >= self.low - 1e-9 && place <= self.high + 1e-9
        };
        let of = |factors: &[f64]| -> Vec<(f64, String)> {
            powers
                .clone()
                .filter(|power| power.rem_euclid(stride) == 0)
                .flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)))
                .filter(|value| within(*value))
                .map(|value| (value, power_text(value)))
                .collect()
        };
        let decades = of(&[1.0]);
        if decades.len() >= 3 { decades } else { of(&[1.0, 2.0, 5.0]) }
    }
}

fn power_text(value: f64) -> String {
    let power = value.log10();
    let is_power = (power - power.round()).abs() < 1e-9;
    if is_power && (power.round() as i32).abs() >= 4 {
        format!("10{}", superscript(&(power.round() as i32).to_string()))
    } else {
        let text = format!("{value:.6}").trim_end_matches('0').trim_end_matches('.').to_owned();
        if (1e-6..1.0).contains(&value) { text } else { number(value) }
    }
}

/// The edges of a chart, in the units of its drawing.
pub(super) struct Frame {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Frame {
    /// A chart with room for ticks at the left and below, and for `labels` pixels at the right.
    pub(super) fn with_labels(labels: f64) -> Self {
        let (width, height) = (800.0, 300.0);
        let (left, right, top, bottom) = (64.0, width - labels, 28.0, height - 44.0);
        Self { width, height, left, right, top, bottom }
    }

    /// The pixels of the horizontal axis.
    pub(super) fn across(&self) -> (f64, f64) {
        (self.left, self.right)
    }

    /// The pixels of the vertical axis, from below.
    pub(super) fn upward(&self) -> (f64, f64) {
        (self.bottom, self.top)
    }

    /// A drawing with title and description, in which `inside` draws.
    pub(super) fn draw(
        &self,
        html: &mut Html,
        (title, says): (&str, &str),
        inside: impl FnOnce(&mut Html),
    ) {
        let view = format!("0 0 {} {}", self.width, self.height);
        let (width, height) = (self.width.to_string(), self.height.to_string());
        let label = format!("{title}. {says}");
        let attributes = [
            ("viewBox", view.as_str()),
            ("width", &width),
            ("height", &height),
            ("role", "img"),
            ("aria-label", &label),
        ];
        html.node("div", &[("class", "scroll"), ("tabindex", "0")], |html| {
            html.node("svg", &attributes, |html| {
                html.leaf("title", &[], title);
                html.leaf("desc", &[], says);
                inside(html);
            });
        });
    }

    /// Grid, ticks and names of both axes.
    pub(super) fn axes(&self, html: &mut Html, across: (&Span, &str), upward: (&Span, &str)) {
        for (value, label) in upward.0.ticks() {
            let y = upward.0.place(value);
            rule(html, "grid", (self.left, y), (self.right, y));
            words(html, "", (self.left - 8.0, y + 4.0), "end", &label);
        }
        rule(html, "frame-line", (self.left, self.bottom), (self.right, self.bottom));
        for (value, label) in across.0.ticks() {
            let x = across.0.place(value);
            rule(html, "frame-line", (x, self.bottom), (x, self.bottom + 4.0));
            words(html, "", (x, self.bottom + 18.0), "middle", &label);
        }
        words(html, "strong", (0.0, 12.0), "start", upward.1);
        words(html, "strong", (self.right, self.height - 6.0), "end", across.1);
    }
}

/// A coordinate, short.
pub(super) fn pixel(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A straight line.
pub(super) fn rule(html: &mut Html, class: &str, from: (f64, f64), to: (f64, f64)) {
    let (x1, y1, x2, y2) = (pixel(from.0), pixel(from.1), pixel(to.0), pixel(to.1));
    html.shape("line", &[("class", class), ("x1", &x1), ("y1", &y1), ("x2", &x2), ("y2", &y2)]);
}

/// Words in a drawing.
pub(super) fn words(html: &mut Html, class: &str, at: (f64, f64), anchor: &str, text: &str) {
    let (x, y) = (pixel(at.0), pixel(at.1));
    html.leaf("text", &[("class", class), ("x", &x), ("y", &y), ("text-anchor", anchor)], text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(span: &Span) -> Vec<String> {
        span.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_value_stands_at_its_share_of_the_axis() {
        let span = Span::over([0.0, 10.0].into_iter(), Scale::Linear, (100.0, 300.0));
        assert!((span.expect("values").place(8.0) - 260.0).abs() < 1e-9);
        let span = Span::over([1.0, 10_000.0].into_iter(), Scale::Log, (0.0, 100.0));
        assert!((span.expect("values").place(100.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn ticks_are_round_numbers() {
        let linear = |low: f64, high: f64| {
            Span::over([low, high].into_iter(), Scale::Linear, (0.0, 1.0)).expect("values")
        };
        assert_eq!(texts(&linear(0.0, 1.0)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(&linear(1.83, 3.1).rounded()), ["1.5", "2.0", "2.5", "3.0", "3.5"]);
        assert_eq!(texts(&linear(-3.0, 3.0)), ["−2", "0", "2"]);
        let log = |low: f64, high: f64| {
            Span::over([low, high].into_iter(), Scale::Log, (0.0, 1.0)).expect("values")
        };
        assert_eq!(texts(&log(1.0, 100_000.0)), ["1", "10", "100", "1\u{2009}000", "10⁴", "10⁵"]);
        assert_eq!(texts(&log(0.01, 0.6)), ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5"]);
    }

    #[test]
    fn odd_values_make_no_odd_axis() {
        assert!(
            Span::over([f64::NAN, f64::INFINITY].into_iter(), Scale::Linear, (0.0, 1.0)).is_none()
        );
        assert!(Span::over([0.0, -1.0].into_iter(), Scale::Log, (0.0, 1.0)).is_none());
        for value in [0.0, 5.0, -1e300, 1e-300, 1e17] {
            let span = Span::over(std::iter::once(value), Scale::Linear, (0.0, 100.0));
            let span = span.expect("one value is enough").rounded();
            assert!(span.place(value).is_finite(), "{value}");
            assert!((1..20).contains(&span.ticks().len()), "{value}: {:?}", span.ticks());
        }
    }
}
