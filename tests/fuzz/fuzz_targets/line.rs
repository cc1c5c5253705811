//! Any bytes: lines mean the same together and one by one, and each is counted once.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skyring::wire::line::{Lines, whole_lines};

const NOW: i64 = 1_700_000_000;

/// Numbers are compared by how they print, so that NaN equals itself.
fn answer(bytes: &[u8]) -> (Vec<String>, u64) {
    let mut lines = Lines::new(bytes, NOW);
    let points: Vec<_> = lines
        .by_ref()
        .map(|point| {
            assert!(!point.name.is_empty());
            assert!(!point.name.iter().any(|byte| b" \t\n".contains(byte)));
            format!("{point:?}")
        })
        .collect();
    let invalid = lines.invalid().total();
    assert_eq!(lines.lines(), points.len() as u64 + invalid);
    (points, invalid)
}

fuzz_target!(|bytes: &[u8]| {
    let (points, invalid) = answer(bytes);
    let (mut one_by_one, mut invalid_ones) = (vec![], 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (point, invalid) = answer(line);
        assert!(point.len() as u64 + invalid <= 1);
        one_by_one.extend(point);
        invalid_ones += invalid;
    }
    assert_eq!((points, invalid), (one_by_one, invalid_ones));

    let whole = whole_lines(bytes);
    assert!(whole == 0 || bytes[whole - 1] == b'\n');
    assert!(!bytes[whole..].contains(&b'\n'));
});
