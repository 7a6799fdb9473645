//! Where the nodes of a graph in layers stand.

use std::collections::BTreeMap;

use super::graph::{LONGEST_COLUMN, LONGEST_LABEL, LayeredGraph};

/// Nodes up to which each has its label beside it.
const LABELLED: usize = 160;
/// The widest drawing before nodes of a cell stand below each other.
const WIDEST: f64 = 1100.0;
/// Room for the names of rows, at the left.
pub(super) const LEFT: f64 = 76.0;
/// From node to node in a cell: downward, and to the right where there are no labels.
const DOWN: f64 = 17.0;
const ACROSS: f64 = 20.0;
/// Room for each character of a label and of a column's name.
const LETTER: f64 = 6.0;
const COLUMN_LETTER: f64 = 7.0;
/// From row to row, beside what the nodes need: room for edges.
pub(super) const BETWEEN: f64 = 46.0;

/// Where everything stands.
pub(super) struct Places {
    /// `(x, y)` of each node.
    pub(super) nodes: Vec<(f64, f64)>,
    /// `y` of each row.
    pub(super) rows: Vec<f64>,
    /// Start and width of each column.
    pub(super) columns: Vec<(f64, f64)>,
    pub(super) width: f64,
    pub(super) height: f64,
    /// Whether labels are written.
    pub(super) labelled: bool,
}

impl LayeredGraph {
    /// The nodes of each cell `(row, column)`, most important first.
    fn cells(&self) -> BTreeMap<(usize, usize), Vec<usize>> {
        let mut cells: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let row = node.row.min(self.rows.len().saturating_sub(1));
            let column = node.column.min(self.columns.len().saturating_sub(1));
            cells.entry((row, column)).or_default().push(index);
        }
        for nodes in cells.values_mut() {
            nodes.sort_by(|&a, &b| self.nodes[b].weight.total_cmp(&self.nodes[a].weight));
        }
        cells
    }

    /// The layout.
    pub(super) fn places(&self) -> Places {
        let cells = self.cells();
        let labelled =
            self.nodes.len() <= LABELLED && self.nodes.iter().any(|node| !node.label.is_empty());
        let (rows, columns) = (self.rows.len().max(1), self.columns.len().max(1));
        let pitches = self.pitches(columns, labelled);
        let mut across = vec![1; columns];
        let mut down = vec![1; rows];
        for (&(_, column), nodes) in &cells {
            let room = ((WIDEST - LEFT) / columns as f64 / pitches[column]).floor().max(1.0);
            across[column] = across[column].max(nodes.len().min(room as usize));
        }
        for (&(row, column), nodes) in &cells {
            down[row] = down[row].max(nodes.len().div_ceil(across[column]));
        }
        let mut x = LEFT;
        let mut starts = Vec::with_capacity(columns);
        for (column, &count) in across.iter().enumerate() {
            let name = self.columns.get(column).map_or(0, |name| name.chars().count());
            let width = (pitches[column] * count as f64)
                .max(COLUMN_LETTER * name.min(LONGEST_COLUMN) as f64 + 14.0);
            starts.push((x, width));
            x += width;
        }
        let bottom = if columns > 1 { 30.0 } else { 12.0 };
        let height: f64 =
            down.iter().map(|&count| DOWN * count as f64).sum::<f64>() + BETWEEN * rows as f64;
        let mut y = height;
        let mut bases = Vec::with_capacity(rows);
        for &count in &down {
            bases.push(y);
            y -= DOWN * count as f64 + BETWEEN;
        }
        let mut nodes = vec![(0.0, 0.0); self.nodes.len()];
        for (&(row, column), members) in &cells {
            let (start, width) = starts[column];
            let used = members.len().min(across[column]);
            let pitch = pitches[column];
            // Without labels the nodes of a cell are centred, so that edges do not all lean.
            let lead =
                if labelled { 10.0 } else { (width - pitch * used as f64) / 2.0 + pitch / 2.0 };
            for (place, &index) in members.iter().enumerate() {
                let (line, slot) = (place / across[column], place % across[column]);
                nodes[index] =
                    (start + lead + pitch * slot as f64, bases[row] - DOWN * line as f64);
            }
        }
        Places { nodes, rows: bases, columns: starts, width: x, height: height + bottom, labelled }
    }

    /// From node to node in each column: room for its longest label.
    fn pitches(&self, columns: usize, labelled: bool) -> Vec<f64> {
        let mut longest = vec![0; columns];
        for node in self.nodes.iter().filter(|_| labelled) {
            let column = node.column.min(columns - 1);
            longest[column] = node.label.chars().count().min(LONGEST_LABEL).max(longest[column]);
        }
        let pitch = |count| if count == 0 { ACROSS } else { 20.0 + LETTER * f64::from(count) };
        longest.into_iter().map(|count| pitch(count as u32)).collect()
    }
}
