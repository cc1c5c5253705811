//! Who sends Graphite's lines over TCP: many connections, slow ones, ones that end,
//! ones that have to wait, and the relays that speak nothing else.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::Signal;

use crate::fixture::carbon_c::CarbonCRelay;
use crate::fixture::redis::Redis;
use crate::fixture::sender::{Sender, values_of};
use crate::fixture::skyring::Plan;
use crate::fixture::{eventually, holds, now_s};
use crate::lines::{assert_holds, connect, start};

/// Connections that stop in the middle of a line are given up in time; one that is
/// silent between two lines is not.
#[test]
fn half_a_line_is_given_up() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .with_lines()
        .set("horizon.frame_stall_s", 1)
        .start();
    let mut silent = connect(&skyring);
    silent.send(format!("silent 1.5 {}.5\n", now_s()).as_bytes());
    let mut half = connect(&skyring);
    half.send(b"half.a.line 1");
    half.wait_until_closed();
    let counts = skyring
        .listener("line_tcp")
        .wait_for("counted it", |counts| {
            counts.number("connections_stalled") == 1
        });
    assert_eq!(counts.number("frames_cut_short"), 1);
    silent.assert_open();
    silent.send(format!("silent 2.5 {}.5\n", now_s()).as_bytes());
    skyring.listener("line_tcp").wait_until_settled(2);
    assert_eq!(values_of(&redis.series("silent"), "silent"), [1.5, 2.5]);
    skyring.finish();
}

/// 100,000 lines at once on one connection, and beside them what a busy host's syslog
/// does: a thousand short connections of a few lines each. Each series is whole and
/// in order, as Python packs it.
#[test]
fn bursts_over_one_long_and_many_short_connections_are_stored_whole() {
    let redis = Redis::start();
    let skyring = start(&redis);
    let now = now_s();
    let long: String = (0..100_000)
        .map(|at| format!("burst.long.m{} {at} {now}\n", at % 500))
        .collect();
    let short: Vec<String> = (0..1_000)
        .map(|connection| {
            let line = |at| format!("burst.short.c{connection} {at} {now}\n");
            (0..5).map(line).collect()
        })
        .collect();
    let address = skyring.listener("line_tcp").address();
    std::thread::scope(|scope| {
        scope.spawn(|| Sender::connect(&address).send(long.as_bytes()));
        for some in short.chunks(250) {
            let address = &address;
            scope.spawn(move || {
                for lines in some {
                    Sender::connect(address).send(lines.as_bytes());
                }
            });
        }
    });
    let listener = skyring.listener("line_tcp");
    let counts = listener.wait_until_settled(105_000);
    assert_eq!(counts.stored, counts.received);
    let counts = listener.wait_for("saw all leave", |counts| counts.number("connections") == 0);
    assert_eq!(counts.number("connections_accepted"), 1_001);
    assert_eq!(counts.number("frames_cut_short"), 0);
    assert_holds(&redis, &(long + &short.concat()));
    skyring.finish();
}

/// Many connections that are open at the same time, each with a line under way while
/// the others go on.
#[test]
fn many_open_connections_do_not_mix_their_lines() {
    let redis = Redis::start();
    let skyring = start(&redis);
    let now = now_s();
    let mut senders: Vec<Sender> = (0..200).map(|_| connect(&skyring)).collect();
    let mut meant = String::new();
    for round in 0..10 {
        for (at, sender) in senders.iter_mut().enumerate() {
            let line = format!("open.c{at} {round}.5 {now}\n");
            // The end of the line before, and the front of this one.
            let front = if round == 0 { "" } else { " {now}\n" };
            let front = front.replace("{now}", &now.to_string());
            sender.send(format!("{front}open.c{at} {round}.5").as_bytes());
            meant += &line;
        }
    }
    for sender in &mut senders {
        sender.send(format!(" {now}\n").as_bytes());
    }
    let counts = skyring.listener("line_tcp").wait_until_settled(2_000);
    assert_eq!(counts.stored, 2_000);
    assert_eq!(counts.number("connections"), 200);
    assert_holds(&redis, &meant);
    skyring.finish();
}

/// While Redis is away and memory is used up, senders have to wait; not a line is
/// lost, doubled or out of order.
#[test]
fn senders_wait_while_redis_is_away() {
    let mut redis = Redis::start();
    let skyring = Plan::with(&redis)
        .with_lines()
        .set("horizon.frame_bytes_max", 65_536)
        .set("horizon.buffer_bytes_max", 1 << 20)
        .start();
    redis.crash();
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut sender = connect(&skyring);
    sender.stream.set_write_timeout(None).unwrap();
    let now = now_s();
    let sent = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut sent = 0_u32;
            while !stop.load(Ordering::Acquire) {
                let lines: String = (sent..sent + 500)
                    .map(|at| format!("press {at}.0 {now}.0\n"))
                    .collect();
                sender.send(lines.as_bytes());
                sent += 500;
                written.store(sent.into(), Ordering::Release);
            }
            sent
        });
        let mut seen = (0, 0);
        eventually("the sender had to wait", || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let written = written.load(Ordering::Acquire);
            seen = if seen.0 == written {
                (written, seen.1 + 1)
            } else {
                (written, 0)
            };
            holds(seen.1 >= 25, || format!("{written} written, still more"))
        });
        let counts = skyring.listener("line_tcp").counts();
        assert_eq!((counts.stored, counts.dropped_total()), (0, 0));
        assert!(counts.in_flight > 0 && counts.in_flight < seen.0);
        stop.store(true, Ordering::Release);
        redis.launch();
        writer.join().unwrap()
    });
    let counts = skyring.listener("line_tcp").wait_until_settled(sent.into());
    assert_eq!(counts.stored, counts.received);
    let wanted: Vec<f64> = (0..sent).map(f64::from).collect();
    assert!(values_of(&redis.series("press"), "press") == wanted);
    skyring.finish();
}

/// Everything that has reached the sockets when SIGTERM arrives is stored; a line
/// that is not whole then is cut short.
#[test]
fn sigterm_stores_the_lines_that_were_sent_before_it() {
    let redis = Redis::start();
    let skyring = start(&redis);
    let now = now_s();
    let mut senders: Vec<Sender> = (0..50).map(|_| connect(&skyring)).collect();
    skyring
        .listener("line_tcp")
        .wait_for("accepted all", |counts| counts.number("connections") == 50);
    for value in 0..500 {
        for (at, sender) in senders.iter_mut().enumerate() {
            sender.send(format!("last.c{at} {value}.0 {now}.0\n").as_bytes());
        }
    }
    for sender in &mut senders {
        sender.send(b"last.of.all 1 17");
    }
    assert_eq!(skyring.end(Signal::TERM), 0);
    let wanted: Vec<f64> = (0..500).map(f64::from).collect();
    for at in 0..50 {
        let metric = format!("last.c{at}");
        assert!(
            values_of(&redis.series(&metric), &metric) == wanted,
            "{metric}"
        );
    }
    assert_eq!(redis.keys().len(), 50);
    for sender in &mut senders {
        sender.wait_until_closed();
    }
}

/// A sender that ends its side at once after the last line: all before is stored.
#[test]
fn a_half_closed_connection_is_read_to_its_end() {
    let redis = Redis::start();
    let skyring = start(&redis);
    let now = now_s();
    let lines: String = (0..20_000).map(|at| format!("end {at} {now}\n")).collect();
    let mut stream = TcpStream::connect(skyring.listener("line_tcp").address()).unwrap();
    stream.write_all(lines.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let counts = skyring.listener("line_tcp").wait_until_settled(20_000);
    assert_eq!(counts.stored, 20_000);
    assert_holds(&redis, &lines);
    skyring.finish();
}

/// Over IPv6, and on several addresses.
#[test]
fn every_address_of_both_families_takes_lines() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .set("horizon.line_tcp", "[\"[::1]:0\", \"127.0.0.1:0\"]")
        .start();
    let now = now_s();
    let addresses = skyring.listener("line_tcp").addresses();
    assert!(addresses[0].starts_with("[::1]:") && addresses[1].starts_with("127.0.0.1:"));
    let mut meant = String::new();
    for (at, address) in addresses.iter().enumerate() {
        let line = format!("family.{at} 1 {now}\n");
        Sender::connect(address).send(line.as_bytes());
        meant += &line;
    }
    skyring.listener("line_tcp").wait_until_settled(2);
    assert_holds(&redis, &meant);
    skyring.finish();
}

/// Plain lines of 150 metrics, as they come to a relay.
fn relayed_lines() -> String {
    let now = now_s();
    let line = |at: u64, metric: u64| {
        let value = match metric % 4 {
            0 => format!("{at}"),
            1 => format!("-{at}.{metric}"),
            2 => format!("{metric}e-{at}"),
            _ => format!("{:?}", metric as f64 / 7.0),
        };
        let tags = if metric.is_multiple_of(5) {
            ";dc=north"
        } else {
            ""
        };
        format!(
            "stats.web{metric:03}.cpu-{}.user{tags} {value} {}\n",
            metric % 3,
            now - 60 + at
        )
    };
    (0..20)
        .flat_map(|at| (0..150).map(move |metric| line(at, metric)))
        .collect()
}

/// Debian's carbon-c-relay hands lines on as they are, over TCP.
#[test]
fn carbon_c_relay_over_tcp() {
    let redis = Redis::start();
    let skyring = start(&redis);
    let listener = skyring.listener("line_tcp");
    let relay = CarbonCRelay::start(&listener.address(), "tcp");
    let lines = relayed_lines();
    relay.send(&lines);
    let counts = listener.wait_until_settled(lines.lines().count() as u64);
    assert_eq!(counts.stored, counts.received);
    assert_holds(&redis, &lines);
    skyring.finish();
}

/// And over UDP.
#[test]
fn carbon_c_relay_over_udp() {
    let redis = Redis::start();
    let skyring = start(&redis);
    let listener = skyring.listener("line_udp");
    let relay = CarbonCRelay::start(&listener.address(), "udp");
    let lines = relayed_lines();
    relay.send(&lines);
    let counts = listener.wait_until_settled(lines.lines().count() as u64);
    assert_eq!(counts.stored, counts.received);
    assert_eq!(counts.number("kernel_drops"), 0);
    assert_holds(&redis, &lines);
    skyring.finish();
}
