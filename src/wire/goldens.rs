//! What the tests of the decoders share: how the goldens spell what a decoder said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::point::Number;

/// A number as the goldens spell it.
pub(super) fn spelled(number: Number) -> String {
    match number {
        Number::Int(n) => format!("i:{n}"),
        Number::Uint(n) => {
            assert!(n > i64::MAX as u64, "{n} must be Int");
            format!("u:{n}")
        }
        Number::Float(x) if x.is_nan() => "f:nan".to_owned(),
        Number::Float(x) => format!("f:{:016x}", x.to_bits()),
        Number::Bool(b) => format!("b:{}", u8::from(b)),
    }
}

/// A point as the goldens spell it: its name in hexadecimal, its timestamp and value.
pub(super) fn said((name, timestamp, value): &(Vec<u8>, String, String)) -> Value {
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    json!([name, timestamp, value])
}

/// The start of some bytes, for the message of a failed test.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(2000)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A path below the folder of the tests.
pub(super) fn below_tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

/// The files of a folder below that of the tests, by their names.
pub(super) fn files(folder: &str) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(below_tests(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect()
}
