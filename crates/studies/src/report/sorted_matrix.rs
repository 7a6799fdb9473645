//! A symmetric matrix as shaded squares, its rows sorted by group.

use serde::Serialize;

use super::Draw;
use super::axis::{self, Frame, pixel};
use super::cell::{Cell, Table, twin};
use super::html::Html;
use super::style::GROUPS;
use super::text::{grouped, number};

/// Rows up to which each has its name.
const NAMED: usize = 80;
/// The side of the drawing, without names.
const SIDE: f64 = 420.0;
/// Room for names.
const ROOM: f64 = 76.0;
/// Entries below this share of the largest are not drawn.
const FAINT: f64 = 0.02;
/// Entries told in the table, strongest first.
const TOLD: usize = 40;

/// A symmetric matrix.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SortedMatrix {
    /// What it shows.
    pub caption: String,
    /// The name of each row.
    pub names: Vec<String>,
    /// The group of each row, 0 for none; rows of a group stand together.
    pub groups: Vec<u32>,
    /// Entries `(row, column, value)` of the upper triangle that are above 0.
    pub entries: Vec<(usize, usize, f64)>,
}

impl SortedMatrix {
    /// The rows in the order in which they are drawn: group by group, those without one last.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        let group = |row: usize| match self.groups.get(row) {
            None | Some(0) => u32::MAX,
            Some(&group) => group,
        };
        order.sort_by_key(|&row| (group(row), row));
        order
    }

    fn sound(&self) -> Vec<(usize, usize, f64)> {
        let rows = self.names.len();
        let fits = |&&(a, b, value): &&(usize, usize, f64)| {
            a < rows && b < rows && a != b && value.is_finite() && value > 0.0
        };
        let mut entries: Vec<_> = self.entries.iter().filter(fits).copied().collect();
        entries.sort_by(|a, b| b.2.total_cmp(&a.2));
        entries
    }

    fn table(&self, entries: &[(usize, usize, f64)]) -> Table {
        let told = &entries[..entries.len().min(TOLD)];
        let caption =
            format!("{} of {} pairs, strongest first", told.len(), grouped(entries.len() as u64));
        told.iter().fold(Table::new(caption, ["one", "other", "value"]), |table, &(a, b, value)| {
            table.with_row([
                Cell::text(&*self.names[a]),
                Cell::text(&*self.names[b]),
                Cell::Number(value),
            ])
        })
    }
}

impl Draw for SortedMatrix {
    fn write(&self, html: &mut Html) {
        html.node("figure", &[("class", "block chart")], |html| {
            html.leaf("figcaption", &[], &self.caption);
            let entries = self.sound();
            let Some(&(_, _, most)) = entries.first() else {
                html.leaf("p", &[("class", "empty")], "No pairs to draw.");
                return;
            };
            let rows = self.names.len();
            let order = self.order();
            let mut place = vec![0; rows];
            for (at, &row) in order.iter().enumerate() {
                place[row] = at;
            }
            let step = SIDE / rows as f64;
            let (left, top) = (ROOM, 8.0);
            let frame = Frame {
                width: left + SIDE + 8.0,
                height: top + SIDE + 8.0,
                left,
                right: left + SIDE,
                top,
                bottom: top + SIDE,
            };
            let says = format!(
                "{rows} rows, {} pairs above 0, the largest {}",
                entries.len(),
                number(most)
            );
            frame.draw(html, (&self.caption, &says), |html| {
                for &(a, b, value) in entries.iter().filter(|entry| entry.2 > FAINT * most) {
                    let title =
                        format!("{} and {}: {}", self.names[a], self.names[b], number(value));
                    let shade = format!("{:.2}", value / most);
                    for (row, column) in [(a, b), (b, a)] {
                        let x = pixel(left + step * place[column] as f64);
                        let y = pixel(top + step * place[row] as f64);
                        let size = pixel(step);
                        let attributes = [
                            ("class", "entry"),
                            ("x", x.as_str()),
                            ("y", &y),
                            ("width", &size),
                            ("height", &size),
                            ("opacity", &shade),
                        ];
                        html.titled("rect", &attributes, &title);
                    }
                }
                self.outlines(html, &order, step, (left, top));
                if rows <= NAMED {
                    for (at, &row) in order.iter().enumerate() {
                        let y = top + step * (at as f64 + 0.5) + 3.0;
                        axis::words(html, "small", (left - 6.0, y), "end", &self.names[row]);
                    }
                }
            });
            twin(html, &self.table(&entries));
        });
    }
}

impl SortedMatrix {
    /// A square around each group.
    fn outlines(&self, html: &mut Html, order: &[usize], step: f64, (left, top): (f64, f64)) {
        let group = |at: usize| self.groups.get(order[at]).copied().unwrap_or(0);
        let mut from = 0;
        for at in 1..=order.len() {
            if at < order.len() && group(at) == group(from) {
                continue;
            }
            if group(from) > 0 {
                let class = format!("outline g{}", (group(from) as usize - 1) % GROUPS + 1);
                let (start, size) = (step * from as f64, pixel(step * (at - from) as f64));
                let (x, y) = (pixel(left + start), pixel(top + start));
                let attributes = [
                    ("class", class.as_str()),
                    ("x", &x),
                    ("y", &y),
                    ("width", &size),
                    ("height", &size),
                ];
                html.titled("rect", &attributes, &format!("group {}", group(from)));
            }
            from = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_group_by_group_and_what_does_not_fit_is_left_out() {
        let matrix = SortedMatrix {
            caption: "pairs".to_owned(),
            names: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
            groups: vec![2, 0, 1, 2],
            entries: vec![(0, 3, 2.0), (0, 2, 0.01), (1, 1, 9.0), (0, 9, 1.0), (1, 2, f64::NAN)],
        };
        assert_eq!(matrix.order(), [2, 0, 3, 1]);
        assert_eq!(matrix.sound(), [(0, 3, 2.0), (0, 2, 0.01)]);
        let mut html = Html::default();
        matrix.write(&mut html);
        let text = html.finish();
        assert_eq!(text.matches("class=\"entry\"").count(), 2, "{text}");
        assert_eq!(text.matches("class=\"outline").count(), 2);
        let mut html = Html::default();
        SortedMatrix::default().write(&mut html);
        assert!(html.finish().contains("No pairs"));
    }
}
