//! `skyring trim --once`.

use super::*;
use crate::fixture::redis::Plan as RedisPlan;
use crate::fixture::tmux::Terminal;

/// The dry run tells what the real one then does, and changes nothing; a second one
/// finds nothing to do.
#[test]
fn once_makes_of_histories_what_skylines_roomba_makes() {
    let redis = Redis::start();
    let plan = trimming(&redis);
    let filled = histories(&redis, "fill", "metrics.", "once");
    let _: u32 = redis.run(&["SADD", SET, "metrics.ghost", "another.ghost"]);
    let before = digest(&redis);
    let dry = trim(&plan, &["--dry-run"]);
    assert_eq!(digest(&redis), before, "a dry run has changed something");
    let wet = trim(&plan, &[]);
    assert_eq!(dry.sums(), wet.sums());
    filled.check(&redis).unwrap();
    let sums = wet.sums();
    assert_eq!(sums["series"], 302);
    assert_eq!(sums["removed, without series"], 2);
    assert_eq!(sums["removed"], filled.removed().count() as u64);
    for label in ["cut", "put in order", "records too old", "records twice"] {
        assert!(sums[label] > 20, "{label} {sums:?}");
    }
    let before = digest(&redis);
    let again = trim(&plan, &[]);
    let left = 300 - filled.removed().count() as u64;
    assert_eq!(again.sums(), [("series", left)].into());
    assert_eq!(
        digest(&redis),
        before,
        "a second pass has changed something"
    );
}

/// What stands under the keys of members besides series.
#[test]
fn what_is_no_series_is_left_or_removed_or_set_aside() {
    let redis = Redis::start();
    let good = records(&[0, 60]);
    let now = now_s() as u32;
    let number = |number: u32| [&[0xce][..], &number.to_be_bytes()].concat();
    put(&redis, "metrics.good", &good);
    put(&redis, "metrics.empty", b"");
    put(&redis, "metrics.cut", &good[..7]);
    put(&redis, "metrics.scalar.old", &number(now - 9000));
    put(&redis, "metrics.scalar.new", &number(now));
    put(&redis, "outside", &records(&[-9000, 0]));
    put(&redis, "outside.dead", &records(&[-9000]));
    // None of these is two numbers; each costs itself alone.
    let foreign: &[u8] = b"\x92\x64\xc0\x92\x64\xa31.5\x93\x64\x01\x02\x07\x81\x01\x02";
    put(
        &redis,
        "metrics.foreign",
        &[&good, foreign, &records(&[120])].concat(),
    );
    put(
        &redis,
        "metrics.broken",
        &[&good[..], b"\xc1\xc1", &good].concat(),
    );
    put(&redis, "metrics.\u{1b}[31mtext", b"\xa5hello");
    let _: u32 = redis.run(&["LPUSH", "metrics.list", "a", "b"]);
    let _: u32 = redis.run(&["SADD", SET, "metrics.list", SET, "metrics.ghost"]);
    let done = trim(&trimming(&redis), &[]);
    let wanted = [
        ("series", 13),
        ("cut", 1),
        ("put in order", 1),
        ("removed", 2),
        ("removed, without series", 1),
        ("set aside", 2),
        ("refused by Redis", 2),
    ];
    let sums = done.sums();
    for (label, wanted) in wanted {
        assert_eq!(sums.get(label), Some(&wanted), "{label} {sums:?}");
    }
    let left = |key: &str| (series(&redis, key), is_member(&redis, key));
    assert_eq!(left("metrics.good"), (Some(good.clone()), true));
    assert_eq!(left("metrics.empty"), (Some(Vec::new()), true));
    assert_eq!(left("metrics.cut"), (Some(good[..7].to_vec()), true));
    assert_eq!(left("metrics.scalar.old"), (None, false));
    assert_eq!(left("metrics.scalar.new"), (Some(number(now)), true));
    assert_eq!(left("outside").0.unwrap().len(), 19);
    assert_eq!(left("outside.dead"), (None, false));
    assert_eq!(left("metrics.foreign").0.unwrap().len(), 3 * 19);
    assert_eq!(left("metrics.broken"), (Some(good.clone()), true));
    assert_eq!(left("metrics.\u{1b}[31mtext"), (None, false));
    assert!(!is_member(&redis, "metrics.ghost"));
    let list: Vec<String> = redis.run(&["LRANGE", "metrics.list", "0", "-1"]);
    assert_eq!(
        (list, is_member(&redis, "metrics.list")),
        (vec!["b".to_owned(), "a".to_owned()], true)
    );
    let aside = |key: &str| series(&redis, &format!("skyring.quarantine.metrics.{key}"));
    let broken = [&good[..], b"\xc1\xc1", &good].concat();
    assert_eq!(aside("broken"), Some(broken));
    assert_eq!(aside("\u{1b}[31mtext"), Some(b"\xa5hello".to_vec()));
    let ttl: i64 = redis.run(&["TTL", "skyring.quarantine.metrics.broken"]);
    assert!((600_000..=604_800).contains(&ttl), "{ttl}");
    let told: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter().any(|line| line.contains("metrics.broken")),
        "{told:?}"
    );
    assert!(!done.stderr.contains('\u{1b}'), "{told:?}");
}

/// On a terminal a bar is drawn while it runs, and gone when the numbers are there; in
/// a file there is none.
#[test]
fn a_terminal_shows_how_far_it_is() {
    let redis = Redis::start();
    let plan = trimming(&redis);
    for metric in 0..40 {
        put(&redis, &format!("metrics.{metric}"), &records(&[-9000, 0]));
    }
    let before = digest(&redis);
    for (more, label) in [(" --dry-run", "would be cut"), ("", "cut")] {
        let file = plan.file();
        let drawn = plan.state_dir().with_file_name("drawn");
        // script keeps all that was ever drawn.
        let shell = format!(
            "script -qec '{} trim --once --config {}{more}' {}; echo ended $?; exec cat",
            env!("CARGO_BIN_EXE_skyring"),
            file.display(),
            drawn.display()
        );
        let terminal = Terminal::start(&shell, (100, 30));
        let text = terminal.wait_for(&["ended 0"]);
        let row = text.lines().find(|line| line.starts_with(label));
        let row = row.unwrap_or_else(|| panic!("no {label} in {text}"));
        assert!(row.ends_with(" 40"), "{text}");
        assert!(!text.contains("/40 series"), "{text}");
        let drawn = std::fs::read(drawn).unwrap();
        let drawn = String::from_utf8_lossy(&drawn);
        let (bar, numbers) = drawn.rsplit_once("/40 series").expect("a bar was drawn");
        assert!(
            bar.contains('\u{2588}') || bar.contains('\u{2591}'),
            "{bar}"
        );
        assert!(numbers.contains(label), "{drawn}");
        if !more.is_empty() {
            assert_eq!(digest(&redis), before, "a dry run has changed something");
        }
    }
    assert_ne!(digest(&redis), before);
    assert!(!trim(&plan, &[]).stderr.contains("series"));
}

/// Only with Redis there, and only with good settings; each failure is one line.
#[test]
fn failures_are_told_in_one_line_with_their_exit_codes() {
    let away = Redis::prepare(RedisPlan::default());
    let plan = trimming(&away);
    for more in [&[][..], &["--dry-run"]] {
        let failed = trim(&plan, more);
        assert_eq!(failed.status.code(), Some(1), "{}", failed.stderr);
        assert_eq!(failed.stderr.lines().count(), 1, "{}", failed.stderr);
        assert!(failed.stderr.contains("redis.url"), "{}", failed.stderr);
    }
    let bad = trim(&plan.set("roomba.grace_s", "\"x\""), &[]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(bad.stderr.contains("roomba.grace_s"), "{}", bad.stderr);
    let mut without = command(&["trim"]);
    assert_eq!(without.exit().code(), Some(2));
    assert!(without.stderr().contains("--once"), "{}", without.stderr());
    // A Redis that takes no writes: nothing is done, and that is told.
    let redis = Redis::start();
    put(&redis, "metrics.a", &records(&[-9000, 0]));
    let before = digest(&redis);
    let _: String = redis.run(&["REPLICAOF", "127.0.0.1", "1"]);
    let refused = trim(&trimming(&redis), &[]);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("READONLY") || refused.stderr.contains("read only"));
    let _: String = redis.run(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(digest(&redis), before);
}

/// Which members are left to Skyline's analyzer_batch: those of both its sets, when
/// there are namespaces of it, unless nothing would be left to trim.
#[test]
fn the_metrics_of_batch_processing_are_left_alone_when_they_are_meant_to_be() {
    let redis = Redis::start();
    let keys = ["metrics.a", "metrics.b", "metrics.c"];
    let fill = || {
        for key in keys {
            put(&redis, key, &records(&[-9000, 0]));
        }
    };
    let trimmed = |plan: &Plan| {
        fill();
        trim(plan, &[]).sums();
        let is_trimmed = |key: &&&str| series(&redis, key).unwrap().len() == 19;
        let names = keys.iter().filter(is_trimmed);
        names
            .map(|key| key.trim_start_matches("metrics."))
            .collect::<String>()
    };
    let (one, two) = (
        "analyzer.batch_processing_metrics",
        "aet.analyzer.batch_processing_metrics",
    );
    let _: u32 = redis.run(&["SADD", one, "a"]);
    let _: u32 = redis.run(&["SADD", two, "b"]);
    let plan = trimming(&redis);
    assert_eq!(trimmed(&plan), "abc", "it is not asked for");
    let plan = plan.set("roomba.skip_batch", true);
    assert_eq!(trimmed(&plan), "abc", "there are no namespaces of it");
    let named = plan.clone().set("batch.namespaces", "[\"x\"]");
    assert_eq!(trimmed(&named), "c", "they are in the settings");
    let _: u32 = redis.run(&["SADD", "metrics_manager.batch_processing_namespaces", "x"]);
    assert_eq!(trimmed(&plan), "c", "they are in Redis");
    let _: u32 = redis.run(&["SADD", one, "elsewhere", "another", "third"]);
    assert_eq!(trimmed(&plan), "c", "more of them than of members");
    assert_eq!(
        trim(&plan, &["--dry-run"]).sums()["left to batch processing"],
        2
    );
    let _: u32 = redis.run(&["SADD", one, "c"]);
    assert_eq!(trimmed(&plan), "abc", "nothing would be left");
}
