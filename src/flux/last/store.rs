//! The last timestamps in Redis, in the texts that Skyline's programs read and write.
//!
//! | key | is |
//! | --- | --- |
//! | `flux.last.metric_data` | a hash, by metric: `{'timestamp': 1700000000, 'value': 1.5}` |
//! | `flux.last.<metric>` | `[1700000000, 1.5]` |

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, RedisResult};
use serde_json::Value;

use super::table::Mark;
use crate::literal;
use crate::settings::RedisUrl;

/// The hash.
const HASH: &str = "flux.last.metric_data";
/// Before a metric's name in the key that is its own.
pub(super) const PREFIX: &str = "flux.last.";
/// Longest wait for a connection, and for each answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a change is tried again that somebody else's came before.
const ATTEMPTS: u32 = 5;

/// What a push of Redis, or the end of the connection, says of what is remembered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    /// This metric's own key was changed by somebody else.
    Changed(String),
    /// Anything may have been changed.
    AllChanged,
    /// The database was emptied.
    Emptied,
    /// The connection is gone.
    Gone,
}

/// Connects, and has changes by others told to `listen`. Returns the connection, and
/// whether they will be told: Redis may forbid it.
pub(super) async fn connect(
    url: &RedisUrl,
    listen: impl Fn(News) + Send + Sync + 'static,
) -> RedisResult<(MultiplexedConnection, RedisResult<()>)> {
    let info = url.connection_info()?;
    let login = info.redis_settings().clone();
    let login = login.set_protocol(ProtocolVersion::RESP3);
    let client = redis::Client::open(info.set_redis_settings(login))?;
    let listen = Arc::new(listen);
    let hear = move |push: PushInfo| {
        for news in news(&push) {
            listen(news);
        }
        Ok::<(), redis::aio::SendError>(())
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT))
        .set_push_sender(hear);
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    // Without NOLOOP each of our own changes would be told too.
    let tracking = redis::cmd("CLIENT")
        .arg(&["TRACKING", "ON", "BCAST", "PREFIX", PREFIX, "NOLOOP"])
        .query_async::<()>(&mut connection)
        .await;
    Ok((connection, tracking))
}

fn news(push: &PushInfo) -> Vec<News> {
    match push.kind {
        redis::PushKind::Disconnection => vec![News::Gone],
        redis::PushKind::Invalidate => match push.data.first() {
            Some(redis::Value::Array(keys)) => keys.iter().map(changed).collect(),
            _ => vec![News::Emptied],
        },
        _ => Vec::new(),
    }
}

fn changed(key: &redis::Value) -> News {
    let key: RedisResult<String> = redis::from_redis_value_ref(key).map_err(Into::into);
    match key.as_deref().map(|key| key.strip_prefix(PREFIX)) {
        Ok(Some(metric)) if metric != "metric_data" => News::Changed(metric.to_owned()),
        _ => News::AllChanged,
    }
}

/// The last timestamp of each metric, from the hash, or else from its own key.
pub(super) async fn look_up(
    connection: &mut MultiplexedConnection,
    metrics: &[&str],
) -> RedisResult<Vec<Option<i64>>> {
    if metrics.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<String> = metrics.iter().map(|metric| own_key(metric)).collect();
    let mut questions = redis::pipe();
    questions.cmd("HMGET").arg(HASH).arg(metrics);
    questions.cmd("MGET").arg(keys);
    type Texts = Vec<Option<Vec<u8>>>;
    let (hash, own): (Texts, Texts) = questions.query_async(connection).await?;
    let timestamp = |text: &Option<Vec<u8>>| timestamp(text.as_deref()?);
    let both = hash.iter().zip(&own);
    Ok(both
        .map(|(hash, own)| timestamp(hash).or_else(|| timestamp(own)))
        .collect())
}

/// Writes each mark that is newer than what is there. Returns whether all of them were
/// dealt with: others who write all the time may get in between.
pub(super) async fn write(
    connection: &mut MultiplexedConnection,
    marks: &[Mark],
    keep_s: u32,
) -> RedisResult<bool> {
    let metrics: Vec<&str> = marks.iter().map(|mark| &*mark.metric).collect();
    for _ in 0..ATTEMPTS {
        // A script would do it in one step, but its changes are told to us too.
        redis::cmd("WATCH")
            .arg(HASH)
            .query_async::<()>(connection)
            .await?;
        let there = look_up(connection, &metrics).await?;
        let newer = marks
            .iter()
            .zip(&there)
            .filter(|(mark, there)| there.is_none_or(|there| there < mark.timestamp));
        let mut change = redis::pipe();
        change.atomic();
        let mut fields = Vec::with_capacity(marks.len());
        for (mark, _) in newer {
            let Mark {
                metric,
                timestamp,
                value,
            } = mark;
            let value = literal::float_repr(*value);
            let text = format!("{{'timestamp': {timestamp}, 'value': {value}}}");
            fields.push((&**metric, text));
            // That key is the hash.
            if &**metric != "metric_data" {
                let text = format!("[{timestamp}, {value}]");
                change.set_ex(own_key(metric), text, keep_s.into());
            }
        }
        if fields.is_empty() {
            redis::cmd("UNWATCH").query_async::<()>(connection).await?;
            return Ok(true);
        }
        change.hset_multiple(HASH, &fields);
        let done: redis::Value = change.query_async(connection).await?;
        if done != redis::Value::Nil {
            return Ok(true);
        }
    }
    Ok(false)
}

fn own_key(metric: &str) -> String {
    format!("{PREFIX}{metric}")
}

/// The timestamp in either of the two texts; `None` if there is none, as in
/// `{'timestamp': None, ...}`, or if the text is another one.
fn timestamp(text: &[u8]) -> Option<i64> {
    let text = literal::parse(std::str::from_utf8(text).ok()?).ok()?;
    let timestamp = match &text {
        Value::Array(items) => items.first()?,
        Value::Object(items) => items.get("timestamp")?,
        _ => return None,
    };
    let whole = timestamp.as_i64();
    whole.or_else(|| timestamp.as_f64().map(|seconds| seconds as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    // As Skyline's programs have written them, their mistakes among them.
    #[test]
    fn timestamps_are_read_from_all_texts_that_are_found() {
        for (text, expected) in [
            (
                "{'timestamp': 1700000000, 'value': 1.5}",
                Some(1_700_000_000),
            ),
            (
                "{'timestamp': 1700000000, 'value': nan}",
                Some(1_700_000_000),
            ),
            (
                "{'timestamp': 1700000000, 'value': None}",
                Some(1_700_000_000),
            ),
            ("{'timestamp': None, 'value': None}", None),
            ("[1700000000, 1.5]", Some(1_700_000_000)),
            ("[1700000000, None]", Some(1_700_000_000)),
            ("(1700000000, inf)", Some(1_700_000_000)),
            ("[1700000000.0, 1.5]", Some(1_700_000_000)),
            ("[]", None),
            ("None", None),
            ("", None),
            ("1700000000", None),
        ] {
            assert_eq!(timestamp(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(timestamp(b"\xff"), None);
    }

    #[test]
    fn pushes_are_understood() {
        let push = |kind, data| PushInfo { kind, data };
        let key = |key: &str| redis::Value::BulkString(key.as_bytes().to_vec());
        let keys = redis::Value::Array(vec![key("flux.last.a.b"), key(HASH)]);
        let told = news(&push(redis::PushKind::Invalidate, vec![keys]));
        assert_eq!(told, [News::Changed("a.b".to_owned()), News::AllChanged]);
        let told = news(&push(redis::PushKind::Invalidate, vec![redis::Value::Nil]));
        assert_eq!(told, [News::Emptied]);
        let told = news(&push(redis::PushKind::Disconnection, Vec::new()));
        assert_eq!(told, [News::Gone]);
        assert_eq!(news(&push(redis::PushKind::Message, Vec::new())), []);
    }
}
