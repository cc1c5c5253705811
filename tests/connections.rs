//! Many connections, slow ones, and ones that end badly.

use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::fixture::now_s;
use crate::fixture::redis::Redis;
use crate::fixture::sender::{Load, LoadPlan, Sender, frame, framed, pickle, values_of};
use crate::fixture::skyring::Plan;

/// Lets this process, and the servers it starts, have enough files open.
pub fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let enough = limit.maximum.is_none_or(|maximum| maximum >= 4096);
    assert!(enough, "this test needs 4096 open files: ulimit -Hn");
}

/// 1,000 connections at once, each with metrics of its own.
#[test]
fn a_thousand_connections_at_once() {
    allow_many_files();
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut senders: Vec<Sender> = (0..1000)
        .map(|_| Sender::connect(&skyring.pickle()))
        .collect();
    skyring.wait_for("accepted all of them", |counts| {
        counts.number("connections") == 1000
    });
    for value in 0..5 {
        for (at, sender) in senders.iter_mut().enumerate() {
            sender.send_point(&format!("crowd.m{at}"), f64::from(value));
        }
    }
    let counts = skyring.wait_until_settled(5000);
    assert_eq!(counts.stored, 5000);
    for at in 0..1000 {
        let metric = format!("crowd.m{at}");
        assert_eq!(
            values_of(&redis.series(&metric), &metric),
            [0.0, 1.0, 2.0, 3.0, 4.0]
        );
    }
    assert_eq!(redis.members().len(), 1000);
    for sender in &senders {
        sender.assert_open();
    }
    drop(senders);
    skyring.wait_for("saw all of them leave", |counts| {
        counts.number("connections") == 0
    });
    assert_eq!(skyring.counts().number("frames_cut_short"), 0);
    skyring.finish();
}

/// Behind `connections_max` further ones are closed and counted, and there is
/// room again as soon as one has left.
#[test]
fn connections_beyond_the_bound_are_refused_and_counted() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .set("horizon.connections_max", 10)
        .start();
    let mut senders: Vec<Sender> = (0..10)
        .map(|_| Sender::connect(&skyring.pickle()))
        .collect();
    skyring.wait_for("accepted ten", |counts| counts.number("connections") == 10);
    for at in 0..5 {
        Sender::connect(&skyring.pickle()).wait_until_closed();
        skyring.wait_for("counted it", |counts| {
            counts.number("connections_refused") == at + 1
        });
    }
    for (at, sender) in senders.iter_mut().enumerate() {
        sender.send_point(&format!("bound.m{at}"), 1.0);
    }
    skyring.wait_until_settled(10);
    senders.pop();
    skyring.wait_for("saw one leave", |counts| counts.number("connections") == 9);
    let mut again = Sender::connect(&skyring.pickle());
    again.send_point("bound.again", 1.0);
    skyring.wait_until_settled(11);
    skyring.finish();
}

/// A connection that stops in the middle of a frame is given up after
/// `frame_stall_s` and counted; one that is merely silent between two frames
/// is not; and the others go on all the while.
#[test]
fn half_a_frame_delays_nobody_and_is_given_up() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).set("horizon.frame_stall_s", 1).start();
    let mut silent = Sender::connect(&skyring.pickle());
    silent.send_point("silent", 0.0);
    let bytes = frame(&[("half", now_s() as f64, 1.0)]);
    let mut stalled: Vec<Sender> = (0..4).map(|_| Sender::connect(&skyring.pickle())).collect();
    for (sender, cut) in stalled.iter_mut().zip([2, 4, 5, bytes.len() - 1]) {
        sender.send(&bytes[..cut]);
        sender.wait_until_read();
    }
    let load = Load::start(
        &skyring,
        LoadPlan {
            connections: 2,
            metrics: 5,
            frames_max: 100_000,
            rest: Duration::from_millis(2),
        },
    );
    for sender in &mut stalled {
        sender.wait_until_closed();
    }
    load.wait_for_more(100);
    let sent = load.stop();
    let counts = skyring.wait_until_settled(sent.points() + 1);
    sent.assert_exactly_in(&redis);
    assert_eq!(counts.number("connections_stalled"), 4);
    assert!(!redis.keys().contains("half"));
    silent.assert_open();
    silent.send_point("silent", 1.0);
    skyring.wait_until_settled(sent.points() + 2);
    skyring.finish();
}

/// A slow sender is not a stalled one: it may take longer for a frame than
/// `frame_stall_s` as long as it goes on.
#[test]
fn a_byte_at_a_time_is_a_frame_in_the_end() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).set("horizon.frame_stall_s", 1).start();
    let mut slow = Sender::connect(&skyring.pickle());
    let bytes = frame(&[("slow", now_s() as f64, 1.0)]);
    for byte in &bytes {
        slow.send(&[*byte]);
        slow.wait_until_read();
        // Not to wait for anything: slowness is what is tested here. The whole
        // frame takes about twice as long as a stall may.
        std::thread::sleep(Duration::from_millis(2000) / bytes.len() as u32);
    }
    skyring.wait_until_settled(1);
    slow.assert_open();
    assert_eq!(skyring.counts().number("connections_stalled"), 0);
    skyring.finish();
}

/// Connections that are reset or closed in the middle of a frame lose that
/// frame only, and are counted.
#[test]
fn a_reset_in_the_middle_of_a_frame_loses_that_frame_only() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut bystander = Sender::connect(&skyring.pickle());
    let bytes = frame(&[("cut.short", now_s() as f64, 1.0)]);
    for at in 0..20_u32 {
        let mut sender = Sender::connect(&skyring.pickle());
        sender.send_point("whole", f64::from(at));
        sender.send(&bytes[..1 + at as usize]);
        sender.wait_until_read();
        if at % 2 == 0 {
            let socket = socket2::SockRef::from(&sender.stream);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(sender);
        bystander.send_point("bystander", f64::from(at));
    }
    skyring.wait_until_settled(40);
    skyring.wait_for("counted the frames cut short", |counts| {
        counts.number("frames_cut_short") == 20 && counts.number("connections") == 1
    });
    let wanted: Vec<f64> = (0..20).map(f64::from).collect();
    assert_eq!(redis.series("whole").len(), 20 * 19);
    assert_eq!(values_of(&redis.series("bystander"), "bystander"), wanted);
    assert!(!redis.keys().contains("cut.short"));
    bystander.assert_open();
    skyring.finish();
}

/// What a sender wrote before it closed is stored, however soon it closed.
#[test]
fn a_sender_that_closes_at_once_loses_nothing() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    for at in 0..300 {
        let mut sender = Sender::connect(&skyring.pickle());
        sender.send_point(&format!("brief.m{}", at % 10), f64::from(at));
    }
    let counts = skyring.wait_until_settled(300);
    assert_eq!(counts.stored, 300);
    let stored: usize = (0..10)
        .map(|at| redis.series(&format!("brief.m{at}")).len() / 19)
        .sum();
    assert_eq!(stored, 300);
    skyring.finish();
}

/// Full speed from several connections: every point once, in order.
#[test]
fn a_stream_at_full_speed_is_stored_exactly() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let load = Load::start(
        &skyring,
        LoadPlan {
            connections: 8,
            metrics: 100,
            frames_max: 300,
            rest: Duration::ZERO,
        },
    );
    let sent = load.join();
    assert_eq!(sent.points(), 240_000);
    let counts = skyring.wait_until_settled(240_000);
    assert_eq!(counts.stored, 240_000);
    sent.assert_exactly_in(&redis);
    skyring.finish();
}

/// One metric, sent by many connections at once: nothing is lost, and each
/// connection's points keep their order.
#[test]
fn one_metric_from_many_connections_keeps_each_ones_order() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let address = skyring.pickle();
    let senders: Vec<_> = (0..8_u32)
        .map(|connection| {
            let mut sender = Sender::connect(&address);
            std::thread::spawn(move || {
                for at in 0..500 {
                    sender.send_point("shared", f64::from(connection * 1000 + at));
                }
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    skyring.wait_until_settled(4000);
    let values = values_of(&redis.series("shared"), "shared");
    for connection in 0..8 {
        let start = f64::from(connection * 1000);
        let own: Vec<f64> = values
            .iter()
            .copied()
            .filter(|v| (start..start + 1000.0).contains(v))
            .collect();
        let wanted: Vec<f64> = (0..500).map(|at| start + f64::from(at)).collect();
        assert!(own == wanted, "connection {connection}: {own:?}");
    }
    skyring.finish();
}

/// A relay that connects anew for each frame, for days: whatever a connection
/// leaves behind in the server adds up. The runtime counts references to a task
/// in 16 bits, so a waker that is left behind would end the server after 32,767.
#[test]
fn forty_thousand_connections_one_after_another_leave_nothing_behind() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).set("shards", 1).start();
    let address: std::net::SocketAddr = skyring.pickle().parse().unwrap();
    for _ in 0..40_000 {
        let stream = std::net::TcpStream::connect(address).unwrap();
        // Reset, so that the test does not use up the ports of the host.
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    Sender::connect(&skyring.pickle()).send_point("after", 1.0);
    let counts = skyring.wait_until_settled(1);
    assert!(counts.number("connections_accepted") > 32_767);
    skyring.finish();
}

/// Partial frames that together use up all the memory there is for them: one of
/// them at a time may go beyond, so that all are completed in the end.
#[test]
fn partial_frames_that_fill_the_budget_are_all_completed() {
    const FRAME_BYTES: usize = 1 << 20;
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .set("horizon.frame_bytes_max", FRAME_BYTES)
        .set("horizon.buffer_bytes_max", 3 * FRAME_BYTES)
        .start();
    let mut senders: Vec<Sender> = (0..6).map(|_| Sender::connect(&skyring.pickle())).collect();
    let frames: Vec<Vec<u8>> = (0..senders.len())
        .map(|n| {
            let mut body = pickle(&[(&format!("large.{n}"), now_s() as f64, 1.0)]);
            // What stands behind the pickle's end has no meaning, but is read.
            body.resize(FRAME_BYTES - 4, b'.');
            framed(&body)
        })
        .collect();
    let half = FRAME_BYTES / 2;
    for (sender, frame) in senders.iter_mut().zip(&frames) {
        sender.send(&frame[..half]);
    }
    // Each in a thread of its own: those whose turn has not come are not read.
    std::thread::scope(|scope| {
        for (sender, frame) in senders.iter_mut().zip(&frames) {
            scope.spawn(|| sender.send(&frame[half..]));
        }
    });
    skyring.wait_until_settled(6);
    for sender in &senders {
        sender.assert_open();
    }
    skyring.finish();
}
