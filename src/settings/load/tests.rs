//! Every form of error with its place, and what `--set` takes.

use super::*;

/// The faults of a file with `text`, one a line, with the file called FILE.
fn faults(text: &[u8], sets: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("skyring.toml");
    std::fs::write(&file, text).unwrap();
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    match load(Some(&file), &sets) {
        Ok(_) => "none".to_owned(),
        Err(error) => error
            .to_string()
            .replace(&file.display().to_string(), "FILE"),
    }
}

fn set(set: &str) -> Result<Settings, String> {
    load(None, &[set.to_owned()]).map_err(|error| error.to_string())
}

// Each form of error names key, file and line, and what would be right.
#[test]
fn each_form_of_error_names_its_place_and_what_would_be_right() {
    let address = "an address and port such as \"127.0.0.1:2024\" or \"[::1]:2024\"";
    let addresses = "a list of addresses and ports such as [\"127.0.0.1:2024\", \"[::1]:2024\"]";
    let cases: &[(&str, &str)] = &[
        (
            "\n[horizon]\nlinger_us = \"abc\"\n",
            "FILE:3: horizon.linger_us: expected a whole number from 0 to 1000000, \
             found \"abc\"",
        ),
        (
            "[horizon]\nlinger_us = 1_000_001",
            "FILE:2: horizon.linger_us: expected a whole number from 0 to 1000000, \
             found 1_000_001",
        ),
        (
            "horizon.linger_us = -1",
            "FILE:1: horizon.linger_us: expected a whole number from 0 to 1000000, found -1",
        ),
        (
            "shards = 99999999999999999999999",
            "FILE:1: shards: expected a whole number from 0 to 1024, \
             found 99999999999999999999999",
        ),
        (
            "drain_s = 1.5",
            "FILE:1: drain_s: expected a whole number from 0 to 3600, found 1.5",
        ),
        (
            "drain_s = true",
            "FILE:1: drain_s: expected a whole number from 0 to 3600, found true",
        ),
        (
            "drain_s = [1]",
            "FILE:1: drain_s: expected a whole number from 0 to 3600, found a list",
        ),
        (
            "cpus = [\n0,\n'x'\n]",
            "FILE:3: cpus: expected a list of whole numbers from 0 to 1023, found 'x'",
        ),
        (
            "cpus = 3",
            "FILE:1: cpus: expected a list of whole numbers from 0 to 1023, found 3",
        ),
        (
            "state_dir = 3",
            "FILE:1: state_dir: expected a path, found 3",
        ),
        (
            "state_dir = ''",
            "FILE:1: state_dir: expected a path, found \"\"",
        ),
        (
            "[horizon]\npickle = \"127.0.0.1:1\"",
            &format!("FILE:2: horizon.pickle: expected {addresses}, found \"127.0.0.1:1\""),
        ),
        (
            "[horizon]\npickle = [\n\"127.0.0.1:1\",\n\"localhost:2\"]",
            &format!("FILE:4: horizon.pickle: expected {addresses}, found \"localhost:2\""),
        ),
        (
            "[admin]\nlisten = \"2080\"",
            &format!("FILE:2: admin.listen: expected {address}, or \"\", found \"2080\""),
        ),
        (
            "[log]\nlevel = \"loud\"",
            "FILE:2: log.level: expected one of \"error\", \"warn\", \"info\", \"debug\", \
             \"trace\", found \"loud\"",
        ),
        (
            "[redis]\nnamespace = \"\"",
            "FILE:2: redis.namespace: expected a string of 1 to 256 bytes without control \
             characters, found \"\"",
        ),
        (
            "[redis]\nurl = 7",
            "FILE:2: redis.url: expected a URL such as \"unix:/run/redis/redis.sock\" or \
             \"redis://127.0.0.1:6379/0\", or \"\", found something else",
        ),
        (
            "[redis]\npassword_file = \"/nowhere/at/all\"",
            "FILE:2: redis.password_file: cannot use /nowhere/at/all: No such file or \
             directory (os error 2)",
        ),
        (
            "redis = 3",
            "FILE:1: redis: expected a table, [redis], found 3",
        ),
        (
            "[horizon]\npicle = []",
            "FILE:2: horizon.picle: unknown setting; did you mean horizon.pickle?",
        ),
        (
            "linger_us = 3",
            "FILE:1: linger_us: unknown setting; did you mean horizon.linger_us?",
        ),
        (
            "[horizon]\ndrain_s = 3",
            "FILE:2: horizon.drain_s: unknown setting; did you mean drain_s?",
        ),
        (
            "[log]\nzzzzzzzzz = 3",
            "FILE:2: log.zzzzzzzzz: unknown setting; log has level, format",
        ),
        (
            "\n[horizn]\na = 1",
            "FILE:2: horizn: unknown section; did you mean horizon?",
        ),
        (
            "[qqqq]",
            "FILE:1: qqqq: unknown section; there are redis, horizon, roomba, batch, \
             cluster, graphite, self_metrics, flux, flux.prometheus, victoriametrics, flux.uploads, vista, admin, log",
        ),
        (
            "\"a\\u001b\" = 1",
            "FILE:1: a\\u{1b}: unknown setting; at the top level there are \
             shards, cpus, state_dir, drain_s, pid_file, rule",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(faults(text.as_bytes(), &[]), *expected, "{text}");
    }
}

#[test]
fn broken_toml_and_broken_text_name_their_line() {
    let error = faults(b"shards = 1\n\ndrain_s = = 3\n", &[]);
    assert!(error.starts_with("FILE:3: "), "{error}");
    let error = faults(b"shards = 1\nshards = 2\n", &[]);
    assert!(error.starts_with("FILE:2: "), "{error}");
    assert_eq!(
        faults(b"shards = 1\n# \xff\n", &[]),
        "FILE:2: expected text in UTF-8"
    );
    let nested = "a = ".to_owned() + &"[".repeat(100_000);
    assert!(faults(nested.as_bytes(), &[]).starts_with("FILE:1: "));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load(Some(Path::new("/nowhere/skyring.toml")), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/skyring.toml: cannot read the configuration: No such file or directory \
         (os error 2)"
    );
}

#[test]
fn all_faults_are_told_in_the_order_of_their_lines() {
    let text =
        b"zzzzzzzzzz = 1\ndrain_s = 'x'\n[log]\nlevel = 1\nformat = 2\n[horizon]\nlingerus = 1\n";
    let error = faults(text, &["shards=many"]);
    let places: Vec<&str> = error
        .lines()
        .filter_map(|line| line.split(": ").next())
        .collect();
    assert_eq!(
        places,
        [
            "FILE:1",
            "FILE:2",
            "FILE:4",
            "FILE:5",
            "FILE:7",
            "--set shards"
        ]
    );
}

#[test]
fn a_set_takes_toml_or_a_bare_string_and_the_last_one_wins() {
    let sets = [
        "drain_s=3",
        "drain_s = 4",
        "log.level=debug",
        "log.format=\"json\"",
        "redis.namespace=123.",
        "horizon.pickle=[\"127.0.0.1:0\", '[::1]:0']",
        "admin.listen=",
        "horizon.linger_us=0x10",
        "state_dir=/tmp/a=b",
    ];
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let settings = load(None, &sets).unwrap();
    assert_eq!(settings.drain_s, 4);
    assert_eq!(settings.log.level, crate::settings::LogLevel::Debug);
    assert_eq!(settings.log.format, crate::settings::LogFormat::Json);
    assert_eq!(settings.redis.namespace, "123.");
    assert_eq!(settings.horizon.pickle.len(), 2);
    assert_eq!(settings.admin.listen, None);
    assert_eq!(settings.horizon.linger_us, 16);
    assert_eq!(settings.state_dir, Path::new("/tmp/a=b"));
}

#[test]
fn a_set_wins_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("skyring.toml");
    std::fs::write(&file, "drain_s = 1\n[log]\nlevel = \"warn\"\n").unwrap();
    let settings = load(Some(&file), &["drain_s=2".to_owned()]).unwrap();
    assert_eq!(settings.drain_s, 2);
    assert_eq!(settings.log.level, crate::settings::LogLevel::Warn);
}

#[test]
fn errors_of_a_set_name_the_option() {
    let number = "expected a whole number from 0 to 1000000";
    let cases = [
        (
            "horizon.linger_us=abc",
            format!("--set horizon.linger_us: {number}, found \"abc\""),
        ),
        (
            "horizon.linger_us=-1",
            format!("--set horizon.linger_us: {number}, found -1"),
        ),
        (
            "horizon.linger_us=",
            format!("--set horizon.linger_us: {number}, found \"\""),
        ),
        (
            "drain_s",
            "--set expected section.key=value, found \"drain_s\"".to_owned(),
        ),
        (
            "drain=1",
            "--set drain: unknown setting; did you mean drain_s?".to_owned(),
        ),
        (
            "horzon.linger_us=1",
            "--set horzon.linger_us: unknown section; did you mean horizon?".to_owned(),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(set(text).unwrap_err(), expected);
    }
}

// A URL can carry a password, and errors end in logs.
#[test]
fn an_error_never_repeats_a_url() {
    for text in [
        "redis.url=redis://:hunter2@host:99999",
        "redis.url=hunter2",
        "redis.url=\"hunter2",
    ] {
        let error = set(text).unwrap_err();
        assert!(
            error.starts_with("--set redis.url: ") && !error.contains("hunter2"),
            "{error}"
        );
    }
    let error = faults(b"[redis]\nurl = \"redis://:hunter2@ho st\"\n", &[]);
    assert!(
        error.starts_with("FILE:2: redis.url: ") && !error.contains("hunter2"),
        "{error}"
    );
}

#[test]
fn a_password_file_must_hold_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    let load = |contents: &str| {
        std::fs::write(&file, contents).unwrap();
        let file = format!("redis.password_file={}", file.display());
        let loaded = super::load(None, &["redis.url=redis://host".to_owned(), file]);
        loaded.map_err(|error| error.to_string())
    };
    for contents in ["secret", "secret\n", "secret\r\n"] {
        let settings = load(contents).unwrap();
        assert_eq!(settings.redis.password_file.unwrap().password(), "secret");
    }
    for contents in ["", "\n", "secret\nmore\n"] {
        let error = load(contents).unwrap_err();
        assert!(
            error.ends_with("it must hold one line, the password"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
}

// Settings are read from whatever stands in a file: no bytes may panic.
#[test]
fn arbitrary_text_never_panics() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy =
        "(\\[?(horizon|redis|x)\\]?|linger_us|url|pickle|[=.\"'\\[\\]{}0-9\\n :/@%?-]|\\PC){0,40}";
    runner
        .run(&strategy, |text| {
            let _ = load(None, &[text.clone(), format!("redis.url={text}")]);
            let _ = faults(text.as_bytes(), &[]);
            Ok(())
        })
        .unwrap();
}
