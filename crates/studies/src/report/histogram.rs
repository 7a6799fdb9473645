//! Histograms, with linear or logarithmic counts and marked values.

use serde::Serialize;

use super::Draw;
use super::axis::{self, Axis, Frame, Reference, Scale, Span, pixel};
use super::cell::{Cell, Table, twin};
use super::html::Html;
use super::text::{grouped, number};

/// Room at the right, in the drawing's units.
const MARGIN: f64 = 24.0;

/// Where a logarithmic count axis starts, so that a count of one has a height.
const BELOW_ONE: f64 = 0.6;

/// A distribution.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Histogram {
    /// What it shows.
    pub caption: String,
    /// The horizontal axis.
    pub x: Axis,
    /// How counts are spread.
    pub counts_scale: Scale,
    /// Bin edges, ascending, one more than counts.
    pub edges: Vec<f64>,
    /// What each bin holds.
    pub counts: Vec<u64>,
    /// Values pointed at.
    pub marks: Vec<Reference>,
}

impl Histogram {
    /// A histogram of the finite values in `bins` bins of even width, or of even ratio on a
    /// logarithmic axis; values without a place on the axis are not counted.
    pub fn of(caption: impl Into<String>, x: Axis, values: &[f64], bins: usize) -> Self {
        let placed: Vec<f64> =
            values.iter().copied().filter(|value| x.scale.holds(*value)).collect();
        let ends = placed.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |ends, value| {
            (ends.0.min(*value), ends.1.max(*value))
        });
        let mut histogram = Self { caption: caption.into(), x, ..Self::default() };
        if placed.is_empty() || bins == 0 {
            return histogram;
        }
        let log = histogram.x.scale == Scale::Log;
        let forward = |value: f64| if log { value.ln() } else { value };
        let back = |value: f64| if log { value.exp() } else { value };
        let (low, high) = (forward(ends.0), forward(ends.1));
        let width = if high > low { (high - low) / bins as f64 } else { 1.0 / bins as f64 };
        histogram.edges = (0..=bins).map(|bin| back(low + width * bin as f64)).collect();
        histogram.counts = vec![0; bins];
        for value in placed {
            let bin = ((forward(value) - low) / width) as usize;
            histogram.counts[bin.min(bins - 1)] += 1;
        }
        histogram
    }

    /// The same histogram with logarithmic counts.
    #[must_use]
    pub fn with_log_counts(mut self) -> Self {
        self.counts_scale = Scale::Log;
        self
    }

    /// The same histogram, pointing at a value.
    #[must_use]
    pub fn with_mark(mut self, label: impl Into<String>, value: f64) -> Self {
        self.marks.push(Reference { label: label.into(), value });
        self
    }

    /// Bins as lower edge, upper edge and count.
    fn bins(&self) -> impl Iterator<Item = (f64, f64, u64)> {
        let edges = self.edges.windows(2).map(|pair| (pair[0], pair[1]));
        edges.zip(&self.counts).map(|((low, high), count)| (low, high, *count))
    }

    fn spans(&self, frame: &Frame) -> Option<(Span, Span)> {
        let marks = self.marks.iter().map(|mark| mark.value);
        let x = Span::over(self.edges.iter().copied().chain(marks), self.x.scale, frame.across())?;
        let counts = self.counts.iter().filter(|count| **count > 0).map(|count| *count as f64);
        let (start, headroom) = match self.counts_scale {
            Scale::Linear => (0.0, 1.0),
            Scale::Log => (BELOW_ONE, 1.4),
        };
        let y = Span::over(
            counts.flat_map(|count| [count, headroom * count]).chain(std::iter::once(start)),
            self.counts_scale,
            frame.upward(),
        )?;
        Some((x, if self.counts_scale == Scale::Linear { y.rounded() } else { y }))
    }

    fn table(&self) -> Table {
        let bins = self.counts.len();
        let caption = format!("{} bins; {}", grouped(bins as u64), self.x.label);
        self.bins().fold(
            Table::new(caption, ["from", "to", "count"]),
            |table, (low, high, count)| {
                table.with_row([Cell::Number(low), Cell::Number(high), Cell::Number(count as f64)])
            },
        )
    }
}

impl Draw for Histogram {
    fn write(&self, html: &mut Html) {
        html.node("figure", &[("class", "block chart")], |html| {
            html.leaf("figcaption", &[], &self.caption);
            let frame = Frame::with_labels(MARGIN);
            let total: u64 = self.counts.iter().sum();
            let Some((x, y)) = self.spans(&frame).filter(|_| total > 0) else {
                html.leaf("p", &[("class", "empty")], "Nothing to count.");
                return;
            };
            let says = format!("{} values in {} bins", grouped(total), self.counts.len());
            frame.draw(html, (&self.caption, &says), |html| {
                let up = match self.counts_scale {
                    Scale::Linear => "count",
                    Scale::Log => "count (logarithmic)",
                };
                frame.axes(html, (&x, &self.x.label), (&y, up));
                for (low, high, count) in self.bins().filter(|(_, _, count)| *count > 0) {
                    let (left, right) = (x.place(low), x.place(high));
                    let top = y.place(count as f64);
                    let title = format!("{} to {}: {}", number(low), number(high), grouped(count));
                    let attributes = [
                        ("class", "column"),
                        ("x", &*pixel(left)),
                        ("y", &*pixel(top)),
                        ("width", &*pixel((right - left - 1.0).max(1.0))),
                        ("height", &*pixel((frame.bottom - top).max(0.5))),
                    ];
                    html.titled("rect", &attributes, &title);
                }
                for Reference { label, value } in
                    self.marks.iter().filter(|mark| self.x.scale.holds(mark.value))
                {
                    let at = x.place(*value);
                    axis::rule(html, "pointer", (at, frame.top), (at, frame.bottom));
                    let (anchor, shift) =
                        if at > 0.7 * frame.right { ("end", -6.0) } else { ("start", 6.0) };
                    let text = format!("{label} {}", number(*value));
                    axis::words(html, "strong", (at + shift, frame.top + 6.0), anchor, &text);
                }
            });
            twin(html, &self.table());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_counted_once() {
        let values: Vec<f64> = (0..1000).map(|n| f64::from(n) / 10.0).collect();
        let linear = Histogram::of("", Axis::linear("x"), &values, 7);
        assert_eq!(linear.counts.iter().sum::<u64>(), 1000);
        assert_eq!(linear.edges.len(), 8);
        // Zero has no logarithm.
        let log = Histogram::of("", Axis::log("x"), &values, 3);
        assert_eq!(log.counts, [9, 90, 900]);
        let one = Histogram::of("", Axis::linear("x"), &[2.0; 5], 4);
        assert_eq!(one.counts.iter().sum::<u64>(), 5);
        assert!(Histogram::of("", Axis::linear("x"), &[f64::NAN], 4).counts.is_empty());
    }
}
