//! Graphs as GraphML, the XML that graph tools read.
//!
//! Source: GraphML primer, graphml.graphdrawing.org. Missing numbers are left out; characters that
//! XML 1.0 cannot carry become U+FFFD.

use std::io::Write;
use std::path::Path;

use super::csv::cell;
use super::{Graph, Orientation};
use crate::error::{IoContext, Result};
use crate::table::{Column, Table};

impl Graph {
    /// Writes the graph as GraphML; every column becomes a key of its name.
    ///
    /// # Errors
    /// A writer that fails.
    pub fn to_graphml(&self, mut writer: impl Write) -> Result<()> {
        self.write_graphml(&mut writer).at(Path::new("graphml"), "write")
    }

    fn write_graphml(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
        writeln!(out, r#"<graphml xmlns="http://graphml.graphdrawing.org/xmlns">"#)?;
        keys(&self.nodes, "node", out)?;
        keys(&self.edges, "edge", out)?;
        let default = match self.orientation {
            Orientation::Directed => "directed",
            Orientation::Undirected => "undirected",
        };
        writeln!(out, r#"  <graph id="graph" edgedefault="{default}">"#)?;
        for (row, node) in self.nodes.u32s("node").unwrap_or_default().iter().enumerate() {
            writeln!(out, r#"    <node id="n{node}">"#)?;
            data(&self.nodes, "node", row, out)?;
            writeln!(out, "    </node>")?;
        }
        for (row, (source, target, _)) in self.links().enumerate() {
            writeln!(out, r#"    <edge id="e{row}" source="n{source}" target="n{target}">"#)?;
            data(&self.edges, "edge", row, out)?;
            writeln!(out, "    </edge>")?;
        }
        writeln!(out, "  </graph>\n</graphml>")
    }
}

fn keys(table: &Table, about: &str, out: &mut impl Write) -> std::io::Result<()> {
    for (place, (name, column)) in table.columns().enumerate() {
        let kind = match column {
            Column::U32(_) => "long",
            Column::U64(values) if values.iter().all(|&value| i64::try_from(value).is_ok()) => {
                "long"
            }
            Column::F32(_) => "float",
            Column::F64(_) => "double",
            Column::Bool(_) => "boolean",
            _ => "string",
        };
        let name = escape(name);
        writeln!(
            out,
            r#"  <key id="{about}{place}" for="{about}" attr.name="{name}" attr.type="{kind}"/>"#
        )?;
    }
    Ok(())
}

fn data(table: &Table, about: &str, row: usize, out: &mut impl Write) -> std::io::Result<()> {
    for (place, (_, column)) in table.columns().enumerate() {
        if let Some(text) = cell(column, row) {
            writeln!(out, r#"      <data key="{about}{place}">{}</data>"#, escape(&text))?;
        }
    }
    Ok(())
}

/// Text for an element or a quoted attribute, which reads back the same.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // Readers turn bare line ends and tabs into other white space.
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}
