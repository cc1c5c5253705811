//! Graphite's lines over TCP: every form of them, cut anywhere, and hostile ones.

use std::collections::BTreeMap;

use crate::fixture::redis::Redis;
use crate::fixture::sender::{Sender, values_of};
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::{now_s, python};

/// A server that takes lines.
pub fn start(redis: &Redis) -> Skyring {
    Plan::with(redis).with_lines().start()
}

/// A connection to its listener for lines.
pub fn connect(skyring: &Skyring) -> Sender {
    Sender::connect(&skyring.listener("line_tcp").address())
}

/// Redis holds what Python's msgpack makes of these lines, and nothing else.
pub fn assert_holds(redis: &Redis, lines: &str) {
    let expected = python::records_of_graphite_lines(lines);
    for (metric, records) in &expected {
        let stored = redis.series(metric);
        assert!(
            &stored == records,
            "{metric}: stored {stored:02x?}, Python makes {records:02x?}"
        );
    }
    assert_eq!(redis.keys(), expected.keys().cloned().collect());
    assert_eq!(redis.members(), redis.keys());
}

/// Numbers as senders write them. Python says what they mean.
fn number_texts() -> Vec<String> {
    let plain = [
        "0",
        "1",
        "127",
        "128",
        "255",
        "256",
        "65535",
        "65536",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "007",
        "-1",
        "-0",
        "+5",
        "0.0",
        "-0.0",
        "1.5",
        "-2.25",
        ".5",
        "5.",
        "1e3",
        "1E-7",
        "-0.25e+2",
        "5e-324",
        "1.7976931348623157e308",
        "0.1",
        "123456.789012345678",
    ];
    let thirds = (1..40).map(|n| format!("{:?}", f64::from(n) / 3.0));
    plain.into_iter().map(str::to_owned).chain(thirds).collect()
}

/// Blanks of any kind and number, line ends of both kinds, tags, names of any text,
/// integers and floats of any spelling: each record is what Python packs.
#[test]
fn lines_of_every_form_are_stored_as_python_packs_them() {
    let redis = Redis::start();
    let skyring = start(&redis);
    let now = now_s();
    let (mut sent, mut meant) = (String::new(), String::new());
    let mut both = |line: &str, name: &str, value: &str, time: &str| {
        sent += line;
        meant += &format!("{name} {value} {time}\n");
    };
    for (at, value) in number_texts().iter().enumerate() {
        let name = format!("number.n{at}");
        both(
            &format!("{name} {value} {now}\n"),
            &name,
            value,
            &now.to_string(),
        );
    }
    for time in [
        format!("{now}"),
        format!("{now}.0"),
        format!("{now}.25"),
        format!("+{now}"),
    ] {
        both(&format!("times 1 {time}\n"), "times", "1", &time);
    }
    let time = now.to_string();
    for name in [
        "a",
        "a.b.c",
        "tag;host=web-1",
        "tag;host=web-1;mount=/;x=y=z",
        "caf\u{e9}.\u{4e16}",
        "quo\"te'd",
        "a..b",
        ".a",
        "a.",
        "<b>&amp;",
        "100%",
        "~tilde",
        "x\\y",
        "metrics.metrics.",
    ] {
        for (before, between, after) in [
            ("", " ", "\n"),
            ("", "\t", "\n"),
            ("", " ", "\r\n"),
            (" ", "  ", " \n"),
            ("\t \t", " \t ", "\t\r\n"),
            ("\r\n\n \n", " ", "\n\n\r\n"),
        ] {
            let line = format!("{before}{name}{between}2{between}{time}{after}");
            both(&line, name, "2", &time);
        }
    }
    connect(&skyring).send(sent.as_bytes());
    let lines = meant.lines().count() as u64;
    let counts = skyring.listener("line_tcp").wait_until_settled(lines);
    assert_eq!((counts.stored, counts.number("frames")), (lines, lines));
    assert_eq!(counts.number("bytes"), sent.len() as u64);
    assert_holds(&redis, &meant);
    skyring.finish();
}

/// A timestamp that is missing or -1, however that is written, is the time at which
/// the line came: a whole number of seconds within the span of the test.
#[test]
fn lines_without_a_time_are_of_now() {
    let redis = Redis::start();
    let skyring = start(&redis);
    let before = now_s();
    let endings = [
        "", " ", " -1", "\t-1", " -1.0", " -1 ", "\r", " -1\r", " -1e0",
    ];
    let lines: String = endings
        .iter()
        .map(|end| format!("of.now 7{end}\n"))
        .collect();
    connect(&skyring).send(lines.as_bytes());
    skyring
        .listener("line_udp")
        .send(&[("of.then.udp", before as f64, 1.0)]);
    let udp = skyring.listener("line_udp").address();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for datagram in ["of.now.udp 7 -1\n", "of.now.udp 7", "of.now.udp 7\r\n"] {
        socket.send_to(datagram.as_bytes(), &udp).unwrap();
    }
    let count = endings.len() as u64;
    assert_eq!(
        skyring
            .listener("line_tcp")
            .wait_until_settled(count)
            .stored,
        count
    );
    assert_eq!(skyring.listener("line_udp").wait_until_settled(4).stored, 4);
    let after = now_s();
    for (metric, count) in [("of.now", endings.len()), ("of.now.udp", 3)] {
        let series = redis.series(metric);
        let records: Vec<&[u8]> = series.chunks(7).collect();
        assert_eq!(records.len(), count, "{series:02x?}");
        for record in records {
            assert_eq!((&record[..2], record[6]), (&[0x92, 0xce][..], 7));
            let time = u32::from_be_bytes(record[2..6].try_into().unwrap());
            let time = u64::from(time);
            assert!((before..=after).contains(&time), "{before} {time} {after}");
        }
    }
    skyring.finish();
}

/// What is no point costs its line alone, and is counted by its reason.
#[test]
fn bad_lines_are_counted_and_the_next_is_good() {
    let redis = Redis::start();
    let skyring = start(&redis);
    let mut sender = connect(&skyring);
    let now = now_s();
    let long = "n".repeat(4_000);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        ("only.name".into(), "bad_shape"),
        (" \tonly.name\t ".into(), "bad_shape"),
        (format!("four fields 1 {now}").into(), "bad_shape"),
        (format!("a 1 {now} x").into(), "bad_shape"),
        (format!("a b {now}").into(), "not_numeric"),
        (format!("a 1_0 {now}").into(), "not_numeric"),
        (format!("a 0x10 {now}").into(), "not_numeric"),
        (format!("a 1,5 {now}").into(), "not_numeric"),
        (format!("a None {now}").into(), "not_numeric"),
        (format!("a {} {now}", "9".repeat(129)).into(), "not_numeric"),
        ("a 1 yesterday".into(), "not_numeric"),
        (format!("a nan {now}").into(), "not_finite"),
        (format!("a -inf {now}").into(), "not_finite"),
        (format!("a 1e999 {now}").into(), "not_finite"),
        ("a 1 inf".into(), "not_finite"),
        ("a 1 -inf".into(), "not_finite"),
        (format!("a 1 {}", now - 9_000).into(), "too_old"),
        ("a 1 0".into(), "too_old"),
        ("a 1 -2".into(), "too_old"),
        (format!("a\0b 1 {now}").into(), "name_invalid"),
        (format!("\u{1b}[31mred 1 {now}").into(), "name_invalid"),
        (format!("cr\rin 1 {now}").into(), "name_invalid"),
        (format!("\u{202e}.evil 1 {now}").into(), "name_invalid"),
        (
            [&b"\xff\xfe"[..], format!(" 1 {now}").as_bytes()].concat(),
            "name_invalid",
        ),
        (
            format!("{long}{} 1 {now}", "m".repeat(97)).into(),
            "name_too_long",
        ),
        (
            "<13>Nov 22 02:38:33 host sshd[1]: session opened".into(),
            "bad_shape",
        ),
        ("GET / HTTP/1.1\r".into(), "not_numeric"),
        ("Host: example.org\r".into(), "not_numeric"),
        ("EHLO example.org".into(), "not_numeric"),
    ];
    let mut dropped: BTreeMap<String, u64> = BTreeMap::new();
    let listener = skyring.listener("line_tcp");
    for (at, (line, reason)) in cases.iter().enumerate() {
        sender.send(&[line, &b"\n"[..]].concat());
        sender.send(format!("good {at}.5 {now}.5\n").as_bytes());
        *dropped.entry((*reason).to_owned()).or_default() += 1;
        let stored = at as u64 + 1;
        listener.wait_for(
            &format!("counted {:?}", line.escape_ascii().to_string()),
            |counts| counts.stored == stored && counts.in_flight == 0 && counts.dropped == dropped,
        );
    }
    sender.assert_open();
    assert_eq!(redis.keys(), ["good".to_owned()].into());
    let wanted: Vec<f64> = (0..cases.len()).map(|at| at as f64 + 0.5).collect();
    assert_eq!(values_of(&redis.series("good"), "good"), wanted);
    skyring.finish();
}

/// A line is the same wherever the network cuts it: every place between two bytes,
/// read by the server as two pieces.
#[test]
fn lines_cut_at_every_byte_are_put_together() {
    let redis = Redis::start();
    let skyring = start(&redis);
    let mut sender = connect(&skyring);
    let now = now_s();
    let text = |at: usize| {
        format!(
            "cut.a 1{at:03} {now}\r\n\tcut.b;k=v\t1{at:03}.5  {now} \n\r\n caf\u{e9} 1{at:03} {now}\n"
        )
    };
    let length = text(0).len();
    let mut meant = String::new();
    for at in 1..length {
        let text = text(at);
        sender.send(&text.as_bytes()[..at]);
        sender.wait_until_read();
        sender.send(&text.as_bytes()[at..]);
        meant += &format!(
            "cut.a 1{at:03} {now}\ncut.b;k=v 1{at:03}.5 {now}\ncaf\u{e9} 1{at:03} {now}\n"
        );
    }
    // And one byte after the other.
    for byte in text(length).as_bytes() {
        sender.send(&[*byte]);
        sender.wait_until_read();
    }
    let at = length;
    meant +=
        &format!("cut.a 1{at:03} {now}\ncut.b;k=v 1{at:03}.5 {now}\ncaf\u{e9} 1{at:03} {now}\n");
    let counts = skyring
        .listener("line_tcp")
        .wait_until_settled(3 * length as u64);
    assert_eq!(counts.stored, counts.received);
    assert_eq!(counts.number("bytes"), (length * length) as u64);
    assert_holds(&redis, &meant);
    drop(sender);
    let counts = skyring
        .listener("line_tcp")
        .wait_for("saw it leave", |counts| counts.number("connections") == 0);
    assert_eq!(counts.number("frames_cut_short"), 0);
    skyring.finish();
}

/// The last line of a connection is one only when its end has come: half a line could
/// be another number. It is counted; what came before it is stored.
#[test]
fn a_last_line_without_its_end_is_counted_as_cut_short() {
    let redis = Redis::start();
    let skyring = start(&redis);
    let now = now_s();
    let rests = [
        "x",
        "cut.off",
        "cut.off 1",
        "cut.off 1 179",
        "cut.off 1 1795302404",
    ];
    for (at, rest) in rests.iter().enumerate() {
        let mut sender = connect(&skyring);
        sender.send(format!("whole {at}.5 {now}.5\n{rest}").as_bytes());
        if at % 2 == 0 {
            sender.wait_until_read();
        }
        drop(sender);
        skyring
            .listener("line_tcp")
            .wait_for("counted it", |counts| {
                counts.number("frames_cut_short") == at as u64 + 1
            });
    }
    let counts = skyring.listener("line_tcp").wait_until_settled(5);
    assert_eq!(counts.stored, 5);
    assert_eq!(redis.keys(), ["whole".to_owned()].into());
    skyring.finish();
}

/// A line that is too long is skipped up to its end and costs no memory; what comes
/// before and after it on the same connection is stored.
#[test]
fn an_overlong_line_is_skipped_and_its_connection_lives_on() {
    let redis = Redis::start();
    let skyring = start(&redis);
    let mut sender = connect(&skyring);
    let listener = skyring.listener("line_tcp");
    let now = now_s();
    let (_, before_bytes) = skyring.process.resident_bytes();
    let mut good = 0.5;
    let mut send_good = |sender: &mut Sender| {
        sender.send(format!("good {good:?} {now}.5\n").as_bytes());
        good += 1.0;
    };
    let pieces: [&[usize]; 4] = [&[5_000], &[300_000], &[4_000, 4_000], &[1 << 20; 16]];
    for (at, pieces) in pieces.iter().enumerate() {
        send_good(&mut sender);
        for piece in *pieces {
            sender.send(&vec![b'x'; *piece]);
            sender.wait_until_read();
        }
        listener.wait_for("saw that it is too long", |counts| {
            counts.number("frames_too_long") == at as u64 + 1
        });
        sender.send(format!(" 1 {now}\n").as_bytes());
        send_good(&mut sender);
    }
    // One that ends at once, and one that never ends.
    sender.send(&vec![b'x'; 1_000_000]);
    sender.send(b"\n");
    send_good(&mut sender);
    sender.send(&vec![b'x'; 100_000]);
    let counts = listener.wait_for("counted all", |counts| {
        counts.number("frames_too_long") == 6 && counts.stored == 9
    });
    assert_eq!((counts.received, counts.dropped_total()), (9, 0));
    sender.assert_open();
    drop(sender);
    listener.wait_for("saw it leave", |counts| counts.number("connections") == 0);
    let wanted: Vec<f64> = (0..9).map(|at| f64::from(at) + 0.5).collect();
    assert_eq!(values_of(&redis.series("good"), "good"), wanted);
    assert_eq!(redis.keys(), ["good".to_owned()].into());
    let (_, peak_bytes) = skyring.process.resident_bytes();
    assert!(
        peak_bytes < before_bytes + (8 << 20),
        "{peak_bytes} resident"
    );
    skyring.finish();
}
