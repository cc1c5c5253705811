//! `skyring import`: a Skyline `settings.py` as a configuration of Skyring.
//!
//! The file is read, never run: `syntax` parses it, `evaluate` follows what is
//! plain in it, `mapping` gives each setting of Skyline its place in Skyring's
//! table, and `document` prints that. Whatever cannot be carried over becomes a
//! [`Note`] with the line that it is about.

mod call;
mod cluster;
mod document;
mod evaluate;
mod expression;
mod flux;
mod graphite;
mod left;
mod mapping;
mod network;
mod operator;
mod reader;
mod syntax;
mod text;
mod value;
mod victoria;
mod vista;

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use crate::cli;
use crate::logging::printable;

/// What became of a settings file.
#[derive(Debug)]
pub struct Import {
    /// The configuration.
    pub toml: String,
    /// What could not be carried over, and what must be seen to by hand.
    pub notes: Vec<Note>,
}

/// One thing to tell the operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    /// The line of the settings file, counted from 1; none if it is about all of it.
    pub line: Option<usize>,
    /// The setting of Skyline; empty if it is about none.
    pub name: String,
    /// What there is to know.
    pub message: String,
}

/// Why a settings file could not be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum ImportError {
    #[error("cannot read it: {0}")]
    Read(String),
    #[error("expected at most {} MiB, which is ten times Skyline's own", syntax::FILE_BYTES_MAX >> 20)]
    TooLarge,
    #[error("expected text in UTF-8")]
    Encoding { line: usize },
    #[error("this is no Python: {near}")]
    Syntax { line: usize, near: String },
    #[error("the parser gave up")]
    Parser,
}

impl Note {
    /// The note as one line that names its place in `file`, and drives no terminal.
    pub fn in_file(&self, file: &str) -> String {
        let colon = if self.name.is_empty() { "" } else { ": " };
        let (name, message) = (printable(&self.name), printable(&self.message));
        format!("{}: {name}{colon}{message}", place(file, self.line))
    }
}

impl ImportError {
    /// The error as one line that names its place in `file`.
    pub fn in_file(&self, file: &str) -> String {
        let line = match self {
            Self::Encoding { line } | Self::Syntax { line, .. } => Some(*line),
            _ => None,
        };
        format!("{}: {self}", place(file, line))
    }
}

/// Reads `source`, the bytes of a settings file that is called `file`, as the
/// machine called `host` would.
///
/// # Errors
///
/// What is too large, no UTF-8 or no Python.
pub fn import(source: Vec<u8>, file: &Path, host: &str) -> Result<Import, ImportError> {
    let source = syntax::Source::parse(source)?;
    let settings = evaluate::evaluate(&source, host);
    let file = document::file_name(file);
    Ok(mapping::map(&settings, &file, host))
}

/// Prints the settings file `path` as TOML, and on standard error what could not be
/// carried over.
pub fn run(path: &Path) -> ExitCode {
    let shown = printable(&path.to_string_lossy()).into_owned();
    let host = crate::host::name();
    let imported = read(path).and_then(|source| import(source, path, &host));
    match imported {
        Ok(imported) => {
            let notes = imported.notes.iter();
            let notes: Vec<String> = notes.map(|note| note.in_file(&shown)).collect();
            // The notes first, so that on a terminal they are not in the middle.
            cli::tell(0, &notes.join("\n"));
            cli::print(&imported.toml)
        }
        Err(error) => cli::tell(cli::EXIT_USAGE, &error.in_file(&shown)),
    }
}

/// Reads no more than is needed to see that a file is too large.
fn read(path: &Path) -> Result<Vec<u8>, ImportError> {
    let mut bytes = Vec::new();
    let limit = syntax::FILE_BYTES_MAX as u64 + 1;
    std::fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| ImportError::Read(error.to_string()))?;
    Ok(bytes)
}

fn place(file: &str, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{file}:{line}"),
        None => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PIECES: [&str; 48] = [
        "SKIP_LIST",
        "FLUX_API_KEYS",
        "MAX_RESOLUTION",
        "A",
        "os.uname()",
        "import os\n",
        " = ",
        " += ",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ", ",
        ": ",
        "'a'",
        "'%s'",
        "f'{",
        "}'",
        "1",
        "0x",
        "-",
        " + ",
        " * ",
        " % ",
        " // ",
        ".",
        ".append(",
        ".join(",
        "\n",
        "\n  ",
        "if A:\n ",
        "else:\n ",
        "for A in ",
        "try:\n ",
        "del ",
        " if ",
        " else ",
        " in ",
        " not ",
        " and ",
        "None",
        "True",
        "#",
        "\"\"\"",
        "\\",
        "\u{e9}",
    ];

    // Whatever the parser makes of a text that hardly is Python, following it ends in
    // text or in an error, not in a panic.
    proptest! {
        #[test]
        fn no_text_makes_it_panic(pieces in prop::collection::vec(0..PIECES.len(), 0..60)) {
            let text: String = pieces.iter().map(|piece| PIECES[*piece]).collect();
            if let Ok(imported) = import(text.into_bytes(), Path::new("x"), "host") {
                prop_assert!(imported.toml.parse::<toml::Table>().is_ok(), "{}", imported.toml);
            }
        }

        // The same for a file that was Python before a byte of it changed.
        #[test]
        fn no_change_of_a_file_makes_it_panic(at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = include_bytes!("../tests/goldens/skyline/derived.py").to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(imported) = import(bytes, Path::new("x"), "host") {
                prop_assert!(imported.toml.parse::<toml::Table>().is_ok(), "{}", imported.toml);
            }
        }
    }
}
