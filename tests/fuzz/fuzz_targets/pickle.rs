//! Any bytes: both levels of the pickle decoder give one answer, of bounded size.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skyring::point::InvalidCounts;
use skyring::wire::pickle::{BadFrame, Decoded, Decoder, scratch_bytes_max};

/// Numbers are compared by how they print, so that NaN equals itself.
type Answer = Result<(Vec<(Vec<u8>, String)>, InvalidCounts), BadFrame>;

fn answer(decoded: Result<Decoded<'_>, BadFrame>) -> Answer {
    let decoded = decoded?;
    let points = decoded
        .points()
        .map(|point| {
            (
                point.name.to_vec(),
                format!("{:?} {:?}", point.timestamp, point.value),
            )
        })
        .collect();
    Ok((points, decoded.invalid()))
}

fuzz_target!(|frame: &[u8]| {
    let mut quick = Decoder::new();
    let mut general = Decoder::new();
    let said = answer(quick.decode(frame));
    assert_eq!(said, answer(general.decode_general(frame)));
    if let Ok((points, _)) = said {
        assert!(points.len() <= frame.len() / 10 + 8192);
    }
    for decoder in [quick, general] {
        assert!(decoder.scratch_bytes() <= scratch_bytes_max(frame.len()));
    }
});
