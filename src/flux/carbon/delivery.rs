//! The task that delivers: frames of what waits, and the connections they go out on.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};

use super::{Batch, Done, Shared, State, point_bytes};
use crate::carbon::{self, FRAME_BYTES_MAX, FRAME_POINTS_MAX};
use crate::logging::Throttle;
use crate::settings::Endpoint;
use crate::shard::OwnedPoint;
use crate::side_keys::now_s;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait after the first failure, and the longest; each is twice the one before,
/// and up to half of it is left out by chance.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The longest while the server ends.
const PAUSE_AT_END: Duration = Duration::from_millis(500);
/// A connection that has lasted for so long was a good one.
const STEADY: Duration = Duration::from_secs(30);
/// A carbon that has neither taken nor closed anything for so long is told of.
const SLOW: Duration = Duration::from_secs(10);
/// A host that answers nothing for so long is dead. A carbon that does not read for
/// this long is connected to anew as well, and gets what it has not confirmed again.
const DEAD: Duration = Duration::from_secs(300);
const KEEPALIVE: Duration = Duration::from_secs(60);

static AWAY: Throttle = Throttle::new(Duration::from_secs(60));

/// One frame, kept until carbon has read it.
struct Frame {
    bytes: Vec<u8>,
    points: u64,
    /// What the points are reckoned to take in memory.
    cost: u64,
    was_written: bool,
    /// Of those whose last point is in this frame.
    done: Vec<Done>,
}

/// Points of a batch.
type Piece = (Arc<[OwnedPoint]>, Range<usize>);

/// A connection whose other side has closed after ours.
struct Previous {
    address: SocketAddr,
    stream: TcpStream,
}

/// See the module.
pub(super) struct Delivery {
    shared: Arc<Shared>,
    address: Endpoint,
    /// How long a connection is used before it is asked for its proof.
    confirm: Duration,
    end_by: watch::Receiver<Option<Instant>>,
    /// Frames that are not delivered.
    frames: VecDeque<Frame>,
    /// How many of them were written on the present connection, or on `previous`,
    /// and how many points those have.
    written: usize,
    written_points: u64,
    previous: Option<Previous>,
    /// The address that was last connected to.
    known: Option<SocketAddr>,
}

impl Delivery {
    pub fn new(
        shared: Arc<Shared>,
        address: Endpoint,
        confirm: Duration,
        end_by: watch::Receiver<Option<Instant>>,
    ) -> Self {
        Self {
            shared,
            address,
            confirm,
            end_by,
            frames: VecDeque::new(),
            written: 0,
            written_points: 0,
            previous: None,
            known: None,
        }
    }

    /// Delivers until the end is asked for and either nothing is left or its time is
    /// over; returns how many points are left.
    pub async fn run(mut self) -> u64 {
        let mut end_by = self.end_by.clone();
        tokio::select! {
            () = self.deliver() => {}
            () = out_of_time(&mut end_by) => {}
        }
        self.give_up()
    }

    async fn deliver(&mut self) {
        let mut pause = PAUSE_MIN;
        while !self.is_over() {
            let opened = self.connect().await;
            let (mut stream, address) = match opened {
                Ok(opened) => opened,
                Err(error) => {
                    self.begin_again(&error, &mut pause).await;
                    continue;
                }
            };
            self.judge_previous(address);
            if self.is_over() {
                return;
            }
            self.shared.tell_connected();
            let begin = Instant::now();
            match self.converse(&mut stream).await {
                Ok(()) => {
                    pause = PAUSE_MIN;
                    self.previous = Some(Previous { address, stream });
                }
                Err(error) => {
                    if begin.elapsed() > STEADY {
                        pause = PAUSE_MIN;
                    }
                    drop(stream);
                    self.begin_again(&error, &mut pause).await;
                }
            }
        }
    }

    /// Whether there is nothing more to do, nor will be.
    fn is_over(&self) -> bool {
        let state = self.shared.lock();
        state.points == 0 && state.is_ending
    }

    /// Connects to the address that was good before, else to each that the name has.
    async fn connect(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        if let Some(address) = self.known
            && let Ok(stream) = open(address).await
        {
            return Ok((stream, address));
        }
        self.known = None;
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        let name = (self.address.host(), self.address.port());
        for address in tokio::net::lookup_host(name).await? {
            match open(address).await {
                Ok(stream) => {
                    self.known = Some(address);
                    return Ok((stream, address));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Whether what was written on the connection before was read, now that the one
    /// after it stands: if so it is delivered, else it is sent again. Whatever the
    /// peer has thrown away it has answered with a reset before it has answered the
    /// new connection.
    fn judge_previous(&mut self, address: SocketAddr) {
        if let Some(previous) = self.previous.take()
            && previous.address == address
            && matches!(previous.stream.take_error(), Ok(None))
        {
            let delivered: Vec<Frame> = self.frames.drain(..self.written).collect();
            self.settle(delivered, true);
        }
        self.rewind();
    }

    /// Has every frame that is left be written on the next connection.
    fn rewind(&mut self) {
        (self.written, self.written_points) = (0, 0);
    }

    /// Uses a connection until it is time for its proof, and gets that: `Ok` when
    /// the other side has closed after ours.
    async fn converse(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        let (mut from, mut to) = stream.split();
        let mut closed = pin!(closed(&mut from));
        let mut confirm_at: Option<tokio::time::Instant> = None;
        while !self.is_due(confirm_at) {
            if self.has_frame() {
                let wrote = to.write_all(&self.frames[self.written].bytes);
                tokio::select! {
                    biased;
                    error = too_early(closed.as_mut()) => return Err(error),
                    wrote = self.shared.patiently(wrote) => wrote?,
                }
                self.count_written();
                let _ =
                    confirm_at.get_or_insert_with(|| tokio::time::Instant::now() + self.confirm);
                continue;
            }
            let due = async {
                match confirm_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let mut end_by = self.end_by.clone();
            tokio::select! {
                error = too_early(closed.as_mut()) => return Err(error),
                () = self.shared.work.notified() => {}
                () = due => {}
                () = ending(&mut end_by) => {}
            }
        }
        if self.is_over() {
            // Nothing is left that would need a proof, for which a peer may let us wait.
            return Ok(());
        }
        tokio::select! {
            biased;
            error = too_early(closed.as_mut()) => return Err(error),
            () = std::future::ready(()) => {}
        }
        to.shutdown().await?;
        self.shared.patiently(closed).await
    }

    /// Whether the connection is to be ended: it has been used for long enough, or
    /// so much waits for its proof that there may be no room for more, or the server
    /// ends and everything is written.
    fn is_due(&self, confirm_at: Option<tokio::time::Instant>) -> bool {
        let state = self.shared.lock();
        let Some(at) = confirm_at else {
            return state.points == 0 && state.is_ending;
        };
        let is_all_written = state.waiting.is_empty() && self.written == self.frames.len();
        at <= tokio::time::Instant::now()
            || 2 * self.written_points >= self.shared.points_max
            || state.is_ending && is_all_written
    }

    /// Whether there is a frame to write, once one is made of what waits.
    fn has_frame(&mut self) -> bool {
        while self.written == self.frames.len() && self.make_frames() {}
        self.written < self.frames.len()
    }

    /// Makes frames of the first points that wait; false if there are none.
    fn make_frames(&mut self) -> bool {
        let (pieces, done) = take(&mut self.shared.lock().waiting);
        let points = pieces
            .iter()
            .flat_map(|(points, range)| &points[range.clone()]);
        let points: Vec<&OwnedPoint> = points.collect();
        let mut rest = points.as_slice();
        for bytes in carbon::frames(&points) {
            let (own, after) = rest.split_at(carbon::fitting(rest));
            rest = after;
            let frame = Frame {
                points: own.len() as u64,
                cost: own.iter().copied().map(point_bytes).sum(),
                was_written: false,
                done: Vec::new(),
                bytes: match bytes {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        tracing::error!("points for carbon cannot be sent: {error}");
                        Vec::new()
                    }
                },
            };
            self.frames.push_back(frame);
        }
        if let Some(last) = self.frames.back_mut() {
            last.done.extend(done);
        }
        !points.is_empty()
    }

    fn count_written(&mut self) {
        let frame = &mut self.frames[self.written];
        self.written += 1;
        self.written_points += frame.points;
        let status = &mut self.shared.lock().status;
        if std::mem::replace(&mut frame.was_written, true) {
            status.resent += frame.points;
        } else {
            status.sent += frame.points;
        }
        status.last_sent_s = now_s();
    }

    /// After a failure: says so, waits, and begins again with the first frame.
    async fn begin_again(&mut self, error: &io::Error, pause: &mut Duration) {
        self.previous = None;
        self.rewind();
        let is_ending = self.end_by.borrow().is_some();
        let longest = if is_ending { PAUSE_AT_END } else { PAUSE_MAX };
        let wait = (*pause).min(longest).mul_f64(1.0 - fastrand::f64() / 2.0);
        *pause = (*pause * 2).min(PAUSE_MAX);
        self.shared.tell_away(error, wait);
        let mut end_by = self.end_by.clone();
        tokio::select! {
            () = sleep(wait) => {}
            () = ending(&mut end_by), if !is_ending => {}
        }
    }

    /// Frees the room that frames took, and tells those who wait for them.
    fn settle(&self, frames: Vec<Frame>, is_delivered: bool) {
        let points: u64 = frames.iter().map(|frame| frame.points).sum();
        let cost: u64 = frames.iter().map(|frame| frame.cost).sum();
        let mut state = self.shared.lock();
        state.points = state.points.saturating_sub(points);
        state.bytes = state.bytes.saturating_sub(cost);
        if is_delivered {
            state.status.delivered += points;
        }
        drop(state);
        for done in frames.into_iter().flat_map(|frame| frame.done) {
            done(is_delivered);
        }
    }

    /// Gives up everything that is left, and says how many points that are.
    fn give_up(&mut self) -> u64 {
        let mut state = self.shared.lock();
        state.is_ending = true;
        state.status.connected = false;
        let left = state.points;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        let frames = self.frames.drain(..).collect();
        self.settle(frames, false);
        for batch in waiting {
            (batch.done)(false);
        }
        left
    }
}

impl Shared {
    fn tell_connected(&self) {
        let mut state = self.lock();
        state.away_until = None;
        state.status.connected = true;
        state.status.error.clear();
        state.status.connections += 1;
    }

    fn tell_away(&self, error: &io::Error, wait: Duration) {
        let mut state = self.lock();
        state.status.connected = false;
        state.away_until = Some(Instant::now() + wait);
        state.tell(error.to_string());
    }

    /// Waits for what only the other side can bring about, and tells of it if that
    /// takes long.
    async fn patiently<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let mut work = pin!(work);
        if let Ok(done) = timeout(SLOW, work.as_mut()).await {
            return done;
        }
        self.lock()
            .tell(format!("it has read nothing for {} s", SLOW.as_secs()));
        let done = work.await;
        self.lock().status.error.clear();
        done
    }
}

impl State {
    fn tell(&mut self, error: String) {
        if let Some(suppressed) = AWAY.admit() {
            let (address, waiting) = (&self.status.address, self.points);
            tracing::warn!(
                suppressed,
                waiting,
                "carbon at graphite.carbon_pickle, {address}: {error}"
            );
        }
        self.status.error = error;
    }
}

/// Takes the first points, as many as fit one frame, and what is to be called once
/// they are delivered.
fn take(waiting: &mut VecDeque<Batch>) -> (Vec<Piece>, Vec<Done>) {
    let (mut pieces, mut done) = (Vec::new(), Vec::new());
    let (mut count, mut bytes) = (0, 0);
    while let Some(batch) = waiting.front_mut() {
        let from = batch.next;
        while count < FRAME_POINTS_MAX && bytes < FRAME_BYTES_MAX as u64 {
            let Some(point) = batch.points.get(batch.next) else {
                break;
            };
            bytes += point_bytes(point);
            count += 1;
            batch.next += 1;
        }
        pieces.push((batch.points.clone(), from..batch.next));
        if batch.next < batch.points.len() {
            break;
        }
        done.extend(waiting.pop_front().map(|batch| batch.done));
    }
    (pieces, done)
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let stream = connected.map_err(|_| {
        let text = format!("no answer in {} s", CONNECT_TIMEOUT.as_secs());
        io::Error::new(ErrorKind::TimedOut, text)
    })??;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_user_timeout(Some(DEAD))?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    socket.set_tcp_keepalive(&keepalive.with_interval(KEEPALIVE))?;
    Ok(stream)
}

/// Reads until the other side closes.
async fn closed(from: &mut ReadHalf<'_>) -> io::Result<()> {
    let mut scratch = [0; 256];
    while from.read(&mut scratch).await? > 0 {}
    Ok(())
}

/// The error that it is when the other side closes before ours.
async fn too_early(closed: impl Future<Output = io::Result<()>>) -> io::Error {
    match closed.await {
        Ok(()) => io::Error::new(ErrorKind::ConnectionAborted, "it has closed the connection"),
        Err(error) => error,
    }
}

/// Until the end of the server is asked for.
async fn ending(end_by: &mut watch::Receiver<Option<Instant>>) {
    // An error is the end, too: nobody is left who could ask.
    let _ = end_by.wait_for(Option::is_some).await;
}

/// Until the time for the end is over.
async fn out_of_time(end_by: &mut watch::Receiver<Option<Instant>>) {
    let told = end_by.wait_for(Option::is_some).await.map(|at| *at);
    if let Ok(Some(deadline)) = told {
        sleep_until(deadline.into()).await;
    }
}
