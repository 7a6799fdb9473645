//! Connectomes in XML: GraphML of any graph tool, and networks of NeuroML.
//!
//! GraphML: a node is called by its data `name` or `label`, else by its id; the data `type` of an edge
//! tells its kind, and without it edges of directed graphs are chemical, of undirected ones electrical.
//! NeuroML: projections between populations that are called like their cells; continuous ones are
//! chemical too, and weights of the connections of a projection add up.
//! Source: GraphML primer, graphml.graphdrawing.org; the NeuroML 2.3 schema.
//! Left out: entities that documents declare themselves, and edges of hypergraphs.

use std::collections::HashMap;
use std::path::Path;

use nissl_core::{Error, Result};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::reading::{EdgeKind, Place, Reading, Readings};
use super::source::Form;

/// An element: its name, its attributes, and whether it has content.
struct Element {
    name: String,
    attributes: HashMap<String, String>,
}

impl Element {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// What a walk through a document meets.
enum Met {
    Begin(Element),
    Text(String),
    End(String),
}

/// The form of an XML document; none when it is neither.
pub(super) fn form(text: &str) -> Option<Form> {
    let head: String = text.chars().take(4096).collect();
    if head.contains("<graphml") {
        Some(Form::Graphml)
    } else if head.contains("<neuroml") {
        Some(Form::Neuroml)
    } else {
        None
    }
}

/// Reads a document of `form`.
pub(super) fn read(path: &Path, text: &str, form: Form, into: &mut Readings) -> Result<()> {
    if form == Form::Graphml { graphml(path, text, into) } else { neuroml(path, text, into) }
}

/// Walks through a document; elements without content begin and end.
fn walk(path: &Path, text: &str, mut see: impl FnMut(Met) -> Result<()>) -> Result<()> {
    let mut reader = Reader::from_str(text);
    let broken = |error: &dyn std::fmt::Display, at: u64| {
        Error::file(path, "content", format!("{error} at byte {at}"), "well-formed XML")
    };
    let mut depth = 0_usize;
    loop {
        let event = reader.read_event().map_err(|error| broken(&error, reader.error_position()))?;
        let at = reader.buffer_position();
        match event {
            Event::Start(start) => {
                depth += 1;
                see(Met::Begin(element(&start).map_err(|error| broken(&error, at))?))?;
            }
            Event::Empty(start) => {
                let begun = element(&start).map_err(|error| broken(&error, at))?;
                let name = begun.name.clone();
                see(Met::Begin(begun))?;
                see(Met::End(name))?;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                see(Met::End(end.local_name().as_ref().to_owned()))?;
            }
            Event::Text(text) => see(Met::Text(text.xml10_content().into_owned()))?,
            Event::CData(text) => see(Met::Text(text.xml10_content().into_owned()))?,
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|error| broken(&error, at))?;
                let name: &str = &reference;
                let found = character.map(String::from).or_else(|| {
                    quick_xml::escape::resolve_predefined_entity(name).map(str::to_owned)
                });
                let found = found.ok_or_else(|| broken(&format!("entity `{name}`"), at))?;
                see(Met::Text(found))?;
            }
            Event::Eof if depth > 0 => return Err(broken(&"the file ends within an element", at)),
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn element(start: &BytesStart<'_>) -> quick_xml::Result<Element> {
    let mut attributes = HashMap::new();
    for attribute in start.attributes() {
        let attribute = attribute?;
        let value = quick_xml::escape::unescape(&attribute.value)?.into_owned();
        attributes.insert(attribute.key.local_name().as_ref().to_owned(), value);
    }
    Ok(Element { name: start.local_name().as_ref().to_owned(), attributes })
}

/// A node or an edge of GraphML with its data.
#[derive(Default)]
struct Item {
    id: String,
    ends: Option<(String, String)>,
    data: HashMap<String, String>,
}

fn graphml(path: &Path, text: &str, into: &mut Readings) -> Result<()> {
    let (mut keys, mut names) = (HashMap::new(), HashMap::new());
    let (mut edges, mut item) = (Vec::new(), Item::default());
    let (mut key, mut value) = (None, String::new());
    let mut directed = true;
    walk(path, text, |met| {
        match met {
            Met::Begin(element) => match element.name.as_str() {
                "key" => {
                    if let (Some(id), Some(name)) =
                        (element.get("id"), element.get("attr.name").or(element.get("name")))
                    {
                        keys.insert(id.to_owned(), name.to_ascii_lowercase());
                    }
                }
                "graph" => directed = element.get("edgedefault") != Some("undirected"),
                "node" => {
                    let id = element.get("id").unwrap_or_default().to_owned();
                    item = Item { id, ..Item::default() };
                }
                "edge" => {
                    let end = |name: &str| {
                        element.get(name).map(str::to_owned).ok_or_else(|| {
                            let place = Place::new(path, name, format!("edge {}", edges.len()));
                            place.error("absent", "the id of a node")
                        })
                    };
                    item = Item { ends: Some((end("source")?, end("target")?)), ..Item::default() };
                }
                "data" => {
                    key = element.get("key").map(str::to_owned);
                    value.clear();
                }
                _ => {}
            },
            Met::Text(text) => value.push_str(&text),
            Met::End(name) => match name.as_str() {
                "data" => {
                    if let Some(key) = key.take() {
                        let name = keys.get(&key).cloned().unwrap_or(key);
                        item.data.insert(name, value.trim().to_owned());
                    }
                }
                "node" => {
                    let item = std::mem::take(&mut item);
                    let called = ["name", "label", "cell_name", "cell"]
                        .into_iter()
                        .find_map(|name| item.data.get(name).cloned());
                    names.insert(item.id.clone(), called.unwrap_or(item.id));
                }
                "edge" => edges.push(std::mem::take(&mut item)),
                _ => {}
            },
        }
        Ok(())
    })?;
    for (number, edge) in edges.into_iter().enumerate() {
        let at = format!("edge {number}");
        let Some((source, target)) = edge.ends else { continue };
        let name = |id: &str, field: &str| {
            names.get(id).cloned().ok_or_else(|| {
                Place::new(path, field, at.as_str()).error(format!("`{id}`"), "the id of a node")
            })
        };
        let (from, to) = (name(&source, "source")?, name(&target, "target")?);
        let told = ["type", "synapse_type", "edge_type", "kind"]
            .into_iter()
            .find_map(|name| edge.data.get(name));
        let kind = match told {
            Some(text) => Place::new(path, "type", at.as_str()).kind(text)?,
            None if directed => EdgeKind::Chemical,
            None => EdgeKind::Electrical,
        };
        let told = ["weight", "synapses", "count"].into_iter().find_map(|name| edge.data.get(name));
        let place = Place::new(path, "weight", at.as_str());
        let weight = match told {
            Some(text) => place.weight(text.parse().ok(), text, kind)?,
            None => 1.0,
        };
        into.all.push(Reading { from, to, kind, weight, part: 0 });
    }
    Ok(())
}

fn neuroml(path: &Path, text: &str, into: &mut Readings) -> Result<()> {
    let mut open: Option<Reading> = None;
    let mut number = 0_usize;
    walk(path, text, |met| {
        match met {
            Met::Begin(element) => {
                let kind = match element.name.as_str() {
                    "projection" | "continuousProjection" => Some(EdgeKind::Chemical),
                    "electricalProjection" => Some(EdgeKind::Electrical),
                    _ => None,
                };
                if let Some(kind) = kind {
                    let end = |name: &str| {
                        let place = Place::new(path, name, format!("projection {number}"));
                        let found = element.get(name).map(str::to_owned);
                        found.ok_or_else(|| place.error("absent", "the name of a population"))
                    };
                    let (from, to) =
                        (end("presynapticPopulation")?, end("postsynapticPopulation")?);
                    open = Some(Reading { from, to, kind, weight: 0.0, part: 0 });
                    number += 1;
                } else if let Some(reading) = &mut open
                    && element.name.to_ascii_lowercase().contains("connection")
                {
                    let place = Place::new(path, "weight", format!("projection {}", number - 1));
                    reading.weight += match element.get("weight") {
                        Some(text) => place.weight(text.parse().ok(), text, reading.kind)?,
                        None => 1.0,
                    };
                }
            }
            Met::End(name) if name.to_ascii_lowercase().ends_with("projection") => {
                into.all.extend(open.take());
            }
            _ => {}
        }
        Ok(())
    })
}
