//! What passes remember of each series, so that the next needs to look at little.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use foldhash::quality::{FixedState, RandomState};

/// What is known of one series.
///
/// ```text
/// [ in order, each second before newest_s | records of newest_s | appended since ]
///                                  newest_at ^
/// ```
///
/// What is read to look for disorder begins at `newest_at`. A record of `newest_s`
/// stands there as long as nobody has cut or replaced the series, so that this is
/// seen without reading more; and what comes late within the newest second, or twice,
/// is put in order with the end of the series alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Where the records of the newest second begin, in bytes.
    pub newest_at: u32,
    /// That second, since 1970.
    pub newest_s: u32,
    /// When the oldest record is to be cut off, in seconds since 1970.
    pub due_s: u32,
    pass: u16,
    /// Whether there was a reason for doubt, and the series was not looked at since.
    pub is_doubtful: bool,
}

const _: () = assert!(
    size_of::<Known>() == 16,
    "there is one for each of millions of series"
);

impl Known {
    /// `None` if the numbers are too large: of such a series nothing is known.
    pub fn new(newest_at: usize, newest_s: i64, due_s: i64) -> Option<Self> {
        Some(Self {
            newest_at: newest_at.try_into().ok()?,
            newest_s: newest_s.try_into().ok()?,
            due_s: due_s.clamp(0, u32::MAX.into()) as u32,
            pass: 0,
            is_doubtful: false,
        })
    }

    /// The same, of a series that there is a reason to doubt, or is none.
    pub fn doubted(self, is_doubtful: bool) -> Self {
        Self {
            is_doubtful,
            ..self
        }
    }
}

/// A number of each series's own, the same after a restart.
pub fn number(key: &[u8]) -> u64 {
    FixedState::default().hash_one(key)
}

/// What is known at the end of a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// How many series were seen of which something is known.
    pub seen: u64,
    /// When the first of those that are known is due, in seconds since 1970.
    pub due_s: Option<i64>,
}

/// What is known of all series of a namespace.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By a hash of the key. Of two keys with one hash each look finds that the other's
    /// entry does not fit.
    entries: HashMap<u64, Known, RandomState>,
    hasher: RandomState,
    pass: u16,
}

impl Ledger {
    /// What is known of a series.
    pub fn find(&self, key: &[u8]) -> Option<Known> {
        self.entries.get(&self.hash(key)).copied()
    }

    /// The same, to be changed; the series counts as seen in this pass.
    pub fn see(&mut self, key: &[u8]) -> Option<&mut Known> {
        let known = self.entries.get_mut(&self.hash(key))?;
        known.pass = self.pass;
        Some(known)
    }

    /// Notes what is known now: with `None`, nothing.
    pub fn note(&mut self, key: &[u8], known: Option<Known>) {
        let hash = self.hash(key);
        let pass = self.pass;
        match known {
            Some(known) => self.entries.insert(hash, Known { pass, ..known }),
            None => self.entries.remove(&hash),
        };
    }

    /// Whether something is known of a series that this pass has seen.
    pub fn is_seen(&self, key: &[u8]) -> bool {
        self.find(key).is_some_and(|known| known.pass == self.pass)
    }

    /// Whether this pass has seen every series of which something is known.
    pub fn is_all_seen(&self) -> bool {
        self.entries.values().all(|known| known.pass == self.pass)
    }

    /// Forgets every series.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Begins another pass, which has seen nothing, whether or not the one before has
    /// come to its end.
    pub fn begin_pass(&mut self) {
        self.pass = self.pass.wrapping_add(1);
    }

    /// Forgets the series that this pass, now at its end, and the one before have not
    /// seen, and tells of the others.
    pub fn end_pass(&mut self) -> Left {
        let pass = self.pass;
        let mut left = Left::default();
        self.entries.retain(|_, known| {
            left.seen += u64::from(known.pass == pass);
            let due_s = i64::from(known.due_s);
            left.due_s = Some(left.due_s.map_or(due_s, |least_s| least_s.min(due_s)));
            pass.wrapping_sub(known.pass) < 2
        });
        left
    }

    /// Memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * (size_of::<(u64, Known)>() + 1)
    }

    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_passes_did_not_see_is_forgotten() {
        let mut ledger = Ledger::default();
        let known = Known::new(19, 100, 200);
        ledger.note(b"a", known);
        ledger.note(b"b", known);
        // Through a turn of the pass's number.
        for pass in 0..70_000 {
            ledger.begin_pass();
            assert!(ledger.see(b"a").is_some());
            assert_eq!(ledger.find(b"b").is_some(), pass < 2, "{pass}");
            ledger.end_pass();
        }
        ledger.note(b"a", None);
        assert_eq!(ledger.find(b"a"), None);
    }

    /// A timestamp in milliseconds, or of the far future, must not be taken for the
    /// nearest that fits: order behind it could not be told.
    #[test]
    fn of_numbers_that_do_not_fit_nothing_is_known() {
        assert_eq!(Known::new(0, 1 << 32, 0), None);
        assert_eq!(Known::new(0, -1, 0), None);
        assert_eq!(Known::new(1 << 32, 0, 0), None);
        assert_eq!(Known::new(0, 0, 1 << 40).unwrap().due_s, u32::MAX);
        assert_eq!(Known::new(0, 0, -1).unwrap().due_s, 0);
    }
}
