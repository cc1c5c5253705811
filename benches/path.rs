//! What a point costs on its way through one shard, without sockets: step by
//! step, in rounds that take turns, so that a machine that changes its speed
//! changes it for all.
//!
//! 100,000 metrics, frames of 500 points, all metrics known. Every step holds
//! those before it, so the difference of two lines is one step. Beside them:
//! the hash that says which cluster node owns a name, the encoder alone, and
//! appending under an operator's rules: 20 that fit nothing, one that renames all.
//!
//! `cargo bench --bench path` prints the table; `-- --test` runs it tiny.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use skyring::Settings;
use skyring::budget::Budget;
use skyring::pipeline::{Arrival, Pipeline};
use skyring::point::{Number, Point};
use skyring::stats::Source;
use skyring::wire::msgpack::Record;
use skyring::wire::pickle::Decoder;
use skyring::wire::resp::Encoder;

const FRAME_POINTS: usize = 500;

fn main() {
    let test = std::env::args().any(|arg| arg == "--test");
    let (metrics, rounds) = if test { (1_000, 1) } else { (100_000, 21) };
    let names: Vec<String> = (0..metrics).map(name).collect();
    let now = Arrival::now().unix_s;
    let frames: Vec<Vec<u8>> = names
        .chunks(FRAME_POINTS)
        .map(|names| frame(names, now as f64))
        .collect();

    let mut decoder = Decoder::new();
    let mut appended = Path::new("[]");
    let mut flushed = Path::new("[]");
    let mut settled = Path::new("[]");
    let mut unfitted = Path::new(&unfitting());
    let mut renamed = Path::new("[{ prefix = 'servers.', action = 'rename', to = 'hosts.' }]");
    for path in [
        &mut appended,
        &mut flushed,
        &mut settled,
        &mut unfitted,
        &mut renamed,
    ] {
        path.round(&mut decoder, &frames, Step::Settle);
        assert_eq!(path.stored(), metrics as u64);
        path.is_warm = true;
    }

    let mut steps: [(&str, Vec<f64>); 8] = [
        ("adler2 of the name", Vec::new()),
        ("encode alone", Vec::new()),
        ("decode", Vec::new()),
        ("decode, append", Vec::new()),
        ("decode, append, flush", Vec::new()),
        ("decode, append, flush, settle", Vec::new()),
        ("decode, append, 20 rules", Vec::new()),
        ("decode, append, all renamed", Vec::new()),
    ];
    for _ in 0..rounds {
        let mut measure = |step: usize, work: &mut dyn FnMut()| {
            let start = Instant::now();
            work();
            steps[step]
                .1
                .push(start.elapsed().as_nanos() as f64 / metrics as f64);
        };
        measure(0, &mut || {
            for name in &names {
                black_box(adler2::adler32_slice(black_box(name.as_bytes())));
            }
        });
        measure(1, &mut || encode(&names));
        measure(2, &mut || {
            for frame in &frames {
                black_box(
                    decoder
                        .decode(black_box(frame))
                        .expect("a good frame")
                        .len(),
                );
            }
        });
        measure(3, &mut || {
            appended.round(&mut decoder, &frames, Step::Append)
        });
        // What was only appended is settled outside of the measure.
        appended.settle_all();
        measure(4, &mut || flushed.round(&mut decoder, &frames, Step::Flush));
        flushed.answer();
        measure(5, &mut || {
            settled.round(&mut decoder, &frames, Step::Settle)
        });
        for (step, path) in [(6, &mut unfitted), (7, &mut renamed)] {
            measure(step, &mut || {
                path.round(&mut decoder, &frames, Step::Append)
            });
            path.settle_all();
        }
    }
    assert_eq!(settled.stored(), (rounds as u64 + 1) * metrics as u64);
    for (step, mut times) in steps {
        times.sort_by(f64::total_cmp);
        println!("{step:32} {:7.1} ns/point", times[times.len() / 2]);
    }
}

enum Step {
    Append,
    Flush,
    Settle,
}

/// A pipeline whose Redis answers at once.
struct Path {
    pipeline: Pipeline,
    out: Vec<u8>,
    answers: Vec<u8>,
    unanswered: usize,
    /// Whether every metric is known, so that nothing but points is sent.
    is_warm: bool,
}

impl Path {
    /// Under these rules of an operator, as TOML writes their list.
    fn new(rules: &str) -> Self {
        let rules = format!("rule={rules}");
        let settings = Settings::load(None, &[rules]).expect("good rules");
        let mut pipeline = Pipeline::new(&settings, Arc::new(Budget::new(1 << 40, 0)));
        pipeline.connect();
        Self {
            pipeline,
            out: Vec::new(),
            answers: Vec::new(),
            unanswered: 0,
            is_warm: false,
        }
    }

    fn round(&mut self, decoder: &mut Decoder, frames: &[Vec<u8>], upto: Step) {
        for frame in frames {
            let decoded = decoder.decode(black_box(frame)).expect("a good frame");
            self.pipeline
                .append(decoded.points(), Source::Pickle, Arrival::now(), None);
            match upto {
                Step::Append => {}
                Step::Flush => {
                    self.flush();
                    // The answers are made by a Redis elsewhere; here they only
                    // have to be there before too much is in flight.
                    if self.unanswered >= 4 * FRAME_POINTS {
                        self.answer();
                    }
                }
                Step::Settle => self.settle(),
            }
        }
    }

    fn flush(&mut self) {
        while self.pipeline.flush(&mut self.out, true) {}
        if self.is_warm {
            // One APPEND for each point: every name of a frame is another.
            self.unanswered += if self.out.is_empty() { 0 } else { FRAME_POINTS };
        } else {
            let commands = self.out.windows(3).filter(|head| head == b"\r\n*").count();
            self.unanswered += commands + usize::from(!self.out.is_empty());
        }
        black_box(&self.out);
        self.out.clear();
    }

    fn answer(&mut self) {
        self.answers.clear();
        for _ in 0..self.unanswered {
            self.answers.extend_from_slice(b":1234\r\n");
        }
        self.unanswered = 0;
        self.pipeline
            .settle(&self.answers)
            .expect("the answers fit");
    }

    fn settle(&mut self) {
        loop {
            self.flush();
            if self.unanswered == 0 {
                break;
            }
            self.answer();
        }
        assert!(self.pipeline.is_settled());
    }

    /// Settles any number of batches of any size.
    fn settle_all(&mut self) {
        self.is_warm = false;
        self.settle();
        self.is_warm = true;
    }

    fn stored(&self) -> u64 {
        self.pipeline.counts.sources[Source::Pickle as usize].stored
    }
}

/// Rules of which none fits a name.
fn unfitting() -> String {
    let rules = (0..20).map(|n| format!("{{ match = '^nobody{n}\\.', action = 'drop' }}"));
    format!("[{}]", rules.collect::<Vec<_>>().join(", "))
}

fn encode(names: &[String]) {
    let encoder = Encoder::new("metrics.");
    let mut out = Vec::with_capacity(1 << 17);
    for (n, name) in names.iter().enumerate() {
        let record = Record::new(Number::Float(1_700_000_000.0), Number::Float(n as f64));
        encoder.append_begin(&mut out, name.as_bytes(), record.as_bytes().len());
        out.extend_from_slice(record.as_bytes());
        encoder.append_end(&mut out);
        if out.len() > 1 << 16 {
            black_box(&out);
            out.clear();
        }
    }
}

fn name(i: usize) -> String {
    format!("servers.web-{i:06}.requests.checkout.latency.p99_upper")
}

/// As a relay on Python 3 sends it: protocol 2, floats, everything memoised.
fn frame(names: &[String], now: f64) -> Vec<u8> {
    let mut out = b"\x80\x02]q\x00(".to_vec();
    let mut memo: u32 = 1;
    let mut put = |out: &mut Vec<u8>| {
        out.push(b'r');
        out.extend(memo.to_le_bytes());
        memo += 1;
    };
    for (n, name) in names.iter().enumerate() {
        out.push(b'X');
        out.extend((name.len() as u32).to_le_bytes());
        out.extend(name.as_bytes());
        put(&mut out);
        for number in [now, n as f64] {
            out.push(b'G');
            out.extend(number.to_be_bytes());
        }
        for _ in 0..2 {
            out.push(0x86);
            put(&mut out);
        }
    }
    out.extend(b"e.");
    let decoded = Decoder::new()
        .decode(&out)
        .map(|decoded| decoded.points().next().is_some_and(is_good));
    assert_eq!(decoded, Ok(true));
    out
}

fn is_good(point: Point<'_>) -> bool {
    point.name.ends_with(b"p99_upper")
}
