//! A proxy between a writer and Redis, on unix sockets: relays bytes both ways
//! and stamps each answer's arrival, so that latency is seen from outside of
//! what is measured. Server and floor pass through the same proxy.
//!
//! ```text
//! server or floor ==> listener | parse commands, note whose points | ==> Redis
//!                 <==          | stamp, count off replies          | <==
//! ```

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::latency::{Outstanding, Recorder};
use crate::resp;

/// Bytes that a direction holds before it stops reading, unless one command is longer.
const HOLD_BYTES: usize = 512 * 1024;

/// A running proxy; it ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    path: PathBuf,
    recorder: Arc<Mutex<Option<Recorder>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on `path` and relays to `upstream`.
    pub fn start(path: &Path, upstream: &Path) -> Result<Self> {
        let listener =
            UnixListener::bind(path).with_context(|| format!("no proxy on {}", path.display()))?;
        listener.set_nonblocking(true)?;
        let recorder = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let relay = Relay {
            listener,
            upstream: upstream.to_owned(),
            recorder: Arc::clone(&recorder),
            stop: Arc::clone(&stop),
            pairs: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("perf-proxy".into())
            .spawn(move || {
                if let Err(error) = relay.run() {
                    eprintln!("the proxy has ended: {error:#}");
                }
            })?;
        Ok(Self {
            path: path.to_owned(),
            recorder,
            stop,
            thread: Some(thread),
        })
    }

    /// Where writers connect to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts `recorder` in charge of what passes from now on, and returns the one before.
    pub fn record(&self, recorder: Option<Recorder>) -> Option<Recorder> {
        std::mem::replace(&mut *lock(&self.recorder), recorder)
    }

    /// Points that the present recorder has seen answered.
    pub fn points(&self) -> u64 {
        lock(&self.recorder).as_ref().map_or(0, Recorder::points)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn lock(recorder: &Mutex<Option<Recorder>>) -> MutexGuard<'_, Option<Recorder>> {
    recorder.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Relay {
    listener: UnixListener,
    upstream: PathBuf,
    recorder: Arc<Mutex<Option<Recorder>>>,
    stop: Arc<AtomicBool>,
    pairs: Vec<Option<Pair>>,
}

/// A writer's connection and its own connection to Redis.
struct Pair {
    writer: End,
    redis: End,
    commands: Way,
    replies: Way,
    outstanding: Outstanding,
}

struct End {
    socket: OwnedFd,
    readable: bool,
    writable: bool,
}

/// Bytes on their way: `sent <= filled`, `parsed <= filled`.
struct Way {
    buffer: Vec<u8>,
    sent: usize,
    parsed: usize,
    filled: usize,
}

impl Relay {
    fn run(mut self) -> Result<()> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let listener_id = u64::MAX;
        let data = epoll::EventData::new_u64(listener_id);
        epoll::add(&poll, &self.listener, data, epoll::EventFlags::IN)?;
        let mut events = Vec::with_capacity(256);
        // Looks at the stop flag this often.
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        while !self.stop.load(Ordering::Relaxed) {
            events.clear();
            match epoll::wait(
                &poll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&timeout),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
            for event in &events {
                let (id, flags) = (event.data.u64(), event.flags);
                if id == listener_id {
                    self.accept(&poll)?;
                    continue;
                }
                let index = (id / 2) as usize;
                let Some(pair) = self.pairs.get_mut(index).and_then(Option::as_mut) else {
                    continue;
                };
                let end = if id % 2 == 0 {
                    &mut pair.writer
                } else {
                    &mut pair.redis
                };
                end.readable |= flags.intersects(
                    epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR,
                );
                end.writable |= flags.contains(epoll::EventFlags::OUT);
                if !pair.relay(&self.recorder) {
                    self.pairs[index] = None;
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, poll: &OwnedFd) -> Result<()> {
        let writer = match self.listener.accept() {
            Ok((writer, _)) => writer,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // Redis is away: the writer sees its connection closed, as it would without us.
        let Ok(redis) = UnixStream::connect(&self.upstream) else {
            return Ok(());
        };
        writer.set_nonblocking(true)?;
        redis.set_nonblocking(true)?;
        let index = self
            .pairs
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.pairs.len());
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        let id = index as u64 * 2;
        epoll::add(poll, writer.as_fd(), epoll::EventData::new_u64(id), flags)?;
        epoll::add(
            poll,
            redis.as_fd(),
            epoll::EventData::new_u64(id + 1),
            flags,
        )?;
        let pair = Pair {
            writer: End {
                socket: writer.into(),
                readable: true,
                writable: true,
            },
            redis: End {
                socket: redis.into(),
                readable: true,
                writable: true,
            },
            commands: Way::new(),
            replies: Way::new(),
            outstanding: Outstanding::default(),
        };
        if index == self.pairs.len() {
            self.pairs.push(Some(pair));
        } else {
            self.pairs[index] = Some(pair);
        }
        Ok(())
    }
}

impl Pair {
    /// Moves all that can be moved. False when one side has closed.
    fn relay(&mut self, recorder: &Mutex<Option<Recorder>>) -> bool {
        loop {
            let mut moved = false;
            if self.redis.readable && self.replies.has_room() {
                match self.replies.fill(&mut self.redis) {
                    Some(0) => {}
                    Some(_) => {
                        let now = Instant::now();
                        moved = true;
                        let mut recorder = lock(recorder);
                        while let Some(reply) = resp::reply(self.replies.unparsed()) {
                            self.replies.parsed += reply.length;
                            self.outstanding
                                .answered(reply.error, now, recorder.as_mut());
                        }
                    }
                    None => return false,
                }
            }
            if self.writer.readable && self.commands.has_room() {
                match self.commands.fill(&mut self.writer) {
                    Some(0) => {}
                    Some(_) => {
                        moved = true;
                        let recorder = lock(recorder);
                        while let Some(command) = resp::command(self.commands.unparsed()) {
                            let length = command.length;
                            self.outstanding.sent(command.appended, recorder.as_ref());
                            self.commands.parsed += length;
                        }
                    }
                    None => return false,
                }
            }
            for (way, to) in [
                (&mut self.commands, &mut self.redis),
                (&mut self.replies, &mut self.writer),
            ] {
                match way.empty(to) {
                    // There may be room again for what was not read above.
                    Some(sent) => moved |= sent > 0,
                    None => return false,
                }
            }
            if !moved {
                return true;
            }
        }
    }
}

impl Way {
    fn new() -> Self {
        Self {
            buffer: vec![0; HOLD_BYTES],
            sent: 0,
            parsed: 0,
            filled: 0,
        }
    }

    fn has_room(&self) -> bool {
        self.filled - self.sent < HOLD_BYTES
    }

    fn unparsed(&self) -> &[u8] {
        &self.buffer[self.parsed..self.filled]
    }

    /// Reads once; `None` when the other side has closed.
    fn fill(&mut self, from: &mut End) -> Option<usize> {
        let done = self.sent.min(self.parsed);
        if done == self.filled {
            (self.sent, self.parsed, self.filled) = (0, 0, 0);
        } else if self.buffer.len() - self.filled < HOLD_BYTES / 4 {
            self.buffer.copy_within(done..self.filled, 0);
            self.sent -= done;
            self.parsed -= done;
            self.filled -= done;
            if self.buffer.len() - self.filled < HOLD_BYTES / 4 {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        match recv(
            &from.socket,
            &mut self.buffer[self.filled..],
            RecvFlags::DONTWAIT,
        ) {
            Ok((0, _)) => None,
            Ok((got, _)) => {
                self.filled += got;
                Some(got)
            }
            Err(Errno::AGAIN | Errno::INTR) => {
                from.readable = false;
                Some(0)
            }
            Err(_) => None,
        }
    }

    /// Writes until all is out or the socket is full; `None` when it is closed.
    fn empty(&mut self, to: &mut End) -> Option<usize> {
        let before = self.sent;
        while to.writable && self.sent < self.filled {
            let bytes = &self.buffer[self.sent..self.filled];
            match send(&to.socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(sent) => self.sent += sent,
                Err(Errno::AGAIN | Errno::INTR) => to.writable = false,
                Err(_) => return None,
            }
        }
        Some(self.sent - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor;
    use crate::plan::{Calendar, Plan, Schedule};
    use crate::process::Cores;
    use crate::redis::{Persistence, Redis};
    use crate::sender::{Answers, Job, Pace, UNBOUNDED, pump};
    use crate::verify::Expected;
    use rustix::process::Signal;
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    const STALL: Duration = Duration::from_millis(600);

    /// A stall must be felt by every point that was due during it, not only by
    /// the one in flight: Redis is stopped in the middle of an open loop, and at
    /// least as many points as were due in half the stall must show half of it.
    #[test]
    fn an_open_loop_shows_a_stall_to_every_point_it_met() {
        let cores = Cores::choose().unwrap();
        let redis = Redis::start(cores.redis, Persistence::None).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let proxy = Proxy::start(&dir.path().join("proxy.sock"), &redis.socket()).unwrap();
        let (plan, rate) = (Plan::new(1000, 2, 50), 20_000.0);
        let rounds = plan.rounds_for(40_000);
        let calendar = Calendar::new(rounds);
        let names = plan.names();
        let mut lanes = floor::lanes(plan, &names, &calendar, proxy.path()).unwrap();
        let schedule = Schedule::new(plan, 0..rounds, rate);
        let (stop, progress) = (AtomicBool::new(false), AtomicU64::new(0));
        let start = Instant::now();
        proxy.record(Some(Recorder::new(schedule, start).unwrap()));
        let job = Job {
            first_round: 0,
            rounds,
            calendar,
            pace: Pace::Open(schedule),
            start,
            answers: Answers::Counted { window: UNBOUNDED },
            stop: &stop,
            progress: &progress,
        };
        std::thread::scope(|scope| {
            let pump = scope.spawn(|| pump(&mut lanes, &job).unwrap());
            while progress.load(Ordering::Relaxed) < 10_000 {
                std::thread::yield_now();
            }
            redis.process().signal(Signal::STOP).unwrap();
            // The stall itself, not a wait for something to happen.
            std::thread::sleep(STALL);
            redis.process().signal(Signal::CONT).unwrap();
            assert_eq!(pump.join().unwrap().points, 40_000);
        });
        let recorder = proxy.record(None).unwrap();
        assert_eq!((recorder.points(), recorder.errors), (40_000, 0));
        let half_us = STALL.as_micros() as u64 / 2;
        let slow = recorder.histogram.count_between(half_us, u64::MAX);
        let due_meanwhile = (STALL.as_secs_f64() / 2.0 * rate) as u64;
        assert!(
            slow >= due_meanwhile * 9 / 10,
            "{slow} of {due_meanwhile} points show it"
        );
        assert!(recorder.histogram.value_at_quantile(0.999) >= half_us);

        let expected = Expected {
            plan,
            names: &names,
            calendar,
            history: false,
            rounds,
            membership: false,
        };
        expected.check(&mut redis.connect().unwrap()).unwrap();
    }
}
