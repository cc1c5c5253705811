//! `skyring test-rules`: what would become of metrics, by their names alone, and by
//! which rule or list. It asks the same [`Rules`] that the server's shards ask.

use std::io::{self, BufRead, Read, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::{EXIT_FAILED, tell};
use crate::logging::{printable, printable_json};
use crate::rules::Rules;
use crate::settings::Settings;
use crate::stats::DropReason;

/// Longest line, so that endless ones cost no memory: longer than any good name.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Prints a line for each line of standard input, as JSON if `is_json`.
pub fn run(settings: &Settings, is_json: bool) -> ExitCode {
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    match print(settings, is_json, &mut stdin, &mut stdout).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has gone away, such as `head`, is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => tell(EXIT_FAILED, &format!("test-rules: {error}")),
    }
}

fn print(
    settings: &Settings,
    is_json: bool,
    input: &mut impl BufRead,
    out: &mut impl Write,
) -> io::Result<()> {
    let rules = Rules::new(settings);
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let name = line.strip_suffix(b"\n").unwrap_or(&line);
        let name = name.strip_suffix(b"\r").unwrap_or(name);
        let fate = Fate::of(name, &rules, settings);
        let text = if is_json {
            fate.to_json()?
        } else {
            fate.to_text()
        };
        writeln!(out, "{text}")?;
    }
}

/// What becomes of a metric.
#[derive(Debug, Serialize)]
struct Fate<'r> {
    name: String,
    /// The name under which it is stored, or would be by its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_as: Option<String>,
    /// Why it is not stored here, as counters call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<&'static str>,
    /// The rules that fit, in order; the last has decided.
    rules: Vec<String>,
    /// The node that owns it; none without a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'r str>,
    /// The pattern of `horizon.skip` that fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    skip: Option<&'r str>,
    /// The pattern of `horizon.do_not_skip` that fits in spite of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    do_not_skip: Option<&'r str>,
}

impl<'r> Fate<'r> {
    fn of(name: &[u8], rules: &'r Rules, settings: &Settings) -> Self {
        let mut fitted = Vec::new();
        let stored = rules.follow(name, |place| fitted.push(place));
        let verdict = stored
            .as_ref()
            .map_or_else(|reason| Err(*reason), |stored| rules.judge(stored));
        let good = stored
            .ok()
            .filter(|stored| rules.check_name(stored).is_ok());
        let lists = rules.skip_lists();
        let (skip, do_not_skip) = good
            .as_ref()
            .map_or((None, None), |name| lists.fitting(name));
        // Longer ones were refused for it; they would only fill the screen.
        let shown = &name[..name.len().min(settings.horizon.name_bytes_max)];
        Self {
            name: String::from_utf8_lossy(shown).into_owned(),
            dropped: verdict.err().map(DropReason::as_str),
            rules: fitted
                .into_iter()
                .map(|place| rules.list()[place].label(place))
                .collect(),
            node: good.as_ref().and_then(|name| rules.owners().owner(name)),
            skip,
            do_not_skip: do_not_skip.filter(|_| skip.is_some()),
            stored_as: good.map(|name| String::from_utf8_lossy(&name).into_owned()),
        }
    }

    fn to_text(&self) -> String {
        let fate = self
            .dropped
            .map_or("stored".to_owned(), |reason| format!("dropped, {reason}"));
        let mut text = format!("{}: {fate}", self.name);
        if let Some(stored) = &self.stored_as {
            text.push_str(&format!(" as {stored}"));
        }
        if !self.rules.is_empty() {
            text.push_str(&format!(", by rule {}", self.rules.join(", ")));
        }
        if let Some(node) = self.node {
            text.push_str(&format!(", owned by {node}"));
        }
        if let Some(pattern) = self.skip {
            text.push_str(&format!(", horizon.skip {pattern:?}"));
        }
        if let Some(pattern) = self.do_not_skip {
            text.push_str(&format!(", horizon.do_not_skip {pattern:?}"));
        }
        printable(&text).into_owned()
    }

    fn to_json(&self) -> io::Result<String> {
        Ok(printable_json(&serde_json::to_string(self)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETS: [&str; 5] = [
        "flux.listen=[]",
        "cluster.node=a",
        "cluster.shards={ a = 0, b = 1 }",
        "horizon.name_bytes_max=64",
        "rule=[{name='old', prefix='old.', action='rename', to=''}, \
         {name='test', match='\\.test\\.', action='drop'}, {name='raw', prefix='raw.', action='keep'}, \
         {match='^(\\w+)\\.(\\w+)$', action='rename', to='$2.$1'}]",
    ];

    fn printed(is_json: bool, input: &[u8]) -> String {
        let settings = Settings::load(None, &SETS.map(str::to_owned)).unwrap();
        let mut out = Vec::new();
        print(&settings, is_json, &mut &*input, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_line_says_what_becomes_of_the_name_and_why() {
        let cases = [
            ("b.a", "stored as a.b, by rule 4, owned by a"),
            ("old.a.test.c\r", "dropped, rule, by rule old, test"),
            (
                "raw.x",
                "dropped, not_mine as raw.x, by rule raw, owned by b",
            ),
            (
                "old.raw.x",
                "dropped, not_mine as raw.x, by rule old, raw, owned by b",
            ),
            (
                "skyline.mirage.checks",
                "stored as skyline.mirage.checks, owned by a, \
                 horizon.skip \"skyline.mirage.\", horizon.do_not_skip \"skyline.mirage.checks\"",
            ),
            (
                "old.my.skyline.mirage.y",
                "dropped, skipped as my.skyline.mirage.y, by rule old, owned by a, \
                 horizon.skip \"skyline.mirage.\"",
            ),
            ("old.", "dropped, name_invalid, by rule old"),
            ("a\x1bb", "dropped, name_invalid"),
            ("", "dropped, name_invalid"),
            ("plain", "dropped, not_mine as plain, owned by b"),
        ];
        for (name, expected) in cases {
            let shown = name.trim_end().replace('\x1b', "\\u{1b}");
            let printed = printed(false, format!("{name}\n").as_bytes());
            assert_eq!(printed, format!("{shown}: {expected}\n"));
        }
        let long = printed(false, &[b'x'; 1000]);
        assert_eq!(
            long,
            format!("{}: dropped, name_too_long\n", "x".repeat(64))
        );
    }

    #[test]
    fn the_same_as_json_is_one_object_a_line() {
        let printed = printed(true, b"old.b.a\na\xc2\x9bb\n");
        let lines: Vec<&str> = printed.lines().collect();
        assert!(lines[1].is_ascii(), "{}", lines[1]);
        let first: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        let expected = serde_json::json!({
            "name": "old.b.a", "stored_as": "a.b", "rules": ["old", "4"], "node": "a",
        });
        assert_eq!(first, expected);
        let second: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        assert_eq!(second["dropped"], "name_invalid");
    }
}
