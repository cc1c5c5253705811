//! Hostile and broken bytes: each is counted for what it is, memory stays
//! bounded, the good frames after it are stored, and nobody else notices.

use std::io::Write;

use crate::fixture::now_s;
use crate::fixture::redis::Redis;
use crate::fixture::sender::{Sender, frame, framed, pickle, values_of};
use crate::fixture::skyring::{Plan, Skyring};

const MIB: u64 = 1 << 20;

/// A frame and the reason for which it must be refused as a whole.
fn bad_frames() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = pickle(&[("cut.off", now_s() as f64, 1.0)]);
    let mut frames: Vec<(&'static str, Vec<u8>, &'static str)> = (1..good.len())
        .map(|end| ("cut off", good[..end].to_vec(), "truncated"))
        .collect();
    let mut add = |name, body: &[u8], reason| frames.push((name, body.to_vec(), reason));
    add("no bytes", b"", "empty");
    add("a class looked up", b"\x80\x02cos\nsystem\n.", "forbidden");
    add(
        "os.system called",
        b"cos\nsystem\n(S'touch /tmp/skyring-was-here'\ntR.",
        "forbidden",
    );
    add(
        "STACK_GLOBAL",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        "forbidden",
    );
    add("INST", b"(S'true'\nios\nsystem\n.", "forbidden");
    add("OBJ", b"(cos\nsystem\nS'true'\no.", "forbidden");
    add("NEWOBJ", b"\x80\x02])\x81.", "forbidden");
    add("BUILD", b"]}b.", "forbidden");
    add("PERSID", b"Pid\n.", "forbidden");
    add("BINPERSID", b"K\x01Q.", "forbidden");
    add("EXT1", b"\x80\x02\x82\x01.", "forbidden");
    add(
        "a class in a later item",
        b"]((U\x01a(K\x01K\x01tte0cos\nsystem\n.",
        "forbidden",
    );
    add("no pickle", b"GET / HTTP/1.1\r\n\r\n", "forbidden");
    add(
        "a byte that is no opcode",
        b"\xff\xff\xff\xff",
        "unknown_opcode",
    );
    add("protocol 6", b"\x80\x06].", "protocol");
    add("None", b"N.", "not_a_list");
    add("a number", b"K\x07.", "not_a_list");
    add("a text", b"\x8c\x03abc.", "not_a_list");
    add("a dict", b"}.", "not_a_list");
    add("nothing", b".", "stack_underflow");
    add("APPEND to nothing", b"a.", "stack_underflow");
    add("TUPLE3 of two", b"NN\x87.", "stack_underflow");
    add("APPENDS without a mark", b"]e.", "no_mark");
    add("an unwritten memo entry", b"]h\x05a.", "unknown_memo");
    add(
        "an unwritten memo entry far away",
        b"]j\xff\xff\xff\xffa.",
        "unknown_memo",
    );
    add("APPEND to a tuple", b")Na.", "wrong_target");
    add(
        "a number that is none",
        b"](S'a'\n(Ixyz\nK\x01tta.",
        "bad_number",
    );
    add(
        "a text without quotes",
        b"](Sa\n(K\x01K\x01tta.",
        "bad_text",
    );
    add(
        "a text that claims 4 GiB",
        b"]X\xff\xff\xff\xffa.",
        "truncated",
    );
    add(
        "a text that claims 2^63 bytes",
        b"]\x8d\0\0\0\0\0\0\0\x80a.",
        "truncated",
    );
    add(
        "bytes that claim 2^64 - 1",
        b"]\x8e\xff\xff\xff\xff\xff\xff\xff\xffa.",
        "truncated",
    );
    add(
        "a long that claims 2 GiB",
        b"]\x8b\xff\xff\xff\x7fa.",
        "truncated",
    );
    frames
}

/// Frames that may be refused as a whole or item by item, but must be refused
/// and must not cost more than their length justifies.
fn bombs(size: usize) -> Vec<(&'static str, Vec<u8>)> {
    let repeat = |start: &[u8], piece: &[u8], end: &[u8]| {
        let count = (size - start.len() - end.len()) / piece.len();
        [start, &piece.repeat(count), end].concat()
    };
    let deep = |count: usize| [b"]".repeat(count), b"a".repeat(count - 1), b".".to_vec()].concat();
    let tuples = [b")".to_vec(), b"\x85".repeat(100_000), b"\x85.".to_vec()].concat();
    let mut laughs = b"\x80\x02]q\x00(".to_vec();
    laughs.extend(b"K\x01".repeat(10));
    laughs.push(b'e');
    for level in 0..60_u8 {
        laughs.extend([b']', b'q', level + 1, b'(']);
        laughs.extend([b'h', level].repeat(10));
        laughs.push(b'e');
    }
    laughs.push(b'.');
    vec![
        ("100,000 nested lists", deep(100_000)),
        ("as many nested lists as fit", deep(size / 2 - 1)),
        ("100,000 nested tuples", tuples),
        ("nothing but marks", repeat(b"", b"(", b".")),
        ("nothing but lists", repeat(b"", b"]", b".")),
        ("nothing but memo entries", repeat(b"]", b"\x94", b"N0Na.")),
        (
            "memo entries far apart",
            repeat(b"]", b"r\xff\xff\xff\xffr\0\0\0\xf0", b"Na."),
        ),
        ("a list that holds itself", b"]q\x00h\x00a.".to_vec()),
        ("billion laughs", laughs),
        (
            "one list in a list, again and again",
            repeat(b"](]q\x01(NNNNNNNNe", b"h\x01", b"e."),
        ),
        ("dicts in dicts", repeat(b"](", b"}K\x01", b"e.")),
        ("DUP without end", repeat(b"](N", b"2", b"e.")),
        (
            "a number of very many digits",
            repeat(b"](U\x01a(K\x01L", b"9", b"L\ntte."),
        ),
        (
            "a text of escapes",
            repeat(b"](S'", b"\\x00", b"'\n(K\x01K\x01tte."),
        ),
        ("an unfinished text", repeat(b"](S'", b"a", b"")),
    ]
}

/// Sends a good point by `sender`, and waits until it and everything before it
/// has settled.
fn assert_served(skyring: &Skyring, sender: &mut Sender, metric: &str, value: f64, case: &str) {
    let before = skyring.wait_for("settled what was there", |counts| counts.in_flight == 0);
    let stored = before.stored + 1;
    sender.send_point(metric, value);
    skyring.wait_for(&format!("stored the good point after {case}"), |counts| {
        counts.stored == stored && counts.in_flight == 0
    });
}

/// Every broken frame is counted by its reason and skipped: the next frame of
/// the same connection is good again.
#[test]
fn bad_frames_are_counted_and_skipped() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut bystander = Sender::connect(&skyring.pickle());
    let mut hostile = Sender::connect(&skyring.pickle());
    assert_served(&skyring, &mut bystander, "bystander", 0.0, "nothing");
    let mut after = 0.0;
    for (name, body, reason) in bad_frames() {
        let before = skyring.counts();
        hostile.send(&framed(&body));
        assert_served(&skyring, &mut hostile, "hostile", after, name);
        let mut wanted = before.frames_bad.clone();
        *wanted.entry(reason.to_owned()).or_default() += 1;
        assert_eq!(skyring.counts().frames_bad, wanted, "{name}: {body:02x?}");
        after += 1.0;
    }
    let wanted: Vec<f64> = (0..after as u32).map(f64::from).collect();
    assert_eq!(values_of(&redis.series("hostile"), "hostile"), wanted);
    assert_eq!(
        redis.keys(),
        ["bystander".to_owned(), "hostile".to_owned()].into()
    );
    assert_served(&skyring, &mut bystander, "bystander", 1.0, "everything");
    assert!(!std::path::Path::new("/tmp/skyring-was-here").exists());
    bystander.assert_open();
    hostile.assert_open();
    skyring.finish();
}

/// Frames that are small on the wire and large in a naive reader's memory.
#[test]
fn bombs_are_counted_and_cost_no_more_than_their_length_justifies() {
    let redis = Redis::start();
    let size = 4 << 20;
    let skyring = Plan::with(&redis)
        .set("horizon.frame_bytes_max", size)
        .set("horizon.buffer_bytes_max", 32 * MIB)
        .start();
    let mut bystander = Sender::connect(&skyring.pickle());
    let (start_bytes, _) = skyring.process.resident_bytes();
    for round in 0..2 {
        for (name, body) in bombs(size) {
            let before = skyring.counts();
            let mut hostile = Sender::connect(&skyring.pickle());
            hostile.send(&framed(&body));
            assert_served(&skyring, &mut hostile, "hostile", 1.0, name);
            assert_served(&skyring, &mut bystander, "bystander", 1.0, name);
            let after = skyring.counts();
            let refused = after.frames_bad_total() - before.frames_bad_total()
                + after.dropped_total()
                - before.dropped_total();
            assert!(
                refused > 0,
                "{name} was not counted in round {round}: {after:?}"
            );
        }
    }
    // Two shards, each with the scratch that one frame of 4 MiB justifies (the
    // decoder's documentation says 8.5 times its length), the connections'
    // buffers, and some room for the allocator.
    let (_, peak_bytes) = skyring.process.resident_bytes();
    let bound_bytes = start_bytes + 2 * 9 * 4 * MIB + 32 * MIB + 32 * MIB;
    assert!(
        peak_bytes < bound_bytes,
        "{} MiB resident",
        peak_bytes / MIB
    );
    assert_eq!(
        redis.keys(),
        ["bystander".to_owned(), "hostile".to_owned()].into()
    );
    skyring.finish();
}

/// A length above the bound closes the connection, is counted, and reserves
/// nothing; its neighbours are not touched.
#[test]
fn an_overlong_frame_closes_its_own_connection_only() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .set("horizon.frame_bytes_max", 65_536)
        .start();
    let mut bystander = Sender::connect(&skyring.pickle());
    assert_served(&skyring, &mut bystander, "bystander", 0.0, "nothing");
    let (start_bytes, _) = skyring.process.resident_bytes();
    for (at, length) in [u32::MAX, 1 << 31, 65_537].into_iter().enumerate() {
        let mut hostile = Sender::connect(&skyring.pickle());
        hostile.send_point("before", at as f64);
        hostile.send(&length.to_be_bytes());
        // The server may close before this arrives, which is as good.
        let _ = hostile.stream.write_all(b"](");
        hostile.wait_until_closed();
        skyring.wait_for("counted the frame", |counts| {
            counts.number("frames_too_long") == at as u64 + 1
        });
        assert_served(
            &skyring,
            &mut bystander,
            "bystander",
            1.0,
            "an overlong frame",
        );
    }
    // The longest that is allowed is decoded.
    let mut sender = Sender::connect(&skyring.pickle());
    let mut longest = pickle(&[("longest", now_s() as f64, 1.0)]);
    longest.resize(65_536, 0);
    sender.send(&framed(&longest));
    skyring.wait_until_settled(8);
    assert_served(&skyring, &mut sender, "after", 1.0, "the longest frame");
    let counts = skyring.counts();
    assert_eq!(counts.number("frames_too_long"), 3);
    assert_eq!(counts.frames_bad_total(), 0);
    assert_eq!(
        values_of(&redis.series("before"), "before"),
        [0.0, 1.0, 2.0]
    );
    assert_eq!(values_of(&redis.series("longest"), "longest"), [1.0]);
    let (_, peak_bytes) = skyring.process.resident_bytes();
    assert!(
        peak_bytes < start_bytes + 64 * MIB,
        "{} MiB resident",
        peak_bytes / MIB
    );
    skyring.finish();
}

/// A frame is the same wherever the network cuts it: every place between two
/// bytes, read by the server as two pieces.
#[test]
fn frames_cut_at_every_byte_are_put_together() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let now = now_s() as f64;
    let length = frame(&[("cut", now, 0.0), ("cut", now, 0.0)]).len();
    for at in 1..length {
        let bytes = frame(&[("cut", now, at as f64), ("cut", now, at as f64 + 0.5)]);
        sender.send(&bytes[..at]);
        sender.wait_until_read();
        sender.send(&bytes[at..]);
    }
    // And a whole frame with the start of the next one in one piece.
    let next = frame(&[("cut", now, 1000.0)]);
    let two = [&next[..], &frame(&[("cut", now, 1001.0)])].concat();
    for at in next.len() - 1..next.len() + 6 {
        sender.send(&two[..at]);
        sender.wait_until_read();
        sender.send(&two[at..]);
    }
    skyring.wait_until_settled(2 * (length as u64 - 1) + 14);
    let cut = (1..length).flat_map(|at| [at as f64, at as f64 + 0.5]);
    let wanted: Vec<f64> = cut.chain([1000.0, 1001.0].repeat(7)).collect();
    assert_eq!(values_of(&redis.series("cut"), "cut"), wanted);
    assert_eq!(skyring.counts().frames_bad_total(), 0);
    skyring.finish();
}

/// Names that are not UTF-8 as older Pythons write them, each item refused alone.
#[test]
fn names_that_are_not_utf8_lose_only_their_item() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let names: [&[u8]; 8] = [
        b"\xff",
        b"a\xc3",
        b"a\xc0\x80b",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"a\0b",
        b"\xe2\x80\xae.evil",
        b"\xc2\x9b31m",
    ];
    let time = [&b"J"[..], &(now_s() as i32).to_le_bytes()].concat();
    let mut body = b"\x80\x02](".to_vec();
    for name in names {
        for (op, name) in [(b'U', name), (b'C', name), (b'U', &b"good"[..])] {
            body.extend([&[op, name.len() as u8], name, &time, b"K\x01\x86\x86"].concat());
        }
    }
    body.extend(b"e.");
    sender.send(&framed(&body));
    let counts = skyring.wait_until_settled(24);
    assert_eq!(counts.dropped, [("name_invalid".to_owned(), 16)].into());
    assert_eq!(counts.stored, 8);
    assert_eq!(redis.keys(), ["good".to_owned()].into());
    skyring.finish();
}

/// Frames with one to four bytes changed, seeded: whatever each of them is, it
/// is one frame, good or bad, and what comes after it is stored.
#[test]
fn frames_with_changed_bytes_never_desynchronise_a_connection() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let mut state = 0x5eed_5eed_5eed_5eed_u64;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let now = now_s() as f64;
    let frames = 5_000;
    for at in 0..frames {
        let mut body = pickle(&[("changed.one", now, 1.0), ("changed.two", now, 2.0)]);
        for _ in 0..=random(4) {
            let place = random(body.len());
            body[place] = random(256) as u8;
        }
        sender.send(&framed(&body));
        sender.send(&frame(&[("unchanged", now, f64::from(at))]));
    }
    let counts = skyring.wait_for("took every frame", |counts| {
        let frames_seen = counts.number("frames") + counts.frames_bad_total();
        frames_seen == 2 * frames as u64 && counts.in_flight == 0
    });
    assert!(counts.frames_bad_total() > 0);
    let wanted: Vec<f64> = (0..frames).map(f64::from).collect();
    assert!(values_of(&redis.series("unchanged"), "unchanged") == wanted);
    sender.assert_open();
    skyring.finish();
}
