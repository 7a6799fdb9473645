//! A pickle as far as it describes data: a stack machine that executes nothing.
//!
//! A pickle is a program. This machine knows the instructions that build numbers, texts, lists,
//! tuples, dicts and torch tensors; a name from another module than `collections` and `torch` is
//! refused where it stands, or passed over where the caller says so; objects of other classes become
//! [`Value::Other`], of which the attributes are kept.
//!
//! Source: the format as `pickletools` of Python's standard library describes it, protocols 0 to 5.
//! Left out: persistent ids in text, extension codes, buffers outside the pickle.
//! Memory: at most some 100 bytes for each byte of the pickle, which has at most 4 MiB.

mod read;
mod rebuild;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use read::Reader;

use super::Classes;

/// Longer pickles describe no network.
pub(super) const LONGEST: usize = 1 << 22;

/// The place of a value in [`Objects`].
pub(super) type Id = u32;

/// What an instruction can build. Containers hold the places of their contents, so that an object
/// that stands twice, or contains itself, is held once.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Bytes,
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function by its module and its name.
    Name(&'a str, &'a str),
    Storage(Storage<'a>),
    Tensor(Box<Tensor<'a>>),
    /// An object of a torch class that describes no tensor, by the class's module and name.
    Other(&'a str, &'a str),
}

/// Numbers in a member of the archive.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage<'a> {
    /// The class, such as `FloatStorage`.
    pub class: &'a str,
    /// The member's name.
    pub key: &'a str,
    /// How many numbers.
    pub size: u64,
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor<'a> {
    pub storage: Storage<'a>,
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
}

/// Everything a pickle built.
#[derive(Debug)]
pub(super) struct Objects<'a> {
    values: Vec<Value<'a>>,
    /// The place of the result.
    pub root: Id,
    /// The attributes of objects that are not looked into.
    states: HashMap<Id, Id>,
    skipped: BTreeSet<String>,
}

impl<'a> Objects<'a> {
    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id as usize]
    }

    /// The attributes of an object that is none of the known.
    pub(super) fn attributes(&self, id: Id) -> Option<Id> {
        self.states.get(&id).copied()
    }

    /// The names of classes that were passed over, sorted.
    pub(super) fn skipped(&self) -> Vec<String> {
        self.skipped.iter().cloned().collect()
    }
}

/// Runs the pickle.
///
/// # Errors
/// What was found that is not data, in words for "`data.pkl` is …".
pub(super) fn parse(bytes: &[u8], classes: Classes) -> Result<Objects<'_>, String> {
    if bytes.len() > LONGEST {
        return Err(format!("{} bytes long, longer than {LONGEST}", bytes.len()));
    }
    let mut machine = Machine { classes, ..Machine::default() };
    let mut reader = Reader::new(bytes);
    loop {
        let code = reader.byte()?;
        if code == b'.' {
            let root = machine.pop()?;
            let Machine { values, states, skipped, .. } = machine;
            return Ok(Objects { values, root, states, skipped });
        }
        machine.step(code, &mut reader)?;
    }
}

#[derive(Default)]
struct Machine<'a> {
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// Items that were copied from one container to another.
    copied: usize,
    classes: Classes,
    states: HashMap<Id, Id>,
    skipped: BTreeSet<String>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, code: u8, from: &mut Reader<'a>) -> Result<(), String> {
        match code {
            0x80 => from.skip(1),
            0x95 => from.skip(8),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(|_| ()),
            b'1' => self.above_mark().map(|_| ()),
            b'2' => {
                let top = *self.stack.last().ok_or("a program that reads an empty stack")?;
                self.stack.push(top);
                Ok(())
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'I' | b'L' | b'F' => {
                let value = number(from.line()?)?;
                self.push(value)
            }
            b'J' => {
                let value = from.unsigned(4)? as u32;
                self.push(Value::Int(value.cast_signed().into()))
            }
            b'K' => self.whole(from, 1),
            b'M' => self.whole(from, 2),
            0x8a | 0x8b => {
                let size = from.unsigned(if code == 0x8a { 1 } else { 4 })?;
                let bytes = from.take(size)?;
                self.push(long(bytes))
            }
            b'G' => {
                let value = from.unsigned(8)?.swap_bytes();
                self.push(Value::Float(f64::from_bits(value)))
            }
            b'X' | b'T' => self.text(from, 4),
            0x8c | b'U' => self.text(from, 1),
            0x8d => self.text(from, 8),
            b'V' => {
                let line = from.line()?;
                self.push(Value::Text(line))
            }
            b'B' | b'C' | 0x8e => {
                let size = match code {
                    b'B' => from.unsigned(4)?,
                    b'C' => from.unsigned(1)?,
                    _ => from.unsigned(8)?,
                };
                from.skip(size)?;
                self.push(Value::Bytes)
            }
            _ => self.containers(code, from),
        }
    }

    fn containers(&mut self, code: u8, from: &mut Reader<'a>) -> Result<(), String> {
        match code {
            b']' | 0x8f => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b'l' | 0x91 => {
                let items = self.above_mark()?;
                self.push(Value::List(items))
            }
            b't' => {
                let items = self.above_mark()?;
                self.push(Value::Tuple(items))
            }
            b'd' => {
                let items = pairs(&self.above_mark()?)?;
                self.push(Value::Dict(items))
            }
            0x85..=0x87 => {
                let size = usize::from(code - 0x84);
                let items = (0..size).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                self.push(Value::Tuple(items.into_iter().rev().collect()))
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])
            }
            b'e' | 0x90 => {
                let items = self.above_mark()?;
                self.extend(items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.insert(vec![(key, value)])
            }
            b'u' => {
                let items = pairs(&self.above_mark()?)?;
                self.insert(items)
            }
            b'q' => self.remember(from.unsigned(1)?),
            b'r' => self.remember(from.unsigned(4)?),
            b'p' => self.remember(place(from.line()?)?),
            0x94 => self.remember(self.memo.len() as u64),
            b'h' => self.recall(from.unsigned(1)?),
            b'j' => self.recall(from.unsigned(4)?),
            b'g' => self.recall(place(from.line()?)?),
            b'c' => {
                let (module, name) = (from.line()?, from.line()?);
                self.name(module, name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.value(module), self.value(name)) {
                    (&Value::Text(module), &Value::Text(name)) => self.name(module, name),
                    _ => Err("a program that names something by what is no text".to_owned()),
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let value = self.persistent(id)?;
                self.push(value)
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let made = self.rebuild(callable, arguments)?;
                self.stack.push(made);
                Ok(())
            }
            b'b' => self.build(),
            _ => Err(format!("a program with the instruction 0x{code:02x}, which is not read")),
        }
    }

    /// Puts a new value on the stack.
    #[expect(clippy::unnecessary_wraps, reason = "most arms of a step end with it")]
    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        let id = self.hold(value);
        self.stack.push(id);
        Ok(())
    }

    /// Keeps a new value. Every instruction makes at most one, so places never run out.
    fn hold(&mut self, value: Value<'a>) -> Id {
        self.values.push(value);
        (self.values.len() - 1) as Id
    }

    fn pop(&mut self) -> Result<Id, String> {
        let below = self.marks.last().is_some_and(|mark| self.stack.len() <= *mark);
        let top = if below { None } else { self.stack.pop() };
        top.ok_or_else(|| "a program that reads an empty stack".to_owned())
    }

    fn above_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("a program that lacks a mark")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn value(&self, id: Id) -> &Value<'a> {
        &self.values[id as usize]
    }

    fn whole(&mut self, from: &mut Reader<'a>, size: usize) -> Result<(), String> {
        let value = from.unsigned(size)?;
        self.push(Value::Int(value as i64))
    }

    fn text(&mut self, from: &mut Reader<'a>, size: usize) -> Result<(), String> {
        let size = from.unsigned(size)?;
        let bytes = from.take(size)?;
        let text = str::from_utf8(bytes)
            .map_err(|error| format!("with a text that is no UTF-8 ({error})"))?;
        self.push(Value::Text(text))
    }

    fn top(&mut self) -> Result<&mut Value<'a>, String> {
        let top = self.stack.last().ok_or("a program that reads an empty stack")?;
        Ok(&mut self.values[*top as usize])
    }

    fn extend(&mut self, items: Vec<Id>) -> Result<(), String> {
        match self.top()? {
            Value::List(list) => list.extend(items),
            Value::Other(..) => {}
            _ => return Err("a program that appends to what is no list".to_owned()),
        }
        Ok(())
    }

    fn insert(&mut self, items: Vec<(Id, Id)>) -> Result<(), String> {
        match self.top()? {
            Value::Dict(dict) => dict.extend(items),
            Value::Other(..) => {}
            _ => return Err("a program that sets an item of what is no dict".to_owned()),
        }
        Ok(())
    }

    fn remember(&mut self, place: u64) -> Result<(), String> {
        let top = *self.stack.last().ok_or("a program that reads an empty stack")?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u64) -> Result<(), String> {
        let id = *self.memo.get(&place).ok_or("a program that recalls what it never kept")?;
        self.stack.push(id);
        Ok(())
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    } else {
        Err("a program with a key that lacks its value".to_owned())
    }
}

fn place(line: &str) -> Result<u64, String> {
    line.parse().map_err(|error| format!("a program that keeps a value nowhere ({error})"))
}

/// A number in text; whole ones of old protocols end with L, and 00 and 01 are no and yes.
fn number<'a>(line: &str) -> Result<Value<'a>, String> {
    let digits = line.strip_suffix('L').unwrap_or(line);
    match line {
        "00" => Ok(Value::Bool(false)),
        "01" => Ok(Value::Bool(true)),
        _ => digits
            .parse()
            .map(Value::Int)
            .or_else(|_| line.parse().map(Value::Float))
            .map_err(|error| format!("with a number that is none ({error})")),
    }
}

/// A whole number of any size; those of more than eight bytes describe no tensor.
fn long<'a>(bytes: &[u8]) -> Value<'a> {
    if bytes.len() > 8 {
        return Value::Other("builtins", "int");
    }
    let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(wide))
}
