//! Manual pages and shell completions, as the tools that read them see them.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::fixture::run::{end, run};

/// Every command, as `--help` lists them.
fn commands() -> Vec<String> {
    let help = run(&["--help"], b"").stdout;
    let (_, list) = help.split_once("\nCommands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names.map(str::to_owned).collect()
}

/// groff with every warning on has nothing to say of any page, and each has what a
/// reader looks for.
#[test]
fn manual_pages_are_clean_and_name_their_options() {
    let commands = commands();
    assert!(commands.contains(&"test-rules".to_owned()), "{commands:?}");
    let mut pages = vec![(vec!["man"], "skyring-serve(1)")];
    for command in &commands {
        pages.push((vec!["man", command], "skyring-"));
    }
    for (arguments, wanted) in pages {
        let page = run(&arguments, b"");
        assert_eq!((page.code, &*page.stderr), (0, ""));
        let groff = Command::new("/usr/bin/groff")
            .args([
                "-man",
                "-ww",
                "-Tascii",
                "-P-cbou",
                "-rLL=200n",
                "-K",
                "utf8",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let shown = end(groff, page.stdout.as_bytes());
        assert_eq!(
            (shown.code, &*shown.stderr),
            (0, ""),
            "{arguments:?}: {}",
            page.stdout
        );
        assert!(
            shown.stdout.contains(wanted),
            "{arguments:?}: {}",
            shown.stdout
        );
        assert!(shown.stdout.contains("SEE ALSO"), "{}", shown.stdout);
        let help = match arguments[..] {
            [_, command] => run(&[command, "--help"], b"").stdout,
            _ => continue,
        };
        let options = help
            .split_whitespace()
            .filter(|word| word.starts_with("--"));
        for option in options.map(|option| option.trim_end_matches(['.', ','])) {
            assert!(
                shown.stdout.contains(option),
                "{arguments:?}: no {option}: {}",
                shown.stdout
            );
        }
    }
    let unknown = run(&["man", "nonsense"], b"");
    assert_eq!((unknown.code, unknown.stdout.len()), (2, 0));
}

/// The scripts are read by their own shells, and bash's completes commands and values.
#[test]
fn completions_work_in_their_shells() {
    let directory = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell], b"");
        assert_eq!((script.code, &*script.stderr), (0, ""));
        let file = directory.path().join(shell);
        std::fs::write(&file, &script.stdout).unwrap();
        let checked = Command::new(shell).arg("-n").arg(&file).output().unwrap();
        assert!(checked.status.success(), "{shell}: {checked:?}");
    }
    let complete = |words: &[&str]| -> String {
        let text = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={}; _skyring skyring '{}' '{}'; \
             echo \"${{COMPREPLY[*]}}\"",
            directory.path().join("bash").display(),
            words.join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let output = Command::new("bash").args(["-c", &text]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete(&["skyring", "ser"]), "serve");
    assert_eq!(complete(&["skyring", "generate", "horizon"]), "horizon.d");
    assert_eq!(complete(&["skyring", "test-rules", "--js"]), "--json");
}
