//! What an expression of a settings file stands for.

use tree_sitter::Node;

use super::call::comes_from;
use super::evaluate::{DEPTH_MAX, Evaluator, item, unknown};
use super::syntax::{children, fields, line, only_child};
use super::text::{self, Prefix};
use super::value::{Item, Kind, Text, Unknown, Value};

/// Why a value is not known that would need more than the heap's room.
pub(super) const TOO_MUCH: &str = "the file makes more than fits";

/// What an expression stands for, or why that is not known.
pub(super) type Found = Result<Value, Unknown>;

impl<'a> Evaluator<'a> {
    /// What `node` stands for, if only an unknown value.
    pub fn value(&mut self, node: Node<'a>) -> Value {
        if self.depth >= DEPTH_MAX {
            return Value::Unknown(unknown(node, "it is nested too deeply"));
        }
        self.depth += 1;
        let found = self.find(node);
        self.depth -= 1;
        found.unwrap_or_else(Value::Unknown)
    }

    /// Like `value`, for what an operation cannot do without.
    pub fn known(&mut self, node: Node<'a>) -> Found {
        match self.value(node) {
            Value::Unknown(why) => Err(why),
            value => Ok(value),
        }
    }

    pub fn known_field(&mut self, node: Node<'a>, field: &str) -> Found {
        match node.child_by_field_name(field) {
            Some(child) => self.known(child),
            None => Err(unknown(node, "it is not complete")),
        }
    }

    fn find(&mut self, node: Node<'a>) -> Found {
        match node.kind() {
            "none" => Ok(Value::None),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "integer" => integer(self.source.text(node))
                .ok_or_else(|| unknown(node, "it is no whole number of 64 bits")),
            "float" => {
                float(self.source.text(node)).ok_or_else(|| unknown(node, "it is no plain number"))
            }
            "string" => self.string(node),
            "concatenated_string" => self.concatenated(node),
            "identifier" => self.name(node),
            "parenthesized_expression" => match only_child(node) {
                Some(child) => self.known(child),
                None => Err(unknown(node, "it is not complete")),
            },
            "list" => self.sequence(node, Kind::List),
            "set" => self.sequence(node, Kind::Set),
            "tuple" | "expression_list" => self.sequence(node, Kind::Tuple),
            "dictionary" => self.dictionary(node),
            "unary_operator" => self.unary(node),
            "not_operator" => {
                let value = self.known_field(node, "argument")?;
                Ok(Value::Bool(!value.truth(&self.settings.heap)))
            }
            "boolean_operator" => self.boolean(node),
            "comparison_operator" => self.comparison(node),
            "binary_operator" => self.binary(node),
            "conditional_expression" => match children(node).as_slice() {
                [value, condition, other] => {
                    let holds = self.known(*condition)?.truth(&self.settings.heap);
                    self.known(if holds { *value } else { *other })
                }
                _ => Err(unknown(node, "it is not complete")),
            },
            "attribute" => self.attribute(node),
            "subscript" => self.subscript(node),
            "call" => self.call(node),
            "lambda" => Err(unknown(node, "it is a function")),
            kind if kind.ends_with("_comprehension") => {
                Err(unknown(node, "it is computed by a comprehension"))
            }
            _ => Err(unknown(node, "it is an expression that is not followed")),
        }
    }

    fn name(&mut self, node: Node<'a>) -> Found {
        let name = self.source.text(node);
        match self.settings.names.get(name) {
            Some(bound) => match &bound.value {
                Value::Unknown(why) => Err(why.clone()),
                value => Ok(value.clone()),
            },
            None => Err(unknown(
                node,
                &format!("{name} is not set before this line"),
            )),
        }
    }

    fn string(&mut self, node: Node<'a>) -> Found {
        let parts = children(node);
        let (Some(start), Some(end)) = (parts.first(), parts.last()) else {
            return Err(unknown(node, "it is no string"));
        };
        let prefix = Prefix::of(self.source.text(*start));
        if prefix.bytes {
            return Err(unknown(node, "it is bytes, not a string"));
        }
        let mut out = String::new();
        let mut of_host = false;
        let mut from = start.end_byte();
        for part in &parts {
            if part.kind() != "interpolation" {
                continue;
            }
            out.push_str(&self.written(from, part.start_byte(), &prefix, node)?);
            let inserted = self.interpolation(*part)?;
            if !self.settings.heap.take_bytes(inserted.text.len()) {
                return Err(unknown(node, TOO_MUCH));
            }
            out.push_str(&inserted.text);
            of_host |= inserted.of_host;
            from = part.end_byte();
        }
        out.push_str(&self.written(from, end.start_byte(), &prefix, node)?);
        self.made(out, of_host, node)
    }

    /// The text between two places of a literal.
    fn written(
        &self,
        from: usize,
        to: usize,
        prefix: &Prefix,
        node: Node<'a>,
    ) -> Result<String, Unknown> {
        let written = self.source.text.get(from..to).unwrap_or_default();
        text::unescaped(written, prefix)
            .ok_or_else(|| unknown(node, "it has an escape that is not known"))
    }

    fn interpolation(&mut self, node: Node<'a>) -> Result<Text, Unknown> {
        let plain = node.child_by_field_name("format_specifier").is_none()
            && node
                .child_by_field_name("type_conversion")
                .is_none_or(|conversion| self.source.text(conversion) == "!s");
        let value = self.known_field(node, "expression")?;
        let text = value.to_text().filter(|_| plain);
        text.ok_or_else(|| unknown(node, "it is formatted in a way that is not followed"))
    }

    fn concatenated(&mut self, node: Node<'a>) -> Found {
        let mut out = String::new();
        let mut of_host = false;
        for part in children(node) {
            match self.known(part)? {
                Value::Text(text) => {
                    out.push_str(&text.text);
                    of_host |= text.of_host;
                }
                _ => return Err(unknown(part, "it is no string")),
            }
        }
        self.made(out, of_host, node)
    }

    /// A string that was put together, if there is room for it.
    pub fn made(&mut self, text: String, of_host: bool, node: Node<'a>) -> Found {
        if !self.settings.heap.take_bytes(text.len()) {
            return Err(unknown(node, TOO_MUCH));
        }
        let text = text.into();
        Ok(Value::Text(Text { text, of_host }))
    }

    fn sequence(&mut self, node: Node<'a>, kind: Kind) -> Found {
        let mut items = Vec::new();
        for child in children(node) {
            match child.kind() {
                "list_splat" => {
                    let values = self.known_only_child(child)?;
                    items.extend(self.all_elements(&values, child)?);
                }
                _ => {
                    let ends = child.end_position().row + 1;
                    if child.kind() == "concatenated_string" && ends > line(child) {
                        self.settings.joined.insert(line(child));
                    }
                    items.push(item(self.value(child), line(child)));
                }
            }
        }
        self.container(kind, items, node)
    }

    fn dictionary(&mut self, node: Node<'a>) -> Found {
        let mut items = Vec::new();
        for child in children(node) {
            if child.kind() == "dictionary_splat" {
                let values = self.known_only_child(child)?;
                if !self.is(&values, Kind::Dict) {
                    return Err(unknown(child, "it is made from what is no dict"));
                }
                items.extend(self.all_elements(&values, child)?);
                continue;
            }
            let value = match child.child_by_field_name("value") {
                Some(value) => self.value(value),
                None => return Err(unknown(child, "it is computed by a comprehension")),
            };
            let key = self.known_field(child, "key")?;
            let line = line(child);
            items.push(Item { key, value, line });
        }
        self.container(Kind::Dict, items, node)
    }

    pub fn container(&mut self, kind: Kind, items: Vec<Item>, node: Node<'a>) -> Found {
        if !self.settings.heap.take_items(items.len()) {
            return Err(unknown(node, TOO_MUCH));
        }
        Ok(self.settings.heap.put(kind, items))
    }

    fn known_only_child(&mut self, node: Node<'a>) -> Found {
        match only_child(node) {
            Some(child) => self.known(child),
            None => Err(unknown(node, "it is not complete")),
        }
    }

    pub fn is(&self, value: &Value, kind: Kind) -> bool {
        matches!(value, Value::Container(id) if self.settings.heap.container(*id).kind == kind)
    }

    /// The elements of a container, if they are known.
    pub fn all_elements(&mut self, value: &Value, node: Node<'a>) -> Result<Vec<Item>, Unknown> {
        let Value::Container(id) = value else {
            return Err(unknown(node, "it is made from what is no list"));
        };
        let container = self.settings.heap.container(*id);
        if let Some(why) = &container.ruined {
            return Err(why.clone());
        }
        let count = container.items().len();
        if !self.settings.heap.take_items(count) {
            return Err(unknown(node, TOO_MUCH));
        }
        Ok(self.settings.heap.container(*id).items().to_vec())
    }

    pub fn formatted(&mut self, text: Option<Text>, node: Node<'a>) -> Found {
        match text {
            Some(text) => self.made(text.text.to_string(), text.of_host, node),
            None => Err(unknown(
                node,
                "it is formatted in a way that is not followed",
            )),
        }
    }

    /// What a dict has under a name.
    pub fn entry(&self, dict: &Value, name: &str) -> Option<Value> {
        let Value::Container(id) = dict else {
            return None;
        };
        let container = self.settings.heap.container(*id);
        if container.ruined.is_some() {
            return None;
        }
        container
            .find(&Value::text(name))
            .map(|item| item.value.clone())
    }

    fn subscript(&mut self, node: Node<'a>) -> Found {
        let value = self.known_field(node, "value")?;
        let key = match fields(node, "subscript").as_slice() {
            [key] => self.known(*key)?,
            _ => return Err(unknown(node, "it is a slice")),
        };
        let missing = || unknown(node, "it is an element that is not there");
        match (&value, &key) {
            (Value::Name(name), Value::Int(1)) if &**name == "os.uname()" => Ok(self.host_name()),
            (Value::Name(name), _) => Err(comes_from(node, name)),
            (Value::Text(text), key) => {
                let count = text.text.chars().count();
                let index = key.to_int().and_then(|index| position(index, count));
                let letter = index.and_then(|index| text.text.chars().nth(index));
                let letter = letter.ok_or_else(missing)?;
                self.made(letter.to_string(), text.of_host, node)
            }
            (Value::Container(id), key) => {
                let container = self.settings.heap.container(*id);
                if let Some(why) = &container.ruined {
                    return Err(why.clone());
                }
                let found = match container.kind {
                    Kind::Dict => container.find(key),
                    Kind::Set => None,
                    Kind::List | Kind::Tuple => key
                        .to_int()
                        .and_then(|index| position(index, container.items().len()))
                        .and_then(|index| container.items().get(index)),
                };
                match found.map(|item| item.value.clone()) {
                    Some(Value::Unknown(why)) => Err(why),
                    Some(value) => Ok(value),
                    None => Err(missing()),
                }
            }
            _ => Err(missing()),
        }
    }
}

/// Where Python's index `index`, negative ones counted from the end, is among `count`.
pub(super) fn position(index: i64, count: usize) -> Option<usize> {
    let index = match usize::try_from(index.unsigned_abs()).ok()? {
        back if index < 0 => count.checked_sub(back)?,
        index => index,
    };
    (index < count).then_some(index)
}

/// A whole number as it is written; one of Python 2 may end with L.
fn integer(written: &str) -> Option<Value> {
    let digits = written.replace('_', "").to_ascii_lowercase();
    let digits = digits.strip_suffix('l').unwrap_or(&digits);
    let (digits, radix) = match digits.get(..2) {
        Some("0x") => (&digits[2..], 16),
        Some("0o") => (&digits[2..], 8),
        Some("0b") => (&digits[2..], 2),
        _ => (digits, 10),
    };
    // Python 3 refuses 010, and to Python 2 it is 8.
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    i64::from_str_radix(digits, radix).ok().map(Value::Int)
}

fn float(written: &str) -> Option<Value> {
    let number: f64 = written.replace('_', "").parse().ok()?;
    number.is_finite().then_some(Value::Float(number))
}
