//! Python's syntax: a text to its tree, with the tree-sitter parser, which keeps its
//! stack on the heap, so that no nesting of a hostile file overflows ours.

use tree_sitter::{Node, Parser, Tree};

use super::ImportError;
use crate::logging::printable;

/// The largest file that is read: ten times Skyline's own.
pub(super) const FILE_BYTES_MAX: usize = 2 << 20;

/// The longest piece of a refused text that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 40;

/// A Python file and its tree.
pub(super) struct Source {
    pub text: String,
    pub tree: Tree,
}

impl Source {
    /// Parses what a file holds.
    ///
    /// # Errors
    ///
    /// What is too large, no UTF-8 or no Python, with the first line of that kind.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ImportError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(ImportError::TooLarge);
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            ImportError::Encoding {
                line: 1 + good.iter().filter(|byte| **byte == b'\n').count(),
            }
        })?;
        // Python reads every kind of line end as \n, inside of strings too.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut parser = Parser::new();
        parser
            .set_language(&tree_sitter_python::LANGUAGE.into())
            .map_err(|_| ImportError::Parser)?;
        let tree = parser.parse(&text, None).ok_or(ImportError::Parser)?;
        let source = Self { text, tree };
        match source.first_error() {
            Some(error) => Err(error),
            None => Ok(source),
        }
    }

    /// The text of `node`.
    pub fn text(&self, node: Node<'_>) -> &str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    /// The first node that is no Python.
    fn first_error(&self) -> Option<ImportError> {
        let mut cursor = self.tree.walk();
        loop {
            let node = cursor.node();
            if node.is_error() || node.is_missing() {
                return Some(ImportError::Syntax {
                    line: line(node),
                    near: self.near(node),
                });
            }
            if node.has_error() && cursor.goto_first_child() {
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return None;
                }
            }
        }
    }

    /// What stands where Python ends, cut short; nothing of what might be a secret,
    /// so no more than the text before the first quote.
    fn near(&self, node: Node<'_>) -> String {
        let line = self.text.lines().nth(node.start_position().row);
        let plain = line.unwrap_or_default().split(['\'', '"']).next();
        let shown: String = plain
            .unwrap_or_default()
            .trim()
            .chars()
            .take(SHOWN_CHARS_MAX)
            .collect();
        printable(&shown).into_owned()
    }
}

/// The line that `node` begins in, counted from 1.
pub(super) fn line(node: Node<'_>) -> usize {
    node.start_position().row + 1
}

/// The children that mean something: neither punctuation nor comments.
pub(super) fn children(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor)
        .filter(|child| !child.is_extra())
        .collect()
}

/// The only child that means something.
pub(super) fn only_child(node: Node<'_>) -> Option<Node<'_>> {
    match children(node).as_slice() {
        [child] => Some(*child),
        _ => None,
    }
}

/// The children that are the field `name`.
pub(super) fn fields<'a>(node: Node<'a>, name: &str) -> Vec<Node<'a>> {
    let mut cursor = node.walk();
    node.children_by_field_name(name, &mut cursor).collect()
}
