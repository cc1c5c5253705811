//! Calls that change nothing and ask for nothing but this machine's name: some of
//! Python's own functions and methods, and those of paths.

use std::rc::Rc;

use tree_sitter::Node;

use super::evaluate::{Evaluator, item, unknown};
use super::expression::{Found, TOO_MUCH};
use super::syntax::{children, line, only_child};
use super::text;
use super::value::{Item, Kind, Text, Unknown, Value};

/// Arguments of a call: those without and those with a name.
pub(super) type Arguments = (Vec<Value>, Vec<(String, Value)>);

impl<'a> Evaluator<'a> {
    pub fn attribute(&mut self, node: Node<'a>) -> Found {
        let object = self.known_field(node, "object")?;
        let attribute = node.child_by_field_name("attribute");
        let attribute = attribute.map_or("", |attribute| self.source.text(attribute));
        match object {
            Value::Name(name) if &*name == "os.uname()" && attribute == "nodename" => {
                Ok(self.host_name())
            }
            Value::Name(name) => Ok(Value::Name(format!("{name}.{attribute}").into())),
            _ => Err(unknown(node, "it is an attribute that is not followed")),
        }
    }

    /// The arguments of a call, all of them known.
    pub fn arguments(&mut self, call: Node<'a>) -> Result<Arguments, Unknown> {
        let list = call
            .child_by_field_name("arguments")
            .filter(|list| list.kind() == "argument_list")
            .ok_or_else(|| unknown(call, "it is computed by a comprehension"))?;
        let (mut values, mut named) = (Vec::new(), Vec::new());
        for argument in children(list) {
            match argument.kind() {
                "keyword_argument" => {
                    let name = argument.child_by_field_name("name");
                    let name = name.map_or("", |name| self.source.text(name)).to_owned();
                    named.push((name, self.known_field(argument, "value")?));
                }
                "list_splat" | "dictionary_splat" => {
                    return Err(unknown(call, "it is a call that is not followed"));
                }
                _ => values.push(self.known(argument)?),
            }
        }
        Ok((values, named))
    }

    pub fn call(&mut self, node: Node<'a>) -> Found {
        let Some(function) = node.child_by_field_name("function") else {
            return Err(unknown(node, "it is not complete"));
        };
        // No value of these can be called: so two of them stand side by side.
        let called = match function.kind() {
            "parenthesized_expression" => only_child(function),
            _ => Some(function),
        };
        if called.is_some_and(|called| matches!(called.kind(), "tuple" | "list" | "string")) {
            let why = "a comma is missing before the opening parenthesis";
            return Err(unknown(node, why));
        }
        if function.kind() == "identifier" {
            let name = self.source.text(function);
            if !self.settings.names.contains_key(name) {
                return self.builtin(name, node);
            }
        }
        if function.kind() == "attribute" {
            let object = self.known_field(function, "object")?;
            if !matches!(object, Value::Name(_)) {
                let method = function.child_by_field_name("attribute");
                let method = method.map_or("", |method| self.source.text(method));
                return self.method(&object, method, node);
            }
        }
        match self.known(function)? {
            Value::Name(name) => self.function(&name, node),
            _ => Err(unknown(node, "it is a call that is not followed")),
        }
    }

    fn builtin(&mut self, name: &str, node: Node<'a>) -> Found {
        let (values, named) = self.arguments(node)?;
        let not_followed = || unknown(node, &format!("it calls {name}()"));
        let kind = match name {
            "list" => Some(Kind::List),
            "tuple" => Some(Kind::Tuple),
            "set" | "frozenset" => Some(Kind::Set),
            "dict" => Some(Kind::Dict),
            _ => None,
        };
        if let Some(kind) = kind {
            let mut items = match values.as_slice() {
                [] => Vec::new(),
                [values] if self.is(values, Kind::Dict) == (kind == Kind::Dict) => {
                    self.all_elements(values, node)?
                }
                _ => return Err(not_followed()),
            };
            if !named.is_empty() && kind != Kind::Dict {
                return Err(not_followed());
            }
            items.extend(named.into_iter().map(|(key, value)| Item {
                key: Value::text(&key),
                value,
                line: line(node),
            }));
            return self.container(kind, items, node);
        }
        let [value] = values.as_slice() else {
            return Err(not_followed());
        };
        let result = match (name, value) {
            ("str", value) => value.to_text().map(Value::Text),
            ("int", Value::Text(text)) => text.text.trim().parse().ok().map(Value::Int),
            ("int", Value::Float(value)) if value.abs() < 1e15 => {
                Some(Value::Int(value.trunc() as i64))
            }
            ("int", value) => value.to_int().map(Value::Int),
            ("float", value) => value.to_float().map(Value::Float),
            ("bool", value) => Some(Value::Bool(value.truth(&self.settings.heap))),
            ("len", Value::Text(text)) => i64::try_from(text.text.chars().count())
                .ok()
                .map(Value::Int),
            _ => None,
        };
        result.ok_or_else(not_followed)
    }

    /// A function of a module.
    fn function(&mut self, name: &Rc<str>, node: Node<'a>) -> Found {
        match &**name {
            "os.uname" => return Ok(Value::Name("os.uname()".into())),
            "socket.gethostname" | "platform.node" => return Ok(self.host_name()),
            "os.path.join" => {}
            _ => return Err(comes_from(node, name)),
        }
        let (values, _) = self.arguments(node)?;
        let mut path = String::new();
        let mut of_host = false;
        for value in values {
            let Value::Text(part) = value else {
                return Err(unknown(node, "it joins what is no string to a path"));
            };
            of_host |= part.of_host;
            if part.text.starts_with('/') {
                path.clear();
            } else if !path.is_empty() && !path.ends_with('/') {
                path.push('/');
            }
            path.push_str(&part.text);
        }
        self.made(path, of_host, node)
    }

    /// A method that changes nothing.
    fn method(&mut self, object: &Value, method: &str, node: Node<'a>) -> Found {
        let (values, named) = self.arguments(node)?;
        let not_followed = || unknown(node, &format!("it calls .{method}()"));
        let Value::Text(text) = object else {
            return match (method, values.as_slice()) {
                ("copy", []) => {
                    let items = self.all_elements(object, node)?;
                    for kind in [Kind::List, Kind::Set, Kind::Dict] {
                        if self.is(object, kind) {
                            return self.container(kind, items, node);
                        }
                    }
                    Err(not_followed())
                }
                ("get", [Value::Text(key), default @ ..]) if self.is(object, Kind::Dict) => {
                    let found = self.entry(object, &key.text);
                    Ok(found.unwrap_or_else(|| default.first().cloned().unwrap_or(Value::None)))
                }
                _ => Err(not_followed()),
            };
        };
        let whole = &*text.text;
        let texts: Option<Vec<&str>> = values
            .iter()
            .map(|value| match value {
                Value::Text(text) => Some(&*text.text),
                _ => None,
            })
            .collect();
        let made = match (method, texts.as_deref()) {
            ("format", _) => {
                let named = |name: &str| {
                    let found = named.iter().find(|(key, _)| key == name);
                    found.map(|(_, value)| value.clone())
                };
                let text = text::format(text, &values, named);
                return self.formatted(text, node);
            }
            ("join", None) => return self.join(text, &values, node),
            ("split", Some([by])) if !by.is_empty() => {
                let parts = whole.split(by);
                let parts = parts.map(|part| {
                    let text = part.into();
                    let of_host = object_of_host(object);
                    item(Value::Text(Text { text, of_host }), line(node))
                });
                let parts = parts.collect();
                return self.container(Kind::List, parts, node);
            }
            ("lower", Some([])) => whole.to_lowercase(),
            ("upper", Some([])) => whole.to_uppercase(),
            ("strip", Some([])) => whole.trim().to_owned(),
            ("rstrip", Some([])) => whole.trim_end().to_owned(),
            ("strip", Some([of])) => whole.trim_matches(|c| of.contains(c)).to_owned(),
            ("rstrip", Some([of])) => whole.trim_end_matches(|c| of.contains(c)).to_owned(),
            ("replace", Some([old, new])) if !old.is_empty() => {
                let count = whole.matches(old).count();
                if !self
                    .settings
                    .heap
                    .take_bytes(count.saturating_mul(new.len()))
                {
                    return Err(unknown(node, TOO_MUCH));
                }
                whole.replace(old, new)
            }
            _ => return Err(not_followed()),
        };
        self.made(made, text.of_host, node)
    }

    /// `between.join(values)`
    fn join(&mut self, between: &Text, values: &[Value], node: Node<'a>) -> Found {
        let [values] = values else {
            return Err(unknown(node, "it calls .join()"));
        };
        let mut of_host = between.of_host;
        let mut texts = Vec::new();
        for item in self.all_elements(values, node)? {
            match item.value {
                Value::Text(text) => {
                    of_host |= text.of_host;
                    texts.push(text.text);
                }
                Value::Unknown(why) => return Err(why),
                _ => return Err(unknown(node, "it joins what is no string")),
            }
        }
        let bytes = texts.iter().map(|text| text.len() + between.text.len());
        if !self.settings.heap.take_bytes(bytes.sum()) {
            return Err(unknown(node, TOO_MUCH));
        }
        let text = texts.join(&*between.text).into();
        Ok(Value::Text(Text { text, of_host }))
    }

    pub fn host_name(&self) -> Value {
        Value::Text(Text {
            text: self.host.into(),
            of_host: true,
        })
    }
}

/// Not known since it comes from what was imported.
pub(super) fn comes_from(node: Node<'_>, name: &str) -> Unknown {
    unknown(node, &format!("it comes from {name}"))
}

fn object_of_host(object: &Value) -> bool {
    matches!(object, Value::Text(text) if text.of_host)
}
