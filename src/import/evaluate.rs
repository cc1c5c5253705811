//! Runs through a settings file as Python would, as far as its values are plain: no
//! call leaves this process, no file is opened, no module is loaded. What is not
//! plain makes the names and containers that it touches unknown, with the reason.

use std::collections::{HashMap, HashSet};

use tree_sitter::Node;

use super::syntax::{self, Source, children, fields, line};
use super::value::{Heap, Id, Item, Kind, Unknown, Value};
use super::{Note, expression};

/// How deep blocks and expressions may be nested; Python's own parser allows 200
/// parentheses.
pub(super) const DEPTH_MAX: usize = 200;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub value: Value,
    /// The line that assigned it last.
    pub line: usize,
}

/// Everything that a settings file says.
pub(super) struct Settings {
    pub names: HashMap<String, Binding>,
    pub heap: Heap,
    /// Lines in which an element of a list begins that is several strings on several
    /// lines: to Python they are one, which seldom is meant.
    pub joined: HashSet<usize>,
    /// What may change settings unseen.
    pub notes: Vec<Note>,
}

/// Evaluates the whole file. `host` is this machine's name.
pub(super) fn evaluate(source: &Source, host: &str) -> Settings {
    let mut evaluator = Evaluator {
        source,
        host,
        settings: Settings {
            names: HashMap::new(),
            heap: Heap::new(),
            joined: HashSet::new(),
            notes: Vec::new(),
        },
        depth: 0,
    };
    let name = Value::text("settings");
    evaluator.bind("__name__", name, 0);
    evaluator.block(source.tree.root_node());
    evaluator.settings
}

pub(super) struct Evaluator<'a> {
    pub source: &'a Source,
    pub host: &'a str,
    pub settings: Settings,
    pub depth: usize,
}

impl<'a> Evaluator<'a> {
    fn block(&mut self, block: Node<'a>) {
        for statement in children(block) {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: Node<'a>) {
        if self.depth >= DEPTH_MAX {
            return self.spoil(statement, "it is nested too deeply");
        }
        self.depth += 1;
        match statement.kind() {
            "expression_statement" => {
                for node in children(statement) {
                    self.plain_statement(node);
                }
            }
            "import_statement" | "import_from_statement" => self.import(statement),
            "if_statement" => self.condition(statement),
            "pass_statement"
            | "print_statement"
            | "assert_statement"
            | "global_statement"
            | "future_import_statement"
            | "comment" => {}
            "delete_statement" => self.spoil(statement, "it was deleted"),
            "try_statement" => self.spoil(statement, "it is set inside of try"),
            "with_statement" => self.spoil(statement, "it is set inside of with"),
            "for_statement" | "while_statement" => {
                self.spoil(statement, "it is set inside of a loop");
            }
            "function_definition" | "class_definition" | "decorated_definition" => {
                self.spoil(statement, "it is a function or a class");
            }
            _ => self.spoil(statement, "it is set by a statement that is not followed"),
        }
        self.depth -= 1;
    }

    fn plain_statement(&mut self, node: Node<'a>) {
        match node.kind() {
            "assignment" => self.assignment(node),
            "augmented_assignment" => self.augmented(node),
            "call" => self.call_statement(node),
            // The docstrings behind each of Skyline's settings are of this kind.
            "string" | "concatenated_string" | "identifier" | "ellipsis" => {}
            _ => self.spoil(node, "it is set by an expression that is not followed"),
        }
    }

    fn assignment(&mut self, node: Node<'a>) {
        let mut targets = Vec::new();
        let mut node = node;
        let value = loop {
            targets.extend(node.child_by_field_name("left"));
            match node.child_by_field_name("right") {
                Some(right) if right.kind() == "assignment" => node = right,
                Some(right) => break self.value(right),
                // An annotation alone sets nothing.
                None => return,
            }
        };
        for target in targets {
            self.assign(target, value.clone());
        }
    }

    fn assign(&mut self, target: Node<'a>, value: Value) {
        match target.kind() {
            "identifier" => {
                let name = self.source.text(target).to_owned();
                self.bind(&name, value, line(target));
            }
            "pattern_list" | "tuple_pattern" | "list_pattern" => self.unpack(target, value),
            "subscript" => self.set_element(target, value),
            // Attributes are those of modules, which are no settings.
            _ => {}
        }
    }

    fn unpack(&mut self, target: Node<'a>, value: Value) {
        let targets = children(target);
        let values = self.all_elements(&value, target).unwrap_or_default();
        let fits = values.len() == targets.len()
            && targets.iter().all(|target| target.kind() == "identifier");
        if !fits {
            return self.spoil_target(target, &unknown(target, "it is unpacked"));
        }
        for (target, item) in targets.into_iter().zip(values) {
            self.assign(target, item.value);
        }
    }

    /// `container[key] = value`
    fn set_element(&mut self, target: Node<'a>, value: Value) {
        let base = target.child_by_field_name("value");
        let Some(Value::Container(id)) = base.map(|base| self.value(base)) else {
            return;
        };
        let key = match fields(target, "subscript").as_slice() {
            [key] => self.value(*key),
            _ => Value::Unknown(unknown(target, "a part of it was replaced")),
        };
        let at = line(target);
        let container = self.settings.heap.container_mut(id);
        let done = match container.kind {
            Kind::Dict => {
                let (line, value) = (at, value);
                container.extend(vec![Item { key, value, line }]);
                Some(())
            }
            _ => key
                .to_int()
                .and_then(|index| expression::position(index, container.items().len()))
                .and_then(|index| container.replace(index, item(value, at))),
        };
        if done.is_none() {
            self.ruin(id, target, "a part of it was replaced");
        }
    }

    fn augmented(&mut self, node: Node<'a>) {
        let (Some(left), Some(operator), Some(right)) = (
            node.child_by_field_name("left"),
            node.child_by_field_name("operator"),
            node.child_by_field_name("right"),
        ) else {
            return;
        };
        let right = self.value(right);
        let operator = self.source.text(operator).trim_end_matches('=');
        let value = self.value(left);
        // A list is extended in place, whatever else holds it sees that too.
        if let Value::Container(id) = value {
            let kind = self.settings.heap.container(id).kind;
            let in_place = matches!((kind, operator), (Kind::List, "+"))
                || matches!((kind, operator), (Kind::Set | Kind::Dict, "|"));
            if in_place {
                self.extend(id, &right, node);
                return self.assign(left, value);
            }
        }
        let value = match (value, right) {
            (Value::Unknown(why), _) | (_, Value::Unknown(why)) => Err(why),
            (value, right) => self.arithmetic(&value, operator, &right, node),
        };
        self.assign(left, value.unwrap_or_else(Value::Unknown));
    }

    /// A call whose value nobody takes: one that changes a container, or one that may
    /// do anything.
    fn call_statement(&mut self, node: Node<'a>) {
        let function = node.child_by_field_name("function");
        if let Some(function) = function.filter(|function| function.kind() == "attribute")
            && let Some(object) = function.child_by_field_name("object")
            && let Value::Container(id) = self.value(object)
        {
            let method = function.child_by_field_name("attribute");
            let method = method.map_or("", |method| self.source.text(method));
            return self.change(id, method, node);
        }
        let name = function.map_or("", |function| self.source.text(function));
        if matches!(name, "print") {
            return;
        }
        let base = name.split('(').next().unwrap_or_default();
        if matches!(
            base,
            "exec" | "execfile" | "eval" | "globals" | "locals" | "vars" | "setattr"
        ) {
            self.note(node, base, "may set anything, and is not followed");
        }
        self.spoil(node, "it was handed to a function");
    }

    /// Calls a method that changes its container.
    fn change(&mut self, id: Id, method: &str, node: Node<'a>) {
        let arguments = self.arguments(node);
        let kind = self.settings.heap.container(id).kind;
        let at = line(node);
        let (values, named) = match arguments {
            Ok(arguments) => arguments,
            Err(why) => return self.settings.heap.ruin(id, why),
        };
        match (kind, method, values.as_slice()) {
            (Kind::List, "append", [value]) | (Kind::Set, "add", [value]) => {
                if !self.settings.heap.take_items(1) {
                    return self.ruin(id, node, expression::TOO_MUCH);
                }
                let value = item(value.clone(), at);
                self.settings.heap.container_mut(id).extend(vec![value]);
            }
            (Kind::List, "extend", [values]) | (Kind::Set, "update", [values]) => {
                self.extend(id, &values.clone(), node);
            }
            (Kind::Dict, "update", []) if !named.is_empty() => {
                let items = named.into_iter().map(|(key, value)| Item {
                    key: Value::text(&key),
                    value,
                    line: at,
                });
                let items = items.collect();
                self.settings.heap.container_mut(id).extend(items);
            }
            (Kind::Dict, "update", [values]) if named.is_empty() => {
                self.extend(id, &values.clone(), node);
            }
            (Kind::List, "insert", [Value::Int(index), value]) if *index >= 0 => {
                let index = usize::try_from(*index).unwrap_or(usize::MAX);
                // It moves what is behind it.
                let len = self.settings.heap.container(id).items().len();
                if !self.settings.heap.take_items(1 + len / 64) {
                    return self.ruin(id, node, expression::TOO_MUCH);
                }
                let value = item(value.clone(), at);
                self.settings.heap.container_mut(id).insert(index, value);
            }
            _ => self.ruin(id, node, &format!("it was changed by .{method}()")),
        }
    }

    fn extend(&mut self, id: Id, values: &Value, node: Node<'a>) {
        let Value::Container(other) = values else {
            let why = match values {
                Value::Unknown(why) => why.clone(),
                _ => unknown(node, "it was extended by what is no list"),
            };
            return self.settings.heap.ruin(id, why);
        };
        let heap = &mut self.settings.heap;
        let dicts = [id, *other].map(|id| heap.container(id).kind == Kind::Dict);
        if dicts[0] != dicts[1] {
            return self.ruin(id, node, "it was extended by what is no list");
        }
        if let Some(why) = heap.container(*other).ruined.clone() {
            return heap.ruin(id, why);
        }
        let items = heap.container(*other).items().to_vec();
        if !heap.take_items(items.len()) {
            return self.ruin(id, node, expression::TOO_MUCH);
        }
        self.settings.heap.container_mut(id).extend(items);
    }

    fn condition(&mut self, statement: Node<'a>) {
        let mut branches = vec![(
            statement.child_by_field_name("condition"),
            statement.child_by_field_name("consequence"),
        )];
        for other in fields(statement, "alternative") {
            branches.push((
                other.child_by_field_name("condition"),
                other
                    .child_by_field_name("consequence")
                    .or_else(|| other.child_by_field_name("body")),
            ));
        }
        for (condition, block) in branches {
            let holds = match condition.map(|condition| self.value(condition)) {
                None => true,
                Some(Value::Unknown(unknown)) => {
                    let why = format!("it hangs on a condition that is not known: {}", unknown.why);
                    return self.spoil(statement, &why);
                }
                Some(value) => value.truth(&self.settings.heap),
            };
            if holds {
                if let Some(block) = block {
                    self.block(block);
                }
                return;
            }
        }
    }

    /// Binds what an import makes known; nothing is loaded.
    fn import(&mut self, statement: Node<'a>) {
        let module = statement
            .child_by_field_name("module_name")
            .map(|module| self.source.text(module));
        let at = line(statement);
        for name in fields(statement, "name") {
            let (path, alias) = match name.kind() {
                "aliased_import" => (
                    name.child_by_field_name("name"),
                    name.child_by_field_name("alias"),
                ),
                _ => (Some(name), None),
            };
            let path = path.map_or("", |path| self.source.text(path));
            // `import a.b` binds a.
            let bound = match (alias, module) {
                (Some(alias), _) => self.source.text(alias),
                (None, Some(_)) => path,
                (None, None) => path.split('.').next().unwrap_or_default(),
            };
            let full = match module {
                Some(module) => format!("{module}.{path}"),
                None if alias.is_some() => path.to_owned(),
                None => bound.to_owned(),
            };
            self.bind(bound, Value::Name(full.into()), at);
        }
        let wild = children(statement)
            .iter()
            .any(|child| child.kind() == "wildcard_import");
        if wild {
            let what = format!("import * from {}", module.unwrap_or_default());
            self.note(statement, &what, "what it brings is not read");
        }
    }

    /// Makes everything unknown that may be set or changed inside of `node`.
    fn spoil(&mut self, node: Node<'a>, why: &str) {
        let why = unknown(node, why);
        let mut nodes = vec![node];
        while let Some(node) = nodes.pop() {
            match node.kind() {
                "import_statement" | "import_from_statement" => {
                    self.import(node);
                    continue;
                }
                "function_definition" | "class_definition" => {
                    if let Some(name) = node.child_by_field_name("name") {
                        self.spoil_target(name, &why);
                    }
                    continue;
                }
                "assignment" | "augmented_assignment" | "for_statement" | "for_in_clause" => {
                    if let Some(left) = node.child_by_field_name("left") {
                        self.spoil_target(left, &why);
                    }
                }
                "named_expression" => {
                    if let Some(name) = node.child_by_field_name("name") {
                        self.spoil_target(name, &why);
                    }
                }
                "delete_statement" | "as_pattern_target" => {
                    for target in children(node) {
                        self.spoil_target(target, &why);
                    }
                }
                "call" => self.spoil_call(node, &why),
                _ => {}
            }
            nodes.extend(children(node));
        }
    }

    /// A call may change the container that it is a method of, and those that it gets.
    fn spoil_call(&mut self, call: Node<'a>, why: &Unknown) {
        let function = call.child_by_field_name("function");
        let object = function.and_then(|function| function.child_by_field_name("object"));
        let arguments = call.child_by_field_name("arguments");
        let arguments = arguments.map(children).unwrap_or_default();
        for node in object.into_iter().chain(arguments) {
            self.spoil_container(node, why);
        }
    }

    fn spoil_target(&mut self, target: Node<'a>, why: &Unknown) {
        let mut targets = vec![target];
        while let Some(target) = targets.pop() {
            match target.kind() {
                "identifier" => {
                    let name = self.source.text(target).to_owned();
                    self.bind(&name, Value::Unknown(why.clone()), line(target));
                }
                "subscript" | "attribute" => {
                    let base = target
                        .child_by_field_name("value")
                        .or_else(|| target.child_by_field_name("object"));
                    if let Some(base) = base {
                        self.spoil_container(base, why);
                    }
                }
                _ => targets.extend(children(target)),
            }
        }
    }

    /// Ruins the container that the name at the bottom of `node` holds.
    fn spoil_container(&mut self, node: Node<'a>, why: &Unknown) {
        let mut node = node;
        while let Some(base) = node
            .child_by_field_name("value")
            .or_else(|| node.child_by_field_name("object"))
        {
            node = base;
        }
        let bound = self.settings.names.get(self.source.text(node));
        if let Some(Value::Container(id)) = bound.map(|bound| &bound.value) {
            let id = *id;
            self.settings.heap.ruin(id, why.clone());
        }
    }

    fn bind(&mut self, name: &str, value: Value, line: usize) {
        let binding = Binding { value, line };
        self.settings.names.insert(name.to_owned(), binding);
    }

    pub fn ruin(&mut self, id: Id, node: Node<'_>, why: &str) {
        self.settings.heap.ruin(id, unknown(node, why));
    }

    fn note(&mut self, node: Node<'_>, name: &str, message: &str) {
        self.settings.notes.push(Note {
            line: Some(syntax::line(node)),
            name: name.to_owned(),
            message: message.to_owned(),
        });
    }
}

/// What cannot be known because of `node`.
pub(super) fn unknown(node: Node<'_>, why: &str) -> Unknown {
    Unknown {
        line: line(node),
        why: why.into(),
    }
}

/// An element of a list.
pub(super) fn item(value: Value, line: usize) -> Item {
    let key = Value::None;
    Item { key, value, line }
}
