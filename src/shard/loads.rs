//! Which shard has the least to do.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Work that a new connection is presumed to bring until the next tick tells.
const PRESUMED_WORK_US: u64 = 20_000;

/// How much each shard has to do, read by all of them.
#[derive(Debug)]
pub struct Loads {
    shards: Vec<Load>,
    connections: AtomicUsize,
}

#[derive(Debug, Default)]
struct Load {
    connections: AtomicUsize,
    /// Microseconds of work in the last tick, and what new connections are
    /// presumed to add.
    work_us: AtomicU64,
}

impl Loads {
    /// For this many shards.
    pub fn new(shards: usize) -> Self {
        let loads = std::iter::repeat_with(Load::default).take(shards).collect();
        Self {
            shards: loads,
            connections: AtomicUsize::new(0),
        }
    }

    /// Connections of all shards.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts one more connection for the shard with the least work, and
    /// returns that shard; `None` if there are `connections_max` already.
    pub(super) fn assign(&self, connections_max: u32) -> Option<usize> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        if before >= connections_max as usize {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let busy = |load: &Load| {
            (
                load.work_us.load(Ordering::Relaxed),
                load.connections.load(Ordering::Relaxed),
            )
        };
        let (index, load) = self
            .shards
            .iter()
            .enumerate()
            .min_by_key(|(_, load)| busy(load))?;
        load.connections.fetch_add(1, Ordering::Relaxed);
        load.work_us.fetch_add(PRESUMED_WORK_US, Ordering::Relaxed);
        Some(index)
    }

    /// Sets how long this shard has worked in the last tick, in microseconds.
    pub(super) fn note_work(&self, shard: usize, work_us: u64) {
        let load = &self.shards[shard];
        load.work_us.store(work_us, Ordering::Relaxed);
    }

    /// Counts a connection for another shard than it was assigned to.
    pub(super) fn pass_on(&self, from: usize, to: usize) {
        let [from, to] = [from, to].map(|shard| &self.shards[shard]);
        from.connections.fetch_sub(1, Ordering::Relaxed);
        to.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one connection less.
    pub(super) fn release(&self, shard: usize) {
        self.shards[shard]
            .connections
            .fetch_sub(1, Ordering::Relaxed);
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
