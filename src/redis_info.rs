//! What Redis says of itself, for the page: asked beside the data, on a connection of its
//! own, and only while somebody looks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::background::Link;
use crate::settings::RedisUrl;

/// It is not asked more often.
const PERIOD: Duration = Duration::from_secs(3);

/// What Redis has answered to INFO.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RedisInfo {
    /// Its version; `?` if it does not say.
    pub version: String,
    /// Seconds since its start.
    pub uptime_s: u64,
    /// Memory that it uses, in bytes.
    pub memory_bytes: u64,
    /// The most that it has used.
    pub memory_peak_bytes: u64,
    /// What it may use; 0 is without a bound.
    pub memory_max_bytes: u64,
    /// Memory that its process has, in bytes.
    pub resident_bytes: u64,
    /// Clients connected.
    pub clients: u64,
    /// Clients that wait in a blocking command.
    pub clients_blocked: u64,
    /// Commands a second, as it counts them.
    pub commands_per_s: u64,
    /// Commands since its start.
    pub commands: u64,
    /// Keys of all databases.
    pub keys: u64,
    /// Keys that it threw away for want of memory: points are lost with each.
    pub evicted_keys: u64,
    /// Whether it is writing its data to disk in the background.
    pub is_saving: bool,
    /// Why it could not be asked the last time; empty if it could.
    pub error: String,
}

impl RedisInfo {
    fn read(text: &str) -> Self {
        let fields = InfoFields::parse(text);
        let number = |name: &str| fields.number(name);
        let version = Some(fields.text("redis_version")).filter(|text| !text.is_empty());
        let databases = text.lines().filter(|line| line.starts_with("db"));
        let keys = databases.filter_map(|line| {
            let (_, keys) = line.split_once("keys=")?;
            keys.split(',').next()?.parse::<u64>().ok()
        });
        Self {
            version: version.unwrap_or("?").to_owned(),
            uptime_s: number("uptime_in_seconds"),
            memory_bytes: number("used_memory"),
            memory_peak_bytes: number("used_memory_peak"),
            memory_max_bytes: number("maxmemory"),
            resident_bytes: number("used_memory_rss"),
            clients: number("connected_clients"),
            clients_blocked: number("blocked_clients"),
            commands_per_s: number("instantaneous_ops_per_sec"),
            commands: number("total_commands_processed"),
            keys: keys.sum(),
            evicted_keys: number("evicted_keys"),
            is_saving: number("rdb_bgsave_in_progress") + number("aof_rewrite_in_progress") > 0,
            error: String::new(),
        }
    }
}

/// The fields of an answer to INFO, by name.
pub(crate) struct InfoFields<'i>(HashMap<&'i str, &'i str>);

impl<'i> InfoFields<'i> {
    /// Reads the answer's lines; what is no field is passed over.
    pub fn parse(text: &'i str) -> Self {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Self(fields.map(|(name, value)| (name, value.trim())).collect())
    }

    /// A field as it stands; empty if it is missing.
    pub fn text(&self, name: &str) -> &'i str {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// A field that is a whole number; 0 if it is missing, or none.
    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }
}

/// Where it is asked for.
pub(crate) struct InfoDesk {
    link: Mutex<Link>,
    is_asking: AtomicBool,
    last: Mutex<(Option<Instant>, Option<RedisInfo>)>,
}

impl InfoDesk {
    /// Asks the Redis of this address.
    pub fn new(url: RedisUrl) -> Self {
        Self {
            link: Mutex::new(Link::new(url)),
            is_asking: AtomicBool::new(false),
            last: Mutex::default(),
        }
    }

    /// What was answered last.
    pub fn last(&self) -> Option<RedisInfo> {
        lock(&self.last).1.clone()
    }

    /// Whether it is time to ask, and nobody does: whoever hears that it is must call
    /// [`InfoDesk::ask`].
    pub fn is_due(&self) -> bool {
        let asked = lock(&self.last).0;
        asked.is_none_or(|asked| asked.elapsed() >= PERIOD)
            && !self.is_asking.swap(true, Ordering::Acquire)
    }

    /// Asks. It takes as long as Redis does, two seconds at most for each step.
    pub fn ask(&self) {
        let answer = lock(&self.link).query::<String>(&redis::cmd("INFO"));
        let mut last = lock(&self.last);
        last.0 = Some(Instant::now());
        match answer {
            Ok(text) => last.1 = Some(RedisInfo::read(&text)),
            Err(error) => {
                let info = last.1.get_or_insert_default();
                info.error = error.to_string();
            }
        }
        drop(last);
        self.is_asking.store(false, Ordering::Release);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_info_are_read_and_missing_ones_are_0() {
        let text = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nused_memory:1024\r\n\
            used_memory_peak:2048\r\nmaxmemory:0\r\n# Keyspace\r\n\
            db0:keys=100,expires=1,avg_ttl=5\r\ndb1:keys=2,expires=0,avg_ttl=0\r\n";
        let info = RedisInfo::read(text);
        assert_eq!(info.version, "7.0.15");
        assert_eq!((info.memory_bytes, info.memory_peak_bytes), (1024, 2048));
        assert_eq!((info.keys, info.clients), (102, 0));
        assert_eq!(RedisInfo::read("").version, "?");
    }
}
