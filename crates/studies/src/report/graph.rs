//! Graphs in layers: nodes in the cells of a grid, edges as wide as their weight.
//!
//! Rows go upward, columns to the right. Nodes of a cell stand side by side where there is room, else
//! below each other. An edge's colour and dashes tell its sign. The strongest edges are drawn; a
//! table beside the drawing names them, another the nodes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Draw;
use super::axis::{self, Frame, pixel};
use super::cell::{Cell, Table, twin};
use super::graph_layout::{BETWEEN, LEFT, Places};
use super::html::Html;
use super::style::GROUPS;
use super::text::{grouped, signed};

/// Edges drawn at most, the strongest.
const EDGES_DRAWN: usize = 600;
/// Edges and nodes told in tables.
const TOLD: usize = 100;
/// The most characters of a label beside a node.
pub(super) const LONGEST_LABEL: usize = 13;
/// The most characters of a column's name.
pub(super) const LONGEST_COLUMN: usize = 15;
/// Half the size of a node.
const RADIUS: f64 = 5.0;

/// A graph drawn in layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LayeredGraph {
    /// What it shows.
    pub caption: String,
    /// Names of the rows, from below.
    pub rows: Vec<String>,
    /// Names of the columns, from the left; a single one may be empty.
    pub columns: Vec<String>,
    /// What the groups of nodes are, from group 0.
    pub groups: Vec<String>,
    /// The nodes.
    pub nodes: Vec<LayeredNode>,
    /// The edges.
    pub edges: Vec<LayeredEdge>,
}

/// A node of a [`LayeredGraph`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LayeredNode {
    /// Its row, below the number of rows.
    pub row: usize,
    /// Its column, below the number of columns.
    pub column: usize,
    /// What is written beside it, a few words; may be empty.
    pub label: String,
    /// What is told under the pointer and in the table.
    pub title: String,
    /// Its colour: 0 for a hollow node, others by group, repeated after 8.
    pub group: usize,
    /// Its form.
    pub form: Form,
    /// How important it is: the order in a cell and in the table, greatest first.
    pub weight: f64,
}

/// The form of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A disc.
    #[default]
    Disc,
    /// A square, for inputs and outputs.
    Square,
    /// A diamond, for what is left unexplained.
    Diamond,
}

/// An edge of a [`LayeredGraph`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LayeredEdge {
    /// The index of the node where it begins.
    pub from: usize,
    /// The index of the node where it ends.
    pub to: usize,
    /// Its weight, of either sign.
    pub weight: f64,
}

impl LayeredGraph {
    /// The edges between nodes that are there, strongest first.
    fn ranked(&self) -> Vec<LayeredEdge> {
        let sound = |edge: &&LayeredEdge| {
            let ends = edge.from.max(edge.to);
            ends < self.nodes.len() && edge.weight.is_finite() && edge.weight != 0.0
        };
        let mut edges: Vec<_> = self.edges.iter().filter(sound).copied().collect();
        edges.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
        edges
    }

    fn edge(&self, html: &mut Html, index: usize, edge: &LayeredEdge, places: &Places, share: f64) {
        let (from, to) = (places.nodes[edge.from], places.nodes[edge.to]);
        let path = if (from.1 - to.1).abs() < 1.0 {
            // Side by side: an arc, so that it does not run through what stands between.
            let lift = ((from.0 - to.0).abs() / 4.0).clamp(8.0, BETWEEN - 12.0);
            let (x, y) = (pixel(f64::midpoint(from.0, to.0)), pixel(from.1 - 2.0 * lift));
            format!("M{} {}Q{x} {y} {} {}", pixel(from.0), pixel(from.1), pixel(to.0), pixel(to.1))
        } else {
            let middle = pixel(f64::midpoint(from.1, to.1));
            let (x1, y1, x2, y2) = (pixel(from.0), pixel(from.1), pixel(to.0), pixel(to.1));
            format!("M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}")
        };
        let sign = if edge.weight < 0.0 { "minus" } else { "plus" };
        let width = format!("{:.2}", 0.75 + 4.25 * share);
        let seen = format!("{:.2}", 0.25 + 0.6 * share.sqrt());
        let title = format!(
            "{} → {}: {}",
            self.nodes[edge.from].title,
            self.nodes[edge.to].title,
            signed(edge.weight)
        );
        let (from, to) = (edge.from.to_string(), edge.to.to_string());
        html.titled(
            "path",
            &[
                ("class", &format!("link {sign}")),
                ("d", &path),
                ("stroke-width", &width),
                ("opacity", &seen),
                ("data-from", &from),
                ("data-to", &to),
                ("data-rank", &index.to_string()),
            ],
            &title,
        );
    }

    fn node(&self, html: &mut Html, index: usize, places: &Places) {
        let (node, (x, y)) = (&self.nodes[index], places.nodes[index]);
        let (number, class) = (index.to_string(), format!("dot {}", colour(node.group)));
        html.node("g", &[("class", "node"), ("data-node", &number)], |html| {
            form(html, &class, node.form, (x, y));
            if places.labelled && !node.label.is_empty() {
                let text = cut(&node.label, LONGEST_LABEL);
                axis::words(html, "beside", (x + RADIUS + 4.0, y + 4.0), "start", &text);
            }
            html.leaf("title", &[], &node.title);
        });
    }

    fn key(&self, html: &mut Html, edges: bool) {
        html.node("p", &[("class", "note keys")], |html| {
            let mut seen = BTreeMap::new();
            for node in &self.nodes {
                seen.entry(node.group).or_insert(node.form);
            }
            for (group, as_form) in seen.into_iter().take(GROUPS + 1) {
                let Some(name) = self.groups.get(group).filter(|name| !name.is_empty()) else {
                    continue;
                };
                html.node("span", &[("class", "key narrow-key")], |html| {
                    html.node("svg", &[("role", "presentation")], |html| {
                        form(html, &format!("dot {}", colour(group)), as_form, (5.0, 7.0));
                    });
                    html.text(name);
                });
            }
            let signed = self.edges.iter().any(|edge| edge.weight < 0.0);
            let signs: &[(&str, &str)] = if signed {
                &[("plus", "raises"), ("minus", "lowers")]
            } else {
                &[("plus", "acts on")]
            };
            for (sign, name) in signs {
                if edges {
                    html.node("span", &[("class", "key")], |html| {
                        html.node("svg", &[("role", "presentation")], |html| {
                            let line = [
                                ("class", &*format!("link {sign}")),
                                ("d", "M2 7L26 7"),
                                ("stroke-width", "3"),
                            ];
                            html.shape("path", &line);
                        });
                        html.text(name);
                    });
                }
            }
            html.leaf("span", &[], "point at a node or an edge for its name and weight");
        });
    }

    fn node_table(&self) -> Table {
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by(|&a, &b| self.nodes[b].weight.total_cmp(&self.nodes[a].weight));
        order.truncate(TOLD);
        let caption = format!(
            "{} of {} nodes",
            grouped(order.len() as u64),
            grouped(self.nodes.len() as u64)
        );
        let table = Table::new(caption, ["node", "row", "column", "weight"]);
        order.into_iter().map(|index| &self.nodes[index]).fold(table, |table, node| {
            let name = |names: &[String], index: usize| {
                Cell::text(names.get(index).map_or("", String::as_str))
            };
            table.with_row([
                Cell::text(&*node.title),
                name(&self.rows, node.row),
                name(&self.columns, node.column),
                if node.weight.is_nan() { Cell::Empty } else { Cell::Number(node.weight) },
            ])
        })
    }

    fn edge_table(&self, edges: &[LayeredEdge]) -> Table {
        let told = &edges[..edges.len().min(TOLD)];
        let caption = format!(
            "{} of {} edges, strongest first",
            grouped(told.len() as u64),
            grouped(edges.len() as u64)
        );
        told.iter().fold(Table::new(caption, ["from", "to", "weight"]), |table, edge| {
            table.with_row([
                Cell::text(&*self.nodes[edge.from].title),
                Cell::text(&*self.nodes[edge.to].title),
                Cell::Number(edge.weight),
            ])
        })
    }
}

impl Draw for LayeredGraph {
    fn write(&self, html: &mut Html) {
        html.node("figure", &[("class", "block chart graph")], |html| {
            html.leaf("figcaption", &[], &self.caption);
            if self.nodes.is_empty() {
                html.leaf("p", &[("class", "empty")], "No nodes to draw.");
                return;
            }
            let edges = self.ranked();
            self.key(html, !edges.is_empty());
            let places = self.places();
            let frame = Frame {
                width: places.width,
                height: places.height,
                left: LEFT,
                right: places.width,
                top: 0.0,
                bottom: places.height,
            };
            let says = format!("{} nodes and {} edges", self.nodes.len(), edges.len());
            frame.draw(html, (&self.caption, &says), |html| self.inside(html, &edges, &places));
            if edges.len() > EDGES_DRAWN {
                let says = format!(
                    "The {} strongest of {} edges are drawn.",
                    grouped(EDGES_DRAWN as u64),
                    grouped(edges.len() as u64)
                );
                html.leaf("p", &[("class", "note")], &says);
            }
            twin(html, &self.edge_table(&edges));
            twin(html, &self.node_table());
        });
    }
}

impl LayeredGraph {
    fn inside(&self, html: &mut Html, edges: &[LayeredEdge], places: &Places) {
        for (name, &y) in self.rows.iter().zip(&places.rows) {
            axis::rule(html, "grid", (LEFT - 8.0, y + 12.0), (places.width, y + 12.0));
            axis::words(html, "", (0.0, y + 4.0), "start", &cut(name, LONGEST_COLUMN - 4));
        }
        if self.columns.len() > 1 {
            for (name, &(x, _)) in self.columns.iter().zip(&places.columns) {
                let shown = cut(&name.replace(' ', "␣"), LONGEST_COLUMN);
                axis::words(html, "strong", (x + 4.0, places.height - 4.0), "start", &shown);
            }
        }
        let strongest = edges.first().map_or(1.0, |edge| edge.weight.abs());
        // The strongest last, on top.
        for (index, edge) in edges.iter().take(EDGES_DRAWN).enumerate().rev() {
            self.edge(html, index, edge, places, edge.weight.abs() / strongest);
        }
        for index in 0..self.nodes.len() {
            self.node(html, index, places);
        }
    }
}

fn colour(group: usize) -> String {
    if group == 0 { "hollow".to_owned() } else { format!("g{}", (group - 1) % GROUPS + 1) }
}

fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let short: String = text.chars().take(longest - 1).collect();
    format!("{short}…")
}

fn form(html: &mut Html, class: &str, form: Form, (x, y): (f64, f64)) {
    match form {
        Form::Disc => {
            let (x, y, radius) = (pixel(x), pixel(y), pixel(RADIUS));
            html.shape("circle", &[("class", class), ("cx", &x), ("cy", &y), ("r", &radius)]);
        }
        Form::Square => {
            let (x, y, size) = (pixel(x - RADIUS), pixel(y - RADIUS), pixel(2.0 * RADIUS));
            let shape =
                [("class", class), ("x", &x), ("y", &y), ("width", &size), ("height", &size)];
            html.shape("rect", &shape);
        }
        Form::Diamond => {
            let size = RADIUS + 1.0;
            let corners = [(x, y - size), (x + size, y), (x, y + size), (x - size, y)];
            let points = corners.map(|(x, y)| format!("{},{}", pixel(x), pixel(y))).join(" ");
            html.shape("polygon", &[("class", class), ("points", &points)]);
        }
    }
}
