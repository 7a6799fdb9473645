//! Renders a stranger's template within bounds.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value, context};
use nissl_core::chat::Message;
use serde::Serialize;
use serde_json::ser::Formatter;

/// Work that a template may do: one unit is one step, or 64 bytes written or copied.
const FUEL: u64 = 1_000_000;
/// Bytes that a template may add to the messages.
const LONGEST_OUTPUT: usize = 1 << 20;
/// Macros and loops within each other.
const DEEPEST: usize = 100;

/// How long a template may take. The engine counts all work but the doubling of lists, which grows
/// without bound within one step.
const LONGEST_TIME: Duration = Duration::from_secs(10);

/// The text, or what went wrong.
///
/// A template that is not done in time is given up: its thread runs on until the process ends.
pub(super) fn render(
    source: &str,
    tokens: &BTreeMap<String, String>,
    messages: &[Message],
) -> Result<String, String> {
    let (sender, receiver) = mpsc::channel();
    let (source, tokens, messages) = (source.to_owned(), tokens.clone(), messages.to_vec());
    let thread = std::thread::Builder::new().name("chat template".to_owned()).stack_size(STACK);
    let begun = thread.spawn(move || {
        // Nobody listens any more to one that was given up.
        sender.send(render_here(&source, &tokens, &messages)).ok();
    });
    begun.map_err(|error| error.to_string())?;
    receiver.recv_timeout(LONGEST_TIME).unwrap_or_else(|_late| Err(ENDLESS.to_owned()))
}

const ENDLESS: &str = "without end: it was given up";

/// The stack of a rendering, in bytes.
const STACK: usize = 16 << 20;

fn render_here(
    source: &str,
    tokens: &BTreeMap<String, String>,
    messages: &[Message],
) -> Result<String, String> {
    let source = without_marks(source);
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEEPEST);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|error| told(&error))?);
    environment.set_auto_escape_callback(|_name| AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| -> Result<String, Error> {
        jiff::fmt::strtime::format(&format, jiff::Timestamp::now())
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
    });
    environment.add_filter("tojson", to_json);
    environment.add_template("chat", &source).map_err(|error| told(&error))?;
    let conversation = context! {
        messages => Value::from(Serde(messages)),
        add_generation_prompt => true,
        tools => (),
        documents => (),
        ..Value::from(Serde(tokens))
    };
    let template = environment.get_template("chat").map_err(|error| told(&error))?;
    let text = template.render(conversation).map_err(|error| told(&error))?;
    let room = LONGEST_OUTPUT + 16 * messages.iter().map(|m| m.content.len()).sum::<usize>();
    if text.len() > room {
        return Err(format!("writing {} bytes, more than {room}", text.len()));
    }
    Ok(text)
}

/// One line on what went wrong, and where.
fn told(error: &Error) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        return ENDLESS.to_owned();
    }
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    error.line().map_or_else(|| what.clone(), |line| format!("`{what}` in line {line}"))
}

/// Training code marks the assistant's words by `{% generation %}`; for a prompt the marks stand for
/// nothing.
fn without_marks(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let Some(size) = rest[at..].find("%}") else { break };
        let (tag, after) = (&rest[at + 2..at + size], &rest[at + size + 2..]);
        let word = tag.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        let replaced = match word {
            "generation" => Some("if true"),
            "endgeneration" => Some("endif"),
            _ => None,
        };
        text.push_str(&rest[..at]);
        match replaced {
            Some(by) => text.extend(["{%", &tag.replacen(word, by, 1), "%}"]),
            None => text.push_str(&rest[at..at + size + 2]),
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// JSON as Python writes it, so that numbers and lists read as in training: a blank after each comma
/// and colon, or lines with an indent.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let wrong =
        |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let indent: Option<usize> = options.get("indent")?;
    // Python's other options change nothing of what conversations hold.
    let _ensure_ascii: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let mut bytes = Vec::new();
    match indent {
        None => {
            let mut writer = serde_json::Serializer::with_formatter(&mut bytes, OneLine);
            value.serialize(&mut writer).map_err(wrong)?;
        }
        Some(indent) => {
            let blanks = vec![b' '; indent.min(16)];
            let formatter = serde_json::ser::PrettyFormatter::with_indent(&blanks);
            let mut writer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
            value.serialize(&mut writer).map_err(wrong)?;
        }
    }
    Ok(Value::from_safe_string(String::from_utf8_lossy(&bytes).into_owned()))
}

struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
