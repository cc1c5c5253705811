//! How long the pickle decoder takes for one point, beside serde-pickle, on the frames
//! that senders write: 500 points of 55-byte names. And how many of the same points the
//! other decoders take in the time in which the general pickle machine takes one.
//!
//! `cargo bench --bench decode` prints the median of many interleaved rounds, so that a
//! machine that changes its speed changes it for all. `-- --test` runs it tiny and
//! checks every answer.

use std::hint::black_box;
use std::time::Instant;

use skyring::flux::json::Json;
use skyring::flux::post::Body;
use skyring::point::{Number, Point};
use skyring::wire::datagram;
use skyring::wire::line::Lines;
use skyring::wire::pickle::{BadFrame, Decoded, Decoder};

type Oracle = Vec<(String, (f64, f64))>;

const POINTS: usize = 500;

fn main() {
    let test = std::env::args().any(|arg| arg == "--test");
    let (rounds, repeats) = if test { (1, 1) } else { (101, 40) };
    if !test {
        println!(
            "{:28} {:>7} {:>9} {:>9} {:>9} {:>8} {:>8}",
            "frame of 500 points", "bytes", "fast", "general", "serde", "fast", "general"
        );
        println!(
            "{:28} {:>7} {:>9} {:>9} {:>9} {:>8} {:>8}",
            "", "a point", "ns/point", "ns/point", "ns/point", "x serde", "x serde"
        );
    }
    let frames = [
        ("protocol 2, Python 3", python3_protocol_2(POINTS)),
        ("protocol 2, Python 2", python2_protocol_2(POINTS)),
        ("protocol 4", protocol_4(POINTS)),
        ("protocol 0", protocol_0(POINTS)),
    ];
    let goldens: [(&[u8], Vec<u8>); 3] = [
        (
            include_bytes!("../tests/goldens/pickle/bench_0.bin"),
            protocol_0(100),
        ),
        (
            include_bytes!("../tests/goldens/pickle/bench_2.bin"),
            python3_protocol_2(100),
        ),
        (
            include_bytes!("../tests/goldens/pickle/bench_4.bin"),
            protocol_4(100),
        ),
    ];
    for (golden, frame) in goldens {
        assert_eq!(golden, frame, "the frames are CPython's, byte for byte");
    }
    for (what, frame) in frames {
        check(&frame);
        let mut fast = Decoder::new();
        let mut general = Decoder::new();
        let [fast, general, serde] = measure(
            [
                &mut || sum(good(fast.decode(black_box(&frame))).points()),
                &mut || sum(good(general.decode_general(black_box(&frame))).points()),
                &mut || oracle(black_box(&frame)).len() as f64,
            ],
            rounds,
            repeats,
        );
        if !test {
            println!(
                "{what:28} {:7.1} {fast:9.1} {general:9.1} {serde:9.1} {:8.1} {:8.1}",
                frame.len() as f64 / POINTS as f64,
                serde / fast,
                serde / general,
            );
        }
    }
    other_formats(test, rounds, repeats);
}

/// The same points in the other formats, each beside the general pickle machine.
fn other_formats(test: bool, rounds: usize, repeats: usize) {
    if !test {
        println!(
            "\n{:28} {:>7} {:>9} {:>9} {:>9}",
            "500 points", "bytes", "here", "general", "points/s"
        );
        println!(
            "{:28} {:>7} {:>9} {:>9} {:>9}",
            "", "a point", "ns/point", "ns/point", "x general"
        );
    }
    let frame = python3_protocol_2(POINTS);
    let lines = [
        (
            "lines, as carbon-relay",
            lines(|i| format!("{}", timestamp(i))),
        ),
        (
            "lines, stamps as floats",
            lines(|i| format!("{:?}", timestamp(i))),
        ),
    ];
    let datagrams: Vec<Vec<u8>> = (0..POINTS).map(msgpack).collect();
    for (what, lines) in &lines {
        let read = || Lines::new(black_box(lines), 0);
        assert_eq!(collect(read()), expected());
        let times = beside_general(&frame, &mut || sum(read()), rounds, repeats);
        report(test, what, lines.len(), times);
    }
    let read = || {
        datagrams.iter().map(|datagram| {
            let decoded = datagram::decode(black_box(datagram));
            decoded
                .expect("the datagram is good")
                .expect("it is a point")
        })
    };
    assert_eq!(collect(read()), expected());
    let times = beside_general(&frame, &mut || sum(read()), rounds, repeats);
    let bytes = datagrams.iter().map(Vec::len).sum();
    report(test, "MessagePack datagrams", bytes, times);
    bodies(test, rounds, repeats);
}

/// Bodies that are posted to Flux, beside serde_json's tree of the same.
fn bodies(test: bool, rounds: usize, repeats: usize) {
    let metric = |i| {
        let (name, timestamp, value) = (name(i), timestamp(i) as u64, value(i));
        format!("{{\"metric\": \"{name}\", \"timestamp\": {timestamp}, \"value\": {value:?}}}")
    };
    let metrics: Vec<String> = (0..POINTS).map(metric).collect();
    let body = format!("{{\"metrics\": [{}], \"key\": \"x\"}}", metrics.join(", "));
    let numbers = |body: &str| -> Oracle {
        let Ok(Body::Post(post)) = Body::parse(body, POINTS) else {
            panic!("the body is good");
        };
        let items = post.listed.iter().map(|listed| {
            let item = listed.item();
            let text = item.metric.as_ref().map(|name| name.to_text().into_owned());
            let number = |json: &Option<_>| json.as_ref().and_then(Json::number);
            let (timestamp, value) = (number(&item.timestamp), number(&item.value));
            let point = text.zip(timestamp.zip(value));
            point.expect("it has all three")
        });
        items.collect()
    };
    assert_eq!(numbers(&body), expected());
    let times = measure(
        [
            &mut || match Body::parse(black_box(&body), POINTS) {
                Ok(Body::Post(post)) => post.listed.len() as f64,
                _ => panic!("the body is good"),
            },
            &mut || {
                let tree: serde_json::Value =
                    serde_json::from_str(black_box(&body)).expect("the body is good");
                tree["metrics"]
                    .as_array()
                    .map_or(0.0, |all| all.len() as f64)
            },
        ],
        rounds,
        repeats,
    );
    if !test {
        println!(
            "\n{:28} {:>7} {:>9} {:>9} {:>9}",
            "500 points", "bytes", "here", "serde", "x serde"
        );
    }
    report(test, "JSON bodies, taken apart", body.len(), times);
}

fn beside_general(
    frame: &[u8],
    here: &mut dyn FnMut() -> f64,
    rounds: usize,
    repeats: usize,
) -> [f64; 2] {
    let mut decoder = Decoder::new();
    let mut general = || sum(good(decoder.decode_general(black_box(frame))).points());
    measure([here, &mut general], rounds, repeats)
}

fn report(test: bool, what: &str, bytes: usize, [here, general]: [f64; 2]) {
    if !test {
        println!(
            "{what:28} {:7.1} {here:9.1} {general:9.1} {:9.2}",
            bytes as f64 / POINTS as f64,
            general / here,
        );
    }
}

/// Median ns a point of several decoders, in rounds that take turns.
fn measure<const N: usize>(
    decoders: [&mut dyn FnMut() -> f64; N],
    rounds: usize,
    repeats: usize,
) -> [f64; N] {
    let mut times = [const { Vec::new() }; N];
    for round in 0..rounds {
        for turn in 0..N {
            let which = (round + turn) % N;
            let start = Instant::now();
            for _ in 0..repeats {
                black_box(decoders[which]());
            }
            let points = (repeats * POINTS) as f64;
            times[which].push(start.elapsed().as_nanos() as f64 / points);
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

/// Reads every point, so that nothing of the decoding can be left out.
fn sum<'a>(points: impl Iterator<Item = Point<'a>>) -> f64 {
    points
        .map(|point| point.name.len() as f64 + float(point.timestamp) + float(point.value))
        .sum()
}

fn good(decoded: Result<Decoded<'_>, BadFrame>) -> Decoded<'_> {
    decoded.expect("the frame is good")
}

fn oracle(frame: &[u8]) -> Oracle {
    serde_pickle::from_slice(frame, serde_pickle::DeOptions::new().decode_strings())
        .expect("the frame is good")
}

fn check(frame: &[u8]) {
    assert_eq!(oracle(frame), expected());
    let mut decoder = Decoder::new();
    for general in [false, true] {
        let decoded = good(if general {
            decoder.decode_general(frame)
        } else {
            decoder.decode(frame)
        });
        assert_eq!(decoded.invalid().total(), 0);
        assert_eq!(collect(decoded.points()), expected());
    }
}

fn expected() -> Oracle {
    (0..POINTS)
        .map(|i| (name(i), (timestamp(i), value(i))))
        .collect()
}

fn collect<'a>(points: impl Iterator<Item = Point<'a>>) -> Oracle {
    points
        .map(|point| {
            let name = String::from_utf8(point.name.to_vec()).expect("the name is ASCII");
            (name, (float(point.timestamp), float(point.value)))
        })
        .collect()
}

fn float(number: Number) -> f64 {
    match number {
        Number::Float(n) => n,
        Number::Int(n) => n as f64,
        Number::Uint(n) => n as f64,
        Number::Bool(n) => f64::from(u8::from(n)),
    }
}

// The frames are what CPython writes, byte for byte: `tests/goldens/make_pickles.py`
// pickles the same names and numbers, and `main` holds the two against each other.

fn name(i: usize) -> String {
    format!("servers.web-{i:05}.requests.checkout.latency.p99_upper")
}

/// carbon keeps timestamps as floats, so relays send floats.
fn timestamp(i: usize) -> f64 {
    1_700_000_000.0 + i as f64
}

fn value(i: usize) -> f64 {
    i as f64 * 0.25
}

/// The memo opcodes of protocols 1 to 3.
fn put(out: &mut Vec<u8>, index: &mut u32) {
    match u8::try_from(*index) {
        Ok(index) => out.extend([b'q', index]),
        Err(_) => {
            out.push(b'r');
            out.extend(index.to_le_bytes());
        }
    }
    *index += 1;
}

fn binary_float(out: &mut Vec<u8>, n: f64) {
    out.push(b'G');
    out.extend(n.to_be_bytes());
}

fn python3_protocol_2(points: usize) -> Vec<u8> {
    let mut out = b"\x80\x02]".to_vec();
    let mut memo = 0;
    put(&mut out, &mut memo);
    out.push(b'(');
    for i in 0..points {
        let name = name(i);
        out.push(b'X');
        out.extend((name.len() as u32).to_le_bytes());
        out.extend(name.as_bytes());
        put(&mut out, &mut memo);
        binary_float(&mut out, timestamp(i));
        binary_float(&mut out, value(i));
        for _ in 0..2 {
            out.push(0x86);
            put(&mut out, &mut memo);
        }
    }
    out.extend(b"e.");
    out
}

/// cPickle memoises only what is held more than once: the list and the points' tuples
/// are, as carbon holds them in its queue, and the names are not.
fn python2_protocol_2(points: usize) -> Vec<u8> {
    let mut out = b"\x80\x02]".to_vec();
    let mut memo = 1;
    put(&mut out, &mut memo);
    out.push(b'(');
    for i in 0..points {
        let name = name(i);
        out.extend([b'U', name.len() as u8]);
        out.extend(name.as_bytes());
        binary_float(&mut out, timestamp(i));
        binary_float(&mut out, value(i));
        out.push(0x86);
        out.push(0x86);
        put(&mut out, &mut memo);
    }
    out.extend(b"e.");
    out
}

fn protocol_4(points: usize) -> Vec<u8> {
    let mut body = b"]\x94(".to_vec();
    for i in 0..points {
        let name = name(i);
        body.extend([0x8c, name.len() as u8]);
        body.extend(name.as_bytes());
        body.push(0x94);
        binary_float(&mut body, timestamp(i));
        binary_float(&mut body, value(i));
        body.extend([0x86, 0x94, 0x86, 0x94]);
    }
    body.extend(b"e.");
    let mut out = b"\x80\x04\x95".to_vec();
    out.extend((body.len() as u64).to_le_bytes());
    out.extend(body);
    out
}

fn protocol_0(points: usize) -> Vec<u8> {
    let mut out = b"(lp0\n".to_vec();
    let mut memo = 1;
    for i in 0..points {
        let [name_at, pair_at, item_at] = [memo, memo + 1, memo + 2];
        memo += 3;
        let name = name(i);
        let (timestamp, value) = (timestamp(i), value(i));
        let item = format!(
            "(V{name}\np{name_at}\n(F{timestamp:?}\nF{value:?}\ntp{pair_at}\ntp{item_at}\na"
        );
        out.extend(item.into_bytes());
    }
    out.push(b'.');
    out
}

/// Lines with the values that carbon-relay writes.
fn lines(timestamp: impl Fn(usize) -> String) -> Vec<u8> {
    (0..POINTS)
        .flat_map(|i| format!("{} {} {}\r\n", name(i), value(i), timestamp(i)).into_bytes())
        .collect()
}

fn msgpack(i: usize) -> Vec<u8> {
    let name = name(i);
    let mut out = vec![0x92, 0xd9, name.len() as u8];
    out.extend(name.as_bytes());
    out.push(0x92);
    for n in [timestamp(i), value(i)] {
        out.push(0xcb);
        out.extend(n.to_be_bytes());
    }
    out
}
