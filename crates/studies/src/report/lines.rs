//! Curves over an axis, named at their ends, with horizontal lines for known bounds.

use serde::Serialize;

use super::Draw;
use super::axis::{self, Axis, Frame, Reference, Span, pixel};
use super::cell::{Cell, Table, twin};
use super::html::Html;
use super::style::GROUPS;
use super::text::{grouped, number};

/// Room for each character of a name at the right, in the drawing's units, and for its line.
const LETTER: f64 = 6.8;
const LEAD: f64 = 44.0;

/// The most characters of a name that fit there.
const LONGEST_LABEL: usize = 24;

/// Points of a curve that answer the pointer, and rows of its table.
const POINTS_TOLD: usize = 40;

/// Points drawn in each curve; between them minima and maxima are kept.
const POINTS_DRAWN: usize = 600;

/// Curves.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Lines {
    /// What they show.
    pub caption: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The curves.
    pub series: Vec<Series>,
    /// Horizontal lines.
    pub references: Vec<Reference>,
    /// Shaded stretches of the horizontal axis.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<Band>,
}

/// A shaded stretch of the horizontal axis, such as the time of a stimulus.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Band {
    /// What it is.
    pub label: String,
    /// Where it begins and ends.
    pub range: [f64; 2],
}

/// One curve.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Series {
    /// Its name.
    pub label: String,
    /// Its points, from left to right; a point that is not finite breaks the curve.
    pub points: Vec<[f64; 2]>,
}

/// A name at the right edge, and the height of what it names.
struct Label<'a> {
    text: &'a str,
    value: f64,
    y: f64,
    series: Option<usize>,
}

impl Lines {
    fn spans(&self, frame: &Frame) -> Option<(Span, Span)> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let references = self.references.iter().map(|reference| reference.value);
        let x = Span::over(points().map(|point| point[0]), self.x.scale, frame.across())?;
        let values = points().map(|point| point[1]).chain(references);
        let y = Span::over(values, self.y.scale, frame.upward())?.rounded();
        Some((x, y))
    }

    fn holds(&self, point: &[f64; 2]) -> bool {
        self.x.scale.holds(point[0]) && self.y.scale.holds(point[1])
    }

    /// The room that the names need at the right.
    fn room(&self) -> f64 {
        let names = self.series.iter().map(|series| &series.label);
        let names = names.chain(self.references.iter().map(|known| &known.label));
        let longest = names.map(|name| name.chars().count().min(LONGEST_LABEL)).max().unwrap_or(0);
        // A number and the blank before it take up to eight characters.
        LEAD + LETTER * (longest + 8) as f64
    }

    /// How many points cannot be drawn.
    fn left_out(&self) -> usize {
        let points = self.series.iter().flat_map(|series| &series.points);
        points.filter(|point| !self.holds(point)).count()
    }

    fn curve(&self, html: &mut Html, index: usize, (x, y): (&Span, &Span)) {
        let series = &self.series[index];
        let class = series_class(index);
        let mut path = String::new();
        let mut pen = "M";
        for point in thinned(&series.points) {
            if self.holds(&point) {
                let (across, down) = (pixel(x.place(point[0])), pixel(y.place(point[1])));
                path.extend([pen, &across, " ", &down]);
                pen = "L";
            } else {
                pen = "M";
            }
        }
        html.shape("path", &[("class", &format!("curve {class}")), ("d", &path)]);
        for point in sampled(&series.points).filter(|point| self.holds(point)) {
            let title = format!("{} · {} {}", series.label, number(point[0]), number(point[1]));
            let (cx, cy) = (pixel(x.place(point[0])), pixel(y.place(point[1])));
            let hit = format!("hit {class}");
            html.titled("circle", &[("class", &hit), ("cx", &cx), ("cy", &cy), ("r", "5")], &title);
        }
    }

    /// Draws the bands behind everything, each named at its top.
    fn shade(&self, html: &mut Html, frame: &Frame, x: &Span) {
        for Band { label, range } in &self.bands {
            if !range.iter().all(|&end| self.x.scale.holds(end)) {
                continue;
            }
            let [from, to] = range.map(|end| x.place(end).clamp(frame.left, frame.right));
            let (left, top) = (pixel(from), pixel(frame.top));
            let (width, height) = (pixel((to - from).max(0.0)), pixel(frame.bottom - frame.top));
            let attributes = [
                ("class", "band"),
                ("x", left.as_str()),
                ("y", &top),
                ("width", &width),
                ("height", &height),
            ];
            html.titled("rect", &attributes, label);
            axis::words(
                html,
                "small",
                (f64::midpoint(from, to), frame.top + 10.0),
                "middle",
                label,
            );
        }
    }

    fn labels(&self, y: &Span) -> Vec<Label<'_>> {
        let ends = self.series.iter().enumerate().filter_map(|(index, series)| {
            let [_, value] = *series.points.iter().rev().find(|point| self.holds(point))?;
            Some(Label { text: &series.label, value, y: y.place(value), series: Some(index) })
        });
        let known = self.references.iter().filter(|known| self.y.scale.holds(known.value));
        let known = known.map(|Reference { label, value }| Label {
            text: label,
            value: *value,
            y: y.place(*value),
            series: None,
        });
        let mut labels: Vec<_> = ends.chain(known).collect();
        labels.sort_by(|a, b| a.y.total_cmp(&b.y));
        labels
    }

    fn table(&self) -> Table {
        let mut table = Table::new("", ["curve", &self.x.label, &self.y.label]);
        let mut all = 0;
        for series in &self.series {
            all += series.points.len();
            for [x, y] in sampled(&series.points) {
                let row = vec![Cell::text(&*series.label), Cell::Number(x), Cell::Number(y)];
                table.rows.push(row);
            }
        }
        table.caption =
            format!("{} of {} points", grouped(table.rows.len() as u64), grouped(all as u64));
        for Reference { label, value } in &self.references {
            table.rows.push(vec![Cell::text(label), Cell::Empty, Cell::Number(*value)]);
        }
        table
    }

    fn says(&self) -> String {
        let ends = self.series.iter().filter_map(|series| {
            let [x, y] = series.points.iter().rev().find(|point| self.holds(point))?;
            Some(format!("{} ends at {} ({})", series.label, number(*y), number(*x)))
        });
        let known =
            self.references.iter().map(|known| format!("{} {}", known.label, number(known.value)));
        ends.chain(known).collect::<Vec<_>>().join("; ")
    }
}

impl Draw for Lines {
    fn write(&self, html: &mut Html) {
        html.node("figure", &[("class", "block chart")], |html| {
            html.leaf("figcaption", &[], &self.caption);
            let frame = Frame::with_labels(self.room());
            let Some((x, y)) = self.spans(&frame) else {
                html.leaf("p", &[("class", "empty")], "No finite values to draw.");
                return;
            };
            frame.draw(html, (&self.caption, &self.says()), |html| {
                self.shade(html, &frame, &x);
                frame.axes(html, (&x, &self.x.label), (&y, &self.y.label));
                for known in self.references.iter().filter(|known| self.y.scale.holds(known.value))
                {
                    let at = y.place(known.value);
                    axis::rule(html, "reference", (frame.left, at), (frame.right, at));
                }
                for index in 0..self.series.len() {
                    self.curve(html, index, (&x, &y));
                }
                name_ends(html, &frame, &self.labels(&y));
            });
            let left_out = self.left_out();
            if left_out > 0 {
                let says = format!(
                    "{} points have no place on these axes and are not drawn.",
                    grouped(left_out as u64)
                );
                html.leaf("p", &[("class", "note")], &says);
            }
            twin(html, &self.table());
        });
    }
}

fn series_class(index: usize) -> String {
    let dashed = if index >= GROUPS { " dashed" } else { "" };
    format!("g{}{dashed}", index % GROUPS + 1)
}

/// Writes names at the right, apart from each other, each with a line to what it names.
fn name_ends(html: &mut Html, frame: &Frame, labels: &[Label<'_>]) {
    let heights: Vec<f64> = labels.iter().map(|label| label.y).collect();
    let placed = spread(&heights, 16.0, (frame.top, frame.bottom));
    for (label, at) in labels.iter().zip(placed) {
        let start = frame.right + 4.0;
        axis::rule(html, "leader", (start, label.y), (start + 12.0, at));
        let class = match label.series {
            Some(index) => format!("swatch {}", series_class(index)),
            None => "reference".to_owned(),
        };
        axis::rule(html, &class, (start + 14.0, at), (start + 26.0, at));
        let cut = label.text.chars().count() > LONGEST_LABEL;
        let short: String = label.text.chars().take(LONGEST_LABEL - 1).collect();
        let name = if cut { format!("{short}…") } else { label.text.to_owned() };
        let text = format!("{name} {}", number(label.value));
        axis::words(html, "strong", (start + 30.0, at + 4.0), "start", &text);
    }
}

/// Heights near `wanted`, sorted like it, at least `gap` apart and within `range` if that has room.
fn spread(wanted: &[f64], gap: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut placed: Vec<f64> = Vec::with_capacity(wanted.len());
    for height in wanted {
        let above = placed.last().map_or(f64::NEG_INFINITY, |last| last + gap);
        placed.push(height.max(above));
    }
    let mut limit = bottom;
    for height in placed.iter_mut().rev() {
        *height = height.min(limit);
        limit = *height - gap;
    }
    let lift = placed.first().map_or(0.0, |first| (top - first).max(0.0));
    placed.iter().map(|height| height + lift).collect()
}

/// Points spread evenly over a curve, its ends included.
fn sampled(points: &[[f64; 2]]) -> impl Iterator<Item = [f64; 2]> + '_ {
    let count = points.len().min(POINTS_TOLD);
    (0..count).map(move |index| points[index * (points.len() - 1) / (count - 1).max(1)])
}

/// The points to draw: all, or the lowest and highest of each stretch.
fn thinned(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    if points.len() <= POINTS_DRAWN {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(POINTS_DRAWN / 2);
    let extremes = points.chunks(stretch).flat_map(|chunk| {
        let by_height = |a: &&[f64; 2], b: &&[f64; 2]| a[1].total_cmp(&b[1]);
        let low = chunk.iter().min_by(by_height);
        let high = chunk.iter().max_by(by_height);
        let mut pair: Vec<[f64; 2]> = low.into_iter().chain(high).copied().collect();
        pair.sort_by(|a, b| a[0].total_cmp(&b[0]));
        pair
    });
    let ends = |index: usize| points.get(index).copied();
    ends(0).into_iter().chain(extremes).chain(ends(points.len() - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_order_and_distance() {
        let placed = spread(&[100.0, 101.0, 102.0, 250.0, 251.0], 16.0, (20.0, 256.0));
        for pair in placed.windows(2) {
            assert!(pair[1] - pair[0] >= 16.0 - 1e-9, "{placed:?}");
        }
        assert!(placed.iter().all(|height| (20.0..=256.0).contains(height)), "{placed:?}");
        assert_eq!(spread(&[50.0, 90.0], 16.0, (20.0, 256.0)), [50.0, 90.0]);
    }

    #[test]
    fn long_curves_keep_their_peaks_and_ends() {
        let mut points: Vec<_> = (0..100_000).map(|x| [f64::from(x), 1.0]).collect();
        points[54_321][1] = 9.0;
        let thin = thinned(&points);
        assert!(thin.len() <= POINTS_DRAWN + 2);
        assert!(thin.contains(&[54_321.0, 9.0]));
        assert_eq!((thin[0], thin[thin.len() - 1]), (points[0], points[99_999]));
        assert_eq!(sampled(&points).last(), points.last().copied());
        assert_eq!(sampled(&points[..1]).count(), 1);
        assert_eq!(sampled(&[]).count(), 0);
    }

    #[test]
    fn a_gap_breaks_the_curve() {
        let points = vec![[0.0, 1.0], [1.0, f64::NAN], [2.0, 3.0]];
        let lines =
            Lines { series: vec![Series { label: "loss".to_owned(), points }], ..Lines::default() };
        let mut html = Html::default();
        lines.write(&mut html);
        let text = html.finish();
        let path = text.split("d=\"").nth(1).and_then(|rest| rest.split('"').next());
        assert_eq!(path.expect("a path").matches('M').count(), 2);
        assert!(text.contains("1 points have no place"));
    }
}
