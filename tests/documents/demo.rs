//! `.ci/demo`, the first thing that a newcomer runs.

use std::os::unix::process::CommandExt;

use rustix::process::Signal;

use super::text::root;
use crate::fixture::carbon::CarbonRelay;
use crate::fixture::process::Process;
use crate::fixture::{eventually, free_port, holds, http, now_s};

/// A demo that ends its own servers, whatever becomes of the test.
struct Demo(Process);

impl Demo {
    fn start(options: &[&str]) -> Demo {
        Demo(Process::start("demo", "/bin/bash", |command| {
            command.arg(root().join(".ci/demo"));
            command.args(["--binary", env!("CARGO_BIN_EXE_skyring")]);
            command.args(options);
            command.process_group(0);
        }))
    }

    /// The rest of the first line that has `word` in it.
    fn wait_for(&mut self, word: &str) -> String {
        eventually(&format!("the demo told {word}"), || {
            let told = self.0.stdout();
            let line = told.lines().find_map(|line| line.split_once(word));
            if let Some((_, rest)) = line {
                return Ok(rest.trim().to_owned());
            }
            assert!(self.0.is_running(), "{told}{}", self.0.stderr());
            Err(told)
        })
    }

    fn end(mut self) -> (i32, String, String) {
        let code = self.0.exit().code().unwrap();
        (code, self.0.stdout(), self.0.stderr())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.0.signal(Signal::TERM);
        self.0.exit();
    }
}

/// What it tells to put into carbon.conf is where it listens, and the page that it names
/// is the one on which the points are seen.
#[test]
fn it_listens_for_the_readers_own_relay() {
    let port = free_port();
    let mut demo = Demo::start(&["--listen", &format!("127.0.0.1:{port}")]);
    let destination = demo.wait_for("DESTINATIONS = ");
    assert_eq!(destination, format!("127.0.0.1:{port}:a"));
    let page = demo.wait_for("Dashboard: ");
    let admin = page.strip_prefix("http://127.0.0.1:").unwrap();
    let admin = format!("127.0.0.1:{}", admin.trim_end_matches('/'));
    assert!(http::get(&admin, "/").unwrap().body.contains("<html"));
    let relay = CarbonRelay::configured(
        &format!("[relay]\nRELAY_METHOD = rules\nDESTINATIONS = {destination}\n"),
        &format!("[default]\ndefault = true\ndestinations = {destination}\n"),
    );
    relay.send(&format!("of.the.reader 1.5 {}\n", now_s()));
    eventually("the point was on the page", || {
        let answer = http::get(&admin, "/api/status")?;
        let status: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let stored = &status["listeners"]["pickle"]["stored"];
        holds(stored == 1, || answer.body.clone())
    });
    let other = Demo::start(&["--listen", &format!("127.0.0.1:{port}")]);
    let (code, _, told) = other.end();
    assert_eq!(code, 1, "{told}");
    let option = format!("take another port, such as --listen 127.0.0.1:{}", port + 1);
    assert!(told.contains(&option), "{told}");
    demo.0.signal(Signal::TERM);
    let (code, _, told) = demo.end();
    assert_eq!(code, 0, "{told}");
}

/// Without a relay at hand it brings one, and shows what became of its lines.
#[test]
fn it_shows_the_way_of_a_few_lines() {
    let demo = Demo::start(&["--once"]);
    let (code, shown, told) = demo.end();
    assert_eq!(code, 0, "{shown}{told}");
    for wanted in [
        "metrics.stats.web01.cpu.user\n",
        "stored     8\n",
        "Dashboard: ",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
}

#[test]
fn it_says_which_options_it_has() {
    for (options, wanted) in [
        (&["--lisen"][..], "there is no option --lisen"),
        (&["--listen"], "--listen wants a value"),
        (
            &["--listen", "2024"],
            "--listen wants ADDRESS:PORT, such as 0.0.0.0:2024",
        ),
        (&["--listen", "127.0.0.1:0"], "--listen wants ADDRESS:PORT"),
        (&["--once", "--listen", "127.0.0.1:1"], "exclude each other"),
    ] {
        let (code, _, told) = Demo::start(options).end();
        assert!(code != 0 && told.contains(wanted), "{code}: {told}");
    }
}
