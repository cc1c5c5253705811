//! Passes of the library's trimmer over a real Redis, at times that the test sets.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use skyring::Settings;
use skyring::admit::{Cut, Tidings};
use skyring::roomba::namespaces;
use skyring::roomba::pass::{Company, Namespace, Trimmer};

use super::*;

/// A whole minute.
pub const START_S: i64 = 1_700_000_040;
pub const MINUTE_S: i64 = 60;

/// Who feeds the series, and notices other writers by their lengths.
#[derive(Clone, Default)]
pub struct Feeder {
    lengths: Rc<RefCell<HashMap<String, usize>>>,
    newest: Rc<RefCell<HashMap<String, i64>>>,
    told: Rc<RefCell<HashMap<String, Tidings>>>,
    /// Whether the pass is told to end where it is asked next.
    pub stop_at_next: Rc<Cell<bool>>,
    /// Names of which the pass has been told.
    names_told: usize,
}

impl Feeder {
    pub fn append(&self, redis: &Redis, name: &str, bytes: &[u8]) {
        let mut append = redis::cmd("APPEND");
        append.arg(format!("metrics.{name}")).arg(bytes);
        let length: usize = append.query(&mut redis.connection()).unwrap();
        let before = self.lengths.borrow_mut().insert(name.to_owned(), length);
        let mut told = self.told.borrow_mut();
        let told = told.entry(name.to_owned()).or_default();
        told.is_fed = true;
        told.is_doubtful |= length != before.unwrap_or(0) + bytes.len();
    }

    /// Notices those that are not later than all before, as a shard does.
    pub fn note_times(&self, name: &str, seconds: impl Iterator<Item = i64>) {
        let (mut newest, mut told) = (self.newest.borrow_mut(), self.told.borrow_mut());
        let newest = newest.entry(name.to_owned()).or_default();
        for second in seconds {
            if second <= *newest {
                told.entry(name.to_owned()).or_default().is_doubtful = true;
            }
            *newest = second.max(*newest);
        }
    }
}

impl Company for Feeder {
    fn names(&mut self, count: usize) -> Option<Vec<Box<[u8]>>> {
        let lengths = self.lengths.borrow();
        let mut names: Vec<&String> = lengths.keys().collect();
        names.sort();
        let page = names.iter().skip(self.names_told).take(count);
        let page: Vec<Box<[u8]>> = page.map(|name| name.as_bytes().into()).collect();
        self.names_told += page.len();
        (!page.is_empty()).then_some(page)
    }

    fn tidings(&mut self, names: Vec<Box<[u8]>>) -> Vec<Tidings> {
        let name = |name: Box<[u8]>| String::from_utf8(name.into_vec()).unwrap();
        let mut told = self.told.borrow_mut();
        let take = |name: String| told.remove(&name).unwrap_or_default();
        names.into_iter().map(name).map(take).collect()
    }

    fn note_cuts(&mut self, cuts: Vec<Cut>) {
        let mut lengths = self.lengths.borrow_mut();
        for Cut { name, bytes } in cuts {
            let name = str::from_utf8(&name).unwrap();
            match bytes {
                None => drop(lengths.remove(name)),
                Some(bytes) => {
                    if let Some(length) = lengths.get_mut(name) {
                        *length = length.saturating_sub(bytes as usize);
                    }
                }
            }
        }
    }

    fn go_on(&mut self, _: u64, _: u64) -> Result<(), PassError> {
        if self.stop_at_next.take() {
            return Err(PassError::Stopped);
        }
        Ok(())
    }
}

pub struct World {
    pub redis: Redis,
    pub trimmer: Trimmer,
    pub feeder: Feeder,
    namespace: Namespace,
}

/// As beside a server whose Redis is on the same host.
fn trimmer(redis: &Redis) -> Trimmer {
    let mut trimmer = Trimmer::new(redis.connection(), false).unwrap();
    trimmer.carries = true;
    trimmer
}

impl World {
    pub fn new(sets: &[&str]) -> World {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let settings = Settings::load(None, &sets).unwrap();
        let redis = Redis::start();
        World {
            trimmer: trimmer(&redis),
            redis,
            feeder: Feeder::default(),
            namespace: namespaces(&settings).remove(0),
        }
    }

    pub fn pass(&mut self, now_s: i64) -> Result<(), PassError> {
        let mut feeder = self.feeder.clone();
        let none = HashSet::new();
        self.trimmer
            .pass(&self.namespace, &none, now_s, &mut feeder)
    }

    pub fn may_rest(&mut self, now_s: i64) -> bool {
        self.trimmer.may_rest(now_s).unwrap()
    }

    /// Another trimmer, that knows nothing, in the place of this one.
    pub fn restart(&mut self) {
        self.trimmer = trimmer(&self.redis);
    }

    pub fn seconds(&self, name: &str) -> Vec<i64> {
        let series = self.redis.series(name);
        let records = series.chunks(19);
        let second = |record: &[u8]| f64::from_be_bytes(record[2..10].try_into().unwrap()) as i64;
        records.map(second).collect()
    }
}

pub fn point(at_s: i64) -> Vec<u8> {
    record(at_s as f64, at_s as f64 / 7.0)
}

/// Three hours of one point a minute: nothing is ever older than the full duration and
/// twice the grace, nothing newer than that and once the grace is missing, and after
/// the first pass no series is read as a whole again.
#[test]
fn a_steady_stream_is_cut_in_time_without_reading_it() {
    let mut world = World::new(&["redis.full_duration_s=3600"]);
    let names: Vec<String> = (0..40).map(|at| format!("steady.{at}")).collect();
    let first_s = START_S - 90 * MINUTE_S;
    for name in &names {
        let key = format!("metrics.{name}");
        let points = (0..90).map(|at| point(first_s + at * MINUTE_S));
        put(&world.redis, &key, &points.collect::<Vec<_>>().concat());
    }
    for minute in 0..180 {
        let now_s = START_S + minute * MINUTE_S;
        for name in &names {
            world.feeder.append(&world.redis, name, &point(now_s));
        }
        world.pass(now_s).unwrap();
        let seen = world.seconds(&names[minute as usize % 40]);
        let oldest_s = now_s - 3600 - 2 * 600;
        assert!(seen[0] > oldest_s, "minute {minute}: {}", now_s - seen[0]);
        let kept_s = (now_s - 3600 - 600) / MINUTE_S * MINUTE_S + MINUTE_S;
        assert!(seen[0] <= kept_s.max(first_s), "minute {minute}");
        let wanted: Vec<i64> = (0..)
            .map(|at| seen[0] + at * MINUTE_S)
            .take(seen.len())
            .collect();
        assert_eq!(seen, wanted);
        assert_eq!(seen.last(), Some(&now_s));
    }
    let deeds = &world.trimmer.deeds;
    assert_eq!(deeds.read_whole, 40, "only when nothing was known");
    assert!((40 * 15..40 * 30).contains(&deeds.cut), "{deeds:?}");
    assert!(deeds.looked_at < 40 * 80, "{deeds:?}");
    assert_eq!((deeds.conflicts, deeds.refused, deeds.mended), (0, 0, 0));
}

/// When the next look comes too late for a slack, old records are cut at once.
#[test]
fn the_slack_is_what_the_interval_leaves_of_the_grace() {
    let slack_s = |interval_s: u32, grace_s: u32| {
        let sets = [
            format!("roomba.interval_s={interval_s}"),
            format!("roomba.grace_s={grace_s}"),
        ];
        let settings = Settings::load(None, &sets).unwrap();
        namespaces(&settings)[0].slack_s
    };
    assert_eq!(slack_s(60, 600), 533);
    assert_eq!(slack_s(60, 0), 0);
    assert_eq!(slack_s(86_400, 600), 0);
    let mut world = World::new(&["redis.full_duration_s=60", "roomba.grace_s=0"]);
    put(
        &world.redis,
        "metrics.a",
        &[point(START_S - 60), point(START_S - 59)].concat(),
    );
    world.pass(START_S).unwrap();
    assert_eq!(world.seconds("a"), [START_S - 59]);
    world.pass(START_S + 1).unwrap();
    assert!(world.redis.members().is_empty() && world.redis.keys().is_empty());
}

/// A key that has become a list answers two looks with errors: what is read of its
/// neighbours stays theirs.
#[test]
fn a_series_that_became_a_list_is_left_and_its_neighbours_are_cut() {
    let mut world = World::new(&["redis.full_duration_s=60", "roomba.grace_s=0"]);
    let names = ["a", "b", "c", "d"];
    for name in names {
        let bytes = [point(START_S), point(START_S + 30), point(START_S + 60)].concat();
        put(&world.redis, &format!("metrics.{name}"), &bytes);
    }
    world.pass(START_S).unwrap();
    let whole = world.trimmer.deeds.read_whole;
    let _: u32 = world.redis.run(&["DEL", "metrics.b"]);
    let _: u32 = world.redis.run(&["LPUSH", "metrics.b", "x"]);
    for _ in 0..2 {
        world.pass(START_S + 75).unwrap();
    }
    for name in ["a", "c", "d"] {
        assert_eq!(world.seconds(name), [START_S + 30, START_S + 60], "{name}");
    }
    let list: Vec<String> = world.redis.run(&["LRANGE", "metrics.b", "0", "-1"]);
    assert_eq!(list, ["x"]);
    assert_eq!(world.redis.members().len(), 4);
    let deeds = &world.trimmer.deeds;
    assert_eq!((deeds.cut, deeds.refused, deeds.read_whole), (3, 2, whole));
}

/// Whatever another program does to a series that was found in order: once there is a
/// reason to look, it is seen that it is another one.
#[test]
fn a_series_that_was_changed_behind_our_back_is_put_in_order() {
    let mut world = World::new(&[]);
    let fresh = |offsets: &[i64]| -> Vec<u8> {
        let points = offsets.iter().map(|at| point(START_S + at));
        points.collect::<Vec<_>>().concat()
    };
    let sorted = [0, 60, 120, 180, 240];
    // Each: what another program leaves in its place, and what must be there in the end
    // after a point at 300.
    let cases: [(&str, &[i64], &[i64]); 7] = [
        ("cut", &[120, 180, 240], &[120, 180, 240, 300]),
        (
            "cut.and.disordered",
            &[180, 120, 240],
            &[120, 180, 240, 300],
        ),
        ("short", &[60, 0], &[0, 60, 300]),
        (
            "long",
            &[60, 0, 120, 90, 180, 240, 250],
            &[0, 60, 90, 120, 180, 240, 250, 300],
        ),
        (
            "later",
            &[60, 0, 120, 90, 250, 260],
            &[0, 60, 90, 120, 250, 260, 300],
        ),
        ("removed", &[], &[300]),
        (
            "appended",
            &[0, 60, 120, 180, 240, 30],
            &[0, 30, 60, 120, 180, 240, 300],
        ),
    ];
    for (name, ..) in cases {
        put(&world.redis, &format!("metrics.{name}"), b"");
        world.feeder.append(&world.redis, name, &fresh(&sorted));
    }
    world.pass(START_S).unwrap();
    world.pass(START_S).unwrap();
    for (name, becomes, _) in cases {
        let key = format!("metrics.{name}");
        let _: u32 = world.redis.run(&["DEL", &key]);
        append(&world.redis, &key, &fresh(becomes));
        world.feeder.append(&world.redis, name, &fresh(&[300]));
    }
    world.pass(START_S).unwrap();
    for (name, _, wanted) in cases {
        let wanted: Vec<i64> = wanted.iter().map(|at| START_S + at).collect();
        assert_eq!(world.seconds(name), wanted, "{name}");
    }
}

/// What Roomba itself cuts must not hide what another writer appends: just as many
/// bytes, so that the length is what the feeder expects.
#[test]
fn a_writer_that_appends_what_was_just_cut_is_noticed() {
    let mut world = World::new(&["redis.full_duration_s=60", "roomba.grace_s=0"]);
    put(&world.redis, "metrics.a", b"");
    let points = [0, 30, 60, 90].map(|at| point(START_S + at)).concat();
    world.feeder.append(&world.redis, "a", &points);
    world.pass(START_S).unwrap();
    world
        .feeder
        .append(&world.redis, "a", &point(START_S + 100));
    world.pass(START_S + 70).unwrap();
    assert_eq!(world.seconds("a").len(), 4, "one was cut");
    append(&world.redis, "metrics.a", &point(START_S + 45));
    world
        .feeder
        .append(&world.redis, "a", &point(START_S + 110));
    world.pass(START_S + 71).unwrap();
    let wanted = [30, 45, 60, 90, 100, 110].map(|at| START_S + at);
    assert_eq!(world.seconds("a"), wanted);
}

/// A clock that goes back removes nothing, and one that has come right again finds
/// what is due. Timestamps that no clock has now are put in order as well.
#[test]
fn clocks_that_are_wrong_cost_nothing() {
    let mut world = World::new(&["redis.full_duration_s=60", "roomba.grace_s=0"]);
    let points = [0, 30, 60].map(|at| point(START_S + at)).concat();
    put(&world.redis, "metrics.a", &points);
    for offset_s in [0, -3600, -START_S, 10] {
        world.pass(START_S + offset_s).unwrap();
        assert_eq!(world.seconds("a").len(), 3, "{offset_s}");
    }
    world.pass(START_S + 61).unwrap();
    assert_eq!(world.seconds("a"), [START_S + 30, START_S + 60]);
    let milliseconds = [5, 1, 3].map(|at| point((START_S + at) * 1000)).concat();
    put(&world.redis, "metrics.ms", &milliseconds);
    for late in [2, 4] {
        world.pass(START_S + 61).unwrap();
        append(&world.redis, "metrics.ms", &point((START_S + late) * 1000));
    }
    world.pass(START_S + 61).unwrap();
    let wanted = [1, 2, 3, 4, 5].map(|at| (START_S + at) * 1000);
    assert_eq!(world.seconds("ms"), wanted);
}

/// Once a while the record of trims is rid of what is no member any more.
#[test]
fn the_record_of_trims_is_cleaned_by_the_first_pass_and_every_sixtieth() {
    let mut world = World::new(&[]);
    put(&world.redis, "metrics.list", b"");
    let _: u32 = world.redis.run(&["DEL", "metrics.list"]);
    let _: u32 = world.redis.run(&["LPUSH", "metrics.list", "x"]);
    let mut cleaned = Vec::new();
    for pass in 0..130 {
        let stale = ["HSET", TRIMS, "metrics.gone", "1", "metrics.list", "2"];
        let _: u32 = world.redis.run(&stale);
        world.pass(START_S + pass).unwrap();
        let is_left: bool = world.redis.run(&["HEXISTS", TRIMS, "metrics.gone"]);
        if !is_left {
            cleaned.push(pass);
        }
        let is_left: bool = world.redis.run(&["HEXISTS", TRIMS, "metrics.list"]);
        assert!(is_left, "a member keeps its own");
    }
    assert_eq!(cleaned, [0, 60, 120]);
}

/// Longer than what is read together with others, and than Redis's own buffers.
#[test]
fn a_long_series_is_trimmed_like_any_other() {
    let mut world = World::new(&[]);
    let count = 200_000;
    let points: Vec<u8> = (0..count).flat_map(|at| point(START_S + at)).collect();
    let late = [
        point(START_S - 1_000_000),
        points.clone(),
        point(START_S + 7),
    ]
    .concat();
    for name in ["a", "b", "c"] {
        put(&world.redis, &format!("metrics.{name}"), &late);
    }
    world.pass(START_S).unwrap();
    for name in ["a", "b", "c"] {
        assert!(world.redis.series(name) == points, "{name}");
    }
    world
        .feeder
        .append(&world.redis, "a", &point(START_S + count));
    let whole = world.trimmer.deeds.read_whole;
    world.pass(START_S).unwrap();
    assert_eq!(world.trimmer.deeds.read_whole, whole);
}

/// The connection is lost when a change is made and its answer is under way: nothing
/// may be taken for known that was so only before the change.
#[test]
fn a_change_whose_answer_is_lost_leaves_nothing_wrong_behind() {
    for carries in [false, true] {
        let mut world = World::new(&["redis.full_duration_s=60", "roomba.grace_s=0"]);
        world.trimmer.carries = carries;
        let proxy = Proxy::start(&world.redis);
        world.trimmer.reconnect(proxy.connect()).unwrap();
        put(&world.redis, "metrics.a", b"");
        let points = [0, 30, 60, 90].map(|at| point(START_S + at)).concat();
        world.feeder.append(&world.redis, "a", &points);
        world.pass(START_S).unwrap();
        proxy.break_at_next_change.store(true, Ordering::Release);
        let broken = world.pass(START_S + 75);
        assert!(matches!(broken, Err(PassError::Redis(_))), "{broken:?}");
        assert_eq!(world.seconds("a").len(), 3, "the change was made");
        // Just where the newest record stood before the cut stands it again, twice now.
        let twice = record((START_S + 90) as f64, f64::MAX);
        append(&world.redis, "metrics.a", &twice);
        world.trimmer.reconnect(proxy.connect()).unwrap();
        world.pass(START_S + 76).unwrap();
        let wanted = [30, 60, 90].map(|at| START_S + at);
        assert_eq!(world.seconds("a"), wanted);
    }
}

/// Scripts that somebody flushes are loaded again in the same pass.
#[test]
fn flushed_scripts_are_loaded_again() {
    let mut world = World::new(&["redis.full_duration_s=60", "roomba.grace_s=0"]);
    for round in 0..3 {
        let name = format!("metrics.{round}");
        put(
            &world.redis,
            &name,
            &[point(START_S - 90), point(START_S)].concat(),
        );
        let _: String = world.redis.run(&["SCRIPT", "FLUSH"]);
        world.pass(START_S).unwrap();
        assert_eq!(world.seconds(&round.to_string()), [START_S]);
    }
    assert_eq!(world.trimmer.deeds.cut, 3, "each counted once");
}

/// Passes bytes on between a client and Redis, until it is to lose an answer.
/// What is done before a request with this word goes on to Redis.
type Before = Option<(String, Box<dyn FnOnce() + Send>)>;

pub struct Proxy {
    directory: tempfile::TempDir,
    break_at_next_change: Arc<AtomicBool>,
    before: Arc<Mutex<Before>>,
}

impl Proxy {
    pub fn start(redis: &Redis) -> Proxy {
        let proxy = Proxy {
            directory: tempfile::TempDir::with_prefix("skyring-proxy-").unwrap(),
            break_at_next_change: Arc::default(),
            before: Arc::default(),
        };
        let listener = UnixListener::bind(proxy.socket()).unwrap();
        let (there, is_to_break) = (redis.socket(), proxy.break_at_next_change.clone());
        let before = proxy.before.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = UnixStream::connect(&there).unwrap();
                let _ = pass_on(client, server, &is_to_break, &before);
            }
        });
        proxy
    }

    fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("proxy.sock")
    }

    /// Does this once, before the next request with the word goes on.
    pub fn before_next(&self, word: &str, deed: impl FnOnce() + Send + 'static) {
        *self.before.lock().unwrap() = Some((word.to_owned(), Box::new(deed)));
    }

    pub fn connect(&self) -> redis::Connection {
        let client = redis::Client::open(format!("unix://{}", self.socket().display()));
        client.unwrap().get_connection().unwrap()
    }
}

/// One request and its answer after the other: the client waits for each.
fn pass_on(
    mut client: UnixStream,
    mut server: UnixStream,
    is_to_break: &AtomicBool,
    before: &Mutex<Before>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    client.set_nonblocking(true)?;
    server.set_nonblocking(true)?;
    let mut is_broken = false;
    loop {
        let mut is_idle = true;
        match client.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                is_idle = false;
                let sent = &bytes[..count];
                let has = |word: &str| sent.windows(word.len()).any(|it| it == word.as_bytes());
                let is_change = has("EVALSHA") || has("EXEC");
                is_broken |= is_change && is_to_break.swap(false, Ordering::AcqRel);
                let due = before.lock().unwrap().take_if(|(word, _)| has(word));
                if let Some((_, deed)) = due {
                    deed();
                }
                server.write_all(sent)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        match server.read(&mut bytes) {
            Ok(0) => return Ok(()),
            // The answer shows that the change was made; nobody learns of it.
            Ok(_) if is_broken => return Ok(()),
            Ok(count) => {
                is_idle = false;
                client.write_all(&bytes[..count])?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if is_idle {
            std::thread::yield_now();
        }
    }
}
