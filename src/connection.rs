//! One connection: fill ▸ decode ▸ append.
//!
//! A turn reads what the kernel has into the shard's scratch and decodes the
//! whole frames, or lines, in it in place. What is left over, the front of a frame
//! mostly, is copied to a buffer of the connection's own, which then is read into
//! directly until its frame is whole. So a connection with nothing under way
//! holds no memory, and a frame is copied at most once.
//!
//! When the pipeline has no room, nothing is read: the kernel's buffers fill,
//! and the sender has to wait.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::logging::Throttle;
use crate::pipeline::Arrival;
use crate::plane::{self, Stream};
use crate::shard::{Phase, Shard};
use crate::stats::Source;
use crate::stretch;
use crate::talkers::{Brought, Sender, Talkers};
use crate::wire::line::{Lines, whole_lines};
use crate::wire::pickle::BadFrame;

/// A frame's length, big-endian, in front of its payload.
const HEADER_BYTES: usize = 4;
/// A buffer of this size is made whatever little has come of a frame; a larger
/// one only when as much has really come.
const BUFFER_BYTES_CLAIMED: usize = 64 << 10;
/// Smallest buffer.
const BUFFER_BYTES_MIN: usize = 4 << 10;
/// Buffers that a shard keeps for reuse.
const SPARE_BUFFERS: usize = 64;
/// Bytes of lines that are appended together, about: then it is looked whether there
/// is room for more.
const LINES_BYTES: usize = 64 << 10;
/// Work after which a connection lets others have their turn.
pub const TURN: Duration = Duration::from_micros(500);
/// What the kernel takes to hand over bytes, about, as part of a turn.
const READ_BYTES_PER_NS: u64 = 4;
/// Wait before memory is asked for again when none was left.
pub const BUDGET_RETRY: Duration = Duration::from_millis(20);
/// Peers may cause log lines of one kind no more often.
pub const LOG_PERIOD: Duration = Duration::from_secs(10);

/// What the shard's other tasks know of a connection.
#[derive(Default)]
pub struct Slot {
    waker: RefCell<Option<Waker>>,
    /// Since when a frame has been incomplete without growing.
    waits_since: Cell<Option<Instant>>,
    given_up: Cell<bool>,
    peer: Option<IpAddr>,
    /// What it has brought since this was last asked.
    brought: Cell<Brought>,
}

impl Slot {
    /// For a connection of this peer.
    pub fn new(peer: Option<IpAddr>) -> Self {
        Self {
            peer,
            ..Self::default()
        }
    }

    /// Has the talkers know what was brought since the last time.
    pub fn tell(&self, talkers: &mut Talkers) {
        let brought = self.brought.take();
        if let Some(peer) = self.peer {
            talkers.note_sender(Sender::Peer(peer), brought);
        }
    }

    fn bring(&self, more: Brought) {
        let sum = self.brought.get();
        self.brought.set(Brought {
            points: sum.points + more.points,
            series: sum.series + more.series,
        });
    }

    /// Has the connection look around again.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Whether a frame has not grown for this long.
    pub fn is_stalled(&self, stall: Duration) -> bool {
        self.waits_since
            .get()
            .is_some_and(|since| since.elapsed() >= stall)
    }

    /// Has the connection closed.
    pub fn give_up(&self) {
        self.given_up.set(true);
        self.wake();
    }

    fn listen(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match waker.as_ref() {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
    }
}

/// Buffers that wait for the next frame that is cut by a read.
#[derive(Default)]
pub struct Buffers {
    spare: Vec<Vec<u8>>,
}

impl Buffers {
    /// A buffer of `bytes`, all of them initialised, none with a meaning.
    fn take(&mut self, bytes: usize) -> Vec<u8> {
        let fits = |spare: &Vec<u8>| (bytes..=2 * bytes).contains(&spare.len());
        match self.spare.iter().position(fits) {
            Some(at) => self.spare.swap_remove(at),
            None => vec![0; bytes],
        }
    }

    fn give_back(&mut self, buffer: Vec<u8>) {
        if buffer.len() <= BUFFER_BYTES_CLAIMED && self.spare.len() < SPARE_BUFFERS {
            self.spare.push(buffer);
        }
    }
}

/// Why a connection is over.
enum End {
    /// The peer has closed or reset it, or it failed.
    Peer,
    /// A frame did not grow for too long.
    Stalled,
    /// A frame is longer than is allowed: what follows cannot be found.
    TooLong,
    /// The server ends, and nothing is left to be read.
    Drained,
}

/// Serves a connection until it ends.
pub async fn serve(shard: &Rc<Shard>, source: Source, stream: Stream, slot: &Slot) {
    let mut connection = Connection {
        shard,
        source,
        stream,
        slot,
        buffer: Vec::new(),
        filled: 0,
        claimed: 0,
        has_reserve: false,
        arrival: Arrival::now(),
        worked: Duration::ZERO,
        skips_line: false,
        told: false,
        last_bytes: None,
    };
    let end = connection.run().await;
    connection.count_end(&end);
    connection.empty_buffer();
}

struct Connection<'s> {
    shard: &'s Rc<Shard>,
    source: Source,
    stream: Stream,
    slot: &'s Slot,
    /// What was read and not decoded: the first `filled` bytes.
    buffer: Vec<u8>,
    filled: usize,
    /// What the budget counts for the buffer.
    claimed: usize,
    /// Whether the buffer grows into the budget's reserve.
    has_reserve: bool,
    /// When what is to be decoded next was read.
    arrival: Arrival,
    /// Time spent on decoding since other tasks last had their turn.
    worked: Duration,
    /// Whether what comes is the rest of a line that is too long.
    skips_line: bool,
    /// Whether the peer was told that the server ends.
    told: bool,
    /// While the server empties its connections: what may still be read.
    last_bytes: Option<u64>,
}

impl Connection<'_> {
    async fn run(&mut self) -> End {
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
            if self.worked >= TURN {
                self.worked = Duration::ZERO;
                plane::let_others_run().await;
            }
        }
    }

    /// Reads once and decodes what is whole.
    async fn turn(&mut self) -> Result<(), End> {
        self.wait_for_room().await;
        // The front of a line is short enough to be copied back each time.
        let is_small = self.filled == 0 || (self.source == Source::LineTcp && self.needs_more());
        if is_small {
            let count = self.fill_scratch().await?;
            self.arrival = Arrival::now();
            let scratch = self.shard.scratch.borrow();
            if self.filled > 0 {
                self.empty_buffer();
            }
            let taken = self.decode(&scratch[..count])?;
            if taken < count {
                self.keep(&scratch[taken..count]);
            }
        } else {
            if self.needs_more() {
                self.fill_buffer().await?;
                self.arrival = Arrival::now();
            }
            let buffer = std::mem::take(&mut self.buffer);
            let decoded = self.decode(&buffer[..self.filled]);
            self.buffer = buffer;
            let taken = decoded?;
            self.buffer.copy_within(taken..self.filled, 0);
            self.filled -= taken;
            if taken > 0 {
                self.return_reserve();
            }
            if self.filled == 0 {
                self.empty_buffer();
            }
        }
        self.slot
            .waits_since
            .set((self.filled > 0).then(Instant::now));
        Ok(())
    }

    // ---- fill -----------------------------------------------------------

    /// Reads into the shard's scratch, behind a copy of what is kept of a frame;
    /// returns the length of both.
    async fn fill_scratch(&mut self) -> Result<usize, End> {
        let shard = self.shard;
        let kept = self.filled;
        let read = poll_fn(|cx| self.poll_read(cx, &mut shard.scratch.borrow_mut()[kept..]));
        let count = read.await?;
        shard.scratch.borrow_mut()[..kept].copy_from_slice(&self.buffer[..kept]);
        Ok(kept + count)
    }

    async fn fill_buffer(&mut self) -> Result<(), End> {
        if self.filled == self.buffer.len() {
            self.grow_buffer().await?;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let filled = self.filled;
        let read = poll_fn(|cx| self.poll_read(cx, &mut buffer[filled..])).await;
        self.buffer = buffer;
        self.filled += read?;
        Ok(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, End>> {
        self.slot.listen(cx);
        if self.slot.given_up.get() {
            return Poll::Ready(Err(End::Stalled));
        }
        match self.shard.phase.get() {
            Phase::Serving | Phase::Refusing => {}
            Phase::Closing if !self.told => {
                self.told = true;
                self.stream.finish();
            }
            Phase::Closing => {}
            Phase::Emptying => return Poll::Ready(self.read_last(into)),
        }
        match self.stream.poll_read(cx, into) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(End::Peer)),
            Poll::Ready(Ok(count)) => {
                self.worked += Duration::from_nanos(count as u64 / READ_BYTES_PER_NS);
                Poll::Ready(Ok(count))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Reads what was queued when the emptying began: a sender that goes on for
    /// ever must not keep the server from its end.
    fn read_last(&mut self, into: &mut [u8]) -> Result<usize, End> {
        let left = self
            .last_bytes
            .unwrap_or_else(|| self.stream.queued_bytes());
        if left == 0 {
            return Err(End::Drained);
        }
        match self.stream.try_read(into) {
            Ok(0) => Err(End::Peer),
            Ok(count) => {
                self.last_bytes = Some(left.saturating_sub(count as u64));
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(End::Drained),
            Err(_) => Err(End::Peer),
        }
    }

    async fn wait_for_room(&mut self) {
        let is_under_way = self.filled > 0;
        if self.shard.has_room(is_under_way) {
            return;
        }
        // The wait is ours, not the peer's.
        self.slot.waits_since.set(None);
        self.shard.wait_for_room(is_under_way).await;
        self.slot.waits_since.set(is_under_way.then(Instant::now));
    }

    // ---- decode and append ----------------------------------------------

    /// Decodes what is whole at the front of `bytes` and appends its points, as
    /// long as there is room; returns how many bytes that took.
    fn decode(&mut self, bytes: &[u8]) -> Result<usize, End> {
        let started = Instant::now();
        let before = self.shard.pipeline.borrow().brought(self.source);
        let (taken, end) = match self.source {
            Source::LineTcp => (self.decode_lines(bytes), Ok(())),
            _ => self.decode_frames(bytes),
        };
        let mut pipeline = self.shard.pipeline.borrow_mut();
        pipeline.counts.source(self.source).bytes += taken as u64;
        self.slot.bring(pipeline.brought(self.source) - before);
        let worked = started.elapsed();
        self.worked += worked;
        self.shard.note_work(worked);
        end.map(|()| taken)
    }

    fn decode_frames(&self, bytes: &[u8]) -> (usize, Result<(), End>) {
        let mut pipeline = self.shard.pipeline.borrow_mut();
        let mut decoder = self.shard.decoder.borrow_mut();
        let mut taken = 0;
        while pipeline.has_room() {
            let Some(length) = frame_length(&bytes[taken..]) else {
                break;
            };
            if length > self.shard.common.settings.horizon.frame_bytes_max {
                return (taken, Err(End::TooLong));
            }
            let start = taken + HEADER_BYTES;
            let Some(frame) = bytes.get(start..start + length) else {
                break;
            };
            taken = start + length;
            let decoded = {
                let _stretch = stretch::enter();
                decoder.decode(frame)
            };
            match decoded {
                Ok(decoded) => {
                    let counts = pipeline.counts.source(self.source);
                    counts.frames += 1;
                    counts.drop_invalid(decoded.invalid());
                    pipeline.append(decoded.points(), self.source, self.arrival, None);
                }
                Err(bad) => {
                    pipeline
                        .counts
                        .source(self.source)
                        .frames_bad
                        .count(bad.as_str());
                    self.log_bad_frame(bad, length);
                }
            }
            decoder.trim();
        }
        (taken, Ok(()))
    }

    /// A line that is too long is skipped up to its end, wherever that comes: so it
    /// is taken in pieces, and nothing is kept of it.
    fn decode_lines(&mut self, bytes: &[u8]) -> usize {
        let mut pipeline = self.shard.pipeline.borrow_mut();
        let mut taken = 0;
        if self.skips_line {
            let end = memchr::memchr(b'\n', bytes);
            self.skips_line = end.is_none();
            taken = end.map_or(bytes.len(), |end| end + 1);
        }
        while pipeline.has_room() {
            let rest = &bytes[taken..];
            let ahead = &rest[..rest.len().min(LINES_BYTES)];
            // In what is ahead there may be no end of a line, behind it one.
            let whole = match whole_lines(ahead) {
                0 => memchr::memchr(b'\n', rest).map_or(0, |end| end + 1),
                whole => whole,
            };
            if whole == 0 {
                break;
            }
            let mut lines = Lines::new(&rest[..whole], self.arrival.unix_s);
            pipeline.append(&mut lines, self.source, self.arrival, None);
            let counts = pipeline.counts.source(self.source);
            counts.frames += lines.lines();
            counts.drop_invalid(lines.invalid());
            taken += whole;
        }
        let line_bytes_max = self.shard.live.get().line_bytes_max;
        let rest = &bytes[taken..];
        if rest.len() > line_bytes_max && memchr::memchr(b'\n', rest).is_none() {
            pipeline.counts.source(self.source).frames_too_long += 1;
            self.skips_line = true;
            taken = bytes.len();
        }
        taken
    }

    fn log_bad_frame(&self, bad: BadFrame, length: usize) {
        static BRAKE: Throttle = Throttle::new(LOG_PERIOD);
        if let Some(suppressed) = BRAKE.admit() {
            let listener = self.source.as_str();
            tracing::warn!(
                listener,
                peer = self.slot.peer.map(tracing::field::display),
                reason = %bad,
                length,
                suppressed,
                mend = "have the sender send carbon's pickles, or lines to a listener for lines",
                "a bad frame was skipped"
            );
        }
    }

    // ---- the buffer -----------------------------------------------------

    /// Whether the buffer holds no whole frame, and no whole line.
    fn needs_more(&self) -> bool {
        let held = &self.buffer[..self.filled];
        if self.source == Source::LineTcp {
            return memchr::memchr(b'\n', held).is_none();
        }
        frame_length(held).is_none_or(|length| held.len() < HEADER_BYTES + length)
    }

    /// Keeps what a turn left over. It has been read, so it is kept in any case.
    fn keep(&mut self, bytes: &[u8]) {
        let size = self.buffer_bytes(bytes).max(bytes.len());
        let size = if self.shard.common.budget.claim(size) {
            size
        } else {
            self.shard.common.budget.claim_always(bytes.len());
            bytes.len()
        };
        self.claimed = size;
        self.buffer = self.shard.buffers.borrow_mut().take(size);
        self.buffer[..bytes.len()].copy_from_slice(bytes);
        self.filled = bytes.len();
    }

    /// How large a buffer should be for the frame of which this is the front:
    /// never by the frame's own claim alone.
    fn buffer_bytes(&self, held: &[u8]) -> usize {
        if self.source == Source::LineTcp {
            return held.len().next_power_of_two().max(BUFFER_BYTES_MIN);
        }
        let whole = HEADER_BYTES + frame_length(held).unwrap_or(0);
        let most = BUFFER_BYTES_CLAIMED.max(2 * held.len());
        whole.next_power_of_two().clamp(BUFFER_BYTES_MIN, most)
    }

    async fn grow_buffer(&mut self) -> Result<(), End> {
        let held = &self.buffer[..self.filled];
        let length = frame_length(held).unwrap_or(0);
        let whole = HEADER_BYTES + length;
        if length > self.shard.common.settings.horizon.frame_bytes_max {
            return Err(End::TooLong);
        }
        let size = self
            .buffer_bytes(held)
            .min(whole)
            .max(self.filled + HEADER_BYTES);
        let more = size - self.buffer.len();
        while !self.has_reserve {
            if self.shard.common.budget.claim(more) {
                self.claimed += more;
                break;
            }
            if self.shard.common.budget.take_reserve() {
                self.has_reserve = true;
                break;
            }
            if self.slot.given_up.get() || self.shard.pipeline.borrow().has_given_up() {
                return Err(End::Stalled);
            }
            plane::sleep(BUDGET_RETRY).await;
        }
        let mut larger = self.shard.buffers.borrow_mut().take(size);
        larger[..self.filled].copy_from_slice(&self.buffer[..self.filled]);
        let smaller = std::mem::replace(&mut self.buffer, larger);
        self.shard.buffers.borrow_mut().give_back(smaller);
        Ok(())
    }

    fn empty_buffer(&mut self) {
        self.filled = 0;
        self.shard
            .common
            .budget
            .release(std::mem::take(&mut self.claimed));
        self.return_reserve();
        self.shard
            .buffers
            .borrow_mut()
            .give_back(std::mem::take(&mut self.buffer));
    }

    fn return_reserve(&mut self) {
        if std::mem::take(&mut self.has_reserve) {
            self.shard.common.budget.return_reserve();
        }
    }

    // ---- the end --------------------------------------------------------

    fn count_end(&self, end: &End) {
        let mut pipeline = self.shard.pipeline.borrow_mut();
        let counts = pipeline.counts.source(self.source);
        let told = match end {
            End::TooLong => {
                counts.frames_too_long += 1;
                Some((
                    "a frame is longer than horizon.frame_bytes_max; its connection is closed",
                    "send lines to horizon.line_tcp, not here; or raise horizon.frame_bytes_max",
                ))
            }
            End::Stalled => {
                counts.connections_stalled += 1;
                counts.frames_cut_short += 1;
                Some((
                    "a frame has not grown for horizon.frame_stall_s; its connection is closed",
                    "look at the network and the sender, which has stopped in the middle",
                ))
            }
            End::Peer | End::Drained => {
                counts.frames_cut_short += u64::from(self.filled > 0);
                None
            }
        };
        static BRAKE: Throttle = Throttle::new(LOG_PERIOD);
        if let Some((told, mend)) = told
            && let Some(suppressed) = BRAKE.admit()
        {
            let peer = self.slot.peer.map(tracing::field::display);
            tracing::warn!(
                listener = self.source.as_str(),
                peer,
                suppressed,
                mend,
                "{told}"
            );
        }
    }
}

fn frame_length(bytes: &[u8]) -> Option<usize> {
    bytes
        .first_chunk::<HEADER_BYTES>()
        .map(|length| u32::from_be_bytes(*length) as usize)
}
