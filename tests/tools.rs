//! The commands beside the server: `send`, `get` and `generate`.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::fixture::carbon::CarbonRelay;
use crate::fixture::process::Process;
use crate::fixture::python;
use crate::fixture::redis::Redis;
use crate::fixture::run::{Ended, run, spawn};
use crate::fixture::sender::{Sender, frame, record, values_of};
use crate::fixture::skyring::{Plan, Skyring, command};
use crate::fixture::{DEADLINE, eventually, free_port, holds, now_s};

const BINARY: &str = env!("CARGO_BIN_EXE_skyring");

/// Everything that one connection to a plain socket brings.
fn receive_one() -> (String, std::thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let receiver = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        listener
            .accept()
            .unwrap()
            .0
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    });
    (address, receiver)
}

fn receive_datagrams() -> (String, UdpSocket) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    (socket.local_addr().unwrap().to_string(), socket)
}

fn datagram(socket: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 16];
    let length = socket.recv(&mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

/// What Python reads of bytes of this form.
fn python_reads(form: &str, bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let lines = python::script("sent.py", &[], &format!("{form} {hex}\n"));
    lines[0].as_str().unwrap().to_owned()
}

// ---- send ----

#[test]
fn a_point_that_is_sent_is_stored() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let now = now_s() - 5;
    let sent = run(
        &[
            "send",
            "--pickle",
            &skyring.pickle(),
            "one.point",
            "-1.5",
            &now.to_string(),
        ],
        b"",
    );
    assert_eq!((sent.code, sent.stdout + &sent.stderr), (0, String::new()));
    skyring.wait_until_settled(1);
    let mut expected = vec![0x92, 0xce];
    expected.extend((now as u32).to_be_bytes());
    expected.push(0xcb);
    expected.extend((-1.5_f64).to_be_bytes());
    assert_eq!(redis.series("one.point"), expected);
    skyring.finish();
}

/// More than two frames of lines, with bad ones in between: those are told and
/// counted, and cost no good one.
#[test]
fn lines_from_standard_input_arrive_and_bad_ones_are_told() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let now = now_s();
    let mut lines = String::new();
    for at in 1..=1200 {
        lines += &match at {
            7 => "lonely\n".to_owned(),
            600 => format!("bad.value twelve {now}\n"),
            _ => format!("m{} {at}.0 {now}\r\n", at % 3),
        };
    }
    lines += "last.without.end 1";
    let sent = run(&["send", "--pickle", &skyring.pickle()], lines.as_bytes());
    assert_eq!(sent.code, 1, "{}", sent.stderr);
    let told: Vec<&str> = sent.stderr.lines().collect();
    assert_eq!(
        told,
        [
            "skyring: line 7: expected \"name value [timestamp]\", found 1 words",
            "skyring: line 600: the value \"twelve\" is no number",
            "skyring: 2 of 1201 lines are no points and were left out",
        ]
    );
    let counts = skyring.wait_until_settled(1199);
    assert_eq!(counts.stored, 1199);
    assert_eq!(redis.members().len(), 4);
    let expected: Vec<u8> = (1..=1200)
        .filter(|at| at % 3 == 1 && *at != 7)
        .flat_map(|at| {
            let mut record = vec![0x92, 0xce];
            record.extend((now as u32).to_be_bytes());
            record.push(0xcb);
            record.extend(f64::from(at).to_be_bytes());
            record
        })
        .collect();
    assert_eq!(redis.series("m1"), expected);
    skyring.finish();
}

/// `tail -f | skyring send` must not hold a line back until there are 500.
#[test]
fn a_line_is_sent_before_the_next_one_is_waited_for() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut child = spawn(&["send", "--pickle", &skyring.pickle()]);
    let mut stdin = child.stdin.take().unwrap();
    for count in 1..=3 {
        writeln!(stdin, "trickle {count}").unwrap();
        skyring.wait_until_settled(count);
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    skyring.finish();
}

#[test]
fn python_reads_the_pickles_with_their_kinds() {
    let (address, receiver) = receive_one();
    let mut lines = String::from("caf\u{e9}.a -0.25 1609459200.5\nint 70000 1609459200\n");
    lines += "wide 18446744073709551615 4294967296\nlow -9223372036854775808 2147483648\n";
    assert_eq!(
        run(&["send", "--pickle", &address], lines.as_bytes()).code,
        0
    );
    let read = python_reads("pickle", &receiver.join().unwrap());
    assert_eq!(
        read,
        "[[('caf\u{e9}.a', (1609459200.5, -0.25)), ('int', (1609459200, 70000)), \
         ('wide', (4294967296, 18446744073709551615)), \
         ('low', (2147483648, -9223372036854775808))]]"
    );
}

#[test]
fn python_reads_the_datagrams_with_their_kinds() {
    let (address, socket) = receive_datagrams();
    let long = "n".repeat(300);
    let lines =
        format!("caf\u{e9}.a 1.5 1609459200\n{long} -33 1609459200.0\nb 18446744073709551615 5\n");
    assert_eq!(
        run(&["send", "--msgpack", &address], lines.as_bytes()).code,
        0
    );
    let read = || python_reads("msgpack", &datagram(&socket));
    assert_eq!(read(), "('caf\u{e9}.a', (1609459200, 1.5))");
    assert_eq!(read(), format!("('{long}', (1609459200.0, -33))"));
    assert_eq!(read(), "('b', (5, 18446744073709551615))");
}

#[test]
fn lines_go_out_as_lines_over_tcp_and_udp() {
    let lines = b"a.b  1\t5\r\n\nc;t=v 2.50 6.0\n-x -7 8";
    let expected = "a.b 1 5\nc;t=v 2.5 6.0\n-x -7 8\n";
    let (address, receiver) = receive_one();
    assert_eq!(run(&["send", "--line", &address], lines).code, 0);
    assert_eq!(
        String::from_utf8(receiver.join().unwrap()).unwrap(),
        expected
    );
    let (address, socket) = receive_datagrams();
    assert_eq!(run(&["send", "--line-udp", &address], lines).code, 0);
    let received: Vec<u8> = (0..3).flat_map(|_| datagram(&socket)).collect();
    assert_eq!(String::from_utf8(received).unwrap(), expected);
}

#[test]
fn a_missing_timestamp_is_now() {
    for arguments in [&["now.point", "1"][..], &["now.point", "1", "-1"]] {
        let (address, receiver) = receive_one();
        let before = now_s();
        let sent = run(&[&["send", "--line", &address], arguments].concat(), b"");
        assert_eq!(sent.code, 0, "{}", sent.stderr);
        let line = String::from_utf8(receiver.join().unwrap()).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[..2], ["now.point", "1"]);
        assert!(
            (before..=now_s()).contains(&words[2].parse().unwrap()),
            "{line}"
        );
    }
}

#[test]
fn what_cannot_be_reached_fails_with_the_address() {
    let address = format!("127.0.0.1:{}", free_port());
    for form in ["--pickle", "--line", "--msgpack", "--line-udp"] {
        let sent = run(&["send", form, &address, "a", "1"], b"");
        assert_eq!(sent.code, 1, "{form}: {}", sent.stderr);
        assert_eq!(sent.stderr.lines().count(), 1, "{}", sent.stderr);
        assert!(sent.stderr.contains(&address), "{}", sent.stderr);
        assert!(sent.stderr.contains("refused"), "{}", sent.stderr);
    }
    let sent = run(&["send", "--pickle", "noport", "a", "1"], b"");
    assert_eq!(sent.code, 1);
    assert!(sent.stderr.contains("HOST:PORT"), "{}", sent.stderr);
}

/// A server over its limit closes what it has accepted, unread.
#[test]
fn a_connection_thrown_away_is_a_failure() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).set("horizon.connections_max", 1).start();
    let _first = Sender::connect(&skyring.pickle());
    skyring.wait_for("had a connection", |counts| {
        counts.number("connections") == 1
    });
    let sent = run(&["send", "--pickle", &skyring.pickle(), "a", "1"], b"");
    assert_eq!(sent.code, 1, "{}", sent.stderr);
    assert!(sent.stderr.contains(&skyring.pickle()), "{}", sent.stderr);
}

#[test]
fn a_wrong_point_or_target_is_bad_usage() {
    let wrong: [&[&str]; 9] = [
        &["send"],
        &["send", "a", "1"],
        &["send", "--pickle", "h:1", "--line", "h:1", "a", "1"],
        &["send", "--pickle", "h:1", "a"],
        &["send", "--pickle", "h:1", "a", "one"],
        &["send", "--pickle", "h:1", "a", "1", "then"],
        &["send", "--pickle", "h:1", "a", "nan"],
        &["send", "--pickle", "h:1", "a\nb", "1"],
        &["send", "--line", "h:1", "a b", "1"],
    ];
    for arguments in wrong {
        let sent = run(arguments, b"");
        assert_eq!(sent.code, 2, "{arguments:?}: {}", sent.stderr);
        assert_eq!(sent.stderr.lines().count(), 1, "{}", sent.stderr);
    }
}

// ---- get ----

fn get(redis: &Redis, arguments: &[&str]) -> Ended {
    let url = format!("redis.url={}", redis.unix_url());
    run(&[&["get", "--set", &url], arguments].concat(), b"")
}

#[test]
fn get_lists_a_series_sorted_by_time_with_its_kinds() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let now = now_s();
    let lines = format!("s 3 {now}\ns 1.5 {}\ns 2 {now}.0\n", now - 60);
    assert_eq!(
        run(&["send", "--pickle", &skyring.pickle()], lines.as_bytes()).code,
        0
    );
    skyring.wait_until_settled(3);
    let got = get(&redis, &["s"]);
    assert_eq!((got.code, got.stderr.as_str()), (0, ""));
    assert_eq!(
        got.stdout,
        format!("{} 1.5\n{now} 3\n{now}.0 2\n", now - 60)
    );
    let drawn = get(&redis, &["s", "--plot"]);
    assert_eq!(drawn.code, 0, "{}", drawn.stderr);
    assert!(
        drawn.stdout.starts_with("s: 3 points, newest 2,"),
        "{}",
        drawn.stdout
    );
    assert!(
        drawn
            .stdout
            .contains(|c| ('\u{2801}'..='\u{28ff}').contains(&c))
    );
    skyring.finish();
}

#[test]
fn get_says_why_there_is_nothing() {
    let mut redis = Redis::start();
    let _: u32 = redis.run(&["SADD", "metrics.unique_metrics", "metrics.web01.cpu.user"]);
    let _: u32 = redis.run(&["LPUSH", "metrics.list", "x"]);
    let failed = |arguments: &[&str], text: &str| {
        let got = get(&redis, arguments);
        assert_eq!((got.code, got.stdout.as_str()), (1, ""), "{}", got.stderr);
        assert!(got.stderr.contains(text), "{}", got.stderr);
        assert_eq!(got.stderr.lines().count(), 1, "{}", got.stderr);
    };
    failed(
        &["web01.cpu.usr"],
        "no metric web01.cpu.usr; near to it: web01.cpu.user",
    );
    failed(&["\u{1b}[2J"], "no metric \\u{1b}[2J");
    failed(&["list"], "metrics.list is a list");
    redis.signal(Signal::KILL);
    redis.crash();
    let got = get(&redis, &["web01.cpu.user"]);
    assert_eq!(got.code, 1);
    assert!(
        got.stderr.contains(redis.socket().to_str().unwrap()),
        "{}",
        got.stderr
    );
    let state = TempDir::new().unwrap();
    let state = format!("state_dir={}", state.path().display());
    let got = run(&["get", "a", "--set", &state], b"");
    assert_eq!(got.code, 1);
    assert!(got.stderr.contains("private Redis"), "{}", got.stderr);
    assert_eq!(run(&["get"], b"").code, 2);
    assert_eq!(run(&["get", "a", "--set", "shards=x"], b"").code, 2);
}

/// Other programs write the same keys: what is good is shown, the rest is told.
#[test]
fn get_shows_what_is_good_of_a_damaged_series() {
    let redis = Redis::start();
    let good = record(1_609_459_200.0, 1.5);
    let series = [
        &good[..],
        b"\x92\x01\xc0",
        &good,
        b"\xc1",
        &good,
        b"\x92\xcb",
    ]
    .concat();
    redis::cmd("SET")
        .arg("metrics.damaged")
        .arg(series)
        .query::<()>(&mut redis.connection())
        .unwrap();
    let got = get(&redis, &["damaged"]);
    assert_eq!(got.code, 1);
    assert_eq!(got.stdout, "1609459200.0 1.5\n".repeat(3));
    assert_eq!(
        got.stderr.lines().collect::<Vec<_>>(),
        [
            "skyring: byte 19: 3 bytes that are no timestamp and value",
            "skyring: byte 41: 1 bytes that are no record",
            "skyring: byte 61: the last record is cut off after 2 bytes",
        ]
    );
}

// ---- generate ----

fn generate(arguments: &[&str]) -> String {
    let generated = run(&[&["generate"], arguments].concat(), b"");
    assert_eq!(generated.code, 0, "{arguments:?}: {}", generated.stderr);
    generated.stdout
}

/// Runs a program that judges a file; it must find nothing.
fn assert_accepted(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}: see .ci/install"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{program}: {said}");
    assert!(!said.to_lowercase().contains("warn"), "{program}: {said}");
}

#[test]
fn haproxy_takes_its_configuration() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("haproxy.cfg");
    std::fs::write(&file, generate(&["haproxy"])).unwrap();
    assert_accepted("/usr/sbin/haproxy", &["-c", "-f", file.to_str().unwrap()]);
}

/// It also names faults of other units, and ends with 0 whatever it finds.
#[test]
fn systemd_takes_the_unit() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("skyring.service");
    std::fs::write(&file, generate(&["unit"])).unwrap();
    let output = Command::new("/usr/bin/systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&file)
        .output()
        .unwrap_or_else(|error| panic!("{error}: see .ci/install"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains(file.to_str().unwrap()), "{said}");
}

#[test]
fn the_sample_configuration_is_the_default() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("skyring.toml");
    std::fs::write(&file, generate(&["config"])).unwrap();
    let shown = run(&["config", "--config", file.to_str().unwrap()], b"");
    let default = run(&["config", "--default"], b"");
    assert_eq!((shown.code, shown.stdout), (0, default.stdout));
}

#[test]
fn generate_names_what_it_knows() {
    let generated = run(&["generate", "nonsense"], b"");
    assert_eq!(generated.code, 2);
    for thing in [
        "unit",
        "horizon.d",
        "nginx",
        "haproxy",
        "config",
        "carbon-relay",
    ] {
        assert!(generated.stderr.contains(thing), "{}", generated.stderr);
    }
    let generated = run(&["generate", "unit", "--user", "a b"], b"");
    assert_eq!(generated.code, 2);
}

/// Skyline's service script for Skyring, in directories of its own.
struct HorizonD {
    directory: TempDir,
    script: PathBuf,
    /// Its configuration is there as long as this is.
    _plan: Plan,
}

impl HorizonD {
    fn new(plan: Plan) -> HorizonD {
        let directory = TempDir::with_prefix("skyring-horizon-d-").unwrap();
        let path = directory.path();
        let script = path.join("horizon.d");
        let config = plan.file();
        let text = generate(&[
            "horizon.d",
            "--config",
            config.to_str().unwrap(),
            "--pid-path",
            path.to_str().unwrap(),
            "--log-path",
            path.to_str().unwrap(),
        ]);
        std::fs::write(&script, text).unwrap();
        assert_accepted("/bin/sh", &["-n", script.to_str().unwrap()]);
        HorizonD {
            directory,
            script,
            _plan: plan,
        }
    }

    /// The exit code and what was printed.
    fn call(&self, verb: &str) -> (i32, String) {
        // Nothing that it starts may hold our pipe open.
        let output = Command::new("/bin/sh")
            .arg(&self.script)
            .arg(verb)
            // Long enough for a machine on which everything is tested at once.
            .env("START_TIMEOUT", "60")
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), said)
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.path().join("horizon.pid")
    }

    fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.pid_file()).unwrap();
        text.trim().parse().unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("horizon.log")).unwrap()
    }

    /// The address of the pickle listener, of the last start.
    fn pickle(&self) -> String {
        eventually("the ready line was logged", || {
            let log = self.log();
            let line = log
                .lines()
                .rev()
                .find_map(|line| line.strip_prefix("ready "));
            let ready: serde_json::Value =
                serde_json::from_str(line.ok_or(log.clone())?).map_err(|_| log.clone())?;
            Ok(ready["pickle"][0].as_str().unwrap().to_owned())
        })
    }
}

impl Drop for HorizonD {
    fn drop(&mut self) {
        // A test that fails must leave no server behind.
        let text = std::fs::read_to_string(self.pid_file()).unwrap_or_default();
        if let Ok(pid) = text.trim().parse::<u32>()
            && is_skyring(pid)
        {
            let _ = kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL);
        }
    }
}

/// Whether the process is there and no zombie, and is the binary under test.
fn is_skyring(pid: u32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(BINARY))
}

/// Whether the process is there and no zombie. One that was killed gives up its memory,
/// and so its binary, before the last of its threads has ended.
fn is_there(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

/// The stock script's `stop` looks for Python only; this one must end the server, and
/// not before it has drained.
#[test]
fn horizon_d_starts_and_stops_with_skylines_words_and_codes() {
    let redis = Redis::start();
    let horizon = HorizonD::new(Plan::with(&redis));
    assert_eq!(
        horizon.call("status"),
        (3, "horizon is not running\n".to_owned())
    );
    assert_eq!(
        horizon.call("stop"),
        (0, "horizon is not running\n".to_owned())
    );

    let (code, said) = horizon.call("start");
    let pid = horizon.pid();
    assert_eq!(
        (code, said),
        (0, format!("horizon started with pid {pid}\n"))
    );
    assert!(is_skyring(pid));
    let running = format!("horizon is running with pid {pid}\n");
    assert_eq!(horizon.call("status"), (0, running));
    let already = format!("horizon is already running with pid {pid}\n");
    assert_eq!(horizon.call("start"), (0, already));

    let now = now_s() as f64;
    let points: Vec<(&str, f64, f64)> =
        (0..500).map(|at| ("drained", now, f64::from(at))).collect();
    Sender::connect(&horizon.pickle()).send(&frame(&points));
    assert_eq!(
        horizon.call("stop"),
        (0, "horizon has been stopped\n".to_owned())
    );
    assert!(!is_skyring(pid));
    assert!(!horizon.pid_file().exists());
    assert_eq!(values_of(&redis.series("drained"), "drained").len(), 500);
    assert!(
        horizon.log().contains("received 500, stored 500"),
        "{}",
        horizon.log()
    );
    assert!(
        horizon.log().contains(" :: horizon.d :: "),
        "{}",
        horizon.log()
    );
    assert_eq!(horizon.call("status").0, 3);

    let (code, said) = horizon.call("restart");
    let first = horizon.pid();
    let started = format!("horizon is not running\nhorizon started with pid {first}\n");
    assert_eq!((code, said), (0, started));
    let (code, said) = horizon.call("restart");
    let second = horizon.pid();
    let started = format!("horizon has been stopped\nhorizon started with pid {second}\n");
    assert_eq!((code, said), (0, started));
    assert!(first != second && !is_skyring(first) && is_skyring(second));

    let (code, said) = horizon.call("reload");
    assert_eq!(code, 2);
    assert!(
        said.starts_with("Usage: ") && said.ends_with(" {start|stop|restart|run|status}\n"),
        "{said}"
    );
    assert_eq!(horizon.call("").0, 2);
    assert_eq!(horizon.call("stop").0, 0);
}

#[test]
fn horizon_d_knows_a_dead_server_and_a_foreign_process() {
    let redis = Redis::start();
    let horizon = HorizonD::new(Plan::with(&redis));
    let file = horizon.pid_file();
    assert_eq!(horizon.call("start").0, 0);
    let pid = horizon.pid();
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
    eventually("the server was gone", || {
        holds(!is_there(pid), || "it is there".to_owned())
    });
    let dead = format!("horizon is dead and pid file exists - {}\n", file.display());
    assert_eq!(horizon.call("status"), (1, dead));
    let dead = format!("horizon is dead but pid file exists - {}\n", file.display());
    assert_eq!(horizon.call("stop"), (1, dead.clone()));
    assert_eq!(horizon.call("start"), (1, dead.clone()));
    let (code, said) = horizon.call("restart");
    assert_eq!(code, 0, "{said}\n{}", horizon.log());
    let started = format!("{dead}horizon started with pid {}\n", horizon.pid());
    assert_eq!(said, started);
    assert_eq!(horizon.call("stop").0, 0);

    // Such as Python Horizon, whose pid file is the same.
    let mut foreign = Process::start("sleep", "sleep", |command| {
        command.arg("1000");
    });
    std::fs::write(&file, format!("{}\n", foreign.id())).unwrap();
    assert_eq!(horizon.call("status").0, 1);
    let (code, said) = horizon.call("start");
    assert_eq!(code, 1);
    assert!(said.contains("which is not skyring"), "{said}");
    let (code, said) = horizon.call("stop");
    assert_eq!(code, 1);
    assert!(said.contains("is not Skyring"), "{said}");
    assert_eq!(horizon.call("restart").0, 1);
    assert!(foreign.is_running());

    std::fs::write(&file, "nonsense\n").unwrap();
    assert_eq!(horizon.call("status").0, 1);
    assert_eq!(horizon.call("start").0, 1);
    assert_eq!(horizon.call("stop").0, 1);
    std::fs::remove_file(&file).unwrap();
}

/// A server that cannot start is told, with its words in the log.
#[test]
fn horizon_d_says_that_the_start_has_failed() {
    let redis = Redis::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let plan = Plan::with(&redis).set("horizon.pickle", format!("[\"{address}\"]"));
    let horizon = HorizonD::new(plan);
    let said = "error - failed to start horizon\n".to_owned();
    assert_eq!(horizon.call("start"), (2, said));
    assert!(
        horizon.log().contains(&address.to_string()),
        "{}",
        horizon.log()
    );
    assert_eq!(horizon.call("status").0, 3);
    std::fs::remove_dir_all(horizon.directory.path()).unwrap();
}

#[test]
fn horizon_d_runs_in_the_foreground() {
    let redis = Redis::start();
    let horizon = HorizonD::new(Plan::with(&redis));
    let mut process = Process::start("horizon.d", "/bin/sh", |command| {
        command.arg(&horizon.script).arg("run");
    });
    eventually("it was ready", || {
        let stdout = process.stdout();
        holds(stdout.starts_with("running horizon\nready {"), || {
            stdout.clone()
        })
    });
    assert_eq!(horizon.pid(), process.id());
    process.signal(Signal::TERM);
    assert_eq!(process.exit().code(), Some(0));
}

/// The way to put another server behind a relay: it hands over what it has, then it
/// takes nothing in while the server is exchanged. What is sent to it meanwhile waits
/// in its socket and arrives afterwards. (With something in hand it would lose the
/// message that it was writing: carbon-relay does so at the end of any connection.)
#[test]
fn a_relay_that_is_held_loses_nothing_when_the_server_behind_it_is_exchanged() {
    let redis = Redis::start();
    let address = format!("127.0.0.1:{}", free_port());
    let plan = Plan::with(&redis).set("horizon.pickle", format!("[\"{address}\"]"));
    let mut skyring: Skyring = plan.start();
    let mut relay = CarbonRelay::start(&[address]);
    let mut sent = 0;
    for round in 0..4 {
        let lines = |part: u32| -> String {
            (0..500)
                .map(|at| format!("swap.m{at} {} {}\n", round * 2 + part, now_s()))
                .collect()
        };
        relay.send(&lines(0));
        sent += 500;
        eventually("the first half was stored", || {
            let stored = stored(&redis);
            holds(stored == sent, || format!("{stored} of {sent}"))
        });
        relay.signal(Signal::STOP);
        // Taken by the kernel for the relay, which does not read.
        relay.send(&lines(1));
        sent += 500;
        skyring.finish();
        skyring = plan.start();
        relay.signal(Signal::CONT);
        eventually("all was stored", || {
            let stored = stored(&redis);
            holds(stored == sent, || format!("{stored} of {sent}"))
        });
    }
    for at in 0..500 {
        let name = format!("swap.m{at}");
        let values = values_of(&redis.series(&name), &name);
        assert_eq!(values, (0..8).map(f64::from).collect::<Vec<_>>(), "{name}");
    }
    skyring.finish();
}

/// Records in all the series of the test above.
fn stored(redis: &Redis) -> usize {
    let names = (0..500).map(|at| format!("swap.m{at}"));
    names
        .map(|name| redis.series(&name).len() / record(0.0, 0.0).len())
        .sum()
}

/// Each command has its help.
#[test]
fn the_commands_beside_the_server_have_help() {
    for name in ["send", "get", "generate"] {
        let mut process = command(&[name, "--help"]);
        assert!(process.exit().success());
        assert!(process.stdout().contains("Usage: skyring "), "{name}");
    }
}
