//! What becomes of an upload: a dict under `flux.upload_status.<id>` in Redis, in the
//! form and the words of Skyline, and the same as JSON.

use jiff::Zoned;
use redis::{AsyncCommands, RedisResult};
use serde_json::{Map, Value};

use crate::flux::Intake;
use crate::literal;

/// How long Redis keeps it, in seconds.
const KEPT_S: u64 = 2_592_000;
/// Entries of files and columns, at most; what comes behind is only counted.
const ENTRIES_MAX: usize = 2000;
/// Longest text of an entry.
const ENTRY_BYTES_MAX: usize = 500;

/// One upload's status.
#[derive(Clone, Debug)]
pub struct Status {
    id_key: String,
    items: Map<String, Value>,
}

/// Where the status of an upload is.
fn key(id_key: &str) -> String {
    format!("flux.upload_status.{id_key}")
}

impl Status {
    /// Of an upload with these items.
    pub fn new(id_key: &str, items: Map<String, Value>) -> Self {
        Self {
            id_key: id_key.to_owned(),
            items,
        }
    }

    /// Sets an item.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let mut value: String = value.into();
        if value.len() > ENTRY_BYTES_MAX {
            let end = value.floor_char_boundary(ENTRY_BYTES_MAX);
            value.truncate(end);
        }
        if self.items.len() < ENTRIES_MAX || self.items.contains_key(name) {
            self.items.insert(name.to_owned(), Value::String(value));
        }
    }

    /// Takes an item away.
    pub fn remove(&mut self, name: &str) {
        self.items.remove(name);
    }

    /// Sets an item to the time of this host.
    pub fn set_now(&mut self, name: &str) {
        self.set(name, Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string());
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// Redis's.
    pub async fn write(&self, intake: &Intake) -> RedisResult<()> {
        let text = literal::repr(&Value::Object(self.items.clone()));
        let mut redis = intake.redis().await?;
        redis.set_ex(key(&self.id_key), text, KEPT_S).await
    }

    /// Reads one; `None` if there is none of this key.
    ///
    /// # Errors
    ///
    /// Redis's.
    pub async fn read(intake: &Intake, id_key: &str) -> RedisResult<Option<Value>> {
        let text: Option<String> = intake.redis().await?.get(key(id_key)).await?;
        Ok(text.map(|text| {
            let parsed = literal::parse_within(&text, usize::MAX);
            parsed.unwrap_or(Value::String(text))
        }))
    }
}
