//! Tables, and what their cells can hold.

use serde::Serialize;

use super::Draw;
use super::html::Html;
use super::score_bars::{self, Score};
use super::text::{number, score};

/// A table; where the script runs, a click on a heading sorts by that column.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// The headings.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`; missing cells stay empty.
    pub rows: Vec<Vec<Cell>>,
    /// The row that stands out, by index.
    pub chosen: Option<usize>,
}

/// What a cell holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// Nothing.
    Empty,
    /// Words.
    Text(String),
    /// A token, id or command.
    Token(String),
    /// A number.
    Number(f64),
    /// A score on 0–1, drawn.
    Score(Score),
}

impl Table {
    /// A table without rows.
    pub fn new<C: Into<String>>(
        caption: impl Into<String>,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Self { caption: caption.into(), columns, rows: Vec::new(), chosen: None }
    }

    /// The same table with one more row.
    #[must_use]
    pub fn with_row(mut self, row: impl IntoIterator<Item = Cell>) -> Self {
        self.rows.push(row.into_iter().collect());
        self
    }

    /// Whether every cell of a column is a number or missing.
    fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column)).peekable();
        cells.peek().is_some() && cells.all(|cell| matches!(cell, Cell::Number(_) | Cell::Empty))
    }

    fn is_drawn(&self, column: usize) -> bool {
        self.rows.iter().any(|row| matches!(row.get(column), Some(Cell::Score(_))))
    }

    fn head(&self, html: &mut Html) {
        html.node("tr", &[], |html| {
            for (column, heading) in self.columns.iter().enumerate() {
                let class = match () {
                    () if self.is_drawn(column) => "small-drawing",
                    () if self.is_numeric(column) => "n",
                    () => "",
                };
                html.leaf("th", &[("scope", "col"), ("class", class)], heading);
            }
        });
    }

    fn row(&self, html: &mut Html, index: usize, row: &[Cell]) {
        let class = if self.chosen == Some(index) { "chosen" } else { "" };
        html.node("tr", &[("class", class)], |html| {
            for column in 0..self.columns.len() {
                match row.get(column).unwrap_or(&Cell::Empty) {
                    Cell::Text(text) if column == 0 => {
                        html.leaf("th", &[("scope", "row")], text);
                    }
                    cell => cell.write(html, &self.columns[column]),
                }
            }
        });
    }

    /// The table alone, without caption.
    pub(super) fn body(&self, html: &mut Html, class: &str) {
        if self.rows.is_empty() {
            html.leaf("p", &[("class", "empty")], "No rows.");
            return;
        }
        html.node("div", &[("class", "scroll"), ("tabindex", "0")], |html| {
            html.node("table", &[("class", class)], |html| {
                html.leaf("caption", &[("class", "sr")], &self.caption);
                html.node("thead", &[], |html| self.head(html));
                html.node("tbody", &[], |html| {
                    for (index, row) in self.rows.iter().enumerate() {
                        self.row(html, index, row);
                    }
                });
            });
        });
    }
}

impl Draw for Table {
    fn write(&self, html: &mut Html) {
        html.node("figure", &[("class", "block")], |html| {
            html.leaf("figcaption", &[], &self.caption);
            let class = if self.rows.len() > 2 { "sortable" } else { "" };
            self.body(html, class);
        });
    }
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A token, id or command.
    pub fn token(token: impl Into<String>) -> Self {
        Self::Token(token.into())
    }

    fn write(&self, html: &mut Html, measure: &str) {
        match self {
            Self::Empty => html.shape("td", &[]),
            Self::Text(text) => html.leaf("td", &[], text),
            Self::Token(token) => html.node("td", &[], |html| html.lone_token(token, "")),
            Self::Number(value) => {
                let exact = value.to_string();
                html.leaf("td", &[("class", "n"), ("data-value", &exact)], &number(*value));
            }
            Self::Score(value) => {
                let exact = value.value.to_string();
                let attributes = [("class", "small-drawing"), ("data-value", exact.as_str())];
                html.node("td", &attributes, |html| {
                    html.node("div", &[("class", "drawn")], |html| {
                        score_bars::draw(html, value, measure);
                        html.leaf("span", &[], &score(value.value));
                    });
                });
            }
        }
    }
}

/// A folded table with the numbers of a drawing.
pub(super) fn twin(html: &mut Html, table: &Table) {
    html.node("details", &[("class", "twin")], |html| {
        html.leaf("summary", &[], "Numbers as a table");
        html.leaf("p", &[("class", "note")], &table.caption);
        table.body(html, "narrow");
    });
}
