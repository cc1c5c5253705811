//! `skyring top` in a real terminal.

use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::redis::Redis;
use crate::fixture::skyring::{Plan, Skyring, command};
use crate::fixture::stream::Stream;
use crate::fixture::tmux::Terminal;
use crate::fixture::{eventually, free_port, holds};

const SIZE: (u16, u16) = (120, 40);

/// A shell that runs it, and tells how it ended.
fn script(url: &str, environment: &str) -> String {
    let program = env!("CARGO_BIN_EXE_skyring");
    format!("echo before; {environment} {program} top --url {url}; echo ended $?; exec cat")
}

fn watch(skyring: &Skyring) -> Terminal {
    Terminal::start(&script(&skyring.admin(), ""), SIZE)
}

/// The shell's own screen is back, with its cursor.
fn assert_given_back(terminal: &Terminal, code: i32) {
    terminal.wait_for(&["before", &format!("ended {code}")]);
    assert_eq!(terminal.flag("alternate_on"), "0");
    assert_eq!(terminal.flag("cursor_flag"), "1");
}

/// A count as it is shown.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[test]
fn top_shows_true_numbers_resizes_and_quits() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let metrics = (0..7).map(|n| format!("top.host{n}.load")).collect();
    let stream = Stream::start(&skyring, "pickle", &skyring.pickle(), metrics);
    let terminal = watch(&skyring);
    terminal.wait_for(&["READY", "pickle", "shard 1", "Redis ready"]);
    stream.wait_for_more(50);
    let sent = stream.stop().points();
    let wanted = grouped(sent);
    let text = terminal.wait_for(&[&wanted, "top.host6"]);
    let row = text.lines().find(|line| line.starts_with("pickle"));
    let numbers: Vec<&str> = row.unwrap().split_whitespace().collect();
    assert_eq!(numbers[3..7], [&wanted, &wanted, "0", "0"], "{text}");
    // Two elements, three, senders.
    terminal.press("t");
    terminal.wait_for(&["top.host6.load"]);
    terminal.press("t");
    terminal.wait_for(&["by senders", "127.0.0.1"]);
    terminal.resize(70, 20);
    let text = terminal.wait_for(&["READY", &wanted]);
    assert!(
        text.lines().all(|line| line.chars().count() <= 70),
        "{text}"
    );
    terminal.resize(5, 3);
    terminal.resize(SIZE.0, SIZE.1);
    terminal.wait_for(&["READY", &wanted, "by senders"]);
    terminal.press("q");
    assert_given_back(&terminal, 0);
    skyring.finish();
}

/// It says so, shows what it had, and goes on by itself.
#[test]
fn top_outlives_its_server() {
    let redis = Redis::start();
    let admin = format!("127.0.0.1:{}", free_port());
    let plan = Plan::with(&redis).set("admin.listen", format!("{admin:?}"));
    let terminal = Terminal::start(&script(&admin, ""), SIZE);
    terminal.wait_for(&["does not answer", "Is it running"]);
    let skyring = plan.start();
    let text = terminal.wait_for(&["READY"]);
    assert!(!text.contains("does not answer"), "{text}");
    skyring.finish();
    terminal.wait_for(&["NO ANSWER", "does not answer", "shard 1"]);
    let skyring = plan.start();
    terminal.wait_for(&["READY"]);
    skyring.finish();
    terminal.press("C-c");
    assert_given_back(&terminal, 0);
}

#[test]
fn top_gives_the_terminal_back_at_a_signal() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let terminal = watch(&skyring);
    terminal.wait_for(&["READY"]);
    assert_eq!(terminal.flag("alternate_on"), "1");
    let shell = terminal.flag("pane_pid");
    let children = format!("/proc/{shell}/task/{shell}/children");
    let top = eventually("top ran", || {
        let text = std::fs::read_to_string(&children).unwrap();
        text.trim().parse::<i32>().map_err(|_| text.clone())
    });
    kill_process(Pid::from_raw(top).unwrap(), Signal::TERM).unwrap();
    assert_given_back(&terminal, 0);
    skyring.finish();
}

/// Nobody would notice one that goes on without a terminal, but by the CPU that it takes.
#[test]
fn top_ends_with_its_terminal_whether_it_hears_of_it_or_not() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    for before in ["", "trap '' HUP; "] {
        let script = format!("{before}{}", script(&skyring.admin(), ""));
        let terminal = Terminal::start(&script, SIZE);
        terminal.wait_for(&["READY"]);
        let running = watchers_of(&skyring.admin());
        assert_eq!(running.len(), 1);
        drop(terminal);
        eventually("it ended", || {
            let left = watchers_of(&skyring.admin());
            holds(left.is_empty(), || format!("{left:?}"))
        });
    }
    skyring.finish();
}

/// The processes that watch this page.
fn watchers_of(page: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let wanted = format!("skyring\0top\0--url\0{page}\0");
    let watches = |id: &u32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).ends_with(&wanted)
    };
    ids.filter(watches).collect()
}

#[test]
fn top_is_coloured_only_where_colours_are_wanted() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    // Colours of text, as tmux writes those of programs.
    let is_coloured = |text: &str| text.contains("\u{1b}[38;5;");
    let plain = Terminal::start(&script(&skyring.admin(), "NO_COLOR=1"), SIZE);
    let coloured = watch(&skyring);
    for terminal in [&plain, &coloured] {
        terminal.wait_for(&["READY"]);
    }
    eventually("one was coloured", || {
        let text = coloured.coloured_text();
        holds(is_coloured(&text), || text.clone())
    });
    let text = plain.coloured_text();
    assert!(!is_coloured(&text), "{text:?}");
    skyring.finish();
}

#[test]
fn top_says_what_is_wrong_before_it_takes_the_terminal() {
    for (arguments, wanted) in [
        (&["top"][..], "top needs a terminal"),
        (
            &["top", "--url", "ftp://x"],
            "--url: ftp://x/ is no address",
        ),
        (&["top", "--set", "admin.listen="], "admin.listen is \"\""),
    ] {
        let mut process = command(arguments);
        assert_eq!(process.exit().code(), Some(2), "{arguments:?}");
        let told = process.stderr();
        assert!(told.starts_with(&format!("skyring: {wanted}")), "{told}");
        assert_eq!(told.lines().count(), 1);
    }
}
