//! Graphs as CSV by RFC 4180: a header, a line a row, text quoted where it must be.
//!
//! Text is kept exactly, also where it begins like a formula: import it as text in spreadsheets.

use std::io::{BufWriter, Write};
use std::path::Path;

use super::Graph;
use crate::error::{IoContext, Result};
use crate::store::{aside, create_file};
use crate::table::{Column, Table};

impl Graph {
    /// Writes `nodes.csv` and `edges.csv` into `folder`; missing numbers are empty fields.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn to_csv(&self, folder: &Path) -> Result<()> {
        for (name, table) in [("nodes.csv", &self.nodes), ("edges.csv", &self.edges)] {
            let path = folder.join(name);
            let unfinished = aside(&path);
            let mut file = BufWriter::new(create_file(&unfinished)?);
            write_table(table, &mut file).at(&path, "write")?;
            file.flush().at(&path, "write")?;
            file.get_ref().sync_all().at(&path, "sync")?;
            std::fs::rename(&unfinished, &path).at(&path, "rename")?;
        }
        Ok(())
    }

    /// Writes the edge table as CSV.
    ///
    /// # Errors
    /// A writer that fails.
    pub fn edges_to_csv(&self, mut writer: impl Write) -> Result<()> {
        write_table(&self.edges, &mut writer).at(Path::new("edges.csv"), "write")
    }
}

fn write_table(table: &Table, writer: &mut impl Write) -> std::io::Result<()> {
    let names: Vec<String> = table.names().map(field).collect();
    write!(writer, "{}\r\n", names.join(","))?;
    for row in 0..table.rows() {
        for (place, (_, column)) in table.columns().enumerate() {
            if place > 0 {
                writer.write_all(b",")?;
            }
            writer.write_all(field(&cell(column, row).unwrap_or_default()).as_bytes())?;
        }
        writer.write_all(b"\r\n")?;
    }
    Ok(())
}

/// A cell as text, lists as JSON; none where a number is missing.
pub(super) fn cell(column: &Column, row: usize) -> Option<String> {
    match column {
        Column::U32(values) => Some(values[row].to_string()),
        Column::U64(values) => Some(values[row].to_string()),
        Column::F32(values) => number(f64::from(values[row]), values[row].to_string()),
        Column::F64(values) => number(values[row], values[row].to_string()),
        Column::Bool(values) => Some(values[row].to_string()),
        Column::Text(values) => Some(values[row].clone()),
        Column::Numbers(values) => serde_json::to_string(&values[row]).ok(),
        Column::Texts(values) => serde_json::to_string(&values[row]).ok(),
    }
}

fn number(value: f64, text: String) -> Option<String> {
    match value {
        value if value.is_nan() => None,
        f64::INFINITY => Some("INF".to_owned()),
        f64::NEG_INFINITY => Some("-INF".to_owned()),
        _ => Some(text),
    }
}

/// A field, quoted when it holds a separator, a quote, a line end, or space at its ends.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
