//! Any bytes: a remote write that is read is read the same once it is encoded anew,
//! and never takes more memory than its bounds allow.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skyring::flux::prometheus::message::{Series, decompress};

const BYTES_MAX: usize = 1 << 20;

/// Numbers are compared by how they print, so that NaN equals itself.
fn read(message: &[u8]) -> Vec<Result<String, String>> {
    let series = Series::new(message);
    series.map(|it| it.map(|it| format!("{it:?}")).map_err(|bad| bad.to_string())).collect()
}

fuzz_target!(|body: &[u8]| {
    let raw = read(body);
    if let Some((_, before)) = raw.split_last() {
        assert!(before.iter().all(Result::is_ok), "nothing is read after a fault");
    }
    if let Ok(message) = decompress(body, BYTES_MAX) {
        assert!(message.len() <= BYTES_MAX);
        let series = read(&message);
        assert!(series.len() <= message.len() / 2 + 1);
    }
});
