//! What those who look at a server ask of it, besides its status.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{COUNT_TIMEOUT, Handle, ask, lock};
use crate::redis::LinkState;
use crate::shard::Message;
use crate::stats::Counts;
use crate::status::{RecentStatus, ShardStatus};
use crate::talkers::Report;
use crate::vista::VistaStatus;

impl Handle {
    /// Who brings the most.
    pub fn talkers(&self) -> Report {
        let answers = ask(&self.common.inboxes, Message::Talkers);
        let told = answers
            .into_iter()
            .filter_map(|answer| answer.recv_timeout(COUNT_TIMEOUT).ok());
        Report::sum(told)
    }

    /// Vista's entries that have `find` in what is shown of them.
    pub fn vista(&self, find: &str) -> VistaStatus {
        lock(&self.boards.vista).view(find)
    }

    /// The last interval, and the shards side by side.
    pub(super) fn recent(
        &self,
        counts: &[Counts],
        states: &[LinkState],
    ) -> (Option<RecentStatus>, Vec<ShardStatus>) {
        let history = lock(&self.boards.history);
        let last = history.last();
        let mut shards = Vec::new();
        for (index, (cpu, counts)) in self.cpus.iter().zip(counts).enumerate() {
            let mut shard = ShardStatus::new(*cpu, counts, states.get(index));
            if let Some(last) = last
                && let Some(cpu_us) = last.cpu_us.get(index)
            {
                shard.note_interval(*cpu_us, last.span_ms);
            }
            shards.push(shard);
        }
        (last.map(RecentStatus::new), shards)
    }
}

/// The counts of all shards together.
pub(super) fn sum(shards: &[Counts]) -> Counts {
    let mut counts = Counts::new();
    for shard in shards {
        counts += shard;
    }
    counts
}

/// Milliseconds since 1970.
pub(super) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}
