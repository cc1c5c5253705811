//! Points in datagrams: msgpack and lines over UDP, hostile ones among them, floods,
//! and what the kernel keeps and drops while they are not read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use crate::fixture::datagram::{DatagramSender, datagram};
use crate::fixture::listener::Listener;
use crate::fixture::process::Process;
use crate::fixture::redis::Redis;
use crate::fixture::sender::{record, values_of};
use crate::fixture::skyring::{Plan, Skyring, command};
use crate::fixture::{eventually, hex, holds, now_s, python};

const UDP: [&str; 2] = ["msgpack", "line_udp"];

/// A datagram with one point of now, as this listener takes it.
fn point(listener: &str, name: &str, value: f64) -> Vec<u8> {
    let now = now_s() as f64;
    match listener {
        "msgpack" => datagram(name, now, value),
        _ => format!("{name} {value:?} {now:?}\n").into_bytes(),
    }
}

/// The points of a server's whole Redis, each series checked to be in order and
/// without anything twice.
fn count_in_order(redis: &Redis) -> u64 {
    let mut count = 0;
    for metric in redis.keys() {
        let values = values_of(&redis.series(&metric), &metric);
        let rises = values.windows(2).all(|two| two[0] < two[1]);
        assert!(rises, "{metric}: out of order or twice: {values:?}");
        count += values.len() as u64;
    }
    count
}

/// Every kind of name, number and header that Python can pack, and everything that
/// must be refused: truncated at every byte, empty, 64 KiB long, other shapes. Each
/// series is byte for byte what Python's msgpack makes of the same numbers, each
/// refusal is in the counter of its reason, and the first datagram is garbage.
#[test]
fn datagrams_of_python_are_stored_as_python_packs_them() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let listener = skyring.listener("msgpack");
    let sender = DatagramSender::connect(&listener.address());
    let cases = python::datagrams();
    assert!(cases.len() > 200, "{} cases", cases.len());
    let mut series: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut dropped: BTreeMap<String, u64> = BTreeMap::new();
    let mut bad: BTreeMap<String, u64> = BTreeMap::new();
    let (mut stored, mut bytes) = (0, 0);
    for case in &cases {
        sender.send(&case.datagram);
        bytes += case.datagram.len() as u64;
        for (metric, records) in &case.series {
            series.entry(metric.clone()).or_default().extend(records);
            stored += 1;
        }
        for (reason, count) in &case.dropped {
            *dropped.entry(reason.clone()).or_default() += count;
        }
        if let Some(reason) = &case.bad {
            *bad.entry(reason.clone()).or_default() += 1;
        }
        // One by one, so that a wrong count names its datagram.
        listener.wait_for(&format!("took {}", case.name), |counts| {
            let taken = counts.dropped == dropped && counts.frames_bad == bad;
            taken && counts.stored == stored && counts.in_flight == 0
        });
    }
    let counts = listener.counts();
    assert_eq!(
        counts.number("frames") + counts.frames_bad_total(),
        cases.len() as u64
    );
    assert_eq!(counts.number("bytes"), bytes);
    assert_eq!(counts.number("kernel_drops"), 0);
    for (metric, records) in &series {
        assert_eq!(&redis.series(metric), records, "{metric}");
    }
    assert_eq!(redis.keys(), series.keys().cloned().collect());
    assert_eq!(redis.members(), redis.keys());
    skyring.finish();
}

/// The longest datagrams that there are: 65,507 bytes over IPv4, 65,527 over IPv6.
#[test]
fn the_longest_datagrams_are_read_whole() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .set("horizon.name_bytes_max", 65_535)
        .set("horizon.msgpack", "[\"127.0.0.1:0\", \"[::1]:0\"]")
        .set("horizon.line_udp", "[\"127.0.0.1:0\", \"[::1]:0\"]")
        .start();
    let now = now_s();
    let mut names = Vec::new();
    for (address, longest) in [(0, 65_507), (1, 65_527)] {
        let to = |listener| {
            let address = &skyring.listener(listener).addresses()[address];
            DatagramSender::connect(address)
        };
        let head = [&b"\x92\xda"[..], &[0; 2]].concat();
        let tail = [&b"\x92\xce"[..], &(now as u32).to_be_bytes(), b"\x07"].concat();
        let name = "m".repeat(longest - head.len() - tail.len());
        let length = u16::try_from(name.len()).unwrap().to_be_bytes();
        let bytes = [&head[..2], &length, name.as_bytes(), &tail].concat();
        assert_eq!(bytes.len(), longest);
        to("msgpack").send(&bytes);
        names.push(name);
        let tail = format!(" 7 {now}");
        let name = "l".repeat(longest - tail.len());
        to("line_udp").send((name.clone() + &tail).as_bytes());
        names.push(name);
    }
    for listener in UDP {
        assert_eq!(skyring.listener(listener).wait_until_settled(2).stored, 2);
    }
    let lines: String = names.iter().map(|n| format!("{n} 7 {now}\n")).collect();
    assert_eq!(redis.keys(), names.into_iter().collect());
    for (metric, records) in python::records_of_graphite_lines(&lines) {
        assert!(redis.series(&metric) == records, "{}", metric.len());
    }
    skyring.finish();
}

/// Lines in datagrams: several in one, without an end, with any end, tags, blanks,
/// and what is no point, which costs its line alone.
#[test]
fn datagrams_of_lines_are_stored_line_by_line() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).with_lines().start();
    let listener = skyring.listener("line_udp");
    let sender = DatagramSender::connect(&listener.address());
    let now = now_s();
    let datagrams = [
        format!("plain 1 {now}\n"),
        format!("no.end 2.5 {now}"),
        format!("many.a 1 {now}\nmany.b 2 {now}\r\nmany.c 3 {now}\n\n\r\n\nmany.d -4 {now}.25"),
        format!("\t tags;host=a;mount=/ \t 71\t{now}  \r\n"),
        format!("after.bad 1 {now}\nonly.name\nafter.bad 2 {now}\na b c d\nafter.bad 3 {now}"),
    ];
    for bytes in &datagrams {
        sender.send(bytes.as_bytes());
    }
    for nothing in [&b""[..], b"\n", b"\r\n", b" \t \n\n", b"\r"] {
        sender.send(nothing);
    }
    sender.send(format!("the.last 1 {now}").as_bytes());
    let counts = listener.wait_until_settled(13);
    assert_eq!(counts.dropped, [("bad_shape".to_owned(), 2)].into());
    assert_eq!((counts.stored, counts.number("frames")), (11, 13));
    let meant = format!(
        "plain 1 {now}\nno.end 2.5 {now}\nmany.a 1 {now}\nmany.b 2 {now}\nmany.c 3 {now}
many.d -4 {now}.25\ntags;host=a;mount=/ 71 {now}\nafter.bad 1 {now}\nafter.bad 2 {now}
after.bad 3 {now}\nthe.last 1 {now}\n"
    );
    let expected = python::records_of_graphite_lines(&meant);
    for (metric, records) in &expected {
        assert_eq!(&redis.series(metric), records, "{metric}");
    }
    assert_eq!(redis.keys(), expected.keys().cloned().collect());
    skyring.finish();
}

/// Garbage before, between and after good datagrams, seeded: nothing but itself is
/// lost, whether it is random bytes or a good datagram with bytes changed.
#[test]
fn garbage_costs_only_its_own_datagram() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).with_lines().start();
    let mut state = 0x5eed_5eed_5eed_5eed_u64;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for name in UDP {
        let listener = skyring.listener(name);
        let sender = DatagramSender::connect(&listener.address());
        let metric = format!("good.{name}");
        for at in 0..3_000_u32 {
            let garbage: Vec<u8> = if at % 2 == 0 {
                (0..random(80)).map(|_| random(256) as u8).collect()
            } else {
                let mut bytes = point(name, "bad", f64::from(at));
                for _ in 0..=random(4) {
                    let place = random(bytes.len());
                    bytes[place] = random(256) as u8;
                }
                bytes
            };
            sender.send(&garbage);
            sender.send(&point(name, &metric, f64::from(at)));
            if at % 500 == 0 {
                eventually("it was read", || {
                    holds(listener.queued_bytes() == 0, String::new)
                });
            }
        }
        let wanted: Vec<f64> = (0..3_000).map(f64::from).collect();
        eventually("every good one was stored", || {
            let values = values_of(&redis.series(&metric), &metric);
            holds(values == wanted, || format!("{} of 3000", values.len()))
        });
        let counts = listener.wait_for("settled", |counts| counts.in_flight == 0);
        let refused = counts.dropped_total() + counts.frames_bad_total();
        assert!(refused > 1_000, "{counts:?}");
        assert_eq!(counts.number("kernel_drops"), 0);
    }
    skyring.finish();
}

/// As collectd and statsd send when they are let: 200,000 datagrams as fast as four
/// senders can. What is not received was dropped by the kernel, and counted.
#[test]
fn a_flood_is_stored_or_counted() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).with_lines().start();
    // Lines are sent as collectd does: as many as go into a packet.
    for (name, points_each) in [("msgpack", 1_u32), ("line_udp", 20)] {
        let listener = skyring.listener(name);
        let address = listener.address();
        let datagrams = 200_000 / points_each;
        let senders: Vec<_> = (0..4)
            .map(|thread| {
                let address = address.clone();
                std::thread::spawn(move || {
                    let sender = DatagramSender::connect(&address);
                    for at in 0..datagrams / 4 {
                        let one = |n| {
                            let metric = format!("flood.{name}.t{thread}.m{}", n % 20);
                            point(name, &metric, f64::from(at * points_each + n))
                        };
                        let all: Vec<u8> = (0..points_each).flat_map(one).collect();
                        sender.send(&all);
                    }
                })
            })
            .collect();
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
        let counts = listener.wait_for("received or dropped all", |counts| {
            let seen = counts.received + counts.number("kernel_drops") * u64::from(points_each);
            seen == u64::from(datagrams * points_each) && counts.in_flight == 0
        });
        assert_eq!(counts.stored, counts.received);
        assert!(counts.stored > 0);
    }
    let stored = UDP.map(|name| skyring.listener(name).counts().stored);
    assert_eq!(count_in_order(&redis), stored.iter().sum::<u64>());
    skyring.finish();
}

/// A server whose Redis is away and which has kept as much as it may. Returns how
/// many points were sent to each listener, the last of which wait in the kernel.
fn full_backlog(redis: &mut Redis, skyring: &Skyring) -> BTreeMap<&'static str, u32> {
    redis.crash();
    eventually("Redis was away", || {
        let status = skyring.status();
        let away = status["redis"]["connected"] == false;
        holds(away, || status["redis"].to_string())
    });
    let mut sent = BTreeMap::new();
    for name in UDP {
        let listener = skyring.listener(name);
        let sender = DatagramSender::connect(&listener.address());
        let count: &mut u32 = sent.entry(name).or_default();
        eventually("datagrams waited in the kernel", || {
            // Far fewer than the kernel holds.
            for _ in 0..1_000 {
                sender.send(&point(name, &format!("kept.{name}"), f64::from(*count)));
                *count += 1;
            }
            listener.wait_until_stalled();
            holds(listener.queued_bytes() > 0, || format!("{count} sent"))
        });
        let counts = listener.counts();
        assert_eq!(counts.number("kernel_drops"), 0);
        assert!(counts.received < u64::from(*count));
        assert_eq!(counts.in_flight, counts.received);
    }
    sent
}

/// Fills a listener's queue until the kernel drops; returns how many were sent.
fn overflow(listener: &Listener<'_>, name: &str, from: u32) -> u32 {
    let sender = DatagramSender::connect(&listener.address());
    let mut sent = from;
    eventually("the kernel dropped", || {
        for _ in 0..2_000 {
            sender.send(&point(name, &format!("kept.{name}"), f64::from(sent)));
            sent += 1;
        }
        let drops = listener.kernel_drops();
        holds(drops > 0, || format!("{sent} sent"))
    });
    sent
}

fn small_bounds(redis: &Redis) -> Plan {
    Plan::with(redis)
        .with_lines()
        .set("drain_s", 120)
        .set("horizon.frame_bytes_max", 65_536)
        .set("horizon.buffer_bytes_max", 1 << 20)
}

/// While Redis is away, packets wait; when the kernel has no room for more it drops
/// and counts, in the status and for Prometheus. What was received is stored when
/// Redis is back, in order, once.
#[test]
fn a_backlog_waits_for_redis_and_only_the_kernel_drops() {
    let mut redis = Redis::start();
    let skyring = small_bounds(&redis).start();
    let mut sent = full_backlog(&mut redis, &skyring);
    let waited = sent.clone();
    for (name, sent) in &mut sent {
        let listener = skyring.listener(name);
        *sent = overflow(&listener, name, *sent);
        let sample = format!(
            "skyring_kernel_drops_total{{listener=\"{name}\"}} {}",
            listener.kernel_drops()
        );
        let metrics = skyring.get("/metrics").body;
        assert!(metrics.lines().any(|line| line == sample), "{sample}");
    }
    redis.launch();
    let mut stored = 0;
    for (name, sent) in &sent {
        let counts = skyring
            .listener(name)
            .wait_for("received or dropped all", |counts| {
                let seen = counts.received + counts.number("kernel_drops");
                seen == u64::from(*sent) && counts.in_flight == 0
            });
        assert_eq!(counts.stored, counts.received);
        let metric = format!("kept.{name}");
        let values = values_of(&redis.series(&metric), &metric);
        let wanted: Vec<f64> = (0..waited[name]).map(f64::from).collect();
        assert!(values[..wanted.len()] == wanted, "{metric}");
        stored += counts.stored;
    }
    assert_eq!(count_in_order(&redis), stored);
    // Drops are not forgotten, and there are no more.
    let metric = point("msgpack", "after", 1.0);
    let listener = skyring.listener("msgpack");
    let before = listener.counts();
    DatagramSender::connect(&listener.address()).send(&metric);
    let after = listener.wait_until_settled(before.received + 1);
    assert_eq!(after.number("kernel_drops"), before.number("kernel_drops"));
    skyring.finish();
}

/// SIGTERM with datagrams in the kernel's queue: all that found room there is
/// stored, and the kernel's count stands as long as the server does.
#[test]
fn sigterm_stores_the_datagrams_that_are_queued() {
    let mut redis = Redis::start();
    let mut skyring = small_bounds(&redis).start();
    let sent = full_backlog(&mut redis, &skyring);
    let all = overflow(&skyring.listener("msgpack"), "msgpack", sent["msgpack"]);
    let drops = skyring.listener("msgpack").kernel_drops();
    skyring.process.signal(Signal::TERM);
    eventually("it was draining", || {
        let status = skyring.status();
        holds(status["draining"] == true, || status.to_string())
    });
    assert_eq!(skyring.listener("msgpack").kernel_drops(), drops);
    redis.launch();
    assert_eq!(skyring.exit_code(), 0);
    let series = |name: &str| {
        let metric = format!("kept.{name}");
        values_of(&redis.series(&metric), &metric)
    };
    let wanted: Vec<f64> = (0..sent["line_udp"]).map(f64::from).collect();
    assert!(series("line_udp") == wanted, "lines");
    assert_eq!(series("msgpack").len() as u64, u64::from(all) - drops);
    count_in_order(&redis);
}

/// Sets a flag when a test has ended, well or not.
struct SetAtEnd<'f>(&'f AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Senders that never rest, and send more than the server can take in, cannot keep it
/// from its end. So that it cannot, each name is new, and held against many patterns.
#[test]
fn sigterm_ends_a_flooded_server() {
    let redis = Redis::start();
    let patterns: Vec<String> = (0..500).map(|at| format!("p{at}.endles")).collect();
    let mut skyring = Plan::with(&redis)
        .set("horizon.udp_buffer_bytes", 1 << 20)
        .set("horizon.do_not_skip", format!("{patterns:?}"))
        .set("horizon.skip", "[\"endless\"]")
        .start();
    let address = skyring.listener("msgpack").address();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (address, stop) = (&address, &stop);
            scope.spawn(move || {
                let sender = DatagramSender::connect(address);
                let mut count = 0_u64;
                while !stop.load(Ordering::Acquire) {
                    count += 1;
                    let name = format!("endless.t{thread}.n{count}");
                    sender.try_send(&point("msgpack", &name, 1.0));
                }
            });
        }
        let _rest = SetAtEnd(&stop);
        let listener = skyring.listener("msgpack");
        listener.wait_for("had too much", |counts| {
            counts.number("kernel_drops") > 1_000
        });
        skyring.process.signal(Signal::TERM);
        assert_eq!(skyring.exit_code(), 0);
    });
}

/// Each address of a listener is read, over IPv4 and IPv6, and an address of its own
/// does not keep the other from receiving.
#[test]
fn every_address_of_both_families_is_read() {
    let redis = Redis::start();
    let listen = "[\"127.0.0.1:0\", \"[::1]:0\", \"127.0.0.1:0\"]";
    let skyring = Plan::with(&redis)
        .set("horizon.msgpack", listen)
        .set("horizon.line_udp", listen)
        .start();
    for name in UDP {
        let listener = skyring.listener(name);
        let addresses = listener.addresses();
        assert_eq!(addresses.len(), 3);
        assert!(addresses[1].starts_with("[::1]:"), "{addresses:?}");
        assert_eq!(listener.counts().all["addresses"], skyring.ready[name]);
        for (at, address) in addresses.iter().enumerate() {
            let sender = DatagramSender::connect(address);
            for value in 0..10 {
                let metric = format!("family.{name}.{at}");
                sender.send(&point(name, &metric, f64::from(value)));
            }
        }
        assert_eq!(listener.wait_until_settled(30).stored, 30);
        assert_eq!(listener.kernel_drops(), 0);
    }
    assert_eq!(redis.keys().len(), 6);
    assert_eq!(count_in_order(&redis), 60);
    skyring.finish();
}

/// What the kernel holds for a UDP address, in bytes, as `ss` shows it: twice what
/// it was asked for.
fn receive_buffer(address: &str) -> u64 {
    let port = address.rsplit_once(':').unwrap().1;
    let mut ss = Process::start("ss", "ss", |command| {
        command.args(["-H", "-u", "-a", "-n", "-m", &format!("sport = :{port}")]);
    });
    assert!(ss.exit().success(), "{}", ss.stderr());
    let shown = ss.stdout();
    let (_, rest) = shown.split_once(",rb").unwrap_or_else(|| panic!("{shown}"));
    rest.split(',').next().unwrap().parse().unwrap()
}

#[test]
fn the_kernel_is_asked_for_the_buffer_of_the_settings() {
    let redis = Redis::start();
    for bytes in [65_536, 150_000] {
        let skyring = Plan::with(&redis)
            .with_lines()
            .set("horizon.udp_buffer_bytes", bytes)
            .start();
        for name in UDP {
            let address = skyring.listener(name).address();
            assert_eq!(receive_buffer(&address), 2 * bytes, "{name}");
        }
        assert!(!skyring.process.stderr().contains("rmem_max"));
        skyring.finish();
    }
}

/// Without the capability to go beyond what the system allows, the server says so,
/// with the command that mends it, and serves.
#[test]
fn a_buffer_that_the_kernel_refuses_is_told() {
    let redis = Redis::start();
    let allowed = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
    let allowed: u64 = allowed.trim().parse().unwrap();
    let wanted = allowed + 65_536;
    let plan = Plan::with(&redis).set("horizon.udp_buffer_bytes", wanted);
    let file = plan.file();
    let mut process = Process::start("skyring", "setpriv", |command| {
        // Only who has capabilities can, and need, give one up.
        if rustix::process::geteuid().is_root() {
            command.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin"]);
        }
        command.args([env!("CARGO_BIN_EXE_skyring"), "serve", "--config"]);
        command.arg(&file);
    });
    let said = eventually("it was told", || {
        assert!(process.is_running(), "{}", process.stderr());
        let log = process.stderr();
        let line = log.lines().find(|line| line.contains("rmem_max"));
        line.map(str::to_owned).ok_or(log)
    });
    assert!(
        said.contains(&format!("sysctl -w net.core.rmem_max={wanted}")),
        "{said}"
    );
    assert!(said.contains("msgpack") && said.contains("horizon.udp_buffer_bytes"));
    eventually("it was ready", || {
        holds(process.stdout().starts_with("ready "), || process.stderr())
    });
    process.signal(Signal::TERM);
    assert!(process.exit().success());
}

/// A UDP port that somebody else has is one clear line and exit code 2, and `check`
/// says so as well.
#[test]
fn a_taken_port_is_refused_by_name() {
    let redis = Redis::start();
    for key in ["horizon.msgpack", "horizon.line_udp"] {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let taken = std::net::UdpSocket::bind(any).unwrap();
            let address = taken.local_addr().unwrap().to_string();
            let plan = Plan::with(&redis).set(key, format!("[\"{address}\"]"));
            let mut skyring = plan.spawn();
            assert_eq!(skyring.exit_code(), 2);
            let said = skyring.process.stderr();
            let faults: Vec<&str> = said.lines().filter(|line| line.contains(key)).collect();
            assert_eq!(faults.len(), 1, "{said}");
            assert!(faults[0].contains(&address), "{said}");
            assert_eq!(skyring.process.stdout(), "");

            let mut check = command(&["check", "--config", plan.file().to_str().unwrap()]);
            assert_eq!(check.exit().code(), Some(1));
            let said = check.stdout() + &check.stderr();
            let fault = |line: &str| line.contains(key) && line.contains(&address);
            assert!(said.lines().any(fault), "{said}");
            drop(taken);
            let mut check = command(&["check", "--config", plan.file().to_str().unwrap()]);
            assert_eq!(check.exit().code(), Some(0), "{}", check.stdout());
        }
    }
}

/// The datagrams that the other tests make themselves are Python's.
#[test]
fn the_fixtures_own_datagrams_are_pythons() {
    let names = [
        "a".to_owned(),
        "b".repeat(31),
        "c".repeat(32),
        "d".repeat(255),
    ];
    let given = names
        .iter()
        .map(|name| format!("{name} 1795302404.5 -0.1\n"));
    let packed = python::script("own_datagrams.py", &[], &given.collect::<String>());
    for (name, packed) in names.iter().zip(&packed) {
        let own = datagram(name, 1_795_302_404.5, -0.1);
        assert_eq!(own, hex(packed["datagram"].as_str().unwrap()));
        let own = record(1_795_302_404.5, -0.1);
        assert_eq!(own, hex(packed["record"].as_str().unwrap()));
    }
}
