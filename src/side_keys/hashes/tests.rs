use super::*;
use crate::private_redis::tests::TestRedis;

/// Hashes over a Redis of their own.
struct Rig {
    redis: TestRedis,
    link: Link,
    hashes: SkipHashes,
    lists: SkipLists,
}

impl Rig {
    fn new() -> Self {
        let redis = TestRedis::start(&[]);
        Self {
            link: Link::new(redis.url()),
            redis,
            hashes: SkipHashes::default(),
            lists: lists(&["skip."]),
        }
    }

    fn run(&self, words: &[&str]) -> Vec<String> {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let mut found: Vec<String> = command.query(&mut self.redis.connect()).unwrap();
        found.sort();
        found
    }

    fn put(&self, key: &str, name: &str) {
        let mut put = redis::cmd("HSET");
        put.arg(key).arg(name).arg(1);
        put.query::<()>(&mut self.redis.connect()).unwrap();
    }

    fn take(&self, key: &str, name: &str) {
        let mut take = redis::cmd("HDEL");
        take.arg(key).arg(name);
        take.query::<()>(&mut self.redis.connect()).unwrap();
    }

    fn refresh(&mut self) -> (Vec<String>, Vec<String>) {
        let (_told, receiver) = crossbeam_channel::bounded(0);
        let stop = Stop::of(receiver);
        let found = self
            .hashes
            .refresh(&mut self.link, &self.lists, Some(&stop));
        assert_ne!(found.unwrap(), Found::Stopped);
        self.edits()
    }

    /// The names that are skipped and those that are kept against the lists.
    fn edits(&self) -> (Vec<String>, Vec<String>) {
        let texts = |names: &std::collections::HashSet<Box<[u8]>>| {
            let names = names.iter().map(|name| String::from_utf8(name.to_vec()));
            let mut texts: Vec<String> = names.map(Result::unwrap).collect();
            texts.sort();
            texts
        };
        let edits = &self.hashes.edits;
        (texts(&edits.skipped), texts(&edits.kept))
    }

    fn record(&mut self, name: &str, class: Class) -> bool {
        let treated = [Treated {
            name: name.as_bytes(),
            class,
        }];
        let written = self
            .hashes
            .record(&mut self.link, &self.lists, &treated, 1_700_000_000);
        written.unwrap()[0]
    }
}

fn lists(skip: &[&str]) -> SkipLists {
    let skip: Vec<String> = skip.iter().map(|text| (*text).to_owned()).collect();
    SkipLists::new(&skip, &[])
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_contradicts_the_lists_is_an_edit_and_do_not_skip_wins() {
    let mut rig = Rig::new();
    rig.put(SKIP, "skip.agrees");
    rig.put(DO_NOT_SKIP, "agrees");
    rig.put(SKIP, "edited.out");
    rig.put(DO_NOT_SKIP, "skip.edited.in");
    for key in [SKIP, DO_NOT_SKIP] {
        rig.put(key, "both");
        rig.put(key, "skip.both");
    }
    let found = rig.refresh();
    let wanted = (
        names(&["edited.out"]),
        names(&["skip.both", "skip.edited.in"]),
    );
    assert_eq!(found, wanted);
    assert!(rig.hashes.take_edits().is_some());
    assert_eq!(rig.refresh(), wanted);
    assert!(rig.hashes.take_edits().is_none(), "nothing has changed");
    for (key, name) in [
        (SKIP, "edited.out"),
        (DO_NOT_SKIP, "skip.edited.in"),
        (DO_NOT_SKIP, "both"),
    ] {
        rig.take(key, name);
    }
    assert_eq!(rig.refresh(), (names(&["both"]), names(&["skip.both"])));
}

// Between two readings of the hashes an edit is found when its metric is to be
// written, and is not written over.
#[test]
fn an_edit_is_never_written_over() {
    let mut rig = Rig::new();
    rig.refresh();
    assert!(rig.record("a", Class::Kept));
    assert!(rig.record("skip.b", Class::Skipped));
    rig.take(DO_NOT_SKIP, "a");
    rig.put(SKIP, "a");
    rig.put(DO_NOT_SKIP, "skip.b");
    assert!(!rig.record("a", Class::Kept));
    assert!(!rig.record("skip.b", Class::Skipped));
    assert_eq!(rig.edits(), (names(&["a"]), names(&["skip.b"])));
    assert_eq!(rig.run(&["HKEYS", DO_NOT_SKIP]), ["skip.b"]);
    assert_eq!(rig.run(&["HKEYS", SKIP]), ["a", "skip.b"]);
    assert!(rig.record("a", Class::Skipped), "as the edit has it");
    // The edit is taken back while the data plane still honours it.
    rig.take(SKIP, "a");
    assert!(!rig.record("a", Class::Skipped));
    assert_eq!(rig.edits(), (names(&[]), names(&["skip.b"])));
    assert!(rig.record("a", Class::Kept));
}

#[test]
fn what_was_written_under_other_lists_is_no_edit() {
    let mut rig = Rig::new();
    rig.refresh();
    assert!(rig.record("skip.a", Class::Skipped));
    assert!(rig.record("other.b", Class::Kept));
    rig.put(DO_NOT_SKIP, "skip.edited");
    rig.put(SKIP, "edited");
    // A restart with other lists: nothing is known but what stands in Redis.
    for again in [SkipHashes::default(), std::mem::take(&mut rig.hashes)] {
        rig.hashes = again;
        rig.lists = lists(&["other.", "skip.edited"]);
        let found = rig.refresh();
        assert_eq!(found, (names(&["edited"]), names(&["skip.edited"])));
        assert_eq!(rig.run(&["HKEYS", SKIP]), ["edited"], "skip.a is gone");
        assert_eq!(rig.run(&["HKEYS", DO_NOT_SKIP]), ["skip.edited"]);
    }
    assert!(rig.record("skip.a", Class::Kept));
    assert!(rig.record("other.b", Class::Skipped));
    assert_eq!(
        rig.run(&["HGETALL", LISTS]),
        ["[\"other.\",\"skip.edited\"]", "[]", "do_not_skip", "skip"]
    );
}

// A cached verdict of the lists before, without the key that tells of them, is
// what Python takes for the truth.
#[test]
fn without_former_lists_every_contradiction_counts() {
    let mut rig = Rig::new();
    rig.put(SKIP, "cached");
    rig.put(LISTS, "skip");
    assert_eq!(rig.refresh().0, ["cached"]);
    assert_eq!(rig.run(&["HKEYS", SKIP]), ["cached"]);
}

/// Writes more metrics than a small hash has.
fn fill(rig: &mut Rig) -> Vec<String> {
    let all: Vec<String> = (0..2 * SMALL).map(|at| format!("m.{at}")).collect();
    let treated: Vec<Treated<'_>> = all
        .iter()
        .map(|name| Treated {
            name: name.as_bytes(),
            class: Class::Kept,
        })
        .collect();
    let written = rig.hashes.record(&mut rig.link, &rig.lists, &treated, 1);
    assert!(written.unwrap().into_iter().all(|written| written));
    all
}

// Reading a large hash is dear: it is spread, unless somebody else has changed it.
#[test]
fn a_large_hash_is_read_in_parts_unless_its_length_tells() {
    let mut rig = Rig::new();
    rig.refresh();
    fill(&mut rig);
    let scans = rig.hashes.scans();
    rig.refresh();
    assert_eq!(rig.hashes.scans(), scans, "only a part was read");
    let cursor = rig.hashes.readings[1].cursor;
    assert_ne!(cursor, 0);
    rig.put(DO_NOT_SKIP, "skip.edited");
    assert_eq!(rig.refresh().1, ["skip.edited"]);
    assert_eq!(rig.hashes.scans(), scans + 1, "all was read");
    for _ in 0..ROUND_PASSES {
        rig.refresh();
    }
    assert!(rig.hashes.scans() > scans + 1, "the parts come to an end");
}

// An edit that leaves the length is found at once in the small hash of the two,
// and in the large one within a round; taken back it is missed at once.
#[test]
fn edits_that_leave_the_length_of_a_large_hash_are_found() {
    let mut rig = Rig::new();
    rig.refresh();
    let all = fill(&mut rig);
    assert!(rig.record("skip.a", Class::Skipped));
    assert_eq!(rig.refresh(), (names(&[]), names(&[])));
    rig.take(SKIP, "skip.a");
    rig.put(SKIP, &all[0]);
    rig.take(DO_NOT_SKIP, &all[0]);
    rig.put(DO_NOT_SKIP, "skip.b");
    assert_eq!(rig.refresh().0, [all[0].as_str()]);
    let mut found = rig.edits().1;
    for _ in 0..ROUND_PASSES {
        if found.is_empty() {
            found = rig.refresh().1;
        }
    }
    assert_eq!(found, ["skip.b"]);
    assert!(rig.hashes.take_edits().is_some());
    // Found in the middle of a round, it stays through the end of that.
    for _ in 0..2 * ROUND_PASSES {
        assert_eq!(rig.refresh().1, ["skip.b"]);
    }
    assert!(rig.hashes.take_edits().is_none());
    rig.take(DO_NOT_SKIP, "skip.b");
    rig.put(DO_NOT_SKIP, &all[0]);
    assert_eq!(rig.refresh(), (names(&[]), names(&[])));
}

// Before there is a Redis nothing is known; with one, everything at once.
#[test]
fn a_server_that_starts_reads_them_if_redis_is_there() {
    let rig = Rig::new();
    rig.put(SKIP, "edited");
    let mut hashes = SkipHashes::load(rig.redis.url(), &rig.lists, Duration::ZERO);
    assert!(hashes.is_read());
    let edits = hashes.take_edits().unwrap();
    assert!(edits.skipped.contains(&b"edited"[..]));
    let nowhere = RedisUrl::unix("/nowhere/redis.sock".into());
    let mut hashes = SkipHashes::load(nowhere, &rig.lists, Duration::ZERO);
    assert!(!hashes.is_read() && hashes.take_edits().is_none());
}
