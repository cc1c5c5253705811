//! Tests of the datagram decoder. What datagrams mean comes from Python's own unpacker:
//! see `tests/goldens/make_datagrams.py`.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::goldens::{below_tests, files, said, spelled};
use crate::wire::msgpack::Record;

#[test]
fn a_point_is_read_from_every_form_of_its_parts() {
    let point = Point {
        name: b"a.b",
        timestamp: Number::Int(1_609_459_200),
        value: Number::Float(1.5),
    };
    for name in [
        &b"\xa3a.b"[..],
        b"\xd9\x03a.b",
        b"\xda\0\x03a.b",
        b"\xdb\0\0\0\x03a.b",
    ] {
        for array in [&b"\x92"[..], b"\xdc\0\x02", b"\xdd\0\0\0\x02"] {
            for value in [
                &b"\xcb\x3f\xf8\0\0\0\0\0\0"[..],
                b"\xca\x3f\xc0\0\0",
                b"\xa31.5",
            ] {
                let datagram = [array, name, array, b"\xce\x5f\xee\x66\x00", value].concat();
                assert_eq!(decode(&datagram), Ok(Ok(point)), "{datagram:02x?}");
            }
        }
    }
}

#[test]
fn the_probe_of_the_test_utility_is_refused_by_its_shape() {
    assert_eq!(
        decode(b"\x92\xb3horizon.test.params\x01"),
        Err(BadDatagram::Shape)
    );
}

#[test]
fn refusals_name_the_first_fault() {
    let cases = [
        (&b""[..], BadDatagram::Empty),
        (b"\x92\xa1a\x92\x01", BadDatagram::Truncated),
        (b"\x92\xa1a\x92\x01\x02\x03", BadDatagram::TrailingBytes),
        (b"\x92\xa1a\x92\x01\xc1", BadDatagram::UnknownByte(0xc1)),
        (b"\x92\xa1a\x93\x01\x02\x03", BadDatagram::Shape),
        (b"\x92\x01\x92\x01\x02", BadDatagram::Shape),
        (b"\x92\xa1a\x01\x02", BadDatagram::TrailingBytes),
        (b"garbage", BadDatagram::TrailingBytes),
        (b"\xdd\xff\xff\xff\xff\xc0", BadDatagram::Truncated),
        (b"\xdf\xff\xff\xff\xff", BadDatagram::Truncated),
        (b"\xc6\xff\xff\xff\xff", BadDatagram::Truncated),
    ];
    for (datagram, why) in cases {
        assert_eq!(decode(datagram), Err(why), "{datagram:02x?}");
    }
}

fn answer(datagram: &[u8]) -> Value {
    match decode(datagram) {
        Ok(Ok(point)) => {
            let (timestamp, value) = (spelled(point.timestamp), spelled(point.value));
            json!({ "point": said(&(point.name.to_vec(), timestamp, value)) })
        }
        Ok(Err(Invalid::Shape)) => json!({ "invalid": "shape" }),
        Ok(Err(Invalid::NotNumeric)) => json!({ "invalid": "not_numeric" }),
        Ok(Err(Invalid::OutOfRange)) => json!({ "invalid": "out_of_range" }),
        Err(why) => json!({ "bad": why.as_str() }),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Each golden's label, bytes and meaning.
fn goldens() -> Vec<(String, Vec<u8>, Value)> {
    let text = std::fs::read(below_tests("goldens/datagrams.json")).unwrap();
    let all: serde_json::Map<String, Value> = serde_json::from_slice(&text).unwrap();
    assert!(all.len() > 900);
    all.into_iter()
        .map(|(label, golden)| {
            let bytes = unhex(golden["bytes"].as_str().unwrap());
            (label, bytes, golden["means"].clone())
        })
        .collect()
}

// Goal: every header, every kind of value, every refusal and many damaged datagrams mean
// what Python says they mean.
#[test]
fn goldens_decode_to_what_python_says() {
    for (label, datagram, means) in goldens() {
        assert_eq!(answer(&datagram), means, "{label}: {datagram:02x?}");
    }
}

#[test]
fn a_datagram_without_its_end_is_refused() {
    for (label, datagram, means) in goldens() {
        if means["bad"].is_string() {
            continue;
        }
        for end in 1..datagram.len() {
            let cut = decode(&datagram[..end]);
            assert_eq!(cut, Err(BadDatagram::Truncated), "{label} cut at {end}");
        }
    }
}

#[test]
fn a_datagram_with_more_behind_it_is_refused() {
    for (label, mut datagram, means) in goldens() {
        if means["bad"].is_string() {
            continue;
        }
        for byte in 0..=255 {
            datagram.push(byte);
            let long = decode(&datagram);
            assert_eq!(long, Err(BadDatagram::TrailingBytes), "{label}, {byte:#x}");
            datagram.pop();
        }
    }
}

// Goal: what fuzzing found worth keeping stays answered.
#[test]
fn the_fuzz_corpus_replays() {
    let corpus = files("fuzz/corpus/datagram");
    assert!(!corpus.is_empty());
    for datagram in corpus.values() {
        let _ = answer(datagram);
    }
}

#[test]
fn reasons_are_words_for_a_label() {
    let reasons = [
        BadDatagram::Empty,
        BadDatagram::Truncated,
        BadDatagram::UnknownByte(0xc1),
        BadDatagram::TrailingBytes,
        BadDatagram::Shape,
    ];
    let words: std::collections::BTreeSet<_> = reasons.map(BadDatagram::as_str).into();
    assert_eq!(words.len(), reasons.len());
    for reason in reasons {
        assert!(reason.to_string().len() > reason.as_str().len());
    }
}

fn number_of_any_kind() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::Int),
        (-200..200_i64).prop_map(Number::Int),
        (1 << 63..=u64::MAX).prop_map(Number::Uint),
        any::<f64>()
            .prop_filter("equal to itself", |x| !x.is_nan())
            .prop_map(Number::Float),
        any::<bool>().prop_map(Number::Bool),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered(datagram in vec(any::<u8>(), 0..300)) {
        let _ = answer(&datagram);
    }

    #[test]
    fn any_bytes_in_the_place_of_the_value_are_answered(rest in vec(any::<u8>(), 0..40)) {
        let datagram = [&b"\x92\xa1a\x92\x01"[..], &rest].concat();
        match decode(&datagram) {
            Ok(Ok(point)) => prop_assert_eq!(point.name, b"a"),
            Ok(Err(why)) => prop_assert_eq!(why, Invalid::NotNumeric),
            Err(why) => prop_assert_ne!(why, BadDatagram::Shape),
        }
    }

    // Goal: the record that Redis gets is also what a datagram may hold.
    #[test]
    fn records_are_read_back(
        name in vec(any::<u8>(), 0..300),
        timestamp in number_of_any_kind(),
        value in number_of_any_kind(),
    ) {
        let header = [&b"\x92\xda"[..], &(name.len() as u16).to_be_bytes()].concat();
        let record = Record::new(timestamp, value);
        let datagram = [&header[..], &name, record.as_bytes()].concat();
        prop_assert_eq!(decode(&datagram), Ok(Ok(Point { name: &name, timestamp, value })));
    }
}
