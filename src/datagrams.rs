//! Datagrams: a thread of its own receives many with one system call, and hands
//! them to one shard, which decodes and appends them.
//!
//! ```text
//! kernel ──recvmmsg──▸ packets ──inbox──▸ decode ▸ append
//!                         ▲                  │
//!                         └───── spare ◂─────┘
//! ```
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
use crate::wire::datagram;
use crate::wire::line::Lines;

/// Datagrams that are received with one system call, at most.
const DATAGRAMS: usize = 64;
/// Room for each: none is longer.
const DATAGRAM_BYTES: usize = 64 << 10;
/// Packets of one listener: one that is being filled, the others on their way.
const PACKETS: usize = 4;
/// What a datagram costs the kernel's buffer besides its bytes, at least.
const OVERHEAD_BYTES: usize = 256;
/// Bytes of lines that are appended together, about; between them others have
/// their turn, and it is looked whether there is room.
const RUN_BYTES: usize = 64 << 10;

/// What one listener for datagrams may hold, in bytes.
pub const LISTENER_BYTES: usize = PACKETS * DATAGRAMS * DATAGRAM_BYTES;

/// Datagrams that were received together.
pub struct Packets {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
    arrival: Arrival,
}

impl Packets {
    fn new() -> Self {
        Self {
            // The system gives memory for a page when it is first written.
            bytes: vec![0; DATAGRAMS * DATAGRAM_BYTES],
            lengths: Vec::with_capacity(DATAGRAMS),
            arrival: Arrival::now(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let slots = self.bytes.chunks_exact(DATAGRAM_BYTES);
        slots
            .zip(&self.lengths)
            .map(|(slot, length)| &slot[..*length])
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
    let mut headers = MultiHeaders::<()>::preallocate(DATAGRAMS, None);
    // Once it is told to stop, what the kernel may still hold of what was queued then.
    // Senders that never rest must not keep it from its end.
    let mut left: Option<usize> = None;
    while let Ok(mut packets) = spare.recv() {
        loop {
            if left.is_none() && stop.is_asked() {
                left = Some(socket.recv_buffer_size().unwrap_or(0));
            }
            let Err(error) = fill(socket, &mut headers, &mut packets) else {
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

fn fill(
    socket: &Socket,
    headers: &mut MultiHeaders<()>,
    packets: &mut Packets,
) -> Result<(), Errno> {
    let slots = packets.bytes.chunks_exact_mut(DATAGRAM_BYTES);
    let mut slices: Vec<[IoSliceMut<'_>; 1]> = slots.map(|s| [IoSliceMut::new(s)]).collect();
    packets.lengths.clear();
    let flags = MsgFlags::MSG_DONTWAIT;
    let received = recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), flags, None)?;
    packets
        .lengths
        .extend(received.map(|message| message.bytes));
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
    pipeline.append(&mut points, source, arrival, None);
    let Points {
        mut tally,
        invalid,
        count,
        ..
    } = points;
    tally.drop_invalid(invalid);
    *pipeline.counts.source(source) += &tally;
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
