//! The documents say what is: each command is run, each block read by what it is meant
//! for, each setting and its default looked up, each link followed.

mod blocks;
mod commands;
mod demo;
mod settings;
mod text;
mod world;

use std::collections::BTreeSet;

use regex::Regex;

use self::text::{Command, documents, root};
use self::world::World;
use crate::fixture::run::run;

/// A reader who types what stands there, in the order in which it does, has it work. A
/// new command that cannot be run here must be put into the list of those, with a reason.
#[test]
fn every_command_is_run() {
    let world = World::start();
    let mut all = Vec::new();
    for document in documents() {
        world.open(&document);
        let blocks = document.blocks();
        let commands = blocks.iter().flat_map(text::Block::commands);
        let commands: Vec<Command> = commands.filter(|it| !it.text.is_empty()).collect();
        for command in &commands {
            commands::try_out(&world, command);
        }
        all.extend(commands);
    }
    let stale = commands::stale(&all);
    assert!(stale.is_empty(), "no document has these: {stale:?}");
}

/// A command within a sentence is one that there is, with options that there are, and a
/// path is one of the repository.
#[test]
fn commands_and_paths_in_sentences_are_right() {
    let help = run(&["--help"], b"").stdout;
    let things = run(&["generate", "--help"], b"").stdout;
    let path = Regex::new(r"^(\.ci|src|tests|perf|benches)/[\w./-]*$").unwrap();
    for (at, span) in documents().iter().flat_map(text::Document::spans) {
        if path.is_match(&span) {
            assert!(root().join(&span).exists(), "{at}: there is no {span}");
        }
        let words: Vec<&str> = span.split(' ').collect();
        let ["skyring", rest @ ..] = &words[..] else {
            continue;
        };
        let [command, rest @ ..] = rest else { continue };
        if command.starts_with("--") {
            continue;
        }
        let is_command = help.contains(&format!("\n  {command} "));
        assert!(is_command, "{at}: {span}: there is no such command");
        let help = run(&[command, "--help"], b"").stdout;
        for word in rest {
            let word = word.trim_matches(['[', ']']);
            let is_option = !word.starts_with("--") || help.contains(word);
            assert!(is_option, "{at}: {span}: {command} has no {word}");
        }
        if let ("generate", [thing, ..]) = (*command, rest) {
            let is_thing = *thing == "THING" || things.contains(&format!("- {thing}:"));
            assert!(is_thing, "{at}: {span}: there is no such thing");
        }
    }
}

/// Links lead to other documents, which the package installs beside each other.
#[test]
fn links_lead_somewhere() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&text).unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"]
        .as_array()
        .unwrap();
    let documents_of = |asset: &toml::Value| -> Option<(String, String)> {
        let (from, to) = (asset[0].as_str()?, asset[1].as_str()?);
        let to = to.strip_prefix("usr/share/doc/skyring/")?;
        Some((from.to_owned(), to.to_owned()))
    };
    let installed: BTreeSet<(String, String)> = assets.iter().filter_map(documents_of).collect();
    let mut linked = BTreeSet::new();
    for document in documents() {
        for (at, link) in document.links() {
            if link.starts_with("https://") {
                continue;
            }
            // rustdoc puts each page elsewhere.
            assert!(!document.name.contains('/'), "{at}: a page has no links");
            let is_document = documents().iter().any(|other| other.name == link);
            assert!(is_document, "{at}: {link} leads to no document");
            linked.insert(link);
        }
        let (from, to) = match document.name.rsplit_once('/') {
            Some((folder, _)) => (format!("{folder}/*.md"), format!("{folder}/")),
            None => (document.name.clone(), String::new()),
        };
        assert!(
            installed.contains(&(from, to)),
            "the package has no {}",
            document.name
        );
        // Whoever reads the README finds every other document.
        if document.name == "README.md" {
            for other in documents() {
                let is_linked = other.name == document.name || linked.contains(&other.name);
                assert!(is_linked, "README.md has no link to {}", other.name);
            }
        }
    }
}
