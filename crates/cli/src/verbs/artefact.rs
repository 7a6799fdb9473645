//! `info`, `verify`, `reproduce`: what an artefact is, whether it is whole, and made again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::store::{self, Kind, Manifest, Shard};
use nissl_core::{Error, IoContext, Result};
use serde_json::Value;

use crate::Context;

/// `nissl info PATH`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Info {
    /// An artefact's folder
    path: PathBuf,
}

/// `nissl verify PATH`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Verify {
    /// An artefact's folder
    path: PathBuf,
}

/// `nissl reproduce PATH`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Reproduce {
    /// An artefact's folder
    path: PathBuf,
    /// Keep the second artefact in this folder
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

pub(crate) fn info(args: &Info, context: &Context<'_>) -> Result<ExitCode> {
    let manifest = store::read_value(&args.path, "artefact of nissl")?;
    if context.printer.is_json() {
        context.printer.json(&manifest)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    };
    let mut rows = Vec::new();
    let mut add = |key: &str, value: String| rows.push(vec![key.to_owned(), value]);
    add("kind", text(&manifest["nissl"]));
    if let Some(fields) = manifest.as_object() {
        for (key, value) in fields {
            let shown = !matches!(key.as_str(), "nissl" | "format" | "provenance" | "shards");
            if shown {
                add(key, text(value));
            }
        }
    }
    let shards = manifest["shards"].as_array().map_or(&[][..], Vec::as_slice);
    let bytes: u64 = shards.iter().filter_map(|shard| shard["bytes"].as_u64()).sum();
    add("shards", format!("{}, {} in all", self::shards(shards.len()), size(bytes)));
    let provenance = &manifest["provenance"];
    for key in ["command", "seed", "version", "device", "seconds"] {
        add(key, text(&provenance[key]));
    }
    for input in provenance["inputs"].as_array().into_iter().flatten() {
        add("input", text(&input["path"]));
    }
    context.printer.table(&["what", "value"], &rows);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn verify(args: &Verify, context: &Context<'_>) -> Result<ExitCode> {
    let manifest = read_any(&args.path)?;
    let outcome = manifest.verify(&args.path);
    if context.printer.is_json() && !matches!(&outcome, Err(error) if !is_checksum(error)) {
        context.printer.json(&serde_json::json!({
            "path": args.path, "shards": manifest.shards.len(), "whole": outcome.is_ok(),
        }))?;
    }
    match outcome {
        Ok(()) => {
            context.printer.note(&format!(
                "{}: {}, every checksum holds",
                args.path.display(),
                shards(manifest.shards.len())
            ));
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ Error::Checksum { .. }) => {
            context.printer.error(&error);
            Ok(ExitCode::from(1))
        }
        Err(other) => Err(other),
    }
}

fn is_checksum(error: &Error) -> bool {
    matches!(error, Error::Checksum { .. })
}

/// A number of shards in words.
fn shards(count: usize) -> String {
    if count == 1 { "1 shard".to_owned() } else { format!("{count} shards") }
}

pub(crate) fn reproduce(args: &Reproduce, context: &Context<'_>) -> Result<ExitCode> {
    let manifest = read_any(&args.path)?;
    let file = args.path.join(store::MANIFEST);
    if manifest.nissl == Kind::Report {
        return Err(Error::file(file, "nissl", "report", "what has the same bytes each time")
            .with_help("a report tells how long things took; run its command again"));
    }
    let command = &manifest.provenance.command;
    let again = tempfile::tempdir().at(&args.path, "make a folder beside")?;
    let target = args.keep.clone().unwrap_or_else(|| again.path().join("again"));
    let arguments = redirect(command, &target).ok_or_else(|| {
        Error::file(&file, "provenance.command", command.join(" "), "a command with -o FOLDER")
            .with_help("this artefact was made from Rust or Python; run that program again")
    })?;
    context.printer.note(&format!("running nissl {}", arguments.join(" ")));
    let program = std::env::current_exe().at(Path::new("nissl"), "find")?;
    let status = std::process::Command::new(program)
        .args(&arguments)
        .stdout(std::process::Stdio::null())
        .status()
        .at(Path::new("nissl"), "run")?;
    if !status.success() {
        return Err(Error::file(file, "provenance.command", status, "a run that succeeds")
            .with_help(
                "run it from the folder in which it was first run; its inputs must be there",
            ));
    }
    let second = read_any(&target)?;
    let differing = differing(&manifest.shards, &second.shards);
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "path": args.path, "shards": manifest.shards.len(), "differing": differing,
            "same": differing.is_empty(),
        }))?;
    } else if differing.is_empty() {
        context.printer.text(&format!("same: {}, equal checksums", shards(manifest.shards.len())));
    } else {
        context.printer.text(&format!("different: {}", differing.join(", ")));
    }
    Ok(ExitCode::from(u8::from(!differing.is_empty())))
}

/// The manifest of any kind; the dictionary of features counts as one more shard.
fn read_any(path: &Path) -> Result<Manifest<Value>> {
    let value = store::read_value(path, "artefact of nissl")?;
    let mut manifest: Manifest<Value> = serde_json::from_value(value)
        .map_err(|error| Error::file(path.join(store::MANIFEST), "content", error, "a manifest"))?;
    if let Some(sha256) = manifest.detail["dictionary"].as_str() {
        let (file, sha256) = ("dictionary.safetensors".to_owned(), sha256.to_owned());
        let bytes = std::fs::metadata(path.join(&file)).map_or(0, |metadata| metadata.len());
        manifest.shards.push(Shard { file, rows: 0, bytes, sha256 });
    }
    Ok(manifest)
}

/// The arguments of `command` with the output folder replaced by `target`.
fn redirect(command: &[String], target: &Path) -> Option<Vec<String>> {
    let mut arguments: Vec<String> = command.get(1..)?.to_vec();
    arguments.retain(|argument| argument != "--resume" && argument != "--overwrite");
    if let Some(at) = arguments.iter().position(|argument| argument == "--truth")
        && arguments.first().is_some_and(|verb| verb == "world")
    {
        // The truth beside a world is a second artefact, which the first does not need.
        arguments.drain(at..(at + 2).min(arguments.len()));
    }
    let target = target.display().to_string();
    for at in 0..arguments.len() {
        if matches!(arguments[at].as_str(), "-o" | "--out") && at + 1 < arguments.len() {
            arguments[at + 1] = target;
            return Some(arguments);
        }
        if arguments[at].starts_with("--out=") {
            arguments[at] = format!("--out={target}");
            return Some(arguments);
        }
    }
    None
}

fn differing(first: &[Shard], second: &[Shard]) -> Vec<String> {
    let mut names: Vec<String> = first
        .iter()
        .filter(|shard| !second.iter().any(|other| other == *shard))
        .map(|shard| shard.file.clone())
        .collect();
    let extra = second.iter().filter(|shard| !first.iter().any(|other| other.file == shard.file));
    names.extend(extra.map(|shard| shard.file.clone()));
    names
}

/// Bytes with three digits and a unit.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{} {}", nissl_core::progress::significant(value), units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_a_command_is_redirected() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let again = redirect(&words("nissl record m -o runs/x --resume"), Path::new("t"));
        assert_eq!(again, Some(words("record m -o t")));
        let again = redirect(&words("nissl record m --out=runs/x"), Path::new("t"));
        assert_eq!(again, Some(words("record m --out=t")));
        assert_eq!(redirect(&words("nissl info m"), Path::new("t")), None);
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size(12), "12.0 B");
        assert_eq!(size(33_554_432), "33.6 MB");
    }
}
