//! Listeners that come and go by a reload: what was accepted goes on, what is
//! queued is served, and nothing is forgotten in between.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use crate::fixture::redis::Redis;
use crate::fixture::sender::{Sender, frame};
use crate::fixture::skyring::Plan;
use crate::fixture::stream::{datagram, line};
use crate::fixture::{DEADLINE, eventually, holds, now_s};
use crate::reload::{ANY, LISTENERS, THREE, key, plan_of_three};

/// What waits in the kernel at a listener when it is removed is served: whole
/// connections that nobody has accepted yet, and datagrams that nobody has
/// read. The server is held meanwhile, so that they surely wait.
#[test]
fn what_is_queued_at_a_removed_listener_is_served() {
    let redis = Redis::start();
    let all = plan_of_three(&redis).set("cluster.shards", "{}");
    let mut skyring = all.start();
    let [pickle, _, msgpack, line_tcp, line_udp] =
        LISTENERS.map(|listener| skyring.addresses_of(listener).pop().unwrap_or_default());
    skyring.process.signal(Signal::STOP);
    let mut open = Vec::new();
    for at in 0..100 {
        let point = [(&*format!("queued.pickle{at}"), now_s() as f64, 1.0)];
        let mut sender = TcpStream::connect(&pickle).unwrap();
        sender.write_all(&frame(&point)).unwrap();
        let mut lines = TcpStream::connect(&line_tcp).unwrap();
        lines
            .write_all(&line(&format!("queued.line_tcp{at}"), 1.0))
            .unwrap();
        // Half of them are closed before they are accepted.
        if at % 2 == 0 {
            open.push((sender, lines));
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let bytes = datagram(&format!("queued.msgpack{at}"), 1.0);
        socket.send_to(&bytes, &msgpack).unwrap();
        let bytes = line(&format!("queued.line_udp{at}"), 1.0);
        socket.send_to(&bytes, &line_udp).unwrap();
    }
    let kinds = ["pickle", "msgpack", "line_tcp", "line_udp"];
    let none = kinds
        .iter()
        .fold(all.clone(), |plan, listener| plan.set(&key(listener), "[]"));
    let told = kinds.map(|listener| format!("{}: [{ANY}] -> []", key(listener)));
    none.file();
    skyring.process.signal(Signal::HUP);
    skyring.process.signal(Signal::CONT);
    skyring.wait_until_told(&told.each_ref().map(String::as_str));
    for address in [pickle, line_tcp] {
        let refused = TcpStream::connect(&address).map(|_| ());
        assert!(refused.is_err(), "{address} is closed");
    }
    for listener in kinds {
        assert_eq!(
            skyring.wait_until_settled_of(listener, 100).stored,
            100,
            "{listener}"
        );
        assert_eq!(skyring.addresses_of(listener), [""; 0]);
    }
    assert_eq!(redis.keys().len(), 400);
    // And those that are open go on.
    for (at, (sender, lines)) in open.iter_mut().enumerate() {
        let point = [(&*format!("later.pickle{at}"), now_s() as f64, 1.0)];
        sender.write_all(&frame(&point)).unwrap();
        lines
            .write_all(&line(&format!("later.line_tcp{at}"), 1.0))
            .unwrap();
    }
    for listener in ["pickle", "line_tcp"] {
        assert_eq!(
            skyring.wait_until_settled_of(listener, 150).stored,
            150,
            "{listener}"
        );
    }
    skyring.finish();
}

/// Senders that connect without a pause while their listener comes and goes at
/// one address: a connection is refused, or reset, or it is served to its end.
/// It is never accepted and then forgotten.
#[test]
fn a_listener_that_comes_and_goes_forgets_no_connection() {
    let redis = Redis::start();
    let plan = Plan::with(&redis);
    let mut skyring = plan.start();
    let address = skyring.pickle();
    let with = plan
        .clone()
        .set("horizon.pickle", format!("[\"{address}\"]"));
    let without = plan.clone().set("horizon.pickle", "[]");
    skyring.reload(&without, &[&format!("horizon.pickle: [{ANY}] -> []")]);
    // Whoever looks has Redis asked over a connection of its own.
    eventually("Redis was asked", || {
        holds(!skyring.status()["redis"]["info"].is_null(), || {
            "not yet".to_owned()
        })
    });
    let files = skyring.process.open_files();
    let stop = Arc::new(AtomicBool::new(false));
    let knockers: Vec<_> = (0..4)
        .map(|_| {
            let (stop, address) = (stop.clone(), address.clone());
            std::thread::spawn(move || knock(&address, &stop))
        })
        .collect();
    let (on, off) = (format!("[\"{address}\"]"), "[]");
    for _ in 0..60 {
        skyring.reload(&with, &[&format!("horizon.pickle: {off} -> {on}")]);
        let served = skyring.counts().number("connections_accepted") + 20;
        skyring.wait_for("some were served", |counts| {
            counts.number("connections_accepted") >= served
        });
        skyring.reload(&without, &[&format!("horizon.pickle: {on} -> {off}")]);
        let refused = TcpStream::connect(&address).map(|_| ());
        assert!(refused.is_err(), "the listener is closed");
    }
    stop.store(true, Ordering::Release);
    let served: u64 = knockers
        .into_iter()
        .map(|knocker| knocker.join().unwrap())
        .sum();
    let counts = skyring.wait_for("settled all", |counts| {
        counts.number("connections") == 0 && counts.in_flight == 0
    });
    assert_eq!(counts.stored, served);
    eventually("no file stayed open", || {
        let open = skyring.process.open_files();
        holds(open <= files, || format!("{open} open, {files} before"))
    });
    skyring.finish();
}

/// Sends a point on a connection of its own, again and again; returns on how
/// many of them the server has read up to the end, and then closed.
fn knock(address: &str, stop: &AtomicBool) -> u64 {
    let mut served = 0;
    while !stop.load(Ordering::Acquire) {
        let Ok(mut stream) = TcpStream::connect(address) else {
            continue;
        };
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let point = frame(&[("knock", now_s() as f64, 1.0)]);
        let sent = stream
            .write_all(&point)
            .and_then(|()| stream.shutdown(Shutdown::Write));
        match sent.and_then(|()| stream.read(&mut [0])) {
            Ok(0) => served += 1,
            Ok(_) => panic!("the server wrote to its sender"),
            // Reset by the close of the listener, in whose queue it was.
            Err(error) if error.kind() != ErrorKind::WouldBlock => {}
            Err(error) => panic!("a connection was forgotten: {error}"),
        }
    }
    served
}

/// One reload may write out the port that a listener has, widen its address, or
/// give the address to another kind of listener: the server's own listeners do
/// not stand in the way of each other.
#[test]
fn an_address_changes_hands_in_one_reload() {
    let redis = Redis::start();
    let plan = Plan::with(&redis);
    let mut skyring = plan.start();
    let address = skyring.pickle();
    let msgpack = skyring.addresses_of("msgpack").remove(0);
    let port = address.rsplit_once(':').unwrap().1;
    let mut first = Sender::connect(&address);
    first.send_point("first", 0.0);
    skyring.wait_until_settled(1);
    let exact = plan
        .set("horizon.pickle", format!("[\"{address}\"]"))
        .set("horizon.msgpack", format!("[\"{msgpack}\"]"));
    let told = [
        format!("horizon.pickle: [{ANY}] -> [\"{address}\"]"),
        format!("horizon.msgpack: [{ANY}] -> [\"{msgpack}\"]"),
    ];
    skyring.reload(&exact, &told.each_ref().map(String::as_str));
    assert_eq!(skyring.addresses_of("pickle"), [&*address]);
    assert_eq!(skyring.addresses_of("msgpack"), [&*msgpack]);
    let wide = format!("0.0.0.0:{port}");
    let told = format!("horizon.pickle: [\"{address}\"] -> [\"{wide}\"]");
    let widened = exact.set("horizon.pickle", format!("[\"{wide}\"]"));
    skyring.reload(&widened, &[&told]);
    assert_eq!(skyring.addresses_of("pickle"), [&*wide]);
    let mut second = Sender::connect(&address);
    let mut third = Sender::connect(&format!("127.0.0.2:{port}"));
    for (at, sender) in [&mut first, &mut second, &mut third]
        .into_iter()
        .enumerate()
    {
        sender.send_point(&format!("wide{at}"), 0.0);
    }
    assert_eq!(skyring.wait_until_settled(4).stored, 4);
    let told = [
        format!("horizon.pickle: [\"{wide}\"] -> []"),
        format!("horizon.line_tcp: [] -> [\"{address}\"]"),
    ];
    let lines = widened
        .set("horizon.pickle", "[]")
        .set("horizon.line_tcp", format!("[\"{address}\"]"));
    skyring.reload(&lines, &told.each_ref().map(String::as_str));
    let mut fourth = Sender::connect(&address);
    fourth.send(&line("lines", 0.0));
    assert_eq!(skyring.wait_until_settled_of("line_tcp", 1).stored, 1);
    first.send_point("first", 1.0);
    assert_eq!(skyring.wait_until_settled(5).stored, 5);
    let refused = TcpStream::connect(format!("127.0.0.2:{port}")).map(|_| ());
    assert!(refused.is_err(), "the wide address is closed");
    skyring.finish();
}

/// The listener for other nodes' relays is there as long as there is a table.
/// What it has accepted goes on without it.
#[test]
fn a_table_opens_the_listener_of_the_cluster_and_its_end_closes_it() {
    let redis = Redis::start();
    let shared = plan_of_three(&redis);
    let alone = shared.clone().set("cluster.shards", "{}");
    let mut skyring = alone.start();
    assert_eq!(skyring.addresses_of("shard_pickle"), [""; 0]);
    skyring.reload(&shared, &[&format!("cluster.shards: {} -> {THREE}", "{}")]);
    let address = skyring.addresses_of("shard_pickle").remove(0);
    let mut sender = Sender::connect(&address);
    // By Python's zlib: number 0 of three owns the first, number 1 the second.
    sender.send_point("a.b", 0.0);
    sender.send_point("vista.app1.requests", 0.0);
    let counts = skyring.wait_until_settled_of("shard_pickle", 2);
    assert_eq!((counts.stored, counts.dropped["not_mine"]), (1, 1));
    skyring.reload(&alone, &[&format!("cluster.shards: {THREE} -> {}", "{}")]);
    assert_eq!(skyring.addresses_of("shard_pickle"), [""; 0]);
    let refused = TcpStream::connect(&address).map(|_| ());
    assert!(refused.is_err(), "{address} is closed");
    sender.send_point("vista.app1.requests", 1.0);
    let counts = skyring.wait_until_settled_of("shard_pickle", 3);
    assert_eq!((counts.stored, counts.dropped["not_mine"]), (2, 1));
    skyring.finish();
}
