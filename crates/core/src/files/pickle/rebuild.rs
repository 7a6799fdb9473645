//! The names a pickle may use, and what stands for the objects they would have made.

use super::{Classes, Id, LONGEST, Machine, Storage, Tensor, Value};

/// More axes than any tensor has, and more arguments than any of the functions here takes.
const AXES: usize = 16;
/// Names of classes that were passed over are kept up to this many.
const MOST_SKIPPED: usize = 64;

impl<'a> Machine<'a> {
    /// Puts a name on the stack, when it is one that only describes data.
    pub(super) fn name(&mut self, module: &'a str, name: &'a str) -> Result<(), String> {
        let ordered = (module, name) == ("collections", "OrderedDict");
        if ordered || module == "torch" || module.starts_with("torch.") {
            return self.push(Value::Name(module, name));
        }
        if self.classes == Classes::Skip {
            if self.skipped.len() < MOST_SKIPPED {
                self.skipped.insert(format!("{}.{}", shown(module), shown(name)));
            }
            return self.push(Value::Name(module, name));
        }
        Err(format!("a program that uses `{}.{}`, which is not run", shown(module), shown(name)))
    }

    /// What `callable(*arguments)` describes.
    pub(super) fn rebuild(&mut self, callable: Id, arguments: Id) -> Result<Id, String> {
        let arguments = match self.value(arguments) {
            Value::Tuple(items) => items.iter().take(AXES).copied().collect::<Vec<_>>(),
            _ => return Err("a program that calls without arguments".to_owned()),
        };
        let (module, name) = match self.value(callable) {
            Value::Name(module, name) => (*module, *name),
            &Value::Other(module, name) => return Ok(self.hold(Value::Other(module, name))),
            _ => return Err("a program that calls what is no function".to_owned()),
        };
        match (module, name) {
            ("collections", "OrderedDict") => {
                let items = self.ordered(&arguments)?;
                Ok(self.hold(Value::Dict(items)))
            }
            ("torch._utils", "_rebuild_tensor_v2") => {
                let tensor = self.tensor(&arguments).ok_or("with a tensor that is none")?;
                Ok(self.hold(Value::Tensor(Box::new(tensor))))
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                arguments.first().copied().ok_or_else(|| "with a parameter that is none".to_owned())
            }
            ("torch", "Size") if arguments.len() == 1 => Ok(arguments[0]),
            _ => Ok(self.hold(Value::Other(module, name))),
        }
    }

    /// The items that an ordered dict begins with: none, or a list of pairs.
    fn ordered(&mut self, arguments: &[Id]) -> Result<Vec<(Id, Id)>, String> {
        let wrong = || "with an ordered dict that is none".to_owned();
        let Some(first) = arguments.first() else { return Ok(Vec::new()) };
        self.copied += match self.value(*first) {
            Value::Dict(items) => items.len(),
            Value::List(items) => items.len(),
            _ => return Err(wrong()),
        };
        if self.copied > LONGEST {
            return Err("a program that copies its contents again and again".to_owned());
        }
        match self.value(*first) {
            Value::Dict(items) => Ok(items.clone()),
            Value::List(items) => items
                .iter()
                .map(|pair| match self.value(*pair) {
                    Value::Tuple(pair) | Value::List(pair) if pair.len() == 2 => {
                        Ok((pair[0], pair[1]))
                    }
                    _ => Err(wrong()),
                })
                .collect(),
            _ => Err(wrong()),
        }
    }

    fn tensor(&self, arguments: &[Id]) -> Option<Tensor<'a>> {
        let [storage, offset, shape, strides, ..] = arguments else { return None };
        let Value::Storage(storage) = self.value(*storage) else { return None };
        let (storage, offset) = (storage.clone(), self.size(*offset)?);
        let (shape, strides) = (self.sizes(*shape)?, self.sizes(*strides)?);
        (shape.len() == strides.len()).then_some(Tensor { storage, offset, shape, strides })
    }

    fn size(&self, id: Id) -> Option<u64> {
        match self.value(id) {
            Value::Int(size) => u64::try_from(*size).ok(),
            _ => None,
        }
    }

    fn sizes(&self, id: Id) -> Option<Vec<u64>> {
        match self.value(id) {
            Value::Tuple(items) | Value::List(items) if items.len() <= AXES => {
                items.iter().map(|item| self.size(*item)).collect()
            }
            _ => None,
        }
    }

    /// What a persistent id stands for: `("storage", class, key, device, size)`.
    pub(super) fn persistent(&self, id: Id) -> Result<Value<'a>, String> {
        if let Value::Tuple(items) = self.value(id)
            && let [tag, class, key, _device, size] = items[..]
            && *self.value(tag) == Value::Text("storage")
            && let &Value::Name(_, class) = self.value(class)
            && let &Value::Text(key) = self.value(key)
            && let Some(size) = self.size(size)
        {
            return Ok(Value::Storage(Storage { class, key, size }));
        }
        Err("a program with a reference to what is no storage".to_owned())
    }

    /// Sets the state of an object: only attributes beside an ordered dict's items, and the inside of
    /// objects that are not looked at, can be left aside.
    pub(super) fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let object = *self.stack.last().ok_or("a program that reads an empty stack")?;
        match self.value(object) {
            Value::Other(..) => {
                self.states.insert(object, state);
                Ok(())
            }
            Value::Dict(_) | Value::Tensor(_) => Ok(()),
            _ => Err("a program that changes what is no object".to_owned()),
        }
    }
}

/// A name short enough for a message.
pub(super) fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}
