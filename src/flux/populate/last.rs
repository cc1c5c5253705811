//! Up to where a metric's history is known: what is newer is fetched.

use std::ops::Range;

use redis::RedisResult;
use redis::aio::MultiplexedConnection;

use super::Shared;
use super::job::Job;
use crate::point::Number;
use crate::settings::Settings;
use crate::source::graphite::{self, Render, Window};
use crate::source::{Reply, Site};
use crate::wire::series::{Kind, Value, Values, next_record};

/// Spans in which the newest point is looked for in Graphite, in seconds.
const LOOK_BACK_S: [i64; 6] = [3000, 21_600, 86_400, 604_800, 2_592_000, 7_776_000];
/// So much of the end of a series is read, in bytes: some 270 records.
const TAIL_BYTES: i64 = 4096;

/// The time of the newest point: as Flux has noted it, or else as Graphite has it,
/// or, without Graphite, the series in Redis. Without Graphite the series is looked
/// at in any case, since the note is written after the points: an end in between
/// would have them stored twice.
///
/// # Errors
///
/// When Redis or Graphite cannot be asked.
pub(super) async fn last(
    shared: &Shared,
    settings: &Settings,
    job: &Job,
) -> Result<Option<i64>, String> {
    let noted = shared.intake.last(&[&job.metric]).await.map_err(refused)?;
    let noted = noted.into_iter().next().flatten();
    if settings.graphite.carbon_pickle.is_none() {
        let mut redis = shared.intake.redis().await.map_err(refused)?;
        let metric = shared.intake.stored_name(&job.metric);
        let stored = stored(&mut redis, &settings.redis.namespace, &[&metric]).await;
        return Ok(noted.max(stored.map_err(refused)?.into_iter().next().flatten()));
    }
    if noted.is_some() {
        return Ok(noted);
    }
    let Some(url) = &settings.graphite.url else {
        return Ok(None);
    };
    let site = Site::at(url).map_err(|error| format!("graphite.url: {error}"))?;
    let (_, now) = job.span();
    for span in LOOK_BACK_S {
        let reply = in_graphite(shared, &site, &job.metric, now - span..now).await?;
        let newest = reply
            .series
            .iter()
            .filter_map(|series| series.samples.last());
        if let Some(newest) = newest.map(|sample| sample.timestamp).max() {
            return Ok(Some(newest));
        }
    }
    Ok(None)
}

fn refused(error: redis::RedisError) -> String {
    format!("Redis cannot be asked: {error}")
}

async fn in_graphite(
    shared: &Shared,
    site: &Site,
    metric: &str,
    span: Range<i64>,
) -> Result<Reply, String> {
    let render = Render::parse("default").map_err(|error| error.to_string())?;
    let window = Window {
        from: Some(span.start),
        until: Some(span.end),
    };
    let replies = graphite::fetch(&shared.client, site, &render, &[metric], &window).await;
    match replies.into_iter().next() {
        Some(Ok(reply)) => Ok(reply),
        Some(Err(error)) => Err(format!("graphite.url: {error}")),
        None => Ok(Reply::default()),
    }
}

/// The newest time in the end of each metric's series in Redis.
///
/// # Errors
///
/// When Redis cannot be asked.
pub(crate) async fn stored(
    redis: &mut MultiplexedConnection,
    namespace: &str,
    metrics: &[&str],
) -> RedisResult<Vec<Option<i64>>> {
    let mut commands = redis::pipe();
    for metric in metrics {
        let key = format!("{namespace}{metric}");
        commands.cmd("GETRANGE").arg(key).arg(-TAIL_BYTES).arg(-1);
    }
    let tails: Vec<Vec<u8>> = commands.query_async(redis).await?;
    Ok(tails.iter().map(|tail| newest(tail)).collect())
}

/// The newest time among records of which the first may be cut.
fn newest(tail: &[u8]) -> Option<i64> {
    let mut newest = None;
    let mut from = Some(0);
    // What is cut at the front may be read as anything, up to the first record.
    if tail.len() as i64 == TAIL_BYTES {
        from = next_record(tail, 0);
    }
    while let Some(start) = from.take() {
        for value in Values::new(tail, start) {
            match value {
                Ok(Value {
                    kind: Kind::Record(timestamp, _),
                    ..
                }) => newest = newest.max(seconds(timestamp)),
                Ok(_) => {}
                Err(broken) => from = next_record(tail, broken.at),
            }
        }
    }
    newest
}

fn seconds(timestamp: Number) -> Option<i64> {
    match timestamp {
        Number::Float(float) if !float.is_finite() => None,
        other => i64::try_from(other.whole()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::msgpack::Record;

    fn series(times: impl Iterator<Item = i64>) -> Vec<u8> {
        times
            .flat_map(|time| {
                let record = Record::new(Number::Int(time), Number::Float(0.5));
                record.as_bytes().to_vec()
            })
            .collect()
    }

    #[test]
    fn the_newest_time_is_found_wherever_it_stands() {
        assert_eq!(newest(b""), None);
        assert_eq!(newest(b"\xc1\xc1"), None);
        let mut bytes = series([1_795_295_460, 1_795_295_580, 1_795_295_520].into_iter());
        assert_eq!(newest(&bytes), Some(1_795_295_580));
        bytes.extend(b"\xc1\x92\xcb");
        bytes.extend(series([1_795_295_640].into_iter()));
        assert_eq!(newest(&bytes), Some(1_795_295_640));
    }

    // The tail of a long series begins in the midst of a record.
    #[test]
    fn a_tail_that_begins_within_a_record_is_read_from_the_next() {
        let whole = series((0..600).map(|at| 1_795_000_000 + at * 60));
        for cut in 0..15 {
            let end = whole.len() - cut;
            let tail = &whole[end - TAIL_BYTES as usize..end];
            let records = end / (whole.len() / 600) - 1;
            assert_eq!(
                newest(tail),
                Some(1_795_000_000 + records as i64 * 60),
                "{cut}"
            );
        }
    }
}
