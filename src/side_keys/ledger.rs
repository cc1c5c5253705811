//! What is known of every metric over all shards: when it was last received, and
//! what of it stands in Redis. Names themselves are not kept, only their hashes, so
//! that a metric costs about 30 bytes; with a random seed of 64 bits, two of ten
//! million metrics share a hash once in a hundred thousand starts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use foldhash::quality::RandomState;

/// In so many passes each name is written again once, since other programs remove
/// members and keys. Metrics that are silent for as long are forgotten.
pub(super) const ROUND_PASSES: u32 = 60;

/// How a metric is treated, as far as the side keys tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Its points are stored.
    Kept,
    /// It is skipped.
    Skipped,
    /// Another node of the cluster owns it.
    NotMine,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// The pass in which it was last received.
    pub seen: u32,
    /// Whether it is a member of the set of received names.
    pub is_listed: bool,
    /// What the other keys say of it; `None` if nothing.
    pub written: Option<Class>,
}

/// A metric's place in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameHash(u64);

/// See the module.
pub(super) struct Ledger {
    known: HashMap<u64, Known, BuildHasherDefault<Ready>>,
    seed: RandomState,
    pass: u32,
    received: u64,
    listed: u64,
}

impl Ledger {
    pub fn new() -> Self {
        Self {
            known: HashMap::default(),
            seed: RandomState::default(),
            // So that nothing looks as if it had been received in a pass before.
            pass: ROUND_PASSES,
            received: 0,
            listed: 0,
        }
    }

    pub fn hash(&self, name: &[u8]) -> NameHash {
        NameHash(self.seed.hash_one(name))
    }

    /// How many metrics are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Notes that a metric was received in this pass.
    pub fn see(&mut self, hash: NameHash) {
        let pass = self.pass;
        match self.known.entry(hash.0) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                self.received += u64::from(known.seen != pass);
                known.seen = pass;
            }
            Entry::Vacant(place) => {
                self.received += 1;
                place.insert(Known {
                    seen: pass,
                    is_listed: false,
                    written: None,
                });
            }
        }
    }

    /// What is known of a metric.
    pub fn known(&self, hash: NameHash) -> Option<Known> {
        self.known.get(&hash.0).copied()
    }

    /// Notes that a metric is, or is no longer, a member of the set of received names.
    pub fn note_listed(&mut self, hash: NameHash, is_listed: bool) {
        if let Some(known) = self.known.get_mut(&hash.0) {
            self.listed -= u64::from(known.is_listed);
            self.listed += u64::from(is_listed);
            known.is_listed = is_listed;
        }
    }

    /// How many members that set has, as far as they are ours.
    pub fn listed(&self) -> u64 {
        self.listed
    }

    /// Notes what the other keys say of a metric.
    pub fn note_written(&mut self, hash: NameHash, class: Class) {
        if let Some(known) = self.known.get_mut(&hash.0) {
            known.written = Some(class);
        }
    }

    /// Whether a metric counts as received: in this pass or in the one before. A
    /// metric with one point in each pass may come late in one and early in the
    /// next, and the set should not lose it for that.
    pub fn is_received(&self, known: &Known) -> bool {
        known.seen + 1 >= self.pass
    }

    /// Whether it is a metric's turn to be written again.
    pub fn is_due(&self, hash: NameHash) -> bool {
        (hash.0 >> 32) as u32 % ROUND_PASSES == self.pass % ROUND_PASSES
    }

    /// Ends the pass; how many metrics were received in it.
    pub fn end_pass(&mut self) -> u64 {
        self.pass += 1;
        std::mem::take(&mut self.received)
    }

    /// Forgets what stands in Redis, so that everything is written again.
    pub fn forget_written(&mut self) {
        for known in self.known.values_mut() {
            known.is_listed = false;
            known.written = None;
        }
        self.listed = 0;
    }

    /// Forgets metrics that have been silent for a round.
    pub fn purge(&mut self) {
        let pass = self.pass;
        let listed = &mut self.listed;
        self.known.retain(|_, known| {
            let is_kept = known.seen + ROUND_PASSES >= pass;
            *listed -= u64::from(known.is_listed && !is_kept);
            is_kept
        });
        if self.known.capacity() > 4 * self.known.len() {
            self.known.shrink_to_fit();
        }
    }
}

/// Takes a key that is a hash already for what it is.
#[derive(Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Keys are u64, which come by the other way.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The union over shards: a metric that two of them have counts once.
    #[test]
    fn a_metric_counts_once_in_a_pass_and_stays_received_for_one_more() {
        let mut ledger = Ledger::new();
        let (a, b) = (ledger.hash(b"a"), ledger.hash(b"b"));
        for hash in [a, b, a] {
            ledger.see(hash);
        }
        assert_eq!(ledger.end_pass(), 2);
        let is_received = |ledger: &Ledger, hash| ledger.is_received(&ledger.known(hash).unwrap());
        assert!(is_received(&ledger, a));
        ledger.see(b);
        assert_eq!(ledger.end_pass(), 1);
        assert!(!is_received(&ledger, a) && is_received(&ledger, b));
    }

    #[test]
    fn each_metric_is_due_once_in_a_round() {
        let mut ledger = Ledger::new();
        let hashes: Vec<NameHash> = (0..500u32)
            .map(|at| ledger.hash(&at.to_le_bytes()))
            .collect();
        let mut due = vec![0; hashes.len()];
        let mut busiest = 0;
        for _ in 0..ROUND_PASSES {
            let before: u32 = due.iter().sum();
            for (due, hash) in due.iter_mut().zip(&hashes) {
                *due += u32::from(ledger.is_due(*hash));
            }
            busiest = busiest.max(due.iter().sum::<u32>() - before);
            ledger.end_pass();
        }
        assert!(due.iter().all(|times| *times == 1));
        assert!(busiest < 40, "of 500 names {busiest} in one of 60 passes");
    }

    #[test]
    fn listed_metrics_are_counted() {
        let mut ledger = Ledger::new();
        let (a, b) = (ledger.hash(b"a"), ledger.hash(b"b"));
        for hash in [a, b] {
            ledger.see(hash);
        }
        for (hash, is_listed, listed) in [(a, true, 1), (b, true, 2), (a, true, 2), (b, false, 1)] {
            ledger.note_listed(hash, is_listed);
            assert_eq!(ledger.listed(), listed);
        }
        for _ in 0..=ROUND_PASSES {
            ledger.end_pass();
        }
        ledger.purge();
        assert_eq!(ledger.listed(), 0);
    }

    #[test]
    fn only_silent_metrics_are_purged() {
        let mut ledger = Ledger::new();
        let (silent, steady) = (ledger.hash(b"silent"), ledger.hash(b"steady"));
        ledger.see(silent);
        for _ in 0..=ROUND_PASSES {
            ledger.see(steady);
            ledger.end_pass();
            ledger.purge();
        }
        assert!(ledger.known(silent).is_none() && ledger.known(steady).is_some());
    }

    #[test]
    fn a_metric_costs_few_bytes() {
        assert!(size_of::<(u64, Known)>() <= 16);
    }
}
