//! The plain values of a pickle: texts, numbers and truth values, by the keys that lead to them.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Number, Value as Json};

use super::pickle::{Objects, Value};
use super::torch::{DEEPEST, LONGEST_NAME, joined, key_text};

/// Bounds on what is kept: no settings of a network are longer.
const MOST: usize = 1 << 12;
const LONGEST_TEXT: usize = 1 << 12;

/// The values in the dicts, lists and attributes that the result of a pickle leads to.
pub(super) fn values(objects: &Objects<'_>) -> BTreeMap<String, Json> {
    let mut values = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut waiting = vec![(String::new(), objects.root, 0)];
    while let Some((name, id, depth)) = waiting.pop() {
        if name.len() > LONGEST_NAME || depth > DEEPEST {
            continue;
        }
        if values.len() >= MOST || waiting.len() > MOST {
            break;
        }
        let value = match objects.get(id) {
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::Number((*value).into()),
            Value::Float(value) => match Number::from_f64(*value) {
                Some(value) => Json::Number(value),
                None => continue,
            },
            Value::Text(text) => Json::String(text.chars().take(LONGEST_TEXT).collect()),
            Value::Dict(items) if seen.insert(id) => {
                let items = items.iter().take(MOST);
                waiting.extend(items.filter_map(|(key, value)| {
                    Some((joined(&name, &key_text(objects, *key)?), *value, depth + 1))
                }));
                continue;
            }
            Value::List(items) | Value::Tuple(items) if seen.insert(id) => {
                let items = items.iter().take(MOST).enumerate();
                waiting.extend(
                    items.map(|(n, item)| (joined(&name, &n.to_string()), *item, depth + 1)),
                );
                continue;
            }
            Value::Other(..) => {
                if let Some(attributes) = objects.attributes(id).filter(|_| seen.insert(id)) {
                    waiting.push((name, attributes, depth + 1));
                }
                continue;
            }
            _ => continue,
        };
        values.insert(name, value);
    }
    values
}
