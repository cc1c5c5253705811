//! Tests of both levels of the decoder. What frames mean comes from Python's own
//! unpickler: see `tests/goldens/make_pickles.py`.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

use super::*;
use crate::wire::goldens::{below_tests, files, hex, said, spelled};

/// What a frame decodes to, in a form that can be compared: NaN equals itself.
type Answer = Result<(Vec<(Vec<u8>, String, String)>, InvalidCounts), BadFrame>;

fn answer(decoded: Result<Decoded<'_>, BadFrame>) -> Answer {
    let decoded = decoded?;
    let points = decoded.points();
    assert_eq!(points.len(), decoded.len());
    assert_eq!(decoded.is_empty(), points.len() == 0);
    let points = points
        .map(|point| {
            (
                point.name.to_vec(),
                spelled(point.timestamp),
                spelled(point.value),
            )
        })
        .collect();
    Ok((points, decoded.invalid()))
}

/// Decodes with both levels, holds them against each other and against the bound of
/// memory, and returns what both say.
fn decode(frame: &[u8]) -> Answer {
    let mut decoder = Decoder::new();
    let quick = answer(decoder.decode(frame));
    let quick_bytes = decoder.scratch_bytes();
    let mut decoder = Decoder::new();
    let general = answer(decoder.decode_general(frame));
    assert_eq!(quick, general, "{}", hex(frame));
    let most = Limits::of(frame.len());
    let words = most.arena + most.memo + most.stack + most.marks;
    let most = most.points * size_of::<Stored>() + words * 4 + most.side;
    assert!(
        quick_bytes.max(decoder.scratch_bytes()) <= most,
        "{}",
        hex(frame)
    );
    assert!(most < scratch_bytes_max(frame.len()));
    general
}

/// Whether the fast path takes a frame.
fn is_fast(frame: &[u8]) -> bool {
    fast::decode(frame, &mut Scratch::default()).is_some()
}

fn good(frame: &[u8]) -> Vec<(String, String, String)> {
    let (points, invalid) = decode(frame).unwrap();
    assert_eq!(invalid.total(), 0);
    points
        .into_iter()
        .map(|(name, t, v)| (String::from_utf8(name).unwrap(), t, v))
        .collect()
}

fn invalid(frame: &[u8]) -> [u64; 3] {
    let counts = decode(frame).unwrap().1;
    [counts.shape, counts.not_numeric, counts.out_of_range]
}

fn goldens() -> BTreeMap<String, Vec<u8>> {
    let mut goldens = files("goldens/pickle");
    goldens.retain(|name, _| name.ends_with(".bin"));
    assert!(goldens.len() > 100);
    goldens
}

fn expectations() -> Value {
    let text = std::fs::read(below_tests("goldens/pickle/expected.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn hold_against(label: &str, frame: &[u8], expected: &Value) {
    let answer = match decode(frame) {
        Err(why) => serde_json::json!({ "bad": why.as_str() }),
        Ok((points, invalid)) => serde_json::json!({
            "points": points.iter().map(said).collect::<Vec<_>>(),
            "invalid": {
                "shape": invalid.shape,
                "not_numeric": invalid.not_numeric,
                "out_of_range": invalid.out_of_range,
            },
        }),
    };
    assert_eq!(answer, *expected, "{label}: {}", hex(frame));
}

// Goal: every protocol, both picklers, every sender's form and every refusal mean what
// Python says they mean.
#[test]
fn goldens_decode_to_what_python_says() {
    let expected = expectations();
    for (name, frame) in goldens() {
        let label = name.strip_suffix(".bin").unwrap();
        let mut means = &expected[label];
        if let Value::String(same) = means {
            means = &expected[same];
        }
        assert!(means.is_object(), "{label} has no expectation");
        hold_against(label, &frame, means);
    }
}

// Goal: shapes that nobody thought of, pickled by Python from a seeded generator.
#[test]
fn random_pickles_decode_to_what_python_says() {
    let bytes = std::fs::read(below_tests("goldens/pickle/random.frames")).unwrap();
    let expected = expectations();
    let expected = expected["random"].as_array().unwrap();
    let mut rest = &bytes[..];
    for (at, means) in expected.iter().enumerate() {
        let (length, after) = rest.split_first_chunk().unwrap();
        let (frame, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        hold_against(&format!("random frame {at}"), frame, means);
        rest = after;
    }
    assert!(rest.is_empty());
}

// Goal: the frames that relays send never fall back unnoticed to the slower level.
#[test]
fn what_relays_send_takes_the_fast_path() {
    let goldens = goldens();
    let fast = [
        "plain_2",
        "plain_3",
        "plain_4",
        "plain_5",
        "single_2",
        "single_4",
        "memo_2",
        "memo_4",
        "groups_2",
        "groups_4",
        "groups_5",
        "bench_2",
        "bench_4",
        "empty_list_2",
        "sender_relay_python2",
        "sender_relay_python3",
        "sender_relay_python2_name_twice",
    ];
    for label in fast {
        assert!(is_fast(&goldens[&format!("{label}.bin")]), "{label}");
    }
}

// Goal: a frame cut anywhere is refused as a whole, by every golden's every prefix.
#[test]
fn a_frame_without_its_end_is_refused() {
    for (name, frame) in goldens() {
        if name == "program_after_stop.bin" {
            continue;
        }
        // Of long frames every byte of the start and of the end, and some between.
        let step = |at: usize| {
            if (400..frame.len().max(400) - 400).contains(&at) {
                97
            } else {
                1
            }
        };
        let mut end = 0;
        while end < frame.len() {
            assert!(decode(&frame[..end]).is_err(), "{name} cut at {end}");
            end += step(end);
        }
    }
}

// Goal: one decoder serves frames of all kinds, and no frame leaves anything behind but
// memory, which is taken once.
#[test]
fn frames_do_not_disturb_each_other() {
    let mut decoder = Decoder::new();
    let goldens = goldens();
    let mut held = 0;
    for round in 0..4 {
        for (name, frame) in &goldens {
            let again = if round % 2 == 0 {
                answer(decoder.decode(frame))
            } else {
                answer(decoder.decode_general(frame))
            };
            assert_eq!(again, decode(frame), "{name}");
        }
        assert!(round < 2 || decoder.scratch_bytes() == held);
        held = decoder.scratch_bytes();
    }
}

// Goal: what fuzzing found worth keeping stays answered alike by both levels.
#[test]
fn the_fuzz_corpus_replays() {
    let corpus = files("fuzz/corpus/pickle");
    assert!(!corpus.is_empty());
    for frame in corpus.values() {
        let _ = decode(frame);
    }
}

#[test]
fn a_second_reader_agrees_on_plain_frames() {
    type Oracle = Vec<(String, (f64, f64))>;
    let options = || serde_pickle::DeOptions::new().decode_strings();
    let mut compared = 0;
    for (name, frame) in goldens() {
        if !["memo", "groups", "bench", "sender_relay_p"]
            .iter()
            .any(|kind| name.starts_with(kind))
        {
            continue;
        }
        let oracle: Oracle = serde_pickle::from_slice(&frame, options()).unwrap();
        let oracle: Vec<_> = oracle
            .into_iter()
            .map(|(name, pair)| (name.into_bytes(), pair))
            .collect();
        let mut decoder = Decoder::new();
        let decoded = decoder.decode(&frame).unwrap();
        let float = |number| match number {
            Number::Int(n) => n as f64,
            Number::Float(x) => x,
            other => panic!("{other:?} in {name}"),
        };
        let points: Vec<_> = decoded
            .points()
            .map(|point| {
                (
                    point.name.to_vec(),
                    (float(point.timestamp), float(point.value)),
                )
            })
            .collect();
        assert_eq!(points, oracle, "{name}");
        compared += 1;
    }
    assert!(compared > 10);
}

#[test]
fn a_zero_length_frame_is_refused() {
    assert_eq!(decode(b""), Err(BadFrame::Empty));
}

#[test]
fn python_2_surrogate_pairs_become_one_letter() {
    let frame = b"(lp0\n(V\\ud83d\\ude00\n(I1\nI2\ntta(V\\ude00\\ud83d\n(I1\nI2\ntta(V\\ud83dx\n(I1\nI2\ntta.";
    let (points, counts) = decode(frame).unwrap();
    assert_eq!(points, [("\u{1f600}".into(), "i:1".into(), "i:2".into())]);
    assert_eq!(counts.shape, 2);
}

#[test]
fn names_pass_through_unchecked() {
    let frame = b"\x80\x02](U\x03\xff\0\nJ\x01\0\0\0K\x02\x86\x86e.";
    assert!(is_fast(frame));
    assert_eq!(decode(frame).unwrap().0[0].0, b"\xff\0\n");
}

#[test]
fn an_item_of_flat_numbers_counts_once() {
    assert_eq!(invalid(b"](U\x01aK\x01K\x02\x87e."), [1, 0, 0]);
}

#[test]
fn a_list_grows_after_it_was_memoised_and_used() {
    // The outer list is appended to while groups of it are already there, and an inner
    // list is completed through the memo after it was put into an item.
    let frame = b"]q\0](U\x01aK\x01K\x02\x86ea](U\x01b]q\x01eah\x01K\x03a0h\x01K\x04a0h\0(U\x01cK\x05K\x06\x86ta.";
    let points = good(frame);
    let names: Vec<_> = points.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(points[1], ("b".into(), "i:3".into(), "i:4".into()));
}

fn repeated(start: &[u8], what: &[u8], times: usize, end: &[u8]) -> Vec<u8> {
    [start, &what.repeat(times), end].concat()
}

// Goal: deep nesting costs no stack and little memory, in every way to nest.
#[test]
fn deep_nesting_is_harmless() {
    let n = 100_000;
    assert_eq!(
        decode(&repeated(
            b"",
            b"]",
            n,
            &[&b"a".repeat(n - 1)[..], b"."].concat()
        )),
        Err(BadFrame::TooComplex)
    );
    assert_eq!(
        decode(&repeated(b"", b"(", n, b".")),
        Err(BadFrame::TooComplex)
    );
    assert_eq!(
        decode(&repeated(b"](", b")", 1, &repeated(b"", b"\x85", n, b"e."))),
        Err(BadFrame::TooComplex)
    );
    // As deep as the limits allow, and printed by Python's own pickler.
    assert_eq!(
        invalid(&repeated(
            b"](",
            b"]",
            1000,
            &repeated(b"", b"a", 999, b"e.")
        )),
        [1, 0, 0]
    );
}

#[test]
fn floods_of_one_opcode_are_harmless() {
    let n = 1 << 20;
    for opcode in 0..=255_u8 {
        for start in [&b"\x80\x02]("[..], b"]", b"K\x01", b""] {
            let _ = decode(&repeated(start, &[opcode], n >> 4, b"e."));
        }
    }
    assert_eq!(
        decode(&repeated(b"](", b"N", n, b"e.")),
        Err(BadFrame::TooComplex)
    );
    assert_eq!(invalid(&repeated(b"](", b"N", 4000, b"e.")), [4000, 0, 0]);
}

// Goal: the fast path has no limits of its own, so it must not take what the machine
// finds too complex: large frames of the shortest items that it matches.
#[test]
fn the_fast_path_takes_nothing_too_complex() {
    let n = 200_000;
    for (start, item, end) in [
        (
            &b"\x80\x02]("[..],
            &b"U\0J\0\0\0\x01K\x01\x86\x86"[..],
            &b"e."[..],
        ),
        (b"\x80\x02]", b"(U\0J\0\0\0\x01K\x01\x86\x86e", b"."),
        (
            b"\x80\x04]\x94(",
            b"\x8c\0\x94J\0\0\0\x01K\x01\x86\x94\x86\x94",
            b"e.",
        ),
        (
            b"\x80\x04]\x94",
            b"(\x8c\0\x94J\0\0\0\x01K\x01\x86\x94\x86\x94e",
            b".",
        ),
        (
            b"\x80\x02](U\0q\0J\0\0\0\x01K\x01\x86\x86",
            b"h\0\x8a\x03\0\0\x01K\x01\x86\x86",
            b"e.",
        ),
    ] {
        let frame = repeated(start, item, n, end);
        assert!(is_fast(&frame));
        assert!(decode(&frame).unwrap().0.len() >= n);
    }
}

#[test]
fn lengths_and_indexes_are_not_believed() {
    let absurd = [0xff_u8; 8];
    for opcode in [b'T', b'X', b'B', 0x8b, 0x8d, 0x8e, 0x96, 0x95] {
        let frame = [b"\x80\x05](", &[opcode][..], &absurd, b"e."].concat();
        assert_eq!(decode(&frame), Err(BadFrame::Truncated), "{opcode:#x}");
    }
    for put in [
        &b"r\xff\xff\xff\xff"[..],
        b"p4294967295\n",
        b"p99999999999999999999999999\n",
    ] {
        assert_eq!(
            decode(&[b"]", put, b"."].concat()),
            Err(BadFrame::TooComplex)
        );
    }
    for recall in [
        &b"j\xff\xff\xff\xff"[..],
        b"g4294967295\n",
        b"g99999999999999999999999999\n",
        b"h\x01",
    ] {
        assert_eq!(
            decode(&[b"]q\0(", recall, b"e."].concat()),
            Err(BadFrame::UnknownMemo)
        );
    }
    for index in [&b"p-1\n"[..], b"p\n", b"g1x\n"] {
        assert_eq!(
            decode(&[b"]", index, b"."].concat()),
            Err(BadFrame::BadNumber)
        );
    }
}

// Goal: a shared item of many points in a list many times is a frame of length n that
// means n * n points; and a shared text is no way to make the decoder read n * n bytes.
#[test]
fn sharing_does_not_multiply() {
    let n = 20_000;
    let point = b"J\0\0\0\x01K\x01\x86q\x01";
    let item = [b"(U\x01a", &point[..], &b"h\x01".repeat(n), b"tq\x02"].concat();
    let many = repeated(&[b"](", &item[..]].concat(), b"h\x02", n, b"e.");
    assert_eq!(decode(&many), Err(BadFrame::TooComplex));
    let not_points = [b"(U\x01a", &point[..], &b"N".repeat(n), b"tq\x02"].concat();
    let many = repeated(&[b"](", &not_points[..]].concat(), b"h\x02", n, b"e.");
    assert_eq!(decode(&many), Err(BadFrame::TooComplex));

    let digits = repeated(b"", b"7", 1 << 20, b"");
    let text = [
        b"X",
        &(digits.len() as u32).to_le_bytes()[..],
        &digits,
        b"q\x01",
    ]
    .concat();
    let line = [b"L", &digits[..], b"\nq\x01"].concat();
    let name = [b"V\\u0041", &digits[..], b"\nq\x01"].concat();
    for (shared, reasons) in [(text, [0, n as u64, 0]), (line, [0, 0, n as u64])] {
        let start = [b"](", &shared[..], b"0"].concat();
        let frame = repeated(&start, b"U\x01ah\x01K\x01\x86\x86", n, b"e.");
        assert_eq!(invalid(&frame), reasons);
    }
    let start = [b"](", &name[..], b"0"].concat();
    let frame = repeated(&start, b"h\x01K\x01K\x01\x86\x86", n, b"e.");
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(&frame).unwrap().len(), n);
    assert!(decoder.scratch_bytes() < 5 * frame.len());
}

#[test]
fn one_point_object_may_be_sent_thousands_of_times() {
    let frame = repeated(
        b"](U\x01aJ\0\0\0\x01K\x01\x86\x86q\x01",
        b"h\x01",
        4000,
        b"e.",
    );
    assert_eq!(good(&frame).len(), 4001);
}

#[test]
fn memory_of_a_large_frame_is_given_back() {
    let mut decoder = Decoder::new();
    let small = repeated(b"\x80\x02](", b"U\x01aJ\0\0\0\x01K\x01\x86\x86", 500, b"e.");
    let large = repeated(
        b"\x80\x02](",
        b"U\x01aJ\0\0\0\x01K\x01\x86\x86",
        300_000,
        b"e.",
    );
    assert_eq!(decoder.decode(&small).unwrap().len(), 500);
    let held = decoder.scratch_bytes();
    decoder.trim();
    assert_eq!(
        decoder.scratch_bytes(),
        held,
        "usual frames keep their memory"
    );
    assert_eq!(decoder.decode(&large).unwrap().len(), 300_000);
    assert!(decoder.scratch_bytes() <= scratch_bytes_max(large.len()));
    decoder.trim();
    assert!(decoder.scratch_bytes() <= KEEP_BYTES);
    assert_eq!(decoder.decode(&small).unwrap().len(), 500);
}

#[test]
fn the_worst_case_stays_a_small_multiple_of_the_frame() {
    for frame_bytes in [1 << 20, 64 << 20] {
        let bytes = scratch_bytes_max(frame_bytes);
        assert!(
            bytes < 12 * frame_bytes + (6 << 20),
            "{bytes} for {frame_bytes}"
        );
    }
    assert_eq!(
        scratch_bytes_max(usize::MAX),
        scratch_bytes_max(FRAME_BYTES_LIMIT)
    );
}

#[test]
fn reasons_are_words_for_a_label() {
    let reasons = [
        BadFrame::Empty,
        BadFrame::TooLong,
        BadFrame::Truncated,
        BadFrame::UnknownOpcode(1),
        BadFrame::Forbidden(b'c'),
        BadFrame::Protocol(9),
        BadFrame::NotAList,
        BadFrame::StackUnderflow,
        BadFrame::NoMark,
        BadFrame::UnknownMemo,
        BadFrame::WrongTarget,
        BadFrame::BadNumber,
        BadFrame::BadText,
        BadFrame::TooComplex,
    ];
    let words: std::collections::BTreeSet<_> = reasons.map(BadFrame::as_str).into();
    assert_eq!(words.len(), reasons.len());
    for (word, reason) in reasons.map(|reason| (reason.as_str(), reason.to_string())) {
        assert!(
            word.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        );
        assert!(reason.len() > word.len());
    }
}

/// An opcode with an argument that fits it, so that random programs get somewhere.
fn step() -> impl Strategy<Value = Vec<u8>> {
    let plain =
        select(b"(((ee.])tl\x85\x86\x86\x86\x87aNds0122}\x8f\x90\x91u\x94\x94\x88\x89".to_vec());
    prop_oneof![
        8 => plain.prop_map(|opcode| vec![opcode]),
        2 => (select(b"KUC\x8c\x8aqhqh".to_vec()), 0..4_u8).prop_map(|(opcode, n)| match opcode {
            b'U' | b'C' | 0x8c | 0x8a => [&[opcode, n][..], &b"\xe9\x011"[..usize::from(n)]].concat(),
            _ => vec![opcode, n],
        }),
        2 => (select(b"JTXrj\x8b".to_vec()), 0..3_u8).prop_map(|(opcode, n)| match opcode {
            b'J' | b'r' | b'j' => vec![opcode, n, 0, 0, 0],
            _ => [&[opcode, n, 0, 0, 0][..], &b"12"[..usize::from(n)]].concat(),
        }),
        1 => any::<f64>().prop_map(|x| [&b"G"[..], &x.to_be_bytes()].concat()),
        1 => select(vec![
            "I1\n", "I01\n", "L5L\n", "F1.5\n", "S'a\\x41'\n", "V\\u00e9\n", "Vx\n", "p1\n", "g1\n", "\u{1}",
        ]).prop_map(|line| line.as_bytes().to_vec()),
        1 => Just(b"U\x01aK\x01K\x02\x86\x86".to_vec()),
        1 => Just(b"\x8c\x01a\x94J\0\0\0\x01K\x02\x86\x94\x86\x94".to_vec()),
    ]
}

/// Changes that a frame can suffer.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Copy(Index, Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<Index>(), step()).prop_map(|(at, step)| Damage::Insert(at, step)),
        (any::<Index>(), 1..6_usize).prop_map(|(at, n)| Damage::Remove(at, n)),
        (any::<Index>(), any::<Index>(), 1..40_usize)
            .prop_map(|(from, to, n)| Damage::Copy(from, to, n)),
    ]
}

fn apply(frame: &mut Vec<u8>, damage: Damage) {
    if frame.is_empty() {
        return;
    }
    let length = frame.len();
    match damage {
        Damage::Set(at, byte) => frame[at.index(length)] = byte,
        Damage::Insert(at, bytes) => {
            let at = at.index(length);
            frame.splice(at..at, bytes);
        }
        Damage::Remove(at, n) => {
            let at = at.index(length);
            frame.drain(at..(at + n).min(length));
        }
        Damage::Copy(from, to, n) => {
            let from = from.index(length);
            let bytes = frame[from..(from + n).min(length)].to_vec();
            let to = to.index(length);
            frame.splice(to..to, bytes);
        }
    }
}

fn small_goldens() -> Vec<Vec<u8>> {
    goldens()
        .into_values()
        .filter(|frame| (4..3000).contains(&frame.len()))
        .collect()
}

/// A point of the form that the fast path takes, written with or without memo.
fn item() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Vec<u8>)> {
    let timestamp = prop_oneof![
        any::<f64>().prop_map(|x| [&b"G"[..], &x.to_be_bytes()].concat()),
        any::<i32>().prop_map(|n| [&b"J"[..], &n.to_le_bytes()].concat()),
        vec(any::<u8>(), 0..10).prop_map(|n| [&[0x8a, n.len() as u8][..], &n].concat()),
    ];
    let value = prop_oneof![
        any::<f64>().prop_map(|x| [&b"G"[..], &x.to_be_bytes()].concat()),
        any::<[u8; 2]>().prop_map(|n| [&b"M"[..], &n].concat()),
        any::<u8>().prop_map(|n| vec![b'K', n]),
        Just(vec![0x88]),
        Just(b"N".to_vec()),
        Just(b"U\x041.25".to_vec()),
    ];
    (vec(any::<u8>(), 0..300), timestamp, value)
}

fn pickled(items: &[(Vec<u8>, Vec<u8>, Vec<u8>)], first: Option<usize>, again: usize) -> Vec<u8> {
    let mut out = b"\x80\x02]".to_vec();
    let mut memo = first.unwrap_or(0);
    let put = |out: &mut Vec<u8>, memo: &mut usize| {
        if first.is_some() {
            match u8::try_from(*memo) {
                Ok(index) => out.extend([b'q', index]),
                Err(_) => out.extend([&b"r"[..], &(*memo as u32).to_le_bytes()].concat()),
            }
        }
        *memo += 1;
    };
    put(&mut out, &mut memo);
    out.push(b'(');
    let names = memo;
    for (at, (name, timestamp, value)) in items.iter().enumerate() {
        if first.is_some() && again > 0 && at % again == 1 {
            out.extend([&b"j"[..], &(names as u32).to_le_bytes()].concat());
        } else {
            out.push(b'X');
            out.extend((name.len() as u32).to_le_bytes());
            out.extend(name);
            put(&mut out, &mut memo);
        }
        out.extend(timestamp);
        out.extend(value);
        out.push(0x86);
        put(&mut out, &mut memo);
        out.push(0x86);
        put(&mut out, &mut memo);
    }
    out.extend(b"e.");
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // Goal: no bytes make the decoder panic, the levels disagree or the memory grow:
    // `decode` asserts all three.
    #[test]
    fn any_bytes_are_answered_alike(frame in vec(any::<u8>(), 0..400)) {
        let _ = decode(&frame);
    }

    #[test]
    fn any_program_is_answered_alike(
        start in select(vec![&b""[..], b"](", b"\x80\x02]q\0(", b"\x80\x04]\x94("]),
        steps in vec(step(), 0..60),
        end in select(vec![&b"e."[..], b".", b"0e.", b"a.", b""]),
    ) {
        let _ = decode(&[start, &steps.concat(), end].concat());
    }

    #[test]
    fn damaged_goldens_are_answered_alike(
        which in any::<Index>(),
        damages in vec(damage(), 1..6),
    ) {
        thread_local!(static GOLDENS: Vec<Vec<u8>> = small_goldens());
        let mut frame = GOLDENS.with(|goldens| which.get(goldens).clone());
        for damage in damages {
            apply(&mut frame, damage);
        }
        let _ = decode(&frame);
    }

    #[test]
    fn plain_frames_keep_every_name(
        items in vec(item(), 0..150),
        first in select(vec![None, Some(0), Some(1)]),
        again in 0..4_usize,
    ) {
        let frame = pickled(&items, first, again);
        let (points, invalid) = decode(&frame).unwrap();
        prop_assert_eq!(points.len() as u64 + invalid.total(), items.len() as u64);
        if again == 0 && invalid.total() == 0 {
            for ((name, ..), point) in items.iter().zip(&points) {
                prop_assert_eq!(name, &point.0);
            }
        }
    }

    // Goal: the text of a finite double is read as that double, however it is sent.
    #[test]
    fn texts_of_floats_are_exact(x in any::<f64>().prop_filter("finite", |x| x.is_finite())) {
        let frame = format!("(lp0\n(S'a'\n(F{x:?}\nS'{x:e}'\ntta.");
        let (points, _) = decode(frame.as_bytes()).unwrap();
        let expected = format!("f:{:016x}", x.to_bits());
        let digits_only = format!("{x:e}").bytes().all(|byte| byte.is_ascii_digit());
        prop_assert_eq!(&points[0].1, &expected);
        prop_assert!(digits_only || points[0].2 == expected);
    }
}
