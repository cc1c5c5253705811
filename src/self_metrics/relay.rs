//! What Skyline's other programs leave in Redis for carbon, and whose sending falls
//! to Horizon:
//!
//! ```text
//! skyline.graphite_metrics_single_submit             hash "timestamp.metric" -> dict text
//! skyline.last.skyline_graphite_metrics_single_submit   when any program last sent it
//!
//! skyline.graphite_fail_queue                        set of list or dict texts
//! skyline.graphite_fail_queue.horizon.<unix seconds> the same under work, 600 s
//! skyline.processing.graphite_fail_queue             somebody works at it, 59 s
//! skyline.graphite_fail                              somebody could not send
//! skyline.graphite_ok                                somebody could, 65 s
//! ```
//!
//! Nothing is taken from Redis before carbon has taken it, and what carbon did not
//! take goes back, so a failure at worst sends points twice, which carbon bears.

use std::io;

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

const QUEUE: &str = "skyline.graphite_fail_queue";
const QUEUE_TAKEN_S: u32 = 600;
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
/// Most fields or members of one command.
const MEMBERS_MAX: usize = 500;

static UNPARSEABLE: Throttle = Throttle::new(std::time::Duration::from_secs(60));

/// What was done with the points of other programs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Relayed {
    pub shared_sent: u64,
    pub queue_sent: u64,
    pub unparseable: u64,
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
    if !link.query::<bool>(redis::cmd("EXISTS").arg(QUEUE))? {
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
    let taken = format!("{QUEUE}.horizon.{}", now_s());
    let mut take = redis::pipe();
    take.cmd("RENAME").arg(QUEUE).arg(&taken);
    take.cmd("EXPIRE").arg(&taken).arg(QUEUE_TAKEN_S);
    link.run::<Vec<redis::Value>>(&take)?;
    let mut queued = read_queue(link, &taken, relayed)?;
    queued.sort_by_key(|queued| queued.timestamp);
    let mut rest = queued.as_slice();
    while !rest.is_empty() && !stop.is_told() {
        let (now, later) = rest.split_at(rest.len().min(CONNECTION_POINTS));
        let points: Vec<OwnedPoint> = now.iter().map(|queued| queued.point.clone()).collect();
        if let Err(error) = send(carbon, &points) {
            put_back(link, rest.iter().map(|queued| &queued.text))?;
            return Err(error.into());
        }
        relayed.queue_sent += points.len() as u64;
        rest = later;
        let mut tell = redis::pipe();
        tell.cmd("SET").arg(OK).arg(now_s()).arg("EX").arg(OK_S);
        tell.cmd("DEL").arg(FAIL);
        link.run::<Vec<redis::Value>>(&tell)?;
    }
    put_back(link, rest.iter().map(|queued| &queued.text))?;
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
