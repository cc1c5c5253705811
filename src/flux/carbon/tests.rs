//! Peers that read, close, hang and come back, one frame at a time.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;

use super::*;
use crate::point::Number;
use crate::wire::pickle::Decoder;

/// How long a test that is going to fail waits before it says so.
const DEADLINE: Duration = Duration::from_secs(60);

/// A way to carbon and the port on which the test is that carbon.
struct Rig {
    runtime: tokio::runtime::Runtime,
    carbon: Carbon,
    listener: Option<TcpListener>,
    address: std::net::SocketAddr,
    told: mpsc::Receiver<(u64, bool)>,
    tell: mpsc::Sender<(u64, bool)>,
}

impl Rig {
    fn new(settings: GraphiteSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let to = address.to_string().parse().unwrap();
        let (tell, told) = mpsc::channel();
        Self {
            carbon: Carbon::start(runtime.handle(), to, &settings),
            runtime,
            listener: Some(listener),
            address,
            told,
            tell,
        }
    }

    /// Takes the next connection.
    fn accept(&self) -> TcpStream {
        let (stream, _) = self.listener.as_ref().unwrap().accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Nobody listens any more.
    fn leave(&mut self) {
        self.listener = None;
    }

    fn come_back(&mut self) {
        self.listener = Some(eventually("the port was free", || {
            TcpListener::bind(self.address).ok()
        }));
    }

    /// Queues points numbered from `first` on; their number is told with the outcome.
    fn queue(&self, first: u64, count: u64) -> Result<(), Unavailable> {
        let tell = self.tell.clone();
        let done = move |good| tell.send((first, good)).unwrap();
        self.carbon
            .queue((first..first + count).map(point).collect::<Vec<_>>(), done)
    }

    fn outcome(&self) -> (u64, bool) {
        self.told.recv_timeout(DEADLINE).unwrap()
    }

    fn until(&self, what: &str, condition: impl Fn(&CarbonStatus) -> bool) {
        eventually(what, || condition(&self.carbon.status()).then_some(()));
    }
}

fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begin.elapsed() < DEADLINE, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn point(number: u64) -> OwnedPoint {
    OwnedPoint {
        name: format!("m{}", number % 7),
        timestamp: Number::Int(1_700_000_000 + number as i64),
        value: Number::Float(number as f64),
    }
}

/// Connections are ended soon.
fn quick() -> GraphiteSettings {
    GraphiteSettings {
        confirm_ms: 1,
        ..GraphiteSettings::default()
    }
}

/// Connections are ended when everything else is over.
fn slow() -> GraphiteSettings {
    GraphiteSettings {
        confirm_ms: 60_000,
        ..GraphiteSettings::default()
    }
}

/// Reads one frame: the numbers of its points.
fn read_frame(stream: &mut TcpStream) -> Option<Vec<u64>> {
    let mut length = [0; 4];
    if stream.read(&mut length[..1]).unwrap() == 0 {
        return None;
    }
    stream.read_exact(&mut length[1..]).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).unwrap();
    let mut decoder = Decoder::new();
    let points = decoder.decode(&frame).unwrap();
    let number = |point: crate::point::Point<'_>| match point.value {
        Number::Float(number) => number as u64,
        other => panic!("{other:?}"),
    };
    Some(points.points().map(number).collect())
}

/// Reads so many points, frame by frame.
fn read_points(stream: &mut TcpStream, count: usize) -> Vec<u64> {
    let mut points = Vec::new();
    while points.len() < count {
        points.extend(read_frame(stream).expect("no end before all points"));
    }
    points
}

/// Reads up to the end and closes: the numbers of all points.
fn read_to_end(mut stream: TcpStream) -> Vec<u64> {
    let mut points = Vec::new();
    while let Some(more) = read_frame(&mut stream) {
        points.extend(more);
    }
    points
}

/// Only when the connection after the one that was read to the end stands.
#[test]
fn points_are_delivered_when_the_next_connection_stands() {
    let mut rig = Rig::new(quick());
    let mut first = rig.accept();
    rig.queue(0, 3).unwrap();
    assert_eq!(read_points(&mut first, 3), [0, 1, 2]);
    assert_eq!(read_frame(&mut first), None, "the end comes by itself");
    assert!(rig.told.try_recv().is_err(), "nothing is proved yet");
    assert_eq!(rig.carbon.status().queue_points, 3);
    drop(first);
    let _second = rig.accept();
    assert_eq!(rig.outcome(), (0, true));
    rig.until("its room was free", |status| status.queue_points == 0);
    let status = rig.carbon.status();
    assert_eq!((status.sent, status.resent, status.delivered), (3, 0, 3));
    assert_eq!(status.queue_bytes, 0);
    rig.leave();
}

/// Whatever is killed has its sockets closed too, and is not there any more.
#[test]
fn a_close_by_a_carbon_that_is_gone_then_proves_nothing() {
    let mut rig = Rig::new(quick());
    let mut first = rig.accept();
    rig.queue(0, 3).unwrap();
    assert_eq!(read_points(&mut first, 3), [0, 1, 2]);
    assert_eq!(read_frame(&mut first), None);
    rig.leave();
    drop(first);
    rig.until("it was told away", |status| !status.error.is_empty());
    assert!(rig.told.try_recv().is_err());
    rig.come_back();
    assert_eq!(read_to_end(rig.accept()), [0, 1, 2]);
    let _next = rig.accept();
    assert_eq!(rig.outcome(), (0, true));
    assert_eq!(rig.carbon.status().resent, 3);
}

/// What was sent in the last seconds before it broke, in order, and then what came
/// since: a peer that closed before our end, whether it had read everything or not,
/// and one that a reset ended.
#[test]
fn after_a_broken_connection_everything_is_sent_again_in_order() {
    for reads in [0, 2, 1400] {
        let rig = Rig::new(slow());
        let mut first = rig.accept();
        rig.queue(0, 700).unwrap();
        rig.queue(700, 700).unwrap();
        rig.until("all was sent", |status| status.sent == 1400);
        read_points(&mut first, reads);
        drop(first);
        rig.queue(1400, 1).unwrap();
        let mut second = rig.accept();
        let expected: Vec<u64> = (0..1401).collect();
        assert_eq!(read_points(&mut second, 1401), expected, "{reads}");
        assert!(rig.told.try_recv().is_err());
        assert_eq!(rig.carbon.status().resent, 1400);
        // The end asks for the proof at once.
        let stop = std::thread::scope(|scope| {
            let stop = scope.spawn(|| rig.carbon.stop(Instant::now() + DEADLINE));
            assert_eq!(read_frame(&mut second), None);
            drop(second);
            let _third = rig.accept();
            stop.join().unwrap()
        });
        assert_eq!(stop, 0);
        assert_eq!(
            [rig.outcome(), rig.outcome(), rig.outcome()].map(|told| told.1),
            [true; 3]
        );
    }
}

/// A peer that still sends something is not taken for one that has closed, and what
/// it sends is of no matter.
#[test]
fn what_a_peer_says_is_read_and_forgotten() {
    let rig = Rig::new(quick());
    let mut first = rig.accept();
    first.write_all(&[b'x'; 100_000]).unwrap();
    rig.queue(0, 1).unwrap();
    assert_eq!(read_to_end(first), [0]);
    let _second = rig.accept();
    assert_eq!(rig.outcome(), (0, true));
}

/// A peer whose side ends before ours can read on, but nothing proves that it does.
#[test]
fn a_half_closed_peer_is_left() {
    let rig = Rig::new(slow());
    let first = rig.accept();
    first.shutdown(Shutdown::Write).unwrap();
    rig.queue(0, 1).unwrap();
    let mut second = rig.accept();
    assert_eq!(read_points(&mut second, 1), [0]);
}

#[test]
fn frames_have_at_most_500_points_of_however_many_calls() {
    let rig = Rig::new(slow());
    for first in 0..1200 {
        rig.queue(first, 1).unwrap();
    }
    rig.queue(1200, 1300).unwrap();
    let mut stream = rig.accept();
    let mut points = Vec::new();
    while points.len() < 2500 {
        let frame = read_frame(&mut stream).unwrap();
        assert!((1..=500).contains(&frame.len()), "{}", frame.len());
        points.extend(frame);
    }
    assert_eq!(points, (0..2500).collect::<Vec<u64>>());
}

/// A carbon that reads nothing holds up its senders, and loses them nothing.
#[test]
fn behind_the_bound_there_is_no_room_until_carbon_has_read() {
    for settings in [
        GraphiteSettings {
            queue_points_max: 10,
            ..quick()
        },
        GraphiteSettings {
            queue_bytes_max: 10 * (2 + POINT_BYTES),
            ..quick()
        },
    ] {
        let rig = Rig::new(settings);
        let first = rig.accept();
        rig.queue(0, 6).unwrap();
        rig.queue(6, 4).unwrap();
        let full = rig.queue(10, 1).unwrap_err();
        assert_eq!(
            full,
            Unavailable::Full {
                retry_after: RETRY_AFTER
            }
        );
        let mut read = read_to_end(first);
        let mut second = rig.accept();
        // What was queued first may have gone alone: it is more than half of the room.
        if read.len() < 10 {
            read.extend(read_to_end(second));
            second = rig.accept();
        }
        assert_eq!(read, (0..10).collect::<Vec<u64>>());
        assert_eq!([rig.outcome(), rig.outcome()], [(0, true), (6, true)]);
        // More than ever fits is taken when there is nothing else.
        eventually("there was room", || rig.queue(10, 100).ok());
        assert!(rig.queue(110, 1).is_err());
        assert_eq!(read_to_end(second), (10..110).collect::<Vec<u64>>());
        let _third = rig.accept();
        assert_eq!(rig.outcome(), (10, true));
    }
}

#[test]
fn at_the_end_what_is_left_is_counted_and_told() {
    let mut rig = Rig::new(quick());
    let first = rig.accept();
    rig.queue(0, 3).unwrap();
    rig.until("it was sent", |status| status.sent == 3);
    rig.leave();
    drop(first);
    rig.queue(3, 4).unwrap();
    assert_eq!(
        rig.carbon.stop(Instant::now() + Duration::from_millis(300)),
        7
    );
    assert_eq!([rig.outcome(), rig.outcome()], [(0, false), (3, false)]);
    assert_eq!(rig.queue(7, 1), Err(Unavailable::Stopping));
}

/// An end with nothing to do needs no carbon, and one that carbon holds up no more
/// than its time.
#[test]
fn the_end_waits_only_for_what_waits() {
    let mut rig = Rig::new(quick());
    rig.leave();
    assert_eq!(rig.carbon.stop(Instant::now() + DEADLINE), 0);
    let rig = Rig::new(quick());
    let _mute = rig.accept();
    rig.until("it was connected", |status| status.connected);
    // It does not wait for a peer that is mute, however long it might.
    let (told, left) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(rig.carbon.stop(Instant::now() + 10 * DEADLINE)));
    assert_eq!(left.recv_timeout(DEADLINE), Ok(0));
    let rig = Rig::new(quick());
    let _mute = rig.accept();
    rig.queue(0, 5).unwrap();
    rig.until("it was sent", |status| status.sent == 5);
    assert_eq!(
        rig.carbon.stop(Instant::now() + Duration::from_millis(50)),
        5
    );
}

/// One that is closed at once is not tried without a pause.
#[test]
fn a_peer_that_accepts_and_closes_is_tried_ever_less_often() {
    let rig = Rig::new(quick());
    rig.queue(0, 1).unwrap();
    for _ in 0..3 {
        drop(rig.accept());
    }
    let until = eventually("it waited", || rig.carbon.shared.lock().away_until);
    let full = GraphiteSettings::default().queue_points_max;
    rig.until("it was told", |status| {
        status.error.contains("closed") || status.error.contains("reset")
    });
    let pause = until.saturating_duration_since(Instant::now());
    assert!(pause <= Duration::from_millis(800));
    let refused = rig.queue(1, u64::from(full)).unwrap_err();
    assert!(matches!(refused, Unavailable::Full { .. }), "{refused:?}");
    assert_eq!(read_to_end(rig.accept()), [0]);
    let _next = rig.accept();
    assert_eq!(rig.outcome(), (0, true));
}

#[test]
fn a_dropped_way_tells_those_who_wait() {
    let rig = Rig::new(quick());
    let _mute = rig.accept();
    rig.queue(0, 5).unwrap();
    let Rig {
        carbon,
        told,
        runtime,
        ..
    } = rig;
    drop(carbon);
    assert_eq!(told.recv_timeout(DEADLINE).unwrap(), (0, false));
    drop(runtime);
}
