//! Each block, read by what it is meant for.

use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::text::{Block, documents};
use super::world::World;
use crate::fixture::carbon::CarbonRelay;
use crate::fixture::carbon_c::CarbonCRelay;
use crate::fixture::redis::{self, Redis};
use crate::fixture::run::run;
use crate::fixture::{eventually, holds, http, now_s, python};

/// What a document tells to put into a file is taken by the program that reads it.
#[test]
fn every_block_is_taken_by_what_reads_it() {
    let world = World::start();
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("block.conf");
    let path = file.to_str().unwrap();
    for document in documents() {
        for block in document.blocks() {
            // Shown if it fails.
            println!("{}", block.at);
            let text = world.here(&block.text);
            std::fs::write(&file, &text).unwrap();
            match &*block.info {
                // Run by another test.
                "sh" | "console" => assert!(!block.commands().is_empty(), "{}", block.at),
                "toml" => {
                    let read = run(&["config", "--config", path], b"");
                    assert_eq!((read.code, &*read.stderr), (0, ""), "{}", block.at);
                }
                "toml telegraf" => telegraf(&world, &block.at, &text),
                "text carbon-c-relay" => carbon_c_relay(&world, &text),
                "yaml" => accepts(
                    &block,
                    Command::new("promtool").args(["check", "config", path]),
                ),
                "ini carbon" => {
                    let is_part = !text.contains("[relay");
                    let text = if is_part {
                        format!("[relay]\n{text}")
                    } else {
                        text
                    };
                    std::fs::write(&file, &text).unwrap();
                    python::script("carbon_conf.py", &["carbon", path], "");
                }
                "ini relay-rules" | "ini storage-schemas" => {
                    let (_, kind) = block.info.split_once(' ').unwrap();
                    python::script("carbon_conf.py", &[kind, path], "");
                }
                "ini systemd" => {
                    let unit = directory.path().join("block.service");
                    let text = text.replace("[Service]", "[Service]\nExecStart=/bin/true");
                    std::fs::write(&unit, text).unwrap();
                    accepts(
                        &block,
                        Command::new("systemd-analyze")
                            .args(["verify", "--man=no", "--recursive-errors=no"])
                            .arg(unit),
                    );
                }
                "ini sysctl" => sysctl(&block),
                "text redis" => redis_takes(&block),
                "text" => picture(&block),
                info => panic!("{}: what is {info:?}, and who reads it?", block.at),
            }
        }
    }
}

fn accepts(block: &Block, command: &mut Command) {
    let output = command.output().unwrap();
    let told = [&output.stdout[..], &output.stderr].concat();
    let told = String::from_utf8(told).unwrap();
    assert!(output.status.success(), "{}: {told}", block.at);
    assert!(!told.contains("Unknown"), "{}: {told}", block.at);
}

/// A picture or an output, in which no command hides.
fn picture(block: &Block) {
    for line in block.text.lines() {
        let words = ["$ ", "skyring ", "cargo ", ".ci/", "curl ", "systemctl "];
        let is_command = words.iter().any(|word| line.trim_start().starts_with(word));
        assert!(!is_command, "{}: a command in a picture: {line}", block.at);
    }
}

/// The headers and the address are those under which a batch of telegraf's is taken.
fn telegraf(world: &World, at: &str, text: &str) {
    let settings: toml::Table = toml::from_str(text).unwrap();
    let output = &settings["outputs"]["http"][0];
    let url = output["url"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap();
    let (address, path) = url.split_once('/').unwrap();
    let headers = output["headers"].as_table().unwrap().iter();
    let headers = headers.map(|(name, value)| (&**name, value.as_str().unwrap()));
    let headers: Vec<(&str, &str)> = headers.collect();
    assert_eq!(output["data_format"].as_str(), Some("json"), "{at}");
    let metric = json!({
        "fields": { "usage_user": 1.5 },
        "name": "cpu",
        "tags": { "cpu": "cpu0", "host": "web01" },
        "timestamp": now_s(),
    });
    let body = json!({ "metrics": [metric] }).to_string();
    let answer = http::post(address, &format!("/{path}"), &headers, body.as_bytes()).unwrap();
    assert_eq!(answer.code, 204, "{at}: {}", answer.body);
    let keys = world.redis.keys();
    assert!(
        keys.contains("telegraf.web01.cpu0.cpu.usage_user"),
        "{at}: {keys:?}"
    );
}

fn carbon_c_relay(world: &World, text: &str) {
    let relay = CarbonCRelay::configured(text);
    relay.send(&format!("by.carbon_c_relay 1.5 {}\n", now_s()));
    arrives(world, "by.carbon_c_relay");
}

fn arrives(world: &World, metric: &str) {
    eventually(&format!("{metric} arrived"), || {
        let keys = world.redis.keys();
        holds(keys.contains(metric), || format!("{keys:?}"))
    });
}

/// What the README says of carbon-relay, in a real one.
#[test]
fn carbon_relay_feeds_it_as_the_readme_says() {
    let world = World::start();
    let readme = documents()
        .into_iter()
        .find(|it| it.name == "README.md")
        .unwrap();
    let block = |info: &str| {
        let blocks = readme.blocks();
        let block = blocks.iter().find(|block| block.info == info).unwrap();
        world.here(&block.text)
    };
    let relay = CarbonRelay::configured(&block("ini carbon"), &block("ini relay-rules"));
    relay.send(&format!("by.carbon_relay 1.5 {}\n", now_s()));
    arrives(&world, "by.carbon_relay");
}

fn sysctl(block: &Block) {
    let lines = block.text.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let (name, value) = line.split_once(" = ").unwrap();
        value.parse::<u64>().unwrap();
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        assert!(std::fs::exists(&path).unwrap(), "{}: no {name}", block.at);
    }
}

fn redis_takes(block: &Block) {
    let lines = block.text.lines().filter(|line| !line.starts_with('#'));
    // The socket is the fixture's.
    let (sockets, options): (Vec<&str>, Vec<&str>) =
        lines.partition(|line| line.starts_with("unixsocket "));
    assert_eq!(sockets.len(), 1, "{}", block.at);
    let redis = Redis::with(redis::Plan {
        options: &options,
        ..redis::Plan::default()
    });
    for option in options {
        let (name, value) = option.split_once(' ').unwrap();
        let found: (String, String) = redis.run(&["CONFIG", "GET", name]);
        assert_eq!(found.1, value.trim_matches('"'), "{}", block.at);
    }
}
