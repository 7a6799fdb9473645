//! An undirected graph on a ring: nodes group by group, edges as chords.

use std::f64::consts::TAU;

use serde::Serialize;

use super::Draw;
use super::axis::{self, Frame, pixel};
use super::html::Html;
use super::style::GROUPS;
use super::text::{grouped, number};

/// The most edges drawn; the strongest are.
const DRAWN: usize = 600;
/// Nodes up to which each has its name.
const NAMED: usize = 120;
const RADIUS: f64 = 190.0;
/// Room for names around the ring.
const ROOM: f64 = 84.0;

/// A graph on a ring.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RingGraph {
    /// What it shows.
    pub caption: String,
    /// The name of each node.
    pub names: Vec<String>,
    /// The group of each node, 0 for none; nodes of a group stand side by side.
    pub groups: Vec<u32>,
    /// Edges `(node, node, weight)`.
    pub edges: Vec<(usize, usize, f64)>,
}

impl RingGraph {
    /// The angle of each node, from the top on.
    fn angles(&self) -> Vec<f64> {
        let count = self.names.len();
        let group = |node: usize| match self.groups.get(node) {
            None | Some(0) => u32::MAX,
            Some(&group) => group,
        };
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|&node| (group(node), node));
        // A gap of one node between groups.
        let gaps = order.windows(2).filter(|pair| group(pair[0]) != group(pair[1])).count() + 1;
        let step = TAU / (count + gaps) as f64;
        let (mut angles, mut angle) = (vec![0.0; count], 0.0);
        for (at, &node) in order.iter().enumerate() {
            if at > 0 && group(order[at - 1]) != group(node) {
                angle += step;
            }
            angles[node] = angle;
            angle += step;
        }
        angles
    }

    fn ranked(&self) -> Vec<(usize, usize, f64)> {
        let nodes = self.names.len();
        let sound = |&&(a, b, weight): &&(usize, usize, f64)| {
            a < nodes && b < nodes && a != b && weight.is_finite() && weight > 0.0
        };
        let mut edges: Vec<_> = self.edges.iter().filter(sound).copied().collect();
        edges.sort_by(|a, b| b.2.total_cmp(&a.2));
        edges
    }
}

impl Draw for RingGraph {
    fn write(&self, html: &mut Html) {
        html.node("figure", &[("class", "block chart graph")], |html| {
            html.leaf("figcaption", &[], &self.caption);
            if self.names.is_empty() {
                html.leaf("p", &[("class", "empty")], "No nodes to draw.");
                return;
            }
            let side = 2.0 * (RADIUS + ROOM);
            let frame =
                Frame { width: side, height: side, left: 0.0, right: side, top: 0.0, bottom: side };
            let edges = self.ranked();
            let says = format!("{} nodes and {} edges", self.names.len(), edges.len());
            let angles = self.angles();
            let at = |node: usize, radius: f64| {
                let (sine, cosine) = angles[node].sin_cos();
                (side / 2.0 + radius * sine, side / 2.0 - radius * cosine)
            };
            frame.draw(html, (&self.caption, &says), |html| {
                let strongest = edges.first().map_or(1.0, |edge| edge.2);
                for &(a, b, weight) in edges.iter().take(DRAWN).rev() {
                    let [(x, y), (u, v)] = [at(a, RADIUS), at(b, RADIUS)];
                    let [x, y, u, v] = [x, y, u, v].map(pixel);
                    let middle = pixel(side / 2.0);
                    let path = format!("M{x} {y}Q{middle} {middle} {u} {v}");
                    let group = |node: usize| self.groups.get(node).copied().unwrap_or(0);
                    let class = if group(a) > 0 && group(a) == group(b) {
                        format!("chord g{}", (group(a) as usize - 1) % GROUPS + 1)
                    } else {
                        "chord".to_owned()
                    };
                    let seen = format!("{:.2}", 0.1 + 0.8 * weight / strongest);
                    let title =
                        format!("{} and {}: {}", self.names[a], self.names[b], number(weight));
                    let attributes = [("class", class.as_str()), ("d", &path), ("opacity", &seen)];
                    html.titled("path", &attributes, &title);
                }
                for (node, name) in self.names.iter().enumerate() {
                    let ((x, y), (u, v)) = (at(node, RADIUS), at(node, RADIUS + 10.0));
                    let group = self.groups.get(node).copied().unwrap_or(0) as usize;
                    let class = match group {
                        0 => "dot hollow".to_owned(),
                        group => format!("dot g{}", (group - 1) % GROUPS + 1),
                    };
                    let (x, y) = (pixel(x), pixel(y));
                    let dot = [("class", class.as_str()), ("cx", &x), ("cy", &y), ("r", "4")];
                    html.titled("circle", &dot, name);
                    if self.names.len() <= NAMED {
                        let anchor = if angles[node] > TAU / 2.0 { "end" } else { "start" };
                        axis::words(html, "small", (u, v + 3.0), anchor, name);
                    }
                }
            });
            if edges.len() > DRAWN {
                let says = format!(
                    "The {DRAWN} strongest of {} edges are drawn.",
                    grouped(edges.len() as u64)
                );
                html.leaf("p", &[("class", "note")], &says);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stand_side_by_side_with_gaps_and_bad_edges_are_left_out() {
        let graph = RingGraph {
            caption: "ring".to_owned(),
            names: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
            groups: vec![1, 2, 1, 0],
            edges: vec![(0, 2, 1.0), (0, 1, 0.5), (3, 3, 1.0), (0, 7, 1.0), (1, 2, -1.0)],
        };
        let angles = graph.angles();
        let step = TAU / 7.0;
        let places: Vec<usize> =
            angles.iter().map(|angle| (angle / step).round() as usize).collect();
        assert_eq!(places, [0, 3, 1, 5]);
        assert_eq!(graph.ranked(), [(0, 2, 1.0), (0, 1, 0.5)]);
        let mut html = Html::default();
        graph.write(&mut html);
        let text = html.finish();
        assert_eq!(text.matches("<path").count(), 2);
        assert_eq!(text.matches("chord g1").count(), 1);
        assert_eq!(text.matches("<circle").count(), 4);
    }
}
