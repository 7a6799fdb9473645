//! The tensors of a zip archive that `torch.save` wrote.
//!
//! `NAME/data.pkl` describes them, `NAME/data/KEY` holds the numbers of a storage, of which several
//! tensors can be views. Left out: compiled programs (TorchScript), numbers with the highest byte
//! first. Memory: as the pickle's, and at most 1 KiB for each tensor's name.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use crate::archive::Member;
use crate::{Error, Result};

use super::pickle::{self, Id, Objects, Tensor, Value};
use super::{Classes, Contents, Element, Stored, plain};

/// Bounds on what names a lie can make up: no network has more.
pub(super) const LONGEST_NAME: usize = 1 << 10;
pub(super) const DEEPEST: usize = 32;
const MOST: usize = 1 << 17;
/// A view that repeats its numbers may have this many; more would be a lie that asks for memory.
const MOST_REPEATED: u64 = 1 << 24;

/// Keys under which training programs keep a network's tensors beside other things.
const WRAPPERS: [&str; 3] = ["state_dict", "model_state_dict", "model"];

pub(super) fn tensors(
    path: &Path,
    bytes: &[u8],
    members: &[Member],
    classes: Classes,
) -> Result<Contents> {
    let folder = members
        .iter()
        .find_map(|member| member.name.strip_suffix("data.pkl"))
        .filter(|folder| folder.is_empty() || folder.ends_with('/'));
    let Some(folder) = folder.map(str::to_owned) else {
        let found = format!("absent among {} members", members.len());
        return Err(Error::file(path, "data.pkl", found, "the archive of a `torch.save`"));
    };
    let archive = Archive {
        path,
        bytes,
        members: members.iter().map(|member| (member.name.as_str(), member)).collect(),
        folder: &folder,
    };
    if let Some(order) = archive.members.get(format!("{folder}byteorder").as_str())
        && archive.content(order)? != b"little"
    {
        return Err(Error::file(path, "byteorder", "not little", "the lowest byte first"));
    }
    let program = archive.members[format!("{folder}data.pkl").as_str()];
    let objects = pickle::parse(archive.content(program)?, classes).map_err(|found| {
        Error::file(path, "data.pkl", found, "plain data: dicts, lists, numbers and torch tensors")
            .with_help("nothing was executed; save only the tensors, with `torch.save(model.state_dict(), …)`, or as safetensors")
    })?;
    let tensors = archive.named(&objects)?;
    Ok(Contents { tensors, values: plain::values(&objects), skipped: objects.skipped() })
}

struct Archive<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    members: HashMap<&'a str, &'a Member>,
    folder: &'a str,
}

impl<'a> Archive<'a> {
    fn content(&self, member: &Member) -> Result<&'a [u8]> {
        let place = member.place(self.path, self.bytes)?;
        Ok(&self.bytes[place.start as usize..place.end as usize])
    }

    /// Every tensor, under the keys that lead to it.
    fn named(&self, objects: &Objects<'_>) -> Result<BTreeMap<String, Stored>> {
        let mut tensors = BTreeMap::new();
        // A container that stands twice, or in itself, is looked at once.
        let mut seen = HashSet::new();
        let mut waiting = vec![(String::new(), state(objects), 0)];
        while let Some((name, id, depth)) = waiting.pop() {
            let many =
                |found: &str| Error::file(self.path, "data.pkl", found, "the tensors of a network");
            if name.len() > LONGEST_NAME || depth > DEEPEST || waiting.len() > MOST {
                return Err(many("a tree of too many, too long or too deep names"));
            }
            let stored = match objects.get(id) {
                Value::Tensor(tensor) => self.stored(&name, tensor)?,
                // Kept by name, so that whoever asks for it is told its type.
                Value::Other(module, class) if !name.is_empty() => Stored {
                    element: Element::Other(format!("{module}.{class}")),
                    shape: Vec::new(),
                    strides: Vec::new(),
                    starts: 0,
                },
                Value::Dict(items) if seen.insert(id) => {
                    let items = items.iter().filter(|(_, value)| leads_on(objects, *value));
                    waiting.extend(items.take(MOST).filter_map(|(key, value)| {
                        Some((joined(&name, &key_text(objects, *key)?), *value, depth + 1))
                    }));
                    continue;
                }
                Value::List(items) | Value::Tuple(items) if seen.insert(id) => {
                    let items = items.iter().enumerate();
                    let items = items.filter(|(_, item)| leads_on(objects, **item));
                    waiting.extend(
                        items
                            .take(MOST)
                            .map(|(n, item)| (joined(&name, &n.to_string()), *item, depth + 1)),
                    );
                    continue;
                }
                _ => continue,
            };
            if tensors.len() >= MOST {
                return Err(many("a list of more tensors than any network has"));
            }
            tensors.insert(name, stored);
        }
        if tensors.is_empty() {
            return Err(Error::file(self.path, "data.pkl", "without a tensor", "a state dict"));
        }
        Ok(tensors)
    }

    fn stored(&self, name: &str, tensor: &Tensor<'_>) -> Result<Stored> {
        let Tensor { storage, offset, shape, strides } = tensor;
        let wrong = |found: String, expected: &str| Error::file(self.path, name, found, expected);
        let element = element(storage.class);
        let sizes = |of: &[u64]| of.iter().map(|&size| usize::try_from(size).ok()).collect();
        let (Some(shape), Some(strides)): (Option<Vec<usize>>, Option<Vec<usize>>) =
            (sizes(shape), sizes(strides))
        else {
            return Err(wrong("of sizes beyond all memory".to_owned(), "a tensor"));
        };
        let Some(size) = element.size() else {
            return Ok(Stored { element, shape, strides, starts: 0 });
        };
        let key = format!("{}data/{}", self.folder, storage.key);
        let Some(member) = self.members.get(key.as_str()) else {
            return Err(wrong(format!("in `{key}`, which is absent"), "a storage of the archive"));
        };
        let place = member.place(self.path, self.bytes)?;
        let held = (place.end - place.start) / size as u64;
        if storage.size > held {
            let found = format!("in a storage of {held} numbers that promises {}", storage.size);
            return Err(wrong(found, "a storage as long as it says")
                .with_help("the file is truncated or damaged; obtain it again"));
        }
        let fits = numbers(&shape).is_some_and(|count| {
            count == 0
                || (count <= storage.size.max(MOST_REPEATED)
                    && reach(&shape, &strides)
                        .and_then(|reach| reach.checked_add(*offset))
                        .is_some_and(|last| last < storage.size))
        });
        if !fits {
            let found = format!(
                "a view {shape:?} with strides {strides:?} from {offset} of {} numbers",
                storage.size
            );
            return Err(wrong(found, "a view inside its storage"));
        }
        let starts = if numbers(&shape) == Some(0) { 0 } else { *offset as usize * size };
        Ok(Stored { element, shape, strides, starts: place.start as usize + starts })
    }
}

/// The dict with the network's tensors: the root, or what a wrapper holds.
fn state(objects: &Objects<'_>) -> Id {
    if let Value::Dict(items) = objects.get(objects.root) {
        for wrapper in WRAPPERS {
            let found = items.iter().find(|(key, value)| {
                *objects.get(*key) == Value::Text(wrapper)
                    && matches!(objects.get(*value), Value::Dict(_))
            });
            if let Some((_, value)) = found {
                return *value;
            }
        }
    }
    objects.root
}

/// Whether a value is a tensor, hides one, or is of a class that might have been one.
fn leads_on(objects: &Objects<'_>, value: Id) -> bool {
    use Value::{Dict, List, Other, Tensor, Tuple};
    matches!(objects.get(value), Tensor(_) | Dict(_) | List(_) | Tuple(_) | Other(..))
}

pub(super) fn key_text(objects: &Objects<'_>, key: Id) -> Option<String> {
    match objects.get(key) {
        Value::Text(text) => Some(text.chars().take(LONGEST_NAME + 1).collect()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

pub(super) fn joined(name: &str, key: &str) -> String {
    if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") }
}

fn element(class: &str) -> Element {
    match class {
        "DoubleStorage" => Element::F64,
        "FloatStorage" => Element::F32,
        "HalfStorage" => Element::F16,
        "BFloat16Storage" => Element::BF16,
        "LongStorage" => Element::I64,
        "IntStorage" => Element::I32,
        "ShortStorage" => Element::I16,
        "CharStorage" => Element::I8,
        "ByteStorage" => Element::U8,
        "BoolStorage" => Element::Bool,
        other => Element::Other(other.chars().take(60).collect()),
    }
}

fn numbers(shape: &[usize]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1u64, |count, &size| count.checked_mul(size as u64))
}

/// How far the last number lies behind the first.
fn reach(shape: &[usize], strides: &[usize]) -> Option<u64> {
    shape.iter().zip(strides).try_fold(0u64, |reach, (&size, &stride)| {
        reach.checked_add((size as u64 - 1).checked_mul(stride as u64)?)
    })
}
