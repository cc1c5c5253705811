//! One slice of a run: an empty Redis, warm-up rounds until every metric is
//! known, timed rounds, and the comparison of all that Redis holds. Floor and
//! server go through the same steps.

use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::floor;
use crate::frames;
use crate::history;
use crate::latency::Recorder;
use crate::lines;
use crate::plan::{Calendar, Plan, Schedule};
use crate::posts;
use crate::process::Cpu;
use crate::progress::Progress;
use crate::proxy::Proxy;
use crate::redis::Redis;
use crate::sender::{Answers, Job, Lane, Pace, Pumped, UNBOUNDED, pump};
use crate::server::{Counted, DIRECT, FLUX, LINE_TCP, PICKLE, Server};
use crate::tape::Tape;
use crate::verify::{Expected, UNIQUE};

/// Where Flux notes the last timestamp of each metric.
const LASTS: &str = "flux.last.metric_data";
/// How long Redis may show no growth before points count as lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the rate over time is sampled.
const SAMPLE: Duration = Duration::from_millis(100);

/// What a slice needs around it.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    /// The Redis that is written to.
    pub redis: &'a Redis,
    /// Set while latency is measured: the writer is connected through it.
    pub proxy: Option<&'a Proxy>,
    /// Raised when the run is to end.
    pub stop: &'a AtomicBool,
    /// The line on the terminal.
    pub progress: &'a Progress,
}

/// Who writes to Redis.
#[derive(Clone, Copy)]
pub enum Writer<'a> {
    /// Ready-made commands, over as many connections as the plan has lanes.
    Floor,
    /// A server in its own process, in pickles.
    Server(&'a Server),
    /// The same, in the line protocol.
    Lines(&'a Server),
    /// The same, in POSTs to Flux.
    Posts(&'a Server),
    /// A server in this process, listening here.
    InProcess(std::net::SocketAddr),
}

impl<'a> Writer<'a> {
    /// The server in its own process and its listener's name, if there is one.
    fn listener(self) -> Option<(&'a Server, &'static str)> {
        match self {
            Self::Server(server) => Some((server, PICKLE)),
            Self::Lines(server) => Some((server, LINE_TCP)),
            Self::Posts(server) => Some((server, DIRECT)),
            Self::Floor | Self::InProcess(_) => None,
        }
    }
}

/// What to do.
#[derive(Clone, Copy)]
pub struct Slice<'a> {
    /// Shape of the load.
    pub plan: Plan,
    /// The plan's names.
    pub names: &'a [String],
    /// Whether series begin with different lengths, as [`history`] says why.
    pub history: bool,
    /// Rounds before the clock starts, at least 1; rounded up to whole laps.
    pub warm_rounds: u64,
    /// Rounds under the clock; rounded up to whole laps.
    pub timed_rounds: u64,
    /// Points a second of an open loop, or as fast as possible.
    pub rate: Option<f64>,
    /// Whether the rounds before the clock come at that rate too.
    pub warm_at_rate: bool,
}

/// What came out.
pub struct Outcome {
    /// Points stored under the clock.
    pub points: u64,
    /// From the first byte sent until all stands in Redis.
    pub wall: Duration,
    /// CPU time of Redis.
    pub redis_ns: u64,
    /// CPU time of the server's process.
    pub server: Option<Cpu>,
    /// What the sender saw.
    pub pumped: Pumped,
    /// Latency, if a proxy measured it.
    pub recorder: Option<Recorder>,
    /// Seconds from the start and points a second.
    pub rate: Vec<(f64, f64)>,
}

impl Outcome {
    /// Points stored a second.
    pub fn points_per_s(&self) -> f64 {
        self.points as f64 / self.wall.as_secs_f64()
    }

    /// The server's CPU time a point, in ns; not a number without a server.
    pub fn server_ns_per_point(&self) -> f64 {
        self.server.map_or(f64::NAN, |s| s.all_ns as f64) / self.points as f64
    }

    /// Redis's CPU time a point, in ns.
    pub fn redis_ns_per_point(&self) -> f64 {
        self.redis_ns as f64 / self.points as f64
    }
}

/// Runs one slice. `clock` is called when the clock starts, and when it stops.
///
/// # Errors
/// When anything breaks, and when Redis does not hold exactly what was sent.
pub fn run(
    stage: Stage<'_>,
    writer: Writer<'_>,
    slice: Slice<'_>,
    title: &str,
    clock: impl FnMut() -> Result<()>,
) -> Result<Outcome> {
    stage.progress.begin(title);
    steps(stage, writer, slice, title, clock).with_context(|| title.to_owned())
}

fn steps(
    stage: Stage<'_>,
    writer: Writer<'_>,
    slice: Slice<'_>,
    title: &str,
    mut clock: impl FnMut() -> Result<()>,
) -> Result<Outcome> {
    let Slice {
        plan, names, rate, ..
    } = slice;
    stage.redis.flush()?;
    let warm_rounds = slice.warm_rounds.max(1).next_multiple_of(plan.lap_rounds());
    let rounds = warm_rounds
        + slice
            .timed_rounds
            .max(1)
            .next_multiple_of(plan.lap_rounds());
    let calendar = Calendar::new(rounds);
    let membership = !matches!(writer, Writer::Floor);
    let expected = Expected {
        plan,
        names,
        calendar,
        history: slice.history,
        rounds,
        membership,
    };
    let mut redis = stage.redis.connect()?;
    if slice.history {
        history::write(&plan, names, &calendar, &mut redis)?;
    }
    let counted = match writer.listener() {
        Some((server, listener)) => Some(server.counted(listener)?),
        None => None,
    };
    let mut lanes = lanes(stage, writer, slice, &calendar)?;
    let sent = AtomicU64::new(0);
    let window = if rate.is_some() {
        UNBOUNDED
    } else {
        floor::WINDOW_POINTS
    };
    let silent = match writer {
        Writer::Posts(_) => Answers::Http,
        _ => Answers::None,
    };
    let answers = if membership {
        silent
    } else {
        Answers::Counted { window }
    };

    let warm = Job {
        first_round: 0,
        rounds: warm_rounds,
        calendar,
        pace: match rate.filter(|_| slice.warm_at_rate) {
            Some(rate) => Pace::Open(Schedule::new(plan, 0..warm_rounds, rate)),
            None => Pace::Closed,
        },
        start: Instant::now(),
        answers: if membership {
            silent
        } else {
            Answers::Counted {
                window: floor::WINDOW_POINTS,
            }
        },
        stop: stage.stop,
        progress: &sent,
    };
    pumped(&mut lanes, &warm, |_| {})?;
    Expected {
        rounds: warm_rounds,
        ..expected
    }
    .wait(&mut redis, PATIENCE)?;
    if membership {
        wait_for_members(&expected, &mut redis)?;
    }

    let pace = rate.map(|rate| Schedule::new(plan, warm_rounds..rounds, rate));
    let timed_rounds = rounds - warm_rounds;
    let sent_points = timed_rounds * plan.metrics();
    let points = timed_rounds * plan.stored_metrics();
    let cpu = |writer: Writer<'_>| writer.listener().map(|(s, _)| s.cpu()).transpose();
    clock()?;
    let (server_before, redis_before) = (cpu(writer)?, stage.redis.cpu_ns()?);
    let start = Instant::now();
    if let (Some(proxy), Some(schedule)) = (stage.proxy, pace) {
        proxy.record(Some(Recorder::new(schedule, start)?));
    }
    let job = Job {
        first_round: warm_rounds,
        rounds: timed_rounds,
        calendar,
        pace: pace.map_or(Pace::Closed, Pace::Open),
        start,
        answers,
        stop: stage.stop,
        progress: &sent,
    };
    let mut sampled = Sampled::new(start, sent_points);
    let pumped = pumped(&mut lanes, &job, |sent| {
        stage.progress.at(sent, sent_points);
        sampled.sample(sent);
    })?;
    let end = if membership {
        expected.wait(&mut redis, PATIENCE)?
    } else {
        Instant::now()
    };
    clock()?;
    let (server_after, redis_after) = (cpu(writer)?, stage.redis.cpu_ns()?);
    let recorder = match (stage.proxy, pace) {
        (Some(proxy), Some(_)) => Some(recorder(proxy, points)?),
        _ => None,
    };
    stage.progress.begin(&format!("{title}: comparing"));
    settled(&expected, &mut redis)?;
    if matches!(writer, Writer::Posts(_)) {
        wait_for_lasts(plan.metrics(), calendar.second(rounds - 1), &mut redis)?;
    }
    if let (Some((server, listener)), Some(before)) = (writer.listener(), counted) {
        let grown = (rounds * plan.metrics(), rounds * plan.stored_metrics());
        account(server, listener, before, grown)?;
    }
    Ok(Outcome {
        points,
        wall: end - start,
        redis_ns: redis_after - redis_before,
        server: server_before
            .zip(server_after)
            .map(|(before, after)| after.since(&before)),
        pumped,
        recorder,
        rate: sampled.rate,
    })
}

fn lanes(
    stage: Stage<'_>,
    writer: Writer<'_>,
    slice: Slice<'_>,
    calendar: &Calendar,
) -> Result<Vec<Lane>> {
    let Slice { plan, names, .. } = slice;
    let to_server = |address, tape: fn(Plan, u64, &[String], &Calendar) -> Tape| {
        (0..plan.lanes)
            .map(|lane| {
                let socket = TcpStream::connect(address)
                    .with_context(|| format!("no connection to {address}"))?;
                socket.set_nodelay(true)?;
                Lane::new(socket, tape(plan, lane, names, calendar))
            })
            .collect()
    };
    match writer {
        Writer::Floor => {
            let redis = stage.redis.socket();
            let path: &Path = stage.proxy.map_or(&redis, Proxy::path);
            floor::lanes(plan, names, calendar, path)
        }
        Writer::Server(server) => to_server(server.address(PICKLE)?, frames::tape),
        Writer::Lines(server) => to_server(server.address(LINE_TCP)?, lines::tape),
        Writer::Posts(server) => to_server(server.address(FLUX)?, posts::tape),
        Writer::InProcess(address) => to_server(address, frames::tape),
    }
}

/// Pumps on a thread of its own while this one calls `watch` with the points so far.
fn pumped(lanes: &mut [Lane], job: &Job<'_>, mut watch: impl FnMut(u64)) -> Result<Pumped> {
    let (done, finished) = mpsc::channel();
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("perf-sender".into())
            .spawn_scoped(scope, move || {
                // The receiver lives until this has been received.
                done.send(pump(lanes, job)).ok();
            })?;
        loop {
            match finished.recv_timeout(SAMPLE) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) => watch(job.progress.load(Ordering::Relaxed)),
                Err(RecvTimeoutError::Disconnected) => return Err(anyhow!("the sender died")),
            }
        }
    })
}

/// Waits until Flux has noted the last timestamp of each metric, which it does behind the
/// answers: the next slice's points are older than some of this one's.
fn wait_for_lasts(metrics: u64, second: u64, redis: &mut redis::Connection) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let second = second.to_string();
    loop {
        let noted: Vec<String> = redis::cmd("HVALS").arg(LASTS).query(redis)?;
        let is_last = |noted: &&String| noted.contains(&second);
        let last = noted.iter().filter(is_last).count() as u64;
        if last == metrics {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("Flux has noted the last timestamp of {last} of {metrics} metrics in {LASTS}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn wait_for_members(expected: &Expected<'_>, redis: &mut redis::Connection) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let members: u64 = redis::cmd("SCARD").arg(UNIQUE).query(redis)?;
        let metrics = expected.plan.stored_metrics();
        if members >= metrics {
            return Ok(());
        }
        if Instant::now() > deadline {
            let missing = expected.no_member(redis)?;
            bail!("{members} of {metrics} metrics became members of {UNIQUE}, not {missing}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The proxy's findings, once it has passed on every answer.
fn recorder(proxy: &Proxy, points: u64) -> Result<Recorder> {
    let deadline = Instant::now() + PATIENCE;
    while proxy.points() < points && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    let recorder = proxy.record(None).context("no recorder")?;
    if recorder.errors > 0 {
        bail!("Redis answered {} points with an error", recorder.errors);
    }
    if recorder.points() != points {
        bail!(
            "the proxy saw {} points answered, of {points} sent",
            recorder.points()
        );
    }
    Ok(recorder)
}

/// Compares, with a little time for what the server sends last.
fn settled(expected: &Expected<'_>, redis: &mut redis::Connection) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match expected.check(redis) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            result => return result,
        }
    }
}

/// The server's own counters must say the same as Redis.
fn account(server: &Server, listener: &str, before: Counted, expected: (u64, u64)) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let now = server.counted(listener)?;
        let grown = (now.received - before.received, now.stored - before.stored);
        if grown == expected {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("of {expected:?} points (received, stored) the server counts {grown:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Sampled {
    start: Instant,
    last: (f64, u64),
    points: u64,
    rate: Vec<(f64, f64)>,
}

impl Sampled {
    fn new(start: Instant, points: u64) -> Self {
        Self {
            start,
            last: (0.0, 0),
            points,
            rate: Vec::new(),
        }
    }

    fn sample(&mut self, sent: u64) {
        let now = self.start.elapsed().as_secs_f64();
        let (then, before) = self.last;
        if sent < before || sent >= self.points || now <= then {
            return;
        }
        self.rate
            .push(((now + then) / 2.0, (sent - before) as f64 / (now - then)));
        self.last = (now, sent);
    }
}
