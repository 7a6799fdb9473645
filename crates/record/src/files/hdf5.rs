//! HDF5: `.h5`, `.nwb`, and `.mat` since MATLAB 7.3; read, never executed.
//!
//! MATLAB's conventions are undone where a dataset says so by its attributes: axes in reverse order,
//! text as 16-bit numbers, cell arrays and arrays of structs as references to other objects.
//! Links to other files are not followed.
//!
//! Memory: what is asked for, at most 2 GiB at once; the file is read in place.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use hdf5_reader::group::Group;
use hdf5_reader::{Attribute, Dataset, Datatype, Hdf5File, OpenOptions};
use nissl_core::{Error, Result};

use super::hdf5_elements::{decoded, texts_value, width};
use super::value::{Numbers, Value};

/// The most bytes that are read at once.
const MOST_BYTES: usize = 2 << 30;
/// How deep groups, cells and structs may stand in each other.
const DEEPEST: usize = 24;
/// The most objects that are visited in one call.
const MOST_OBJECTS: usize = 200_000;

/// An open HDF5 file.
pub(super) struct Hdf5 {
    path: PathBuf,
    file: Hdf5File,
    /// Where objects are, for references to them; made when the first is met.
    objects: OnceCell<HashMap<u64, Object>>,
}

#[derive(Clone)]
enum Object {
    Group(Group),
    Dataset(Box<Dataset>),
}

/// What one call may still read.
struct Budget {
    objects: usize,
    bytes: usize,
}

type Outcome<T> = std::result::Result<T, String>;

impl Hdf5 {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let options = OpenOptions::default()
            .with_max_read_bytes(MOST_BYTES)
            .with_max_chunk_bytes(MOST_BYTES / 8)
            .with_max_object_header_bytes(16 << 20);
        let file = guarded(path, || {
            Hdf5File::open_with_options(path, options).map_err(|error| error.to_string())
        })?;
        let opened = Self { path: path.to_owned(), file, objects: OnceCell::new() };
        guarded(path, || opened.root().and_then(|root| names(&root)).map(|_names| ()))?;
        Ok(opened)
    }

    fn root(&self) -> Outcome<Group> {
        self.file.root_group().map_err(|error| error.to_string())
    }

    /// The object at `path`; `None` when there is none.
    fn find(&self, path: &str) -> Outcome<Option<Object>> {
        let mut group = self.root()?;
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        for (at, part) in parts.iter().enumerate() {
            let (groups, datasets) = names(&group)?;
            if datasets.iter().any(|name| name == part) {
                if at + 1 < parts.len() {
                    return Ok(None);
                }
                let dataset = group.dataset(part).map_err(|error| error.to_string())?;
                return Ok(Some(Object::Dataset(Box::new(dataset))));
            }
            if !groups.iter().any(|name| name == part) {
                return Ok(None);
            }
            group = group.group(part).map_err(|error| error.to_string())?;
        }
        Ok(Some(Object::Group(group)))
    }

    /// The names of what is in the group at `path`; empty for anything else.
    pub(super) fn names(&self, path: &str) -> Result<Vec<String>> {
        guarded(&self.path, || match self.find(path)? {
            Some(Object::Group(group)) => {
                let (mut groups, datasets) = names(&group)?;
                groups.extend(datasets);
                Ok(groups)
            }
            _ => Ok(Vec::new()),
        })
    }

    /// All that is at `path`.
    pub(super) fn read(&self, path: &str) -> Result<Option<Value>> {
        guarded(&self.path, || {
            let mut budget = Budget { objects: MOST_OBJECTS, bytes: MOST_BYTES };
            if let Some(object) = self.find(path)? {
                return self.value(&object, 0, &mut budget).map(Some);
            }
            // The last parts of a path may lie inside a dataset: an element or a field.
            for (at, _) in path.rmatch_indices('/') {
                if let Some(object @ Object::Dataset(_)) = self.find(&path[..at])? {
                    let value = self.value(&object, 0, &mut budget)?;
                    return Ok(value.at(&path[at..]).cloned());
                }
            }
            Ok(None)
        })
    }

    /// Every path with what is there, at most `most` of them.
    pub(super) fn paths(&self, most: usize) -> Result<Vec<(String, String)>> {
        guarded(&self.path, || {
            let mut found = Vec::new();
            walk(&self.root()?, "", 0, most, &mut found)?;
            Ok(found)
        })
    }

    fn value(&self, object: &Object, depth: usize, budget: &mut Budget) -> Outcome<Value> {
        if depth > DEEPEST {
            return Err(format!("parts more than {DEEPEST} deep"));
        }
        budget.objects =
            budget.objects.checked_sub(1).ok_or(format!("more than {MOST_OBJECTS} parts"))?;
        match object {
            Object::Dataset(dataset) => self.dataset(dataset, depth, budget),
            Object::Group(group) => {
                let (groups, datasets) = names(group)?;
                let mut parts = Vec::new();
                for name in datasets {
                    let dataset = group.dataset(&name).map_err(|error| error.to_string())?;
                    let dataset = Object::Dataset(Box::new(dataset));
                    parts.push((name, self.value(&dataset, depth + 1, budget)?));
                }
                for name in groups.into_iter().filter(|name| name != "#refs#") {
                    let part = group.group(&name).map_err(|error| error.to_string())?;
                    parts.push((name, self.value(&Object::Group(part), depth + 1, budget)?));
                }
                Ok(Value::Map(parts))
            }
        }
    }

    fn dataset(&self, dataset: &Dataset, depth: usize, budget: &mut Budget) -> Outcome<Value> {
        let told = |error: hdf5_reader::error::Error| error.to_string();
        let attributes = dataset.attributes();
        let class = attributes
            .iter()
            .find(|attribute| attribute.name == "MATLAB_class")
            .and_then(|attribute| attribute.read_string().ok())
            .map(|class| class.trim_end_matches('\0').to_owned());
        if is_empty(&attributes) {
            return Ok(match class.as_deref() {
                Some("char") => Value::Text(String::new()),
                Some("cell" | "struct") => Value::List(Vec::new()),
                _ => Value::Numbers(Numbers { shape: vec![0], values: Vec::new() }),
            });
        }
        let shape: Vec<usize> = dataset
            .shape()
            .iter()
            .map(|&length| usize::try_from(length).map_err(|error| error.to_string()))
            .collect::<Outcome<_>>()?;
        let count = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        // Bytes on disk may unfold to more in memory: eight for each number.
        let bytes = count.and_then(|count| count.checked_mul(8));
        budget.bytes = bytes
            .and_then(|bytes| budget.bytes.checked_sub(bytes))
            .ok_or(format!("`{}` is larger than {MOST_BYTES} bytes", dataset.name()))?;
        match dataset.dtype() {
            Datatype::String { .. }
            | Datatype::VarLen {
                kind: hdf5_reader::messages::datatype::VarLenKind::String, ..
            } => {
                let texts = dataset.read_strings().map_err(told)?;
                Ok(texts_value(texts, &shape))
            }
            Datatype::Reference { size, .. } => {
                let raw = dataset.read_raw_bytes().map_err(told)?;
                self.references(&raw, usize::from(*size), depth, budget)
            }
            kind if !matches!(kind, Datatype::Compound { .. }) && width(kind).is_none() => {
                Ok(Value::Nothing)
            }
            kind => {
                let raw = dataset.read_native_bytes().map_err(told)?;
                decoded(kind, &raw, &shape, class.as_deref())
            }
        }
    }

    fn references(
        &self,
        raw: &[u8],
        size: usize,
        depth: usize,
        budget: &mut Budget,
    ) -> Outcome<Value> {
        if size < 8 {
            return Ok(Value::Nothing);
        }
        let mut parts = Vec::new();
        for reference in raw.chunks_exact(size) {
            let mut address = [0; 8];
            address.copy_from_slice(&reference[..8]);
            let known = self.objects()?.get(&u64::from_le_bytes(address)).cloned();
            // A reference to nothing is a missing element, as null in a table.
            parts.push(match known {
                Some(object) => self.value(&object, depth + 1, budget)?,
                None => Value::Nothing,
            });
        }
        Ok(Value::List(parts))
    }

    fn objects(&self) -> Outcome<&HashMap<u64, Object>> {
        if let Some(objects) = self.objects.get() {
            return Ok(objects);
        }
        let mut objects = HashMap::new();
        let mut waiting = vec![self.root()?];
        while let Some(group) = waiting.pop() {
            if objects.len() > MOST_OBJECTS * 5 {
                return Err("far too many objects".to_owned());
            }
            if objects.insert(group.address(), Object::Group(group.clone())).is_some() {
                continue;
            }
            let (groups, datasets) = group.members().map_err(|error| error.to_string())?;
            for dataset in datasets {
                objects.insert(dataset.address(), Object::Dataset(Box::new(dataset)));
            }
            waiting.extend(groups);
        }
        Ok(self.objects.get_or_init(|| objects))
    }
}

/// Groups and datasets in `group`.
fn names(group: &Group) -> Outcome<(Vec<String>, Vec<String>)> {
    group.member_names().map_err(|error| error.to_string())
}

fn walk(
    group: &Group,
    prefix: &str,
    depth: usize,
    most: usize,
    found: &mut Vec<(String, String)>,
) -> Outcome<()> {
    let (groups, datasets) = names(group)?;
    for name in datasets {
        if found.len() >= most {
            return Ok(());
        }
        let what = group.dataset(&name).map_or_else(
            |_error| "unreadable".to_owned(),
            |dataset| {
                let shape: Vec<String> = dataset.shape().iter().map(ToString::to_string).collect();
                if shape.is_empty() { "one value".to_owned() } else { shape.join(" × ") }
            },
        );
        found.push((format!("{prefix}{name}"), what));
    }
    for name in groups.into_iter().filter(|name| name != "#refs#" && name != "#subsystem#") {
        if found.len() >= most || depth > DEEPEST {
            return Ok(());
        }
        let part = group.group(&name).map_err(|error| error.to_string())?;
        walk(&part, &format!("{prefix}{name}/"), depth + 1, most, found)?;
    }
    Ok(())
}

fn is_empty(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .find(|attribute| attribute.name == "MATLAB_empty")
        .is_some_and(|attribute| attribute.raw_data.iter().any(|&byte| byte != 0))
}

/// Damage that makes the decoder panic is an error of the file, not of ours.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Outcome<T>) -> Result<T> {
    let outcome = catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_panic| Err("damaged so that it cannot be decoded".to_owned()));
    outcome.map_err(|found| {
        Error::file(path, "content", found, "a readable HDF5 file")
            .with_help("the file may be cut off or damaged; copy it again from its source")
    })
}
