//! The record of trims, which Skyline keeps for its own Roomba.

use redis::{RedisResult, Value};

use super::super::change::LAST_TRIMMED;
use super::{PAGE, Place, Trimmer, is_about_the_key};

impl Trimmer {
    /// Rids the record of trims of series of this namespace that are no members. What
    /// else may stand there is no reason not to trim.
    pub(super) fn clean_trims(&mut self, place: &Place<'_>) -> RedisResult<()> {
        match self.scan_trims(place) {
            Err(error) if is_about_the_key(&error) => Ok(()),
            result => result,
        }
    }

    fn scan_trims(&mut self, place: &Place<'_>) -> RedisResult<()> {
        let prefix = place.namespace.prefix.as_bytes();
        let mut cursor = 0u64;
        loop {
            let scan = redis::cmd("HSCAN")
                .arg(LAST_TRIMMED)
                .arg(cursor)
                .arg("COUNT")
                .arg(PAGE)
                .query(&mut self.connection)?;
            // Keys and times by turns.
            let (next, row): (u64, Vec<Vec<u8>>) = scan;
            let keys = row.iter().step_by(2).map(Vec::as_slice);
            let doubtful: Vec<&[u8]> = keys
                .filter(|key| key.starts_with(prefix) && self.ledger.find(key).is_none())
                .collect();
            if !doubtful.is_empty() {
                let mut ask = redis::pipe();
                for key in &doubtful {
                    ask.cmd("SISMEMBER").arg(&place.set).arg(key);
                }
                let members: Vec<bool> = ask.query(&mut self.connection)?;
                let gone = doubtful.iter().zip(members).filter(|(_, member)| !member);
                let gone: Vec<&&[u8]> = gone.map(|(key, _)| key).collect();
                if !gone.is_empty() {
                    let mut delete = redis::cmd("HDEL");
                    delete.arg(LAST_TRIMMED).arg(gone);
                    delete.query::<Value>(&mut self.connection)?;
                }
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}
