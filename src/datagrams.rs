//! Datagrams: a thread of its own receives many with one system call, and hands
//! them to one shard, which decodes and appends them.
//!
//! ```text
//! kernel ──recvmmsg──▸ rooms ──copy──▸ packets ──inbox──▸ decode ▸ append
//!                                         ▲                  │
//!                                         └───── spare ◂─────┘
//! ```
//!
//! To wake a shard costs as much as a hundred datagrams: so packets are filled as
//! long as the kernel has more, and a datagram that comes alone goes on at once.
//!
//! Only so many packets exist. When all wait for the shard, since Redis is away or
//! slow, the thread waits too; then the kernel's buffer fills, and the kernel drops
//! and counts what finds no room in it. Nothing that was received is dropped for
//! want of room.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fs, io};

use crossbeam_channel as channel;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use socket2::Socket;

use crate::connection::{LOG_PERIOD, TURN};
use crate::logging::Throttle;
use crate::pipeline::Arrival;
use crate::plane::{self, Inbox, Sender};
use crate::point::{InvalidCounts, Point};
use crate::shard::Shard;
use crate::stats::{Source, SourceCounts};
use crate::talkers;
use crate::wire::datagram;
use crate::wire::line::Lines;

/// Datagrams that are received with one system call, at most.
const DATAGRAMS: usize = 64;
/// Longest datagram that there can be.
const DATAGRAM_BYTES: usize = 64 << 10;
/// Room for each, and a little more: at multiples of a power of two, the beginnings
/// of all would have only a few lines of the processor's cache between them.
const ROOM_BYTES: usize = DATAGRAM_BYTES + 192;
/// Packets of one listener: one that is being filled, the others on their way.
const PACKETS: usize = 4;
/// What a datagram costs the kernel's buffer besides its bytes, at least.
const OVERHEAD_BYTES: usize = 256;
/// Datagrams, or bytes of them, behind which a packet is full.
const PACKET_DATAGRAMS: usize = 1024;
const PACKET_BYTES: usize = 256 << 10;
/// A packet that is nearly full and then gets the longest datagrams.
const PACKET_BYTES_MAX: usize = PACKET_BYTES + DATAGRAMS * DATAGRAM_BYTES;
/// Bytes of lines that are appended together, about; between them others have
/// their turn, and it is looked whether there is room.
const RUN_BYTES: usize = 64 << 10;

/// What one listener for datagrams may hold, in bytes.
pub const LISTENER_BYTES: usize = DATAGRAMS * ROOM_BYTES + PACKETS * PACKET_BYTES_MAX;

/// Datagrams that were received together, one behind the other.
pub struct Packets {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
    arrival: Arrival,
}

impl Packets {
    fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(PACKET_BYTES),
            lengths: Vec::with_capacity(PACKET_DATAGRAMS),
            arrival: Arrival::now(),
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.lengths.clear();
    }

    fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= PACKET_BYTES || self.lengths.len() + DATAGRAMS > PACKET_DATAGRAMS
    }

    fn push(&mut self, datagram: &[u8]) {
        // No more than is needed: what a packet may grow to is told as its bound.
        if self.bytes.capacity() - self.bytes.len() < datagram.len() {
            self.bytes.reserve_exact(datagram.len());
        }
        self.bytes.extend_from_slice(datagram);
        self.lengths.push(datagram.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let mut rest = &self.bytes[..];
        self.lengths.iter().map(move |length| {
            let (datagram, behind) = rest.split_at(*length);
            rest = behind;
            datagram
        })
    }
}

/// Where the kernel puts datagrams.
struct Rooms {
    bytes: Vec<u8>,
    headers: MultiHeaders<()>,
}

impl Rooms {
    fn new() -> Self {
        Self {
            // The system gives memory for a page when it is first written.
            bytes: vec![0; DATAGRAMS * ROOM_BYTES],
            headers: MultiHeaders::preallocate(DATAGRAMS, None),
        }
    }

    /// Moves what is queued into `packets`, with one system call; returns how many
    /// datagrams that were.
    fn receive(&mut self, socket: &Socket, packets: &mut Packets) -> Result<usize, Errno> {
        let rooms = self.bytes.chunks_exact_mut(ROOM_BYTES);
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = rooms
            .map(|room| [IoSliceMut::new(&mut room[..DATAGRAM_BYTES])])
            .collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let headers = &mut self.headers;
        let received = recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), flags, None)?;
        let mut count = 0;
        for message in received {
            // An empty one has no slice.
            packets.push(message.iovs().next().unwrap_or_default());
            count += 1;
        }
        Ok(count)
    }
}

/// What the receiving thread sends its shard.
pub enum Delivery {
    /// Datagrams, and where to give their room back.
    Packets(Packets, channel::Sender<Packets>),
    /// Nothing more will come.
    End,
}

/// A thread that receives datagrams.
pub struct Receiver {
    source: Source,
    socket: Arc<Socket>,
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

/// How a receiving thread is told to end.
struct Stop {
    is_asked: AtomicBool,
    /// Readable when it is, for a thread that waits.
    wake: OwnedFd,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self {
            is_asked: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    fn ask(&self) {
        self.is_asked.store(true, Ordering::Release);
        // It cannot fail: the counter is far from its end.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Acquire)
    }
}

impl Receiver {
    /// Receives what comes to `socket` and sends it to the inbox behind `shard`.
    ///
    /// # Errors
    ///
    /// When the thread, or what wakes it, cannot be made.
    pub fn start(source: Source, socket: Socket, shard: Sender<Delivery>) -> io::Result<Self> {
        let stop = Arc::new(Stop::new()?);
        let socket = Arc::new(socket);
        let (thread_socket, thread_stop) = (socket.clone(), stop.clone());
        let name = format!("skyring-{}", source.as_str().replace('_', "-"));
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            receive(&thread_socket, &thread_stop, &shard);
            // The shard may have ended before.
            let _ = shard.send(Delivery::End);
        })?;
        Ok(Self {
            source,
            socket,
            stop,
            thread,
        })
    }

    /// Whose datagrams it receives.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Datagrams that the kernel has dropped for want of room.
    pub fn kernel_drops(&self) -> u64 {
        kernel_drops(&self.socket).unwrap_or(0)
    }

    /// Has it read what is queued, and then end.
    pub fn stop(&self) {
        self.stop.ask();
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end, which comes when the shard has room for what is queued;
    /// returns what the kernel has dropped until then.
    pub fn join(self) -> u64 {
        // A panic there has been told already, and there is nothing to save.
        let _ = self.thread.join();
        kernel_drops(&self.socket).unwrap_or(0)
    }
}

/// Receives until it is told to stop and has what was queued then.
fn receive(socket: &Socket, stop: &Stop, shard: &Sender<Delivery>) {
    let (give_back, spare) = channel::bounded(PACKETS);
    for _ in 0..PACKETS {
        let _ = give_back.try_send(Packets::new());
    }
    let mut rooms = Rooms::new();
    // Once it is told to stop, what the kernel may still hold of what was queued then.
    // Senders that never rest must not keep it from its end.
    let mut left: Option<usize> = None;
    while let Ok(mut packets) = spare.recv() {
        loop {
            if left.is_none() && stop.is_asked() {
                left = Some(socket.recv_buffer_size().unwrap_or(0));
            }
            let Err(error) = fill(socket, &mut rooms, &mut packets) else {
                break;
            };
            if error != Errno::EAGAIN && error != Errno::EINTR {
                // Such as that an earlier answer of ours could not be delivered.
                static BRAKE: Throttle = Throttle::new(LOG_PERIOD);
                if let Some(suppressed) = BRAKE.admit() {
                    tracing::warn!(%error, suppressed, "datagrams could not be received");
                }
            }
            if left.is_some() {
                return;
            }
            let mut ready = [
                PollFd::new(socket, PollFlags::IN),
                PollFd::new(&stop.wake, PollFlags::IN),
            ];
            // Interrupted or not, it is looked at both again.
            let _ = poll(&mut ready, None);
        }
        let bytes: usize = packets.lengths.iter().map(|n| n + OVERHEAD_BYTES).sum();
        packets.arrival = Arrival::now();
        if shard
            .send(Delivery::Packets(packets, give_back.clone()))
            .is_err()
        {
            return;
        }
        if let Some(left) = &mut left {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                return;
            }
        }
    }
}

/// Fills `packets` with what is queued.
fn fill(socket: &Socket, rooms: &mut Rooms, packets: &mut Packets) -> Result<(), Errno> {
    packets.clear();
    while !packets.is_full() {
        match rooms.receive(socket, packets) {
            Ok(DATAGRAMS) => {}
            // There were no more.
            Ok(_) => break,
            Err(error) if packets.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(())
}

/// The last column of the socket's row in `/proc/net/udp`, which holds what the
/// kernel has dropped for want of room in the socket's buffer.
fn kernel_drops(socket: &Socket) -> Option<u64> {
    let inode = rustix::fs::fstat(socket.as_fd()).ok()?.st_ino.to_string();
    ["/proc/net/udp", "/proc/net/udp6"].iter().find_map(|path| {
        let table = fs::read_to_string(path).ok()?;
        let row = table
            .lines()
            .find(|row| row.split_whitespace().nth(9) == Some(&inode))?;
        row.split_whitespace().nth(12)?.parse().ok()
    })
}

/// Decodes and appends what the receiving thread sends, until its end.
pub async fn take_in(shard: &Rc<Shard>, source: Source, inbox: &Inbox<Delivery>) {
    let mut worked = Duration::ZERO;
    while let Some(Delivery::Packets(packets, spare)) = inbox.receive().await {
        append_all(shard, source, &packets, &mut worked).await;
        // The thread may have ended.
        let _ = spare.try_send(packets);
    }
}

async fn append_all(shard: &Rc<Shard>, source: Source, packets: &Packets, worked: &mut Duration) {
    let mut datagrams = packets.iter().peekable();
    while datagrams.peek().is_some() {
        shard.wait_for_room(false).await;
        let started = Instant::now();
        let mut bytes = 0;
        let ahead = datagrams.clone();
        let run = ahead.take_while(|datagram| {
            let fits = bytes == 0 || bytes + datagram.len() <= RUN_BYTES;
            bytes += datagram.len().max(1);
            fits
        });
        let count = append(shard, source, run, packets.arrival);
        datagrams.by_ref().take(count).for_each(drop);
        let elapsed = started.elapsed();
        shard.note_work(elapsed);
        *worked += elapsed;
        if *worked >= TURN {
            *worked = Duration::ZERO;
            plane::let_others_run().await;
        }
    }
}

/// Appends the points of datagrams; returns how many datagrams that were.
fn append<'p>(
    shard: &Shard,
    source: Source,
    datagrams: impl Iterator<Item = &'p [u8]>,
    arrival: Arrival,
) -> usize {
    let mut pipeline = shard.pipeline.borrow_mut();
    let mut points = Points {
        datagrams,
        is_text: source == Source::LineUdp,
        now_s: arrival.unix_s,
        lines: None,
        tally: SourceCounts::default(),
        invalid: InvalidCounts::default(),
        count: 0,
    };
    let before = pipeline.brought(source);
    pipeline.append(&mut points, source, arrival, None);
    let Points {
        mut tally,
        invalid,
        count,
        ..
    } = points;
    tally.drop_invalid(invalid);
    *pipeline.counts.source(source) += &tally;
    let brought = pipeline.brought(source) - before;
    pipeline
        .talkers
        .note_sender(talkers::Sender::Datagrams(source), brought);
    count
}

/// The points of some datagrams, decoded one after the other.
struct Points<'p, D> {
    datagrams: D,
    is_text: bool,
    now_s: i64,
    lines: Option<Lines<'p>>,
    tally: SourceCounts,
    invalid: InvalidCounts,
    /// Datagrams so far.
    count: usize,
}

impl<'p, D: Iterator<Item = &'p [u8]>> Iterator for Points<'p, D> {
    type Item = Point<'p>;

    fn next(&mut self) -> Option<Point<'p>> {
        loop {
            if let Some(lines) = &mut self.lines {
                if let Some(point) = lines.next() {
                    return Some(point);
                }
                self.invalid += lines.invalid();
                self.tally.frames += lines.lines();
                self.lines = None;
            }
            let bytes = self.datagrams.next()?;
            self.count += 1;
            self.tally.bytes += bytes.len() as u64;
            if self.is_text {
                self.lines = Some(Lines::new(bytes, self.now_s));
                continue;
            }
            match datagram::decode(bytes) {
                Ok(Ok(point)) => {
                    self.tally.frames += 1;
                    return Some(point);
                }
                Ok(Err(invalid)) => {
                    self.tally.frames += 1;
                    self.invalid.add(invalid);
                }
                Err(bad) => self.tally.frames_bad.count(bad.as_str()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    /// Sends datagrams to a listener of its own and returns its socket.
    fn queued(datagrams: &[Vec<u8>]) -> Socket {
        let any = ([127, 0, 0, 1], 0).into();
        let (socket, _) = plane::bind_datagrams(any, 4 << 20).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        for datagram in datagrams {
            sender.send_to(datagram, address).unwrap();
        }
        socket
    }

    fn filled(socket: &Socket) -> Vec<Vec<Vec<u8>>> {
        let (mut rooms, mut packets) = (Rooms::new(), Packets::new());
        let mut all = Vec::new();
        while fill(socket, &mut rooms, &mut packets).is_ok() {
            all.push(packets.iter().map(<[u8]>::to_vec).collect());
        }
        all
    }

    /// None is lost, joined to another, or cut, however long: an empty one is a bad
    /// one to be counted.
    #[test]
    fn datagrams_of_every_length_come_out_as_they_were_sent() {
        let lengths = [100, 0, 65_507, 1, 0, 30_000];
        let datagrams: Vec<_> = lengths.iter().map(|n| vec![*n as u8; *n]).collect();
        assert_eq!(filled(&queued(&datagrams)), [datagrams]);
    }

    #[test]
    fn what_is_queued_goes_on_together_and_in_order() {
        let many: Vec<_> = (0..200u8).map(|n| vec![n]).collect();
        assert_eq!(filled(&queued(&many)), [many]);
    }

    /// The bound that is told must hold when the longest come last.
    #[test]
    fn a_full_packet_gets_no_more_than_one_call_brings() {
        for datagram in [&[7; 1][..], &[7; 1000], &[7; DATAGRAM_BYTES]] {
            let mut packets = Packets::new();
            while !packets.is_full() {
                (0..DATAGRAMS).for_each(|_| packets.push(datagram));
                assert!(packets.lengths.len() <= PACKET_DATAGRAMS);
            }
            assert!(packets.bytes.capacity() <= PACKET_BYTES_MAX);
            assert!(packets.iter().all(|again| again == datagram));
        }
        let mut packets = Packets::new();
        packets.push(&vec![7; PACKET_BYTES - 1]);
        (0..DATAGRAMS).for_each(|_| packets.push(&[7; DATAGRAM_BYTES]));
        assert!(packets.bytes.capacity() <= PACKET_BYTES_MAX);
    }
}
