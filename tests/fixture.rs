//! The servers and clients that the tests are made of, and how to wait for them.

pub mod browser;
pub mod carbon;
pub mod carbon_c;
pub mod carbon_cache;
pub mod carbon_daemon;
pub mod datagram;
pub mod faulty;
pub mod form;
pub mod graphite_web;
pub mod http;
pub mod listener;
pub mod metrics;
pub mod nginx;
pub mod process;
pub mod prometheus;
pub mod python;
pub mod redis;
pub mod run;
pub mod sender;
pub mod skyring;
pub mod stream;
pub mod tmux;
pub mod victoria;

use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// No test asserts how long anything takes. This is only how long a test that
/// is going to fail waits before it says so.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Polls `probe` until it is `Ok`, and panics with the last `Err` at the deadline.
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    eventually_by_steps(what, || probe().map_err(|seen| (0, seen)))
}

/// The same for what takes as long as the machine needs: `Err` also says how far it has
/// come, and the deadline begins anew whenever that has grown; but for ever it does not.
pub fn eventually_by_steps<T>(
    what: &str,
    mut probe: impl FnMut() -> Result<T, (u64, String)>,
) -> T {
    let start = Instant::now();
    let (mut since, mut furthest) = (start, 0);
    loop {
        let (step, seen) = match probe() {
            Ok(value) => return value,
            Err(not_yet) => not_yet,
        };
        if step > furthest {
            (since, furthest) = (Instant::now(), step);
        }
        if since.elapsed() > DEADLINE || start.elapsed() > 10 * DEADLINE {
            panic!("never {what}: last seen, at step {step}: {seen}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `Ok` if the condition holds, else the text of what was seen instead.
pub fn holds(condition: bool, seen: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(seen()) }
}

/// A TCP port that nobody uses. Somebody else may take it before its user
/// does, so only for programs that cannot choose a port themselves.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Whole seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// The bytes that a hexadecimal text stands for.
pub fn hex(text: &str) -> Vec<u8> {
    assert!(
        text.is_ascii() && text.len().is_multiple_of(2),
        "not hex: {text}"
    );
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
