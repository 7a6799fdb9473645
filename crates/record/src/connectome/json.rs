//! Connectomes of WormWideWeb and NemaNode: `[{"pre", "post", "syn": […], "typ": 0 or 2}]`.
//!
//! `typ` is 0 for chemical and 2 for electrical; `syn` has the size of each synapse, whose sum is the
//! weight.

use std::path::Path;

use nissl_core::{Error, Result};
use serde::Deserialize;

use super::reading::{EdgeKind, Place, Reading, Readings};

#[derive(Deserialize)]
struct Connection {
    pre: String,
    post: String,
    syn: Sizes,
    typ: serde_json::Value,
}

/// Sizes of synapses, one or more.
#[derive(Deserialize)]
#[serde(untagged)]
enum Sizes {
    Many(Vec<f64>),
    One(f64),
}

/// Reads the connections of a JSON document.
pub(super) fn read(path: &Path, text: &[u8], into: &mut Readings) -> Result<()> {
    let connections: Vec<Connection> = serde_json::from_slice(text)
        .map_err(|error| Error::file(path, "content", error, "a list of {pre, post, syn, typ}"))?;
    for (number, connection) in connections.into_iter().enumerate() {
        let at = format!("connection {number}");
        let place = Place::new(path, "typ", at.as_str());
        let kind = match &connection.typ {
            serde_json::Value::Number(number) if number.as_u64() == Some(0) => EdgeKind::Chemical,
            serde_json::Value::Number(number) if number.as_u64() == Some(2) => EdgeKind::Electrical,
            serde_json::Value::String(text) => place.kind(text)?,
            other => return Err(place.error(other, "0 for chemical or 2 for electrical")),
        };
        let sizes = match connection.syn {
            Sizes::Many(sizes) => sizes,
            Sizes::One(size) => vec![size],
        };
        let mut weight = 0.0;
        for size in sizes {
            weight += Place::new(path, "syn", at.as_str()).weight(Some(size), "", kind)?;
        }
        let (from, to) = (connection.pre.trim().to_owned(), connection.post.trim().to_owned());
        into.all.push(Reading { from, to, kind, weight, part: 0 });
    }
    Ok(())
}
