//! A shard's link to Redis: one connection, made again whenever it is lost, on
//! which batches are flushed and answers settled.
//!
//! There is no time-out for answers: a Redis that is paused still runs what it
//! was sent, so sending it again on a new connection would store it twice.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::{Condvar, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::pipeline::{Garbage, Redis};
use crate::plane::{self, Stream, Timer};
use crate::settings::{RedisAddress, RedisUrl};
use crate::shard::Shard;
use crate::wire::resp::{self, Parsed, Reply};

/// A write that is larger than this is not made larger still by another batch.
const OUT_BYTES: usize = 64 << 10;
/// Room for answers: some ten thousand of them.
const INPUT_BYTES: usize = 64 << 10;
/// What a link holds in buffers, mostly: a full batch of long names is larger.
pub const LINK_BYTES: usize = 4 * OUT_BYTES + INPUT_BYTES;
/// While so many commands are unanswered, Redis has work for at least as long as
/// the answers rest: a server that wakes for every few of them spends more on
/// waking than on answers. Redis reads 16 KiB at a time, some 140 commands, and
/// answers them in one write.
const REST_COMMANDS: u64 = 1500;
/// How long answers rest then.
const REST: Duration = Duration::from_millis(1);
/// Waits between attempts grow from the first to the second of these.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Longest wait for a TCP connection to be made, and for Redis to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Rounds of write and read before other tasks of the shard get their turn.
const ROUNDS_MAX: usize = 16;

/// How a link stands, for those outside of its shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// There is no connection; why not.
    Away(String),
    /// Commands are sent and answered.
    Ready,
    /// Redis refuses commands for now; the code of its error.
    Refusing(String),
}

/// The state of every shard's link. Written when one changes, which is rarely.
#[derive(Debug)]
pub struct LinkBoard {
    states: Mutex<Vec<LinkState>>,
    changed: Condvar,
}

impl LinkBoard {
    /// For this many shards.
    pub fn new(shards: usize) -> Self {
        let states = vec![LinkState::Away("not yet connected".to_owned()); shards];
        Self {
            states: Mutex::new(states),
            changed: Condvar::new(),
        }
    }

    /// Every link's state.
    pub fn states(&self) -> Vec<LinkState> {
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The state of the first link that is not ready, if there is one.
    pub fn trouble(&self) -> Option<LinkState> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let mut states = states.iter();
        states.find(|state| **state != LinkState::Ready).cloned()
    }

    /// Waits until every link is ready; false if `timeout` is over first.
    pub fn wait_ready(&self, timeout: Duration) -> bool {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let unready = |states: &mut Vec<LinkState>| states.iter().any(|s| *s != LinkState::Ready);
        let waited = self.changed.wait_timeout_while(states, timeout, unready);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn set(&self, shard: usize, state: LinkState) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = states.get_mut(shard)
            && *slot != state
        {
            log_change(shard, slot, &state);
            *slot = state;
            self.changed.notify_all();
        }
    }
}

const NOT_REACHABLE: &str =
    "start Redis, or set redis.url to where it is; then it goes on by itself";

/// What mends an error that will pass.
fn mend(code: &str) -> &'static str {
    match code {
        "LOADING" => "wait: Redis reads its data from disk",
        "OOM" => "raise maxmemory (redis-cli CONFIG SET maxmemory), or trim sooner",
        "MISCONF" => "Redis cannot save to disk: see its log and its disk's room",
        "READONLY" | "MASTERDOWN" => "this Redis is a replica: set redis.url to the master",
        "NOAUTH" | "WRONGPASS" | "NOPERM" => "set redis.password_file to the right password",
        "BUSY" => "another client's script runs: redis-cli SCRIPT KILL",
        _ => "see what Redis says of itself: redis-cli INFO",
    }
}

fn log_change(shard: usize, before: &LinkState, after: &LinkState) {
    match (before, after) {
        (_, LinkState::Ready) => tracing::info!(shard, "redis answers"),
        (LinkState::Away(_), LinkState::Away(error)) => {
            let mend = NOT_REACHABLE;
            tracing::warn!(shard, error, mend, "redis is not reachable; trying again");
        }
        (_, LinkState::Away(error)) => {
            tracing::warn!(
                shard,
                error,
                mend = NOT_REACHABLE,
                "the connection to redis is lost; points are kept and sent again"
            );
        }
        (_, LinkState::Refusing(code)) => {
            tracing::warn!(
                shard,
                code,
                mend = mend(code),
                "redis refuses commands for now; nothing is read until it takes them"
            );
        }
    }
}

/// Keeps the shard's link up until the shard ends.
pub async fn run(shard: Rc<Shard>, url: RedisUrl) {
    let mut retry = RETRY.0;
    loop {
        let failed = match open(&url).await {
            Ok(stream) => {
                retry = RETRY.0;
                shard.pipeline.borrow_mut().connect();
                shard.board.set(shard.index, LinkState::Ready);
                let mut link = Link::new(shard.clone(), stream);
                let error = poll_fn(|cx| link.poll(cx)).await;
                shard.pipeline.borrow_mut().lose_connection();
                error
            }
            Err(error) => error,
        };
        shard
            .board
            .set(shard.index, LinkState::Away(format!("{url}: {failed}")));
        plane::sleep(retry).await;
        retry = (retry * 2).min(RETRY.1);
    }
}

/// Connects and has Redis let us in.
async fn open(url: &RedisUrl) -> io::Result<Stream> {
    let mut stream = match &url.address {
        RedisAddress::Unix(path) => Stream::connect_unix(path)?,
        RedisAddress::Tcp { host, port } => connect_tcp(host.clone(), *port).await?,
    };
    let mut out = Vec::new();
    let mut answers = 1;
    if let Some(password) = &url.password {
        match &url.user {
            Some(user) => {
                resp::command(&mut out, &[b"AUTH", user.as_bytes(), password.as_bytes()]);
            }
            None => resp::command(&mut out, &[b"AUTH", password.as_bytes()]),
        }
        answers += 1;
    }
    if url.db != 0 {
        resp::command(&mut out, &[b"SELECT", url.db.to_string().as_bytes()]);
        answers += 1;
    }
    resp::command(&mut out, &[b"PING"]);
    let mut timeout = Timer::after(CONNECT_TIMEOUT);
    let mut input = Vec::new();
    let mut written = 0;
    poll_fn(|cx| {
        if timeout.poll(cx) {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "connected, but no answer to PING",
            )));
        }
        while written < out.len() {
            match stream.poll_write(cx, &out[written..]) {
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        let mut chunk = [0; 512];
        loop {
            match stream.poll_read(cx, &mut chunk) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(closed())),
                Poll::Ready(Ok(count)) => input.extend_from_slice(&chunk[..count]),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            loop {
                match resp::parse(&input) {
                    Parsed::Reply(Reply::Error(error), _) => {
                        let error = String::from_utf8_lossy(error).escape_debug().to_string();
                        return Poll::Ready(Err(io::Error::other(error)));
                    }
                    Parsed::Reply(_, taken) => {
                        input.drain(..taken);
                        answers -= 1;
                        if answers == 0 {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    Parsed::Incomplete => break,
                    Parsed::Garbage => return Poll::Ready(Err(io::Error::other(Garbage))),
                }
            }
        }
    })
    .await?;
    Ok(stream)
}

async fn connect_tcp(host: String, port: u16) -> io::Result<Stream> {
    let addresses: Vec<SocketAddr> = plane::unblock(move || {
        (host.as_str(), port)
            .to_socket_addrs()
            .map(Iterator::collect)
    })
    .await?;
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for address in addresses {
        match Stream::connect_tcp(address, CONNECT_TIMEOUT).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "redis has closed the connection",
    )
}

/// One connection at work.
struct Link {
    shard: Rc<Shard>,
    stream: Stream,
    out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    filled: usize,
    linger: Option<Timer>,
    /// Until when answers are left where they are.
    rest: Option<Timer>,
    /// Wakes the link after a turn at the end of which there was more to do.
    turn: Option<Timer>,
    /// While Redis refuses: the wait before the next attempt.
    retry: Option<Timer>,
    retry_after: Duration,
}

impl Link {
    fn new(shard: Rc<Shard>, stream: Stream) -> Self {
        Self {
            shard,
            stream,
            out: Vec::with_capacity(4 * OUT_BYTES),
            written: 0,
            input: vec![0; INPUT_BYTES],
            filled: 0,
            linger: None,
            rest: None,
            turn: None,
            retry: None,
            retry_after: RETRY.0,
        }
    }

    /// Flushes, writes, reads and settles until there is nothing to do; ready
    /// when the connection is of no more use.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.turn = None;
        for _ in 0..ROUNDS_MAX {
            match self.round(cx) {
                Ok(true) => {}
                Ok(false) => {
                    self.shard.pipeline.borrow_mut().wait_for_batch(cx.waker());
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(error),
            }
        }
        self.turn = Some(plane::poll_after_others(cx));
        Poll::Pending
    }

    /// Whether anything was done.
    fn round(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let flushed = self.flush(cx);
        let wrote = self.write(cx)?;
        let settled = self.settle(cx)?;
        Ok(flushed || wrote || settled)
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.may_flush(cx) {
            return false;
        }
        let mut pipeline = self.shard.pipeline.borrow_mut();
        let mut linger_over = false;
        match pipeline.lingers_since() {
            None => self.linger = None,
            Some(since) => {
                let linger = self.shard.live.get().linger.saturating_sub(since.elapsed());
                let timer = self.linger.get_or_insert_with(|| Timer::after(linger));
                linger_over = linger.is_zero() || timer.poll(cx);
            }
        }
        let mut flushed = false;
        while self.out.len() < OUT_BYTES && pipeline.flush(&mut self.out, linger_over) {
            flushed = true;
            linger_over = false;
            self.linger = None;
        }
        flushed
    }

    /// While Redis refuses, one batch goes after each wait.
    fn may_flush(&mut self, cx: &mut Context<'_>) -> bool {
        let pipeline = self.shard.pipeline.borrow();
        if pipeline.redis() != Redis::Refusing {
            self.retry = None;
            self.retry_after = RETRY.0;
            return true;
        }
        if pipeline.has_in_flight() {
            return false;
        }
        let timer = self
            .retry
            .get_or_insert_with(|| Timer::after(self.retry_after));
        if !timer.poll(cx) {
            return false;
        }
        self.retry = None;
        self.retry_after = (self.retry_after * 2).min(RETRY.1);
        true
    }

    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut wrote = false;
        while self.written < self.out.len() {
            match self.stream.poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    wrote = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(wrote),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(wrote)
    }

    fn settle(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if let Some(rest) = &mut self.rest {
            if !rest.poll(cx) {
                return Ok(false);
            }
            self.rest = None;
        }
        let count = match self.stream.poll_read(cx, &mut self.input[self.filled..]) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0)) => return Err(closed()),
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(error)) => return Err(error),
        };
        self.filled += count;
        let mut pipeline = self.shard.pipeline.borrow_mut();
        let before = pipeline.redis();
        let taken = pipeline
            .settle(&self.input[..self.filled])
            .map_err(io::Error::other)?;
        self.input.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        if self.filled == self.input.len() {
            return Err(io::Error::other(Garbage));
        }
        let after = pipeline.redis();
        if before != after {
            let state = match after {
                Redis::Refusing => {
                    let code = pipeline.counts.redis.errors.last().unwrap_or("other");
                    LinkState::Refusing(code.to_owned())
                }
                Redis::Ready | Redis::Away => LinkState::Ready,
            };
            self.shard.board.set(self.shard.index, state);
        }
        if pipeline.unanswered() > REST_COMMANDS {
            self.rest = Some(Timer::after(REST));
        }
        if pipeline.is_settled() {
            self.shard.settled.notify();
        }
        Ok(true)
    }
}
