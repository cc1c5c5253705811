//! Which setting of Skyline becomes which of Skyring, and which are left behind.

use std::collections::HashSet;

use super::document::{Document, SECRETS_DIR, array, quoted};
use super::evaluate::Settings;
use super::reader::Reader;
use super::{Import, Note};
use crate::settings::{RedisAddress, RedisUrl, Settings as Ours};

/// How often the result is read back at most, each time without what was refused.
const ROUNDS_MAX: usize = 4;

/// How a value is carried over.
enum Kept {
    Text,
    Texts,
    Number,
    Truth,
}

/// Settings that are carried over as they are.
const PLAIN: [(&str, &str, &str, Kept); 13] = [
    ("FULL_NAMESPACE", "redis", "namespace", Kept::Text),
    ("FULL_DURATION", "redis", "full_duration_s", Kept::Number),
    ("SKIP_LIST", "horizon", "skip", Kept::Texts),
    ("DO_NOT_SKIP_LIST", "horizon", "do_not_skip", Kept::Texts),
    (
        "MAX_RESOLUTION",
        "horizon",
        "max_resolution_s",
        Kept::Number,
    ),
    (
        "ROOMBA_OPTIMUM_RUN_DURATION",
        "roomba",
        "interval_s",
        Kept::Number,
    ),
    ("ROOMBA_GRACE_TIME", "roomba", "grace_s", Kept::Number),
    (
        "ROOMBA_DO_NOT_PROCESS_BATCH_METRICS",
        "roomba",
        "skip_batch",
        Kept::Truth,
    ),
    ("BATCH_PROCESSING", "batch", "enabled", Kept::Truth),
    (
        "BATCH_PROCESSING_NAMESPACES",
        "batch",
        "namespaces",
        Kept::Texts,
    ),
    (
        "FLUX_ZERO_FILL_NAMESPACES",
        "flux",
        "zero_fill",
        Kept::Texts,
    ),
    (
        "FLUX_LAST_KNOWN_VALUE_NAMESPACES",
        "flux",
        "last_known_value",
        Kept::Texts,
    ),
    ("VISTA_ENABLED", "vista", "enabled", Kept::Truth),
];

/// Carries over what `settings` has, which came from `file`, for the machine `host`.
pub(super) fn map(settings: &Settings, file: &str, host: &str) -> Import {
    let mut reader = Reader {
        settings,
        host,
        document: Document::new(file),
        notes: settings.notes.clone(),
    };
    reader.process();
    reader.redis();
    reader.horizon();
    for (name, section, key, kept) in &PLAIN {
        reader.plain(name, section, key, kept);
    }
    reader.cluster();
    reader.graphite();
    reader.self_metrics();
    reader.flux();
    reader.uploads();
    reader.victoria();
    reader.vista();
    reader.left_behind();
    reader.judge();
    reader.finish()
}

impl Reader<'_> {
    fn process(&mut self) {
        if let Some(path) = self.text("PID_PATH") {
            let value = quoted(&format!("{}/horizon.pid", path.value.trim_end_matches('/')));
            let origin = [("PID_PATH", path.line)];
            self.document.put("", "pid_file", value, &origin);
        }
    }

    fn redis(&mut self) {
        if let Some(path) = self.text("REDIS_SOCKET_PATH") {
            let url = RedisUrl {
                address: RedisAddress::Unix(path.value.into()),
                user: None,
                password: None,
                db: 0,
            };
            let origin = [("REDIS_SOCKET_PATH", path.line)];
            self.document
                .put("redis", "url", quoted(&url.to_string()), &origin);
        } else if !self.is_given("REDIS_SOCKET_PATH") {
            self.notes.push(Note {
                line: None,
                name: "REDIS_SOCKET_PATH".to_owned(),
                message: "not set: without redis.url Skyring starts a Redis of its own".to_owned(),
            });
        }
        let name = "REDIS_PASSWORD";
        let Some(line) = self.settings.names.get(name).map(|bound| bound.line) else {
            return;
        };
        let path = format!("{SECRETS_DIR}/redis.password");
        let origin = [(name, line)];
        match self.known(name).map(|given| given.value) {
            // Whether there is one at all is not known, and has been told.
            None => {
                let entry = self
                    .document
                    .put("redis", "password_file", quoted(&path), &origin);
                entry.off = true;
            }
            Some(value) if value.truth(&self.settings.heap) => {
                self.document
                    .put("redis", "password_file", quoted(&path), &origin);
                self.ask_for_secret(name, line, &path);
            }
            Some(_) => {}
        }
    }

    fn horizon(&mut self) {
        self.put_listen("horizon", "pickle", "HORIZON_IP", "PICKLE_PORT");
        self.put_listen("horizon", "msgpack", "HORIZON_IP", "UDP_PORT");
        let port = "HORIZON_SHARD_PICKLE_PORT";
        self.put_listen("cluster", "shard_pickle", "HORIZON_IP", port);
    }

    fn plain(&mut self, name: &str, section: &'static str, key: &'static str, kept: &Kept) {
        let value = match kept {
            Kept::Text => self
                .text(name)
                .map(|given| (quoted(&given.value), given.line)),
            Kept::Number => self
                .number(name)
                .map(|given| (given.value.to_string(), given.line)),
            Kept::Truth => self
                .truth(name)
                .map(|given| (given.value.to_string(), given.line)),
            Kept::Texts => self.texts(name).map(|given| {
                let texts: Vec<String> = given.value.iter().map(|text| quoted(text)).collect();
                (array(&texts), given.line)
            }),
        };
        if let Some((value, line)) = value {
            self.document.put(section, key, value, &[(name, line)]);
        }
    }

    /// Reads back what will be printed, and turns off what is refused: what Skyline
    /// bears may be out of Skyring's range.
    fn judge(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut sets = self.document.to_sets();
            sets.push(format!("cluster.node={}", quoted(self.host)));
            let Err(error) = Ours::load(None, &sets) else {
                return;
            };
            let mut changed = false;
            for fault in error.faults {
                let entries = self.document.entries.iter_mut();
                let mut entries = entries.filter(|entry| !entry.off);
                let Some(entry) = entries.find(|entry| entry.name() == fault.key) else {
                    continue;
                };
                let (name, line) = entry.origin.clone();
                // Without its shards a node would store everything.
                if fault.key == "cluster.shards" {
                    let message = format!("{}: {}", fault.key, fault.message);
                    self.note(line, &name, message);
                    continue;
                }
                entry.off = true;
                changed = true;
                let message = format!("{} is left commented out: {}", fault.key, fault.message);
                self.note(line, &name, message);
            }
            if !changed {
                return;
            }
        }
    }

    fn finish(mut self) -> Import {
        self.notes.sort_by_key(|note| note.line.unwrap_or(0));
        let mut seen = HashSet::new();
        self.notes.retain(|note| seen.insert(note.clone()));
        let secrets = self.document.secrets();
        if !secrets.is_empty() {
            self.notes.push(Note {
                line: None,
                name: String::new(),
                message: format!(
                    "what is printed holds secrets ({}): keep it in a file that only Skyring's \
                     user may read (mode 0600)",
                    secrets.join(", ")
                ),
            });
        }
        Import {
            toml: self.document.to_toml(),
            notes: self.notes,
        }
    }
}
