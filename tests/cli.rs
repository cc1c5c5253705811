//! The command line and the configuration: every fault is one line that names
//! its place, and the exit code says what kind of fault it is.

use std::io::Write;

use tempfile::NamedTempFile;

use crate::fixture::redis::{Plan as RedisPlan, Redis};
use crate::fixture::skyring::{Plan, command};

/// Runs the binary to its end: exit code, standard output, standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut process = command(arguments);
    let status = process.exit();
    let code = status
        .code()
        .unwrap_or_else(|| panic!("{arguments:?}: {status}"));
    (code, process.stdout(), process.stderr())
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn a_bad_configuration_is_named_with_file_and_line() {
    let faults = [
        ("drain_s = 5\nno_such_key = 1\n", 2, "no_such_key"),
        (
            "[horizon]\n\nframe_bytes_maximum = 1\n",
            3,
            "frame_bytes_maximum",
        ),
        ("[no_such_section]\nx = 1\n", 1, "no_such_section"),
        ("[horizon]\nlinger_us = \"long\"\n", 2, "linger_us"),
        ("[horizon]\nlinger_us = -1\n", 2, "linger_us"),
        ("[horizon]\nframe_bytes_max = 1\n", 2, "frame_bytes_max"),
        ("[horizon]\npickle = [\"127.0.0.1\"]\n", 2, "pickle"),
        ("[horizon]\npickle = \"127.0.0.1:2024\"\n", 2, "pickle"),
        ("\n\n[redis]\nurl = \"http://example.org\"\n", 4, "url"),
        ("[log]\nlevel = \"loud\"\n", 2, "level"),
        ("[horizon]\nlinger_us = 1\nlinger_us = 2\n", 3, "duplicate"),
        ("[horizon\n", 1, ""),
        ("shards = 1 2\n", 1, ""),
    ];
    for (text, line, key) in faults {
        let file = file(text);
        let path = file.path().to_str().unwrap();
        let place = format!("{path}:{line}");
        for subcommand in ["serve", "config"] {
            let (code, stdout, stderr) = run(&[subcommand, "--config", path]);
            assert_eq!(code, 2, "{subcommand}: {text}: {stderr}");
            assert_eq!(stdout, "", "{subcommand}: {text}");
            let named = stderr
                .lines()
                .any(|line| line.contains(&place) && line.contains(key));
            assert!(
                named,
                "{subcommand}: {text}: no line names {place} and {key}: {stderr}"
            );
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_a_fault_like_any_other() {
    let mut file = file("");
    file.write_all(b"drain_s = 5\n\xff\xfe\x00\n").unwrap();
    let path = file.path().to_str().unwrap();
    let (code, _, stderr) = run(&["serve", "--config", path]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains(path), "{stderr}");
}

#[test]
fn a_file_that_is_not_there_exits_2() {
    for path in ["/nonexistent/skyring.toml", "/"] {
        let (code, stdout, stderr) = run(&["serve", "--config", path]);
        assert_eq!(code, 2, "{stderr}");
        assert_eq!(stdout, "");
        assert!(stderr.contains(path), "{stderr}");
    }
}

#[test]
fn a_wrong_command_line_exits_2() {
    let wrong: [&[&str]; 9] = [
        &["serve", "--no-such-flag"],
        &["serve", "too", "many"],
        &["--no-such-flag"],
        &["no-such-command"],
        &["config", "--no-such-flag"],
        &["check", "--no-such-flag"],
        &["serve", "--set", "no_such_key=1"],
        &["serve", "--set", "horizon.linger_us"],
        &["serve", "--config"],
    ];
    for arguments in wrong {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert_eq!(stdout, "", "{arguments:?}");
        assert_ne!(stderr, "", "{arguments:?}");
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn help_and_version_exit_0() {
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["check", "--help"],
        &["config", "--help"],
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        assert!(stdout.contains("Usage"), "{arguments:?}: {stdout}");
    }
    let (code, stdout, _) = run(&["--version"]);
    assert_eq!(
        (code, stdout.trim()),
        (0, concat!("skyring ", env!("CARGO_PKG_VERSION")))
    );
}

/// What `config` prints is a configuration: read back, it prints the same.
#[test]
fn the_printed_configuration_reads_back_as_itself() {
    let (code, default, stderr) = run(&["config", "--default"]);
    assert_eq!(code, 0, "{stderr}");
    let table: toml::Table = toml::from_str(&default).unwrap();
    assert_eq!(table["horizon"]["linger_us"].as_integer(), Some(500));
    assert!(
        default.lines().any(|line| line.starts_with('#')),
        "each setting has its comment"
    );
    let printed = file(&default);
    let (code, again, stderr) = run(&["config", "--config", printed.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(again, default);

    let changed = file("drain_s = 7\n[horizon]\nlinger_us = 9\n");
    let path = changed.path().to_str().unwrap();
    let (code, effective, stderr) = run(&["config", "--config", path]);
    assert_eq!(code, 0, "{stderr}");
    let table: toml::Table = toml::from_str(&effective).unwrap();
    assert_eq!(table["drain_s"].as_integer(), Some(7));
    assert_eq!(table["horizon"]["linger_us"].as_integer(), Some(9));
}

#[test]
fn secrets_are_masked_wherever_the_configuration_is_shown() {
    let secret = file("[redis]\nurl = \"redis://:hunter2@127.0.0.1:1/0\"\n");
    let path = secret.path().to_str().unwrap();
    for subcommand in ["config", "check"] {
        let (_, stdout, stderr) = run(&[subcommand, "--config", path]);
        assert!(!(stdout + &stderr).contains("hunter2"), "{subcommand}");
    }
    let wrong = file("[redis]\nurl = \"redis://:hunter2@127.0.0.1:99999/0\"\n");
    let (code, stdout, stderr) = run(&["serve", "--config", wrong.path().to_str().unwrap()]);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        !(stdout + &stderr).contains("hunter2"),
        "an error must not show it either"
    );
}

#[test]
fn check_passes_where_serve_would_run() {
    let redis = Redis::start();
    let plan = Plan::with(&redis);
    let file = plan.file();
    let (code, stdout, stderr) = run(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(
        (stdout + &stderr).to_lowercase().contains("memory"),
        "worst-case memory is printed"
    );
}

/// Each fault of a Redis is a line of its own that says so.
#[test]
fn check_says_what_is_wrong_with_redis() {
    let away = Redis::prepare(RedisPlan::default());
    let replica = Redis::start();
    let _: String = replica.run(&["REPLICAOF", "127.0.0.1", "1"]);
    let full = Redis::start();
    let _: String = full.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let cluster = Redis::with(RedisPlan {
        options: &["cluster-enabled yes"],
        tcp: true,
        ..RedisPlan::default()
    });
    let locked = Redis::with(RedisPlan {
        password: "sesame",
        ..RedisPlan::default()
    });
    let faults = [
        (&away, away.socket().to_str().unwrap().to_owned()),
        (&replica, "replica".to_owned()),
        (&full, "maxmemory".to_owned()),
        (&cluster, "cluster".to_owned()),
        (&locked, "password".to_owned()),
    ];
    for (redis, word) in faults {
        let plan = Plan::with(redis);
        let file = plan.file();
        let (code, stdout, stderr) = run(&["check", "--config", file.to_str().unwrap()]);
        let said = stdout + &stderr;
        assert_eq!(code, 1, "{word}: {said}");
        assert!(
            said.to_lowercase().contains(&word.to_lowercase()),
            "nothing about {word}: {said}"
        );
    }
}

/// A port that somebody else has is told before `serve` runs into it.
#[test]
fn check_says_that_a_port_is_in_use() {
    let redis = Redis::start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let plan = Plan::with(&redis).set("horizon.pickle", format!("[\"{address}\"]"));
    let file = plan.file();
    let (code, stdout, stderr) = run(&["check", "--config", file.to_str().unwrap()]);
    let said = stdout + &stderr;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&address), "{said}");
}
