//! What Skyline's other programs leave in Redis for carbon, and whose sending falls
//! to Horizon:
//!
//! ```text
//! skyline.graphite_metrics_single_submit             hash "timestamp.metric" -> dict text
//! skyline.last.skyline_graphite_metrics_single_submit   when any program last sent it
//!
//! skyline.graphite_fail_queue                        set of list or dict texts
//! skyline.graphite_fail_queue.horizon.<unix seconds> the same under work; done with, 600 s
//! skyline.processing.graphite_fail_queue             somebody works at it, 59 s
//! skyline.graphite_fail                              somebody could not send
//! skyline.graphite_ok                                somebody could, 65 s
//! ```
//!
//! Nothing is taken from Redis before carbon has taken it, and what carbon did not
//! take goes back, so a failure at worst sends points twice, which carbon bears.
//! A queue under work lives until it is done with: one that a failure or the end of
//! a server has left is worked off first when the next queue is due.

use std::io;
use std::time::Duration;

use redis::{RedisError, RedisResult};

use super::literal;
use crate::background::{Link, Stop};
use crate::carbon;
use crate::logging::Throttle;
use crate::settings::Endpoint;
use crate::shard::OwnedPoint;
use crate::side_keys::now_s;

const SHARED: &str = "skyline.graphite_metrics_single_submit";
const SHARED_LAST: &str = "skyline.last.skyline_graphite_metrics_single_submit";
const SHARED_PERIOD_S: u64 = 60;

pub(super) const QUEUE: &str = "skyline.graphite_fail_queue";
const QUEUE_DONE_S: u32 = 600;
/// What TTL says of a key that does not expire.
const NO_EXPIRY: i64 = -1;
const GUARD: &str = "skyline.processing.graphite_fail_queue";
const GUARD_S: u32 = 59;
const FAIL: &str = "skyline.graphite_fail";
const OK: &str = "skyline.graphite_ok";
const OK_S: u32 = 65;

/// Points of one frame, as Skyline itself sends them.
const FRAME_POINTS: usize = 480;
/// Points of one connection: when it has closed well, carbon has read them.
const CONNECTION_POINTS: usize = 10 * FRAME_POINTS;
/// Points of the fail queue that are sorted and sent at a time; the rest goes back.
const QUEUE_POINTS_MAX: usize = 100_000;
/// Names that are gone through at a time in search of what was left, and the rest
/// between two times, so that Redis gets to other work.
const SEARCH_NAMES: usize = 1_000;
const SEARCH_REST: Duration = Duration::from_millis(1);
/// Most fields or members of one command.
const MEMBERS_MAX: usize = 500;

static UNPARSEABLE: Throttle = Throttle::new(Duration::from_secs(60));

/// What was done with the points of other programs.
#[derive(Debug, Default)]
pub(super) struct Relayed {
    pub shared_sent: u64,
    pub queue_sent: u64,
    pub unparseable: u64,
    /// Queues under work that were not brought to an end.
    left: Vec<String>,
    /// Whether those that an earlier process has left are known.
    is_searched: bool,
}

/// Why not everything was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayError {
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    #[error("carbon at self_metrics.carbon: {0}")]
    Carbon(#[from] io::Error),
}

/// Sends the shared hash, if no program has done so within the last minute.
pub(super) fn send_shared(
    link: &mut Link,
    carbon: &Endpoint,
    relayed: &mut Relayed,
    stop: &Stop,
) -> Result<(), RelayError> {
    let last: Option<Vec<u8>> = link.query(redis::cmd("GET").arg(SHARED_LAST))?;
    let now_s = now_s();
    if last
        .and_then(|last| seconds(&last))
        .is_some_and(|last| now_s < last + SHARED_PERIOD_S)
    {
        return Ok(());
    }
    link.query::<()>(redis::cmd("SET").arg(SHARED_LAST).arg(now_s))?;
    let mut cursor = 0_u64;
    loop {
        let fields: Vec<Vec<u8>>;
        let mut page = redis::cmd("HSCAN");
        page.arg(SHARED).arg(cursor).arg("COUNT").arg(FRAME_POINTS);
        (cursor, fields) = link.query(&page)?;
        let texts = fields.iter().skip(1).step_by(2);
        let points: Vec<OwnedPoint> = texts.filter_map(|text| read(text, relayed)).collect();
        send(carbon, &points)?;
        relayed.shared_sent += points.len() as u64;
        let names: Vec<&Vec<u8>> = fields.iter().step_by(2).collect();
        for names in names.chunks(MEMBERS_MAX) {
            link.query::<()>(redis::cmd("HDEL").arg(SHARED).arg(names))?;
        }
        if cursor == 0 || stop.is_told() {
            return Ok(());
        }
    }
}

/// Sends what other programs could not send, the oldest first.
pub(super) fn drain_queue(
    link: &mut Link,
    carbon: &Endpoint,
    relayed: &mut Relayed,
    stop: &Stop,
) -> Result<(), RelayError> {
    if !relayed.is_searched {
        relayed.left = search(link, stop)?;
        relayed.is_searched = true;
    }
    let mut left = Vec::new();
    for key in std::mem::take(&mut relayed.left) {
        // One that expires is done with.
        if link.query::<i64>(redis::cmd("TTL").arg(&key))? == NO_EXPIRY {
            left.push(key);
        }
    }
    relayed.left = left;
    if relayed.left.is_empty() && !exists_queue(link)? {
        return Ok(());
    }
    // While carbon is away the queue stays as it is.
    carbon::Connection::open(&carbon.to_string())?.finish()?;
    let mut guard = redis::cmd("SET");
    guard
        .arg(GUARD)
        .arg(now_s())
        .arg("EX")
        .arg(GUARD_S)
        .arg("NX");
    if link.query::<Option<String>>(&guard)?.is_none() {
        return Ok(());
    }
    while let Some(key) = relayed.left.first().cloned() {
        work_off(link, &key, carbon, relayed, stop)?;
        relayed.left.remove(0);
    }
    if stop.is_told() || !exists_queue(link)? {
        return Ok(());
    }
    let taken = format!("{QUEUE}.horizon.{}", now_s());
    // Whatever becomes of the answer: a key that is not there does no harm.
    relayed.left.push(taken.clone());
    let mut take = redis::cmd("RENAMENX");
    take.arg(QUEUE).arg(&taken);
    if link.query::<bool>(&take)? {
        work_off(link, &taken, carbon, relayed, stop)?;
        relayed.left.clear();
    }
    Ok(())
}

/// Whether there is anything that other programs could not send.
pub(super) fn exists_queue(link: &mut Link) -> RedisResult<bool> {
    link.query(redis::cmd("EXISTS").arg(QUEUE))
}

/// Queues under work, whoever has left them. All names are gone through, which is
/// dear, and done once.
fn search(link: &mut Link, stop: &Stop) -> RedisResult<Vec<String>> {
    let mut found = Vec::new();
    let mut cursor = 0_u64;
    loop {
        let names: Vec<Vec<u8>>;
        let mut page = redis::cmd("SCAN");
        page.arg(cursor).arg("MATCH");
        page.arg(format!("{QUEUE}.horizon.*"));
        page.arg("COUNT").arg(SEARCH_NAMES);
        (cursor, names) = link.query(&page)?;
        for name in names.into_iter().flat_map(String::from_utf8) {
            if link.query::<String>(redis::cmd("TYPE").arg(&name))? == "set" {
                found.push(name);
            }
        }
        if cursor == 0 || stop.wait(SEARCH_REST) {
            return Ok(found);
        }
    }
}

/// Sends a queue under work. What is not sent goes back to the queue proper; only
/// then may the key expire, and until then it stays as it is.
fn work_off(
    link: &mut Link,
    key: &str,
    carbon: &Endpoint,
    relayed: &mut Relayed,
    stop: &Stop,
) -> Result<(), RelayError> {
    let mut queued = read_queue(link, key, relayed)?;
    queued.sort_by_key(|queued| queued.timestamp);
    let mut rest = queued.as_slice();
    let sent = send_queued(link, &mut rest, carbon, relayed, stop);
    put_back(link, rest.iter().map(|queued| &queued.text))?;
    link.query::<()>(redis::cmd("EXPIRE").arg(key).arg(QUEUE_DONE_S))?;
    sent
}

/// Sends the first of the `rest`, and takes them off it, until nothing is left.
fn send_queued(
    link: &mut Link,
    rest: &mut &[Queued],
    carbon: &Endpoint,
    relayed: &mut Relayed,
    stop: &Stop,
) -> Result<(), RelayError> {
    while !rest.is_empty() && !stop.is_told() {
        let (now, later) = rest.split_at(rest.len().min(CONNECTION_POINTS));
        let points: Vec<OwnedPoint> = now.iter().map(|queued| queued.point.clone()).collect();
        send(carbon, &points)?;
        relayed.queue_sent += points.len() as u64;
        *rest = later;
        let mut tell = redis::pipe();
        tell.cmd("SET").arg(OK).arg(now_s()).arg("EX").arg(OK_S);
        tell.cmd("DEL").arg(FAIL);
        link.run::<Vec<redis::Value>>(&tell)?;
    }
    Ok(())
}

/// Sends points on a connection of their own, and waits until carbon has read them.
pub(super) fn send(carbon: &Endpoint, points: &[OwnedPoint]) -> io::Result<()> {
    if points.is_empty() {
        return Ok(());
    }
    let mut connection = carbon::Connection::open(&carbon.to_string())?;
    for points in points.chunks(FRAME_POINTS) {
        for frame in carbon::frames(points) {
            connection.send(&frame?)?;
        }
    }
    connection.finish().map(drop)
}

/// A member of the fail queue.
struct Queued {
    timestamp: i64,
    point: OwnedPoint,
    text: Vec<u8>,
}

fn read_queue(link: &mut Link, key: &str, relayed: &mut Relayed) -> RedisResult<Vec<Queued>> {
    let mut queued = Vec::new();
    let mut cursor = 0_u64;
    loop {
        let texts: Vec<Vec<u8>>;
        let mut page = redis::cmd("SSCAN");
        page.arg(key).arg(cursor).arg("COUNT").arg(MEMBERS_MAX);
        (cursor, texts) = link.query(&page)?;
        let room = QUEUE_POINTS_MAX.saturating_sub(queued.len());
        let (texts, rest) = texts.split_at(texts.len().min(room));
        put_back(link, rest)?;
        for text in texts {
            let Some(point) = read(text, relayed) else {
                continue;
            };
            queued.push(Queued {
                timestamp: match point.timestamp {
                    crate::point::Number::Int(seconds) => seconds,
                    _ => 0,
                },
                point,
                text: text.clone(),
            });
        }
        if cursor == 0 {
            return Ok(queued);
        }
    }
}

fn put_back<'a>(link: &mut Link, texts: impl IntoIterator<Item = &'a Vec<u8>>) -> RedisResult<()> {
    let texts: Vec<&Vec<u8>> = texts.into_iter().collect();
    for texts in texts.chunks(MEMBERS_MAX) {
        link.query::<()>(redis::cmd("SADD").arg(QUEUE).arg(texts))?;
    }
    Ok(())
}

fn read(text: &[u8], relayed: &mut Relayed) -> Option<OwnedPoint> {
    match literal::parse(text) {
        Ok(point) => Some(point),
        Err(fault) => {
            relayed.unparseable += 1;
            if let Some(suppressed) = UNPARSEABLE.admit() {
                let shown = String::from_utf8_lossy(&text[..text.len().min(200)]);
                tracing::warn!(
                    suppressed,
                    "a text that another program has left in Redis for carbon is no point: \
                     {fault}: {shown:?}"
                );
            }
            None
        }
    }
}

/// Python writes times as integers or floats.
fn seconds(text: &[u8]) -> Option<u64> {
    let seconds: f64 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds as u64)
}
