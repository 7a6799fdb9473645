//! Adjacency matrices: a square for each edge, neurons in groups along both sides.
//!
//! Rows are where edges begin. Edges of one kind have one colour; the stronger, the fuller it is. A table
//! beside the drawing names the strongest.

use std::fmt::Write as _;

use serde::Serialize;

use super::Draw;
use super::axis::{self, Frame, pixel};
use super::cell::{Cell, Table, twin};
use super::html::Html;
use super::style::GROUPS;
use super::text::grouped;

/// Edges told in the table.
const TOLD: usize = 100;
/// The side of the drawing, in its units.
const SIDE: f64 = 640.0;
/// Room for the names of groups.
const NAMES: f64 = 96.0;
/// Shades of an edge, from faint to full.
const SHADES: [&str; 4] = ["0.3", "0.5", "0.75", "1"];

/// A matrix of edges.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Adjacency {
    /// What it shows.
    pub caption: String,
    /// The names of the nodes, in the order in which they stand.
    pub names: Vec<String>,
    /// Groups of consecutive nodes: name and size.
    pub groups: Vec<(String, usize)>,
    /// Edges by kind.
    pub kinds: Vec<AdjacencyKind>,
}

/// Edges of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AdjacencyKind {
    /// What they are.
    pub name: String,
    /// Where each begins and ends, by place in the order, and its weight.
    pub edges: Vec<(usize, usize, f64)>,
}

impl Adjacency {
    /// Edges between nodes that are there, with the index of their kind, strongest of all first.
    fn ranked(&self) -> Vec<(usize, usize, usize, f64)> {
        let count = self.names.len();
        let mut all: Vec<(usize, usize, usize, f64)> = Vec::new();
        for (kind, edges) in self.kinds.iter().enumerate() {
            let sound =
                edges.edges.iter().filter(|edge| edge.0.max(edge.1) < count && edge.2.is_finite());
            all.extend(sound.map(|&(from, to, weight)| (kind, from, to, weight)));
        }
        all.sort_by(|a, b| {
            b.3.abs().total_cmp(&a.3.abs()).then((a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)))
        });
        all
    }

    fn key(&self, html: &mut Html) {
        html.node("p", &[("class", "note keys")], |html| {
            for (kind, edges) in self.kinds.iter().enumerate() {
                html.node("span", &[("class", "key narrow-key")], |html| {
                    html.node("svg", &[("role", "presentation")], |html| {
                        let class = format!("dot {}", colour(kind));
                        let square = [
                            ("class", &*class),
                            ("x", "0"),
                            ("y", "2"),
                            ("width", "10"),
                            ("height", "10"),
                        ];
                        html.shape("rect", &square);
                    });
                    html.text(&format!(
                        "{}, {} edges",
                        edges.name,
                        grouped(edges.edges.len() as u64)
                    ));
                });
            }
            html.leaf("span", &[], "a row is where edges begin, a column where they end");
        });
    }

    fn inside(&self, html: &mut Html, ranked: &[(usize, usize, usize, f64)]) {
        let cell = SIDE / self.names.len() as f64;
        // Full where the weight is among the strongest of its kind: ranks, for weights are skewed.
        for kind in 0..self.kinds.len() {
            let own: Vec<_> = ranked.iter().filter(|edge| edge.0 == kind).collect();
            for (level, shade) in SHADES.iter().enumerate() {
                let mut path = String::new();
                for (rank, edge) in own.iter().enumerate() {
                    let full = SHADES.len() * (own.len() - 1 - rank) / own.len().max(1);
                    if full != level {
                        continue;
                    }
                    // A pair of both kinds shows both: each takes its part of the square.
                    let width = cell / self.kinds.len() as f64;
                    let x = NAMES + cell * edge.2 as f64 + width * kind as f64;
                    let y = NAMES + cell * edge.1 as f64;
                    let _infallible = write!(
                        path,
                        "M{} {}h{}v{}h-{}z",
                        pixel(x),
                        pixel(y),
                        fine(width),
                        fine(cell),
                        fine(width)
                    );
                }
                if !path.is_empty() {
                    let class = format!("dot {}", colour(kind));
                    html.shape("path", &[("class", &class), ("d", &path), ("fill-opacity", shade)]);
                }
            }
        }
        let mut at = 0;
        for (name, size) in &self.groups {
            let begin = NAMES + cell * at as f64;
            at += size;
            let end = NAMES + cell * at as f64;
            axis::rule(html, "grid", (NAMES, end), (NAMES + SIDE, end));
            axis::rule(html, "grid", (end, NAMES), (end, NAMES + SIDE));
            // Groups too small for their name are told under the pointer of their edges only.
            if end - begin >= 12.0 {
                let middle = f64::midpoint(begin, end);
                axis::words(html, "", (NAMES - 6.0, middle + 4.0), "end", name);
                html.node(
                    "g",
                    &[(
                        "transform",
                        &*format!("rotate(-60 {} {})", pixel(middle), pixel(NAMES - 6.0)),
                    )],
                    |html| axis::words(html, "", (middle, NAMES - 6.0), "start", name),
                );
            }
        }
        axis::rule(html, "grid", (NAMES, NAMES), (NAMES + SIDE, NAMES));
        axis::rule(html, "grid", (NAMES, NAMES), (NAMES, NAMES + SIDE));
    }

    fn table(&self, ranked: &[(usize, usize, usize, f64)]) -> Table {
        let told = &ranked[..ranked.len().min(TOLD)];
        let caption =
            format!("{} of {} edges, strongest first", told.len(), grouped(ranked.len() as u64));
        told.iter().fold(
            Table::new(caption, ["from", "to", "kind", "weight"]),
            |table, &(kind, from, to, weight)| {
                let text = |name: &String| Cell::text(name.as_str());
                table.with_row([
                    text(&self.names[from]),
                    text(&self.names[to]),
                    text(&self.kinds[kind].name),
                    Cell::Number(weight),
                ])
            },
        )
    }
}

impl Draw for Adjacency {
    fn write(&self, html: &mut Html) {
        html.node("figure", &[("class", "block chart")], |html| {
            html.leaf("figcaption", &[], &self.caption);
            let ranked = self.ranked();
            if self.names.is_empty() || ranked.is_empty() {
                html.leaf("p", &[("class", "empty")], "No edges to draw.");
                return;
            }
            self.key(html);
            let side = NAMES + SIDE;
            let frame = Frame {
                width: side + 8.0,
                height: side + 8.0,
                left: NAMES,
                right: side,
                top: NAMES,
                bottom: side,
            };
            let says = format!("{} nodes and {} edges", self.names.len(), ranked.len());
            frame.draw(html, (&self.caption, &says), |html| self.inside(html, &ranked));
            twin(html, &self.table(&ranked));
        });
    }
}

fn colour(kind: usize) -> String {
    format!("g{}", kind % GROUPS + 1)
}

/// A length with two decimals, for squares of a pixel or so.
fn fine(length: f64) -> String {
    format!("{length:.2}")
}

#[cfg(test)]
mod tests {
    use super::super::{Report, Section};
    use super::*;

    #[test]
    fn every_sound_edge_is_drawn_once_and_the_strongest_told_first() {
        let adjacency = Adjacency {
            caption: "Edges".to_owned(),
            names: ["a", "b<", "c"].map(str::to_owned).into(),
            groups: vec![("first".to_owned(), 2), ("second".to_owned(), 1)],
            kinds: vec![
                AdjacencyKind {
                    name: "one".to_owned(),
                    edges: vec![(0, 1, 2.0), (1, 2, -5.0), (7, 0, 9.0)],
                },
                AdjacencyKind {
                    name: "two".to_owned(),
                    edges: vec![(2, 2, 1.0), (0, 2, f64::NAN)],
                },
            ],
        };
        let ranked = adjacency.ranked();
        assert_eq!(ranked, [(0, 1, 2, -5.0), (0, 0, 1, 2.0), (1, 2, 2, 1.0)]);
        let html = Report::new("t", "l").with_section(Section::new("s").with(adjacency)).to_html();
        assert_eq!(html.matches("fill-opacity").count(), 3);
        assert!(html.contains("b&lt;") && html.contains(">second<"));
        let empty =
            Report::new("t", "l").with_section(Section::new("s").with(Adjacency::default()));
        assert!(empty.to_html().contains("No edges to draw."));
    }
}
