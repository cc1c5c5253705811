//! What is to be written to the side keys, collected until it is worth a command.

use std::sync::Arc;

use redis::Pipeline;

use super::hashes::MEMBERS_MAX;
use super::ledger::{Class, NameHash};

/// What is to be written, until it is worth a command.
#[derive(Default)]
pub(super) struct Pending {
    pub list: Vec<KeptName>,
    pub delist: Vec<KeptName>,
    pub treat: Vec<(KeptName, Class)>,
    /// Names that are not ours and that are, and whether each may stand in the
    /// other set.
    pub shard: [Vec<(KeptName, bool)>; 2],
    /// If some of their points were waiting for Redis, how many points had been
    /// received by then. Points are done with in about the order of their coming.
    pub behind: Option<u64>,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        let longest = self.list.len().max(self.delist.len());
        longest.max(self.treat.len())
    }

    /// Takes as much as is worth a command of each kind.
    pub fn split(&mut self) -> Self {
        fn some<T>(all: &mut Vec<T>) -> Vec<T> {
            all.split_off(all.len().saturating_sub(MEMBERS_MAX))
        }
        let [others, ours] = &mut self.shard;
        Self {
            list: some(&mut self.list),
            delist: some(&mut self.delist),
            treat: some(&mut self.treat),
            shard: [some(others), some(ours)],
            behind: None,
        }
    }
}

/// A name of a page.
pub(super) struct Named<'a> {
    pub name: &'a [u8],
    pub hash: NameHash,
}

impl<'a> Named<'a> {
    pub fn new(name: &'a [u8], hash: NameHash) -> Self {
        Self { name, hash }
    }

    pub fn kept(&self) -> KeptName {
        KeptName {
            name: self.name.into(),
            hash: self.hash,
        }
    }
}

/// A name that outlives its page.
#[derive(Clone)]
pub(super) struct KeptName {
    pub name: Arc<[u8]>,
    pub hash: NameHash,
}

impl AsRef<[u8]> for KeptName {
    fn as_ref(&self) -> &[u8] {
        &self.name
    }
}

/// Commands that add members to sets and remove them.
#[derive(Default)]
pub(super) struct Members {
    pub pipeline: Pipeline,
    pub written: u64,
    pub removed: u64,
}

impl Members {
    pub fn put<N: AsRef<[u8]>>(
        &mut self,
        command: &str,
        key: &str,
        names: impl IntoIterator<Item = N>,
    ) {
        let mut names = names.into_iter().peekable();
        while names.peek().is_some() {
            self.pipeline.cmd(command).arg(key);
            for name in names.by_ref().take(MEMBERS_MAX) {
                self.pipeline.arg(name.as_ref());
                let is_added = command == "SADD";
                self.written += u64::from(is_added);
                self.removed += u64::from(!is_added);
            }
        }
    }
}
