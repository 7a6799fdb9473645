//! Provenance: the command, settings, seed, inputs and device behind a report.

use nissl_core::store::Provenance;
use serde_json::Value;

use super::Draw;
use super::html::Html;
use super::text::duration;

impl Draw for Provenance {
    fn write(&self, html: &mut Html) {
        let Self { command, config, seed, version, inputs, device, seconds } = self;
        html.node("dl", &[("class", "provenance block")], |html| {
            entry(html, "command", |html| html.leaf("code", &[], &shell(command)));
            entry(html, "seed", |html| html.text(&seed.to_string()));
            entry(html, "version", |html| html.text(&format!("nissl {version}")));
            entry(html, "device", |html| html.text(device));
            entry(html, "time", |html| html.text(&duration(*seconds)));
            for input in inputs {
                entry(html, "input", |html| {
                    html.leaf("code", &[], &input.path);
                    html.text(" sha256 ");
                    let start: String = input.sha256.chars().take(16).collect();
                    html.leaf("code", &[("title", &input.sha256)], &format!("{start}…"));
                });
            }
            settings(html, config);
        });
    }
}

fn entry(html: &mut Html, name: &str, value: impl FnOnce(&mut Html)) {
    html.leaf("dt", &[], name);
    html.node("dd", &[], value);
}

fn settings(html: &mut Html, config: &Value) {
    match config {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                entry(html, name, |html| html.leaf("code", &[], &shown));
            }
        }
        other => entry(html, "settings", |html| html.leaf("code", &[], &other.to_string())),
    }
}

/// The command as it can be typed: the program without its folder, words with blanks in quotes.
fn shell(command: &[String]) -> String {
    let mut words = command.iter();
    let program = words.next().map(|path| path.rsplit(['/', '\\']).next().unwrap_or(path));
    let plain = |word: &str| {
        !word.is_empty()
            && word.chars().all(|letter| letter.is_alphanumeric() || "-_./=:,+@%".contains(letter))
    };
    let quoted = words.map(|word| {
        if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    program.map(str::to_owned).into_iter().chain(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_typed_again() {
        let command = ["/opt/bin/nissl", "record", "a b", "it's", "layers.*.mlp.act", ""];
        let command: Vec<_> = command.map(str::to_owned).into();
        assert_eq!(shell(&command), "nissl record 'a b' 'it'\\''s' 'layers.*.mlp.act' ''");
        assert_eq!(shell(&[]), "");
    }
}
