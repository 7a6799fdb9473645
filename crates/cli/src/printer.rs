//! The one place that prints: results on stdout, the rest on stderr.

use std::io::{IsTerminal, Write};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use indicatif::{MultiProgress, ProgressDrawTarget};
use miette::Diagnostic;
use nissl_core::{Error, Progress};
use serde::Serialize;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Aligned columns on a terminal, tab-separated ones elsewhere.
    Table,
    /// One JSON document.
    Json,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ProgressStyle {
    /// Bars on a terminal, a line every ten seconds elsewhere
    Auto,
    /// A line every ten seconds
    Plain,
    /// Nothing
    None,
}

/// Prints results, notes and errors.
pub(crate) struct Printer {
    format: Format,
    quiet: bool,
    style: ProgressStyle,
}

#[expect(clippy::unused_self, reason = "whoever prints holds the printer")]
impl Printer {
    pub(crate) fn new(format: Format, quiet: bool, style: ProgressStyle) -> Self {
        Self { format, quiet, style }
    }

    /// Whether results are wanted as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// A progress that is shown as the user wants.
    pub(crate) fn progress(&self) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        match self.style {
            ProgressStyle::None => Progress::silent(),
            _ if self.quiet => Progress::silent(),
            ProgressStyle::Auto if terminal => {
                Progress::bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
            }
            ProgressStyle::Auto | ProgressStyle::Plain => Progress::lines(to_stderr),
        }
    }

    /// A result as JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> nissl_core::Result<()> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Error::setting("result", error, "a JSON document"))?;
        to_stdout(&text);
        Ok(())
    }

    /// A result as rows; columns whose header begins with `>` stand to the right.
    pub(crate) fn table(&self, headers: &[&str], rows: &[Vec<String>]) {
        let plain: Vec<&str> =
            headers.iter().map(|header| header.trim_start_matches('>')).collect();
        if !std::io::stdout().is_terminal() {
            let mut lines = vec![plain.join("\t")];
            lines.extend(rows.iter().map(|row| row.join("\t").replace('\n', " ")));
            to_stdout(&lines.join("\n"));
            return;
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(plain);
        for row in rows {
            table.add_row(row.iter().map(Cell::new));
        }
        for (number, header) in headers.iter().enumerate() {
            if header.starts_with('>')
                && let Some(column) = table.column_mut(number)
            {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        to_stdout(&table.to_string());
    }

    /// Text of a result, as it is.
    pub(crate) fn text(&self, text: &str) {
        to_stdout(text);
    }

    /// A sentence for the person at the terminal.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            to_stderr(text);
        }
    }

    /// What went wrong, and what to do.
    pub(crate) fn error(&self, error: &Error) {
        to_stderr(&describe(error));
    }
}

/// An error in words: code, message, hint.
pub(crate) fn describe(error: &Error) -> String {
    let code = error.code().map(|code| code.to_string().replace("nissl::", ""));
    let code = code.map_or_else(String::new, |code| format!("[{code}]"));
    let hint = error.help().map_or_else(String::new, |help| format!("\n   hint  {help}"));
    format!("error{code}: {error}{hint}")
}

/// Says that Ctrl-C was heard.
pub(crate) fn interrupting() {
    to_stderr("stopping at the next safe place; Ctrl-C again stops at once");
}

fn to_stdout(text: &str) {
    // A reader that has closed its end (`| head`) wants no more, and no complaint.
    writeln!(std::io::stdout().lock(), "{text}").ok();
}

fn to_stderr(text: &str) {
    writeln!(std::io::stderr().lock(), "{text}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_its_code_and_the_next_step() {
        let error = Error::file("a/b.json", "samples", 3, "4").with_help("make it again");
        assert_eq!(
            describe(&error),
            "error[E0200]: a/b.json: `samples` is 3, expected 4\n   hint  make it again"
        );
    }
}
