//! What becomes of each command that a document shows.

use super::text::{Command, root};
use super::world::World;
use crate::fixture::{eventually, holds};

/// A command that is not run, why, and what of the repository must be there for it.
struct NotRun {
    command: &'static str,
    reason: &'static str,
    needs: &'static [&'static str],
}

const ROOT: &str = "wants root, and changes the host";
const BUILD: &str = "takes minutes of building; .ci/run and .ci/test do it";
const CARD: &str = "wants root, and a network card";

const fn not_run(
    command: &'static str,
    reason: &'static str,
    needs: &'static [&'static str],
) -> NotRun {
    NotRun {
        command,
        reason,
        needs,
    }
}

/// The programs that are run for real; none can reach beyond the world of the test.
const RUN: &[&str] = &[
    "bin/horizon.d",
    "chmod",
    "curl",
    "install",
    "mv",
    "pgrep",
    "skyring",
    "tail",
    "target/release/skyring",
];

const NOT_RUN: &[NotRun] = &[
    not_run(
        "git clone REPOSITORY skyring && cd skyring",
        "where the reader has it from is not known",
        &[],
    ),
    not_run(".ci/demo", "run by a test of its own", &[".ci/demo"]),
    not_run(
        ".ci/demo --listen 0.0.0.0:2024",
        "run by a test of its own",
        &[".ci/demo"],
    ),
    not_run(".ci/test", BUILD, &[".ci/test", ".ci/install"]),
    not_run(".ci/run", BUILD, &[".ci/run", ".ci/deny.toml"]),
    not_run(".ci/package", BUILD, &[".ci/package", ".ci/deb/postinst"]),
    not_run("cargo build --locked --release", BUILD, &["Cargo.lock"]),
    not_run("cargo build --locked", BUILD, &["Cargo.lock"]),
    not_run("cargo test --locked --lib", BUILD, &["src/lib.rs"]),
    not_run(
        "cargo test --locked --test integration relay",
        BUILD,
        &["tests/main.rs", "tests/relay.rs"],
    ),
    not_run(
        "cargo clippy --locked --workspace --all-targets -- -D warnings",
        BUILD,
        &["clippy.toml"],
    ),
    not_run(
        "cargo doc --locked --no-deps --workspace",
        BUILD,
        &["src/manual.rs"],
    ),
    not_run(
        "cargo +nightly fuzz run --fuzz-dir tests/fuzz pickle",
        "wants another compiler, and does not end",
        &["tests/fuzz/fuzz_targets/pickle.rs", "tests/fuzz/corpus"],
    ),
    not_run(
        "cargo run --locked --release -p skyring-perf -- all",
        "takes half an hour; .ci/test runs it small",
        &["perf/Cargo.toml"],
    ),
    not_run(
        "cargo run --locked --release -p skyring-perf -- capacity --small",
        BUILD,
        &["perf/src/scenario/capacity.rs"],
    ),
    not_run("systemctl restart carbon-relay", ROOT, &[]),
    not_run(
        "apt install ./target/debian/skyring_*.deb",
        "wants root; .ci/package --test installs it in a Debian of its own",
        &[".ci/package"],
    ),
    not_run(
        "docker build -f .ci/Dockerfile -t skyring .",
        "wants Docker; .ci/package --test replays it in a Debian of its own",
        &[".ci/Dockerfile", ".ci/Dockerfile.dockerignore"],
    ),
    not_run(
        "useradd --system --home-dir /var/lib/skyring --shell /usr/sbin/nologin skyring",
        ROOT,
        &[],
    ),
    not_run(
        "systemctl daemon-reload && systemctl enable --now skyring",
        ROOT,
        &["src/generate/skyring.service"],
    ),
    not_run(
        "iptables -I INPUT -p tcp -m multiport --dports 2003,2004 -j DROP",
        ROOT,
        &[],
    ),
    not_run(
        "iptables -D INPUT -p tcp -m multiport --dports 2003,2004 -j DROP",
        ROOT,
        &[],
    ),
    not_run("bin/horizon.d.python stop", "is Skyline's own", &[]),
    not_run("bin/horizon.d.python start", "is Skyline's own", &[]),
    not_run("systemctl disable --now irqbalance", ROOT, &[]),
    not_run("ethtool -l eth0", CARD, &[]),
    not_run("ethtool -L eth0 combined 2", CARD, &[]),
    not_run("ethtool -X eth0 equal 2", CARD, &[]),
    not_run("grep eth0 /proc/interrupts", CARD, &[]),
    not_run("echo 0-1 > /proc/irq/IRQ/smp_affinity_list", CARD, &[]),
    not_run(
        "taskset -cp 2,3 \"$(pidof -s redis-server)\"",
        "would bind a Redis that is not the test's",
        &[],
    ),
];

/// Those of [`NOT_RUN`] that no document has any more.
pub fn stale(commands: &[Command]) -> Vec<&'static str> {
    let listed = NOT_RUN.iter().map(|listed| listed.command);
    let is_shown = |listed: &&str| commands.iter().any(|command| command.text == **listed);
    listed.filter(|listed| !is_shown(listed)).collect()
}

/// Runs a command, or sees that it is one of those that are not run.
pub fn try_out(world: &World, command: &Command) {
    let (at, text) = (&command.at, &*command.text);
    if let Some(listed) = NOT_RUN.iter().find(|listed| listed.command == text) {
        for path in listed.needs {
            let is_there = root().join(path).exists();
            assert!(
                is_there,
                "{at}: {text}: there is no {path} ({})",
                listed.reason
            );
        }
        return;
    }
    let parts = text.split(" | ").flat_map(|part| part.split(" && "));
    for program in parts.filter_map(|part| part.split(' ').next()) {
        let is_run = RUN.contains(&program);
        assert!(
            is_run,
            "{at}: {text}: is {program} to be run? RUN or NOT_RUN must say it"
        );
    }
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        ["skyring" | "target/release/skyring", "serve", ..] => return world.serve(text),
        ["skyring", "top", ..] => return world.run_in_terminal(text),
        ["tail", "-f", ..] => {
            let before = world.skyring.counts_of("line_tcp").stored;
            return world.run_until(text, || {
                let counts = world.skyring.counts_of("line_tcp");
                holds(counts.stored > before, || format!("{counts:?}"))
            });
        }
        _ => {}
    }
    let codes: &[i32] = match words[..] {
        // It judges this host too, which may have faults.
        ["skyring" | "target/release/skyring", "check", ..] => &[0, 1],
        // There is none, as there must be.
        ["pgrep", ..] => &[1],
        _ => &[0],
    };
    // What was sent a moment ago is stored when it is.
    let ended = eventually(&format!("{at}: {text}: ended well"), || {
        let ended = world.run(text);
        let is_well = codes.contains(&ended.code);
        let may_come = words.starts_with(&["skyring", "get"]);
        assert!(
            is_well || may_come,
            "{at}: {text}: ended with {}, and said: {}{}",
            ended.code,
            ended.stdout,
            ended.stderr
        );
        holds(is_well, || ended.stderr.clone())?;
        Ok(ended)
    });
    if let Some(output) = &command.output {
        assert_eq!(ended.stdout, *output, "{at}: {text}");
    }
}
