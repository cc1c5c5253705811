//! Python's values, as far as a settings file needs them. Containers live in a heap
//! and are named by their place in it, since two names may hold the same list and
//! each sees what the other appends; so nothing here is nested, and ends at once.

use std::collections::HashMap;
use std::rc::Rc;

/// Why a value is not known, and the line that made it so.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unknown {
    pub line: usize,
    /// To follow "not carried over: ".
    pub why: Rc<str>,
}

/// A string, and whether this machine's name went into it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    pub text: Rc<str>,
    pub of_host: bool,
}

/// A place in the [`Heap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(usize);

/// Any value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text),
    Container(Id),
    /// Something imported, by its dotted name, such as `os.path.join`.
    Name(Rc<str>),
    Unknown(Unknown),
}

/// What kind of container one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Tuple,
    Set,
    Dict,
}

/// One element of a container.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The key in a dict, else `None`.
    pub key: Value,
    pub value: Value,
    /// The line that it stands in.
    pub line: usize,
}

/// The elements of a container.
#[derive(Debug)]
pub(super) struct Container {
    pub kind: Kind,
    items: Vec<Item>,
    /// Of a set or dict: where the element of each [`Value::identity`] is.
    places: HashMap<String, usize>,
    /// Set once something was done to it that is not known.
    pub ruined: Option<Unknown>,
}

/// All containers, and a bound of what a file may make: a few lines that double a
/// string or a list again and again must not fill the memory.
pub(super) struct Heap {
    containers: Vec<Container>,
    room: usize,
}

/// Bytes that all values of a file may have together.
const ROOM: usize = 128 << 20;

/// What one element of a container counts for, in bytes.
const ITEM_BYTES: usize = 64;

impl Value {
    pub fn text(text: &str) -> Self {
        Self::Text(Text {
            text: text.into(),
            of_host: false,
        })
    }

    /// What a person calls its type.
    pub fn type_name(&self, heap: &Heap) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Text(_) => "a string",
            Self::Name(_) => "something imported",
            Self::Unknown(_) => "an unknown value",
            Self::Container(id) => match heap.container(*id).kind {
                Kind::List => "a list",
                Kind::Tuple => "a tuple",
                Kind::Set => "a set",
                Kind::Dict => "a dict",
            },
        }
    }

    /// Whether Python takes it for true.
    pub fn truth(&self, heap: &Heap) -> bool {
        match self {
            Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.text.is_empty(),
            Self::Container(id) => !heap.container(*id).items.is_empty(),
            Self::Name(_) | Self::Unknown(_) => true,
        }
    }

    /// What Python's `str` makes of a plain value; none of what prints in a way of
    /// its own.
    pub fn to_text(&self) -> Option<Text> {
        let text: Rc<str> = match self {
            Self::None => "None".into(),
            Self::Bool(true) => "True".into(),
            Self::Bool(false) => "False".into(),
            Self::Int(value) => value.to_string().into(),
            // Others have an exponent, which Python writes otherwise.
            Self::Float(value) if *value == 0.0 || (1e-4..1e16).contains(&value.abs()) => {
                format!("{value:?}").into()
            }
            Self::Text(text) => return Some(text.clone()),
            _ => return None,
        };
        let of_host = false;
        Some(Text { text, of_host })
    }

    /// A whole number; booleans are numbers in Python.
    pub fn to_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// Any number.
    pub fn to_float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            _ => self.to_int().map(|value| value as f64),
        }
    }

    /// Equal for plain values that are equal in Python; none for all others.
    pub fn identity(&self) -> Option<String> {
        match self {
            Self::None => Some("none".to_owned()),
            Self::Text(text) => Some(format!("text {}", text.text)),
            _ => {
                // The sum makes one zero of both.
                let number = self.to_float()? + 0.0;
                Some(format!("number {}", number.to_bits()))
            }
        }
    }

    /// Python's `==` of plain values; none if either is none.
    pub fn equals(&self, other: &Self) -> Option<bool> {
        Some(self.identity()? == other.identity()?)
    }
}

impl Heap {
    pub fn new() -> Self {
        Self {
            containers: Vec::new(),
            room: ROOM,
        }
    }

    /// Takes the room of `size` bytes of text; false if there is none left.
    pub fn take_bytes(&mut self, size: usize) -> bool {
        let room = self.room.checked_sub(size);
        self.room = room.unwrap_or(0);
        room.is_some()
    }

    /// Takes the room of `count` elements; false if there is none left.
    pub fn take_items(&mut self, count: usize) -> bool {
        self.take_bytes(count.saturating_mul(ITEM_BYTES))
    }

    pub fn put(&mut self, kind: Kind, items: Vec<Item>) -> Value {
        let mut container = Container {
            kind,
            items: Vec::new(),
            places: HashMap::new(),
            ruined: None,
        };
        container.extend(items);
        self.containers.push(container);
        Value::Container(Id(self.containers.len() - 1))
    }

    pub fn container(&self, id: Id) -> &Container {
        &self.containers[id.0]
    }

    pub fn container_mut(&mut self, id: Id) -> &mut Container {
        &mut self.containers[id.0]
    }

    /// From here on nothing is known of it, unless that was so before.
    pub fn ruin(&mut self, id: Id, why: Unknown) {
        self.container_mut(id).ruined.get_or_insert(why);
    }
}

impl Container {
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Puts each of `items` at the end; in a set or dict at the place of its equal, if
    /// there is one. One that has no identity ruins them.
    pub fn extend(&mut self, items: Vec<Item>) {
        for item in items {
            self.add(item);
        }
    }

    /// The element of a dict whose key is `key`.
    pub fn find(&self, key: &Value) -> Option<&Item> {
        self.places
            .get(&key.identity()?)
            .and_then(|place| self.items.get(*place))
    }

    /// Puts `item` in place of the one at `index`, if there is one.
    pub fn replace(&mut self, index: usize, item: Item) -> Option<()> {
        self.items.get_mut(index).map(|old| *old = item)
    }

    pub fn insert(&mut self, index: usize, item: Item) {
        self.items.insert(index.min(self.items.len()), item);
    }

    fn add(&mut self, item: Item) {
        let identity = match self.kind {
            Kind::List | Kind::Tuple => return self.items.push(item),
            Kind::Set => item.value.identity(),
            Kind::Dict => item.key.identity(),
        };
        let Some(identity) = identity else {
            let why = match (&item.key, &item.value) {
                (Value::Unknown(why), _) | (Value::None, Value::Unknown(why)) => why.clone(),
                _ => Unknown {
                    line: item.line,
                    why: "its keys are no plain values".into(),
                },
            };
            self.ruined.get_or_insert(why);
            return;
        };
        match self.places.get(&identity) {
            Some(place) => self.items[*place] = item,
            None => {
                self.places.insert(identity, self.items.len());
                self.items.push(item);
            }
        }
    }
}
