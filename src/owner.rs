//! `skyring owner`: which node of the cluster owns a metric.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use crate::cli::{EXIT_FAILED, tell};
use crate::logging::printable;
use crate::rules::Rules;
use crate::settings::Settings;
use crate::stats::DropReason;

/// Characters of a refused name that are repeated in the error.
const SHOWN_CHARS_MAX: usize = 60;

/// Prints `METRIC NODE` for each of `metrics`, or for each line of standard input
/// if there are none: the owner of the name under which it is stored, which the
/// operator's rules may have changed. Without a cluster `cluster.node` owns everything.
///
/// Fails, after all others are printed, if there is a name whose points would be
/// refused whatever node they came to.
pub fn run(settings: &Settings, metrics: Vec<OsString>) -> ExitCode {
    let mut stdout = io::stdout().lock();
    let printed = if metrics.is_empty() {
        let lines = io::stdin().lock().split(b'\n');
        print(settings, lines, &mut stdout)
    } else {
        let names = metrics.into_iter().map(|name| Ok(name.into_vec()));
        print(settings, names, &mut stdout)
    };
    match printed.and_then(|all_good| stdout.flush().map(|()| all_good)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_FAILED),
        // A reader that has gone away, such as `head`, is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => tell(EXIT_FAILED, &format!("owner: {error}")),
    }
}

/// Whether every name was good; each that was not is told on standard error.
fn print(
    settings: &Settings,
    names: impl Iterator<Item = io::Result<Vec<u8>>>,
    out: &mut impl Write,
) -> io::Result<bool> {
    let rules = Rules::new(settings);
    let mut all_good = true;
    for name in names {
        let name = name?;
        let mut last = None;
        let stored = rules.follow(&name, |rule| last = Some(rule));
        let stored = stored.and_then(|stored| rules.check_name(&stored).map(|()| stored));
        let stored = match stored {
            Ok(stored) => stored,
            Err(reason) => {
                let rule = last.map(|place| rules.list()[place].label(place));
                tell(EXIT_FAILED, &refusal(settings, &name, reason, rule));
                all_good = false;
                continue;
            }
        };
        let node = rules.owners().owner(&stored);
        out.write_all(&name)?;
        writeln!(out, " {}", node.unwrap_or(&settings.cluster.node))?;
    }
    Ok(all_good)
}

fn refusal(settings: &Settings, name: &[u8], reason: DropReason, rule: Option<String>) -> String {
    let text = String::from_utf8_lossy(name);
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let cut = if shown.len() < text.len() { "..." } else { "" };
    let shown = printable(&shown);
    match (reason, rule) {
        (DropReason::Rule, Some(rule)) => {
            format!("\"{shown}{cut}\" is dropped by rule \"{rule}\"")
        }
        (reason, Some(rule)) => format!(
            "\"{shown}{cut}\" has no good name any more behind rule \"{rule}\": {}",
            reason.as_str()
        ),
        (DropReason::NameTooLong, None) => format!(
            "\"{shown}{cut}\" is a name of {} bytes; horizon.name_bytes_max is {}",
            name.len(),
            settings.horizon.name_bytes_max
        ),
        (_, None) => format!(
            "\"{shown}{cut}\" is no name of a metric: it must be UTF-8, without control \
             characters, and not empty"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(sets: &[&str], names: &[&[u8]]) -> (bool, String) {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let settings = Settings::load(None, &sets).unwrap();
        let mut out = Vec::new();
        let names = names.iter().map(|name| Ok(name.to_vec()));
        let all_good = print(&settings, names, &mut out).unwrap();
        (all_good, String::from_utf8(out).unwrap())
    }

    /// A name that is skipped, or that another node owns, has an owner too.
    #[test]
    fn each_name_is_printed_with_its_node() {
        let sets = [
            "cluster.node=b",
            "cluster.shards={ a = 2, b = 0, c = 1 }",
            "flux.listen=[]",
        ];
        let names: [&[u8]; 3] = [b"a.b", b"skyline.mirage.x", b"vista.app1.requests"];
        let (all_good, printed) = owners(&sets, &names);
        assert!(all_good);
        let nodes: Vec<&str> = printed.lines().collect();
        assert_eq!(nodes[0], "a.b b");
        assert!(nodes[1].starts_with("skyline.mirage.x "));
        assert_eq!(nodes[2], "vista.app1.requests c");
    }

    #[test]
    fn without_a_cluster_this_node_owns_everything() {
        let printed = owners(&["cluster.node=here"], &[b"a.b", b"with space"]);
        assert_eq!(printed, (true, "a.b here\nwith space here\n".to_owned()));
    }

    #[test]
    fn the_owner_is_that_of_the_name_that_rules_have_made() {
        let rules = "rule=[{prefix='old.', action='rename', to=''}, {prefix='x', action='drop'}]";
        let sets = [
            "cluster.node=b",
            "cluster.shards={ a = 2, b = 0, c = 1 }",
            "flux.listen=[]",
            rules,
        ];
        let names: [&[u8]; 3] = [b"old.vista.app1.requests", b"old.x", b"old."];
        let printed = owners(&sets, &names);
        assert_eq!(printed, (false, "old.vista.app1.requests c\n".to_owned()));
    }

    #[test]
    fn a_bad_name_is_left_out_and_the_others_are_printed() {
        let sets = ["cluster.node=here", "horizon.name_bytes_max=16"];
        let names: [&[u8]; 5] = [b"a", b"", b"caf\xe9", b"seventeen bytes..", b"b"];
        assert_eq!(
            owners(&sets, &names),
            (false, "a here\nb here\n".to_owned())
        );
        let settings = Settings::default();
        let told = refusal(&settings, b"a\x1bb", DropReason::NameInvalid, None);
        assert!(told.starts_with("\"a\\u{1b}b\" is no name"), "{told}");
        let told = refusal(&settings, &[b'x'; 5000], DropReason::NameTooLong, None);
        assert!(told.len() < 200 && told.contains("5000 bytes"), "{told}");
    }
}
