//! No secret of the configuration is ever shown: in the log at any level, in errors, on
//! the pages, by any command.

use std::fmt::Write as _;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::fixture::redis::Redis;
use crate::fixture::run::run;
use crate::fixture::skyring::{Plan, command};
use crate::fixture::{eventually, holds};

/// A part of every secret here.
const SECRET: &str = "hunter2";

/// A configuration with every secret there can be.
fn with_secrets(plan: Plan, password_file: &str, version: u32) -> Plan {
    let fetch = format!(
        "[{{ remote_host = 'http://127.0.0.1:9', remote_host_type = 'prometheus', \
         remote_target = 'up', graphite_target = 'up.v{version}', api_key = '{SECRET}-api-{version}', \
         token = '{SECRET}-token-{version}', user = 'me', password = '{SECRET}-password-{version}' }}]"
    );
    let remote = format!(
        "[{{ node = 'b', url = 'http://127.0.0.1:9', user = 'me', password_file = '{password_file}' }}]"
    );
    plan.set("log.level", "\"trace\"")
        .set("log.format", "\"json\"")
        .set("flux.self_key", format!("\"{SECRET}-self-{version}\""))
        .set(
            "flux.keys",
            format!("{{ \"{SECRET}-key-{version}\" = \"prefix\" }}"),
        )
        .set(
            "flux.uploads.keys",
            format!("{{ space = \"{SECRET}-upload-{version}\" }}"),
        )
        .set("cluster.remote", remote)
        .set("vista.fetch", fetch)
}

fn assert_silent(what: &str, text: &str) {
    assert!(!text.contains(SECRET), "{what} shows a secret: {text}");
}

#[test]
fn no_secret_is_shown_by_a_running_server_or_a_command() {
    let redis = Redis::start();
    redis.run::<()>(&["CONFIG", "SET", "requirepass", &format!("{SECRET}-redis")]);
    let directory = TempDir::new().unwrap();
    let password_file = directory.path().join("password");
    std::fs::write(&password_file, format!("{SECRET}-redis\n")).unwrap();
    let password_file = password_file.to_str().unwrap().to_owned();
    let base = Plan::with(&redis).set("redis.password_file", format!("\"{password_file}\""));
    let plan = |version| with_secrets(base.clone(), &password_file, version);
    let mut skyring = plan(1).start();
    for path in ["/", "/healthz", "/readyz", "/metrics", "/api/status"] {
        assert_silent(path, &skyring.get(path).body);
    }
    let file = plan(2).file();
    skyring.process.signal(Signal::HUP);
    eventually("the reload was told", || {
        let log = skyring.process.stderr();
        holds(log.contains("flux.self_key: changed"), || log)
    });
    let file = file.to_str().unwrap();
    for arguments in [
        &["config", "--config", file][..],
        &["check", "--config", file],
        &["generate", "config", "--config", file],
        &["owner", "a.b", "--config", file],
    ] {
        let ended = run(arguments, b"");
        assert_silent(&arguments.join(" "), &(ended.stdout + &ended.stderr));
    }
    let log = skyring.process.stderr();
    assert_eq!(skyring.end(Signal::TERM), 0);
    assert_silent("the log", &log);
}

/// Where a value is at fault, the error must not repeat it.
#[test]
fn no_error_of_a_configuration_repeats_a_secret() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("skyring.toml");
    let faults = [
        format!("redis.url = \"redis://me:{SECRET}@host:port\"\n"),
        format!("redis.url = \"http://me:{SECRET}@host\"\n"),
        format!("flux.self_key = [\"{SECRET}\"]\n"),
        format!("flux.keys = {{ \"{SECRET}\" = 1 }}\n"),
        format!("flux.keys = [\"{SECRET}\"]\n"),
        format!("flux.uploads.keys = {{ space = [\"{SECRET}\"] }}\n"),
        format!("[[vista.fetch]]\nremote_host = 'x'\ntoken = '{SECRET}'\n"),
        format!("[[vista.fetch]]\ntoken = ['{SECRET}']\n"),
        format!("[[vista.fetch]]\npassword = '{SECRET}\u{7}'\n"),
    ];
    let mut told = String::new();
    for fault in faults {
        std::fs::write(&file, &fault).unwrap();
        let file = file.to_str().unwrap();
        for name in ["serve", "check", "config"] {
            let mut process = command(&[name, "--config", file]);
            assert_eq!(process.exit().code(), Some(2), "{fault}");
            writeln!(told, "{}{}", process.stdout(), process.stderr()).unwrap();
        }
        assert_silent(&fault.replace(SECRET, "..."), &told);
    }
    let set = format!("redis.url=redis://me:{SECRET}@host:port");
    let ended = run(&["check", "--set", &set], b"");
    assert_eq!(ended.code, 2);
    assert_silent("--set", &(ended.stdout + &ended.stderr));
}
