//! The pump: one thread that writes tapes to any number of sockets, as fast as
//! they take it (closed loop) or each frame at its scheduled time (open loop).
//! Senders and floor are the same pump with other tapes.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::plan::{Calendar, Schedule};
use crate::tape::Tape;

/// One write takes at least this much of a tape, where pace and window allow.
const WRITE_BYTES: usize = 64 * 1024;
/// How often a waiting pump looks at the stop flag.
const STOP_LOOK: Duration = Duration::from_millis(100);

/// A window that never holds anything back, as an open loop needs.
pub const UNBOUNDED: u64 = u64::MAX / 2;

/// How fast to send.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As fast as the sockets take it.
    Closed,
    /// Each frame when it is due, however late the one before it was.
    Open(Schedule),
}

/// What the other end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Nothing, ever: a pickle listener.
    None,
    /// HTTP, which is read and looks well, and says nothing that is not seen in Redis.
    Http,
    /// A line to each point, `:n`, with at most this many outstanding for each lane.
    Counted {
        /// Points without an answer; in an open loop [`UNBOUNDED`].
        window: u64,
    },
}

impl Answers {
    fn are_counted(self) -> bool {
        matches!(self, Self::Counted { .. })
    }
}

/// Whether HTTP answers, as far as they are in one piece, are all 204.
fn refuse_bad(got: &[u8]) -> Result<()> {
    for at in memchr::memmem::find_iter(got, b"HTTP/1.1 ") {
        let answer = &got[at..];
        if answer.len() >= 12 && !answer.starts_with(b"HTTP/1.1 204") {
            let text = String::from_utf8_lossy(answer);
            bail!("a request was refused: {text}");
        }
    }
    Ok(())
}

/// One connection and its tape.
#[derive(Debug)]
pub struct Lane {
    socket: OwnedFd,
    tape: Tape,
    /// Frames written over so far in this job, over all laps.
    frames: u64,
    /// Bytes of the tape that carry new points, and those of them already sent.
    fresh: usize,
    sent: usize,
    writable: bool,
    /// Whether the pump is woken when answers come.
    listens: bool,
    points: u64,
    answered: u64,
}

/// One stretch of a run.
#[derive(Debug)]
pub struct Job<'a> {
    /// First round; a multiple of the plan's lap.
    pub first_round: u64,
    /// Rounds; a multiple of the plan's lap.
    pub rounds: u64,
    /// Timestamps.
    pub calendar: Calendar,
    /// Pace.
    pub pace: Pace,
    /// When an open loop starts.
    pub start: Instant,
    /// What comes back.
    pub answers: Answers,
    /// Ends the job early, with an error.
    pub stop: &'a AtomicBool,
    /// Points sent (or answered, where answers are counted), for whoever watches.
    pub progress: &'a AtomicU64,
}

/// What the pump itself saw.
#[derive(Debug)]
pub struct Pumped {
    /// Points sent.
    pub points: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Open loop: how late frames were begun, in us.
    pub late_us: Histogram<u64>,
    /// CPU time of the pump's thread, in ns.
    pub cpu_ns: u64,
}

impl Lane {
    /// A lane over a connected socket.
    pub fn new(socket: impl Into<OwnedFd>, tape: Tape) -> Result<Self> {
        let socket = socket.into();
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self {
            socket,
            tape,
            frames: 0,
            fresh: 0,
            sent: 0,
            writable: true,
            listens: false,
            points: 0,
            answered: 0,
        })
    }

    fn rewind(&mut self) {
        (
            self.frames,
            self.fresh,
            self.sent,
            self.points,
            self.answered,
        ) = (0, 0, 0, 0, 0);
        self.writable = true;
    }

    /// Sends one write's worth of the frames below `allowed`. True if it is
    /// worth trying again at once.
    fn turn(
        &mut self,
        allowed: u64,
        job: &Job<'_>,
        pumped: &mut Pumped,
        lane: u64,
    ) -> Result<bool> {
        let plan = *self.tape.plan();
        if self.sent == self.fresh {
            let mut in_lap = self.frames % plan.lap_frames();
            if self.frames >= allowed {
                return Ok(false);
            }
            if in_lap == 0 {
                (self.sent, self.fresh) = (0, 0);
            }
            let lap = job.first_round / plan.lap_rounds() + self.frames / plan.lap_frames();
            while self.frames < allowed
                && in_lap < plan.lap_frames()
                && self.fresh - self.sent < WRITE_BYTES
            {
                if let Pace::Open(schedule) = &job.pace {
                    let late = job
                        .start
                        .elapsed()
                        .saturating_sub(schedule.due(lane, self.frames));
                    pumped.late_us.saturating_record(late.as_micros() as u64);
                }
                self.tape.write(lap, in_lap, &job.calendar);
                self.fresh = self.tape.end(in_lap);
                self.points += self.tape.points(in_lap);
                self.frames += 1;
                in_lap += 1;
            }
        }
        let bytes = &self.tape.bytes()[self.sent..self.fresh];
        match send(
            &self.socket,
            bytes,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        ) {
            Ok(sent) => {
                self.sent += sent;
                pumped.bytes += sent as u64;
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => {
                self.writable = false;
                Ok(false)
            }
            Err(error) => Err(io::Error::from(error)).context("a connection broke while sending"),
        }
    }

    /// Reads all that has come.
    fn read(&mut self, answers: Answers, buffer: &mut [u8]) -> Result<()> {
        loop {
            let got = match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) if !answers.are_counted() => bail!("the server closed a connection"),
                Ok((0, _)) => bail!("Redis, or the proxy before it, closed a connection"),
                Ok((got, _)) => &buffer[..got],
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                Err(error) => {
                    return Err(io::Error::from(error)).context("a connection broke");
                }
            };
            if answers == Answers::Http {
                refuse_bad(got)?;
                continue;
            }
            if answers == Answers::None {
                bail!("the listener wrote to its sender, which a relay takes for a fault");
            }
            if let Some(at) = memchr::memchr(b'-', got) {
                let text = String::from_utf8_lossy(&got[at..got.len().min(at + 120)]);
                bail!(
                    "Redis refused a command: {}",
                    text.lines().next().unwrap_or_default()
                );
            }
            self.answered += memchr::memchr_iter(b'\n', got).count() as u64;
        }
    }

    fn done(&self, frames: u64, answers: Answers) -> bool {
        self.frames == frames
            && self.sent == self.fresh
            && (!answers.are_counted() || self.answered == self.points)
    }

    fn allowed(&self, lane: u64, frames: u64, job: &Job<'_>) -> u64 {
        let plan = self.tape.plan();
        let by_window = match job.answers {
            Answers::None | Answers::Http => frames,
            Answers::Counted { window } => {
                let free = window.saturating_sub(self.points - self.answered);
                // A frame larger than the window goes when nothing is outstanding.
                let least = u64::from(self.points == self.answered);
                self.frames + (free / plan.frame_points).max(least)
            }
        };
        let by_time = match &job.pace {
            Pace::Closed => frames,
            Pace::Open(schedule) => {
                let now = job.start.elapsed();
                let mut due = self.frames;
                while due < frames.min(by_window) && schedule.due(lane, due) <= now {
                    due += 1;
                }
                due
            }
        };
        frames.min(by_window).min(by_time)
    }
}

/// Does a job on the calling thread, over all `lanes`.
///
/// # Errors
/// When a connection breaks, the listener writes back, Redis refuses a command,
/// or the stop flag is raised.
pub fn pump(lanes: &mut [Lane], job: &Job<'_>) -> Result<Pumped> {
    let cpu_before = crate::process::own_cpu_ns();
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1_000))?;
    let mut pumped = Pumped {
        points: 0,
        bytes: 0,
        late_us: Histogram::new_with_bounds(1, 600_000_000, 3)?,
        cpu_ns: 0,
    };
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    // In a closed loop answers are read when there is room to write again: to wake
    // the pump for each handful of them would cost Redis a few percent.
    let lazy = matches!(
        (&job.pace, job.answers),
        (Pace::Closed, Answers::Counted { .. })
    );
    let writes = epoll::EventFlags::OUT | epoll::EventFlags::ET;
    let both = writes | epoll::EventFlags::IN;
    let flags = if lazy { writes } else { both };
    for (index, lane) in lanes.iter_mut().enumerate() {
        lane.rewind();
        lane.listens = !lazy;
        epoll::add(
            &poll,
            lane.socket.as_fd(),
            epoll::EventData::new_u64(index as u64),
            flags,
        )?;
    }
    let Some(plan) = lanes.first().map(|l| *l.tape.plan()) else {
        return Ok(pumped);
    };
    let frames = job.rounds / plan.lap_rounds() * plan.lap_frames();
    let mut events = Vec::with_capacity(512);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        if job.stop.load(Ordering::Relaxed) {
            bail!("stopped");
        }
        let (mut busy, mut done, mut progress) = (false, true, 0);
        for (index, lane) in lanes.iter_mut().enumerate() {
            if lane.writable {
                let allowed = lane.allowed(index as u64, frames, job);
                busy |= lane.turn(allowed, job, &mut pumped, index as u64)?;
            }
            done &= lane.done(frames, job.answers);
            if lane.writable && !lane.listens && !busy {
                // All is sent, or the window is full: only answers help.
                let data = epoll::EventData::new_u64(index as u64);
                epoll::modify(&poll, lane.socket.as_fd(), data, both)?;
                lane.listens = true;
            }
            progress += match job.answers.are_counted() {
                true => lane.answered,
                false => lane.points,
            };
        }
        job.progress.store(progress, Ordering::Relaxed);
        if done {
            break;
        }
        let wait = if busy {
            Duration::ZERO
        } else {
            until_due(lanes, frames, job)
        };
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: wait.subsec_nanos().into(),
        };
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
            let lane = &mut lanes[event.data.u64() as usize];
            let seen = event.flags;
            lane.writable |= seen.contains(epoll::EventFlags::OUT);
            let read = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
            if seen.intersects(read) || !lane.listens {
                lane.read(job.answers, &mut buffer)?;
            }
        }
    }
    pumped.points = lanes.iter().map(|l| l.points).sum();
    pumped.cpu_ns = crate::process::own_cpu_ns() - cpu_before;
    Ok(pumped)
}

/// How long nothing is due.
fn until_due(lanes: &[Lane], frames: u64, job: &Job<'_>) -> Duration {
    let Pace::Open(schedule) = &job.pace else {
        return STOP_LOOK;
    };
    let now = job.start.elapsed();
    let waiting = lanes
        .iter()
        .enumerate()
        .filter(|(_, l)| l.writable && l.frames < frames);
    let next = waiting
        .map(|(index, lane)| schedule.due(index as u64, lane.frames))
        .min();
    next.map_or(STOP_LOOK, |due| due.saturating_sub(now).min(STOP_LOOK))
}
