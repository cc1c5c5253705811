//! Checks of the host, for `skyring check` and for the start of the server. Each
//! fault says in words how to mend it.

mod cpus;
mod graphite;
mod limits;
mod memory;
mod ports;
mod redis;
mod state;
mod uring;
mod vista;

use std::fmt;

use crate::logging::printable;
use crate::settings::Settings;

pub use cpus::{allowed_cpus, placement};
pub use limits::{raise_file_limit, raise_memlock_limit};
pub use memory::MemoryTable;
pub use ports::{Transport, probe_port};
pub(crate) use redis::connect as connect_redis;
pub use state::{PidFile, STATE_DIR, StateError, StateLock, default_state_dir};

/// This host's name, as `uname -n` prints it and as Skyline knows its nodes.
pub fn name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The server runs, but not as well or as safely as it could.
    Warn,
    /// The server does not run, or loses points.
    Fault,
}

/// What one check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked, in one word.
    pub name: &'static str,
    /// How good it is.
    pub verdict: Verdict,
    /// What was found.
    pub message: String,
    /// How to mend it; empty if there is nothing to mend.
    pub mend: String,
}

/// What all checks have found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The findings, in the order of the checks.
    pub findings: Vec<Finding>,
    /// The worst-case memory.
    pub memory: MemoryTable,
}

/// A fault of the host that keeps the server from starting; shown on one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HostError(pub Finding);

/// Checks everything that the settings need of this host and of Redis. `shard_bytes`
/// names what each shard holds at most besides the shared buffers, in bytes.
pub fn check(settings: &Settings, shard_bytes: &[(&str, u64)]) -> Report {
    let memory = MemoryTable::new(settings, shard_bytes);
    let (state, holder) = state::check(&settings.state_dir);
    let mut findings = vec![
        uring::check(),
        limits::check_memlock(settings),
        limits::check_files(settings),
        cpus::check(settings),
        memory.check(),
        state,
    ];
    findings.extend(ports::check(settings, holder));
    findings.extend(redis::check(settings));
    findings.extend(graphite::check(settings));
    findings.extend(vista::check(settings));
    Report { findings, memory }
}

/// Checks what a shard cannot start without: io_uring, locked memory and what it asks
/// of the CPUs. The limit of
/// locked memory is raised as far as that is allowed.
///
/// # Errors
///
/// The first fault.
pub fn require(settings: &Settings) -> Result<(), HostError> {
    raise_memlock_limit();
    let findings = [
        uring::check(),
        limits::check_memlock(settings),
        cpus::check(settings),
    ];
    for finding in findings {
        if finding.verdict == Verdict::Fault {
            return Err(HostError(finding));
        }
    }
    Ok(())
}

impl Report {
    /// Whether any check has found a fault.
    pub fn has_fault(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.verdict == Verdict::Fault)
    }

    /// The findings, one a line, then the table of memory; with `colour`, escape
    /// sequences mark the verdicts.
    pub fn to_text(&self, colour: bool) -> String {
        let mut out = String::new();
        for finding in &self.findings {
            let (word, code) = match finding.verdict {
                Verdict::Ok => ("ok   ", 32),
                Verdict::Warn => ("warn ", 33),
                Verdict::Fault => ("fault", 31),
            };
            if colour {
                out.push_str(&format!("\u{1b}[{code}m{word}\u{1b}[0m {finding}\n"));
            } else {
                out.push_str(&format!("{word} {finding}\n"));
            }
        }
        out.push('\n');
        out.push_str(&self.memory.to_string());
        out
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, printable(&self.message))?;
        if !self.mend.is_empty() {
            write!(f, "; to mend it: {}", printable(&self.mend))?;
        }
        Ok(())
    }
}

impl Finding {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Ok,
            message: message.into(),
            mend: String::new(),
        }
    }

    fn warn(name: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Warn,
            message: message.into(),
            mend: mend.into(),
        }
    }

    fn fault(name: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Fault,
            message: message.into(),
            mend: mend.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Redis's replies and paths are foreign text, and the report goes to a terminal.
    #[test]
    fn a_finding_is_one_line_whatever_it_says() {
        let finding = Finding::fault("redis", "it said \u{1b}[2J\nok", "run x");
        assert_eq!(
            finding.to_string(),
            "redis: it said \\u{1b}[2J\\u{a}ok; to mend it: run x"
        );
    }

    #[test]
    fn the_report_marks_each_line_and_colours_only_when_asked() {
        let settings = Settings::default();
        let report = Report {
            findings: vec![Finding::ok("a", "fine"), Finding::fault("b", "bad", "do")],
            memory: MemoryTable::new(&settings, &[]),
        };
        assert!(report.has_fault());
        let text = report.to_text(false);
        assert!(
            text.starts_with("ok    a: fine\nfault b: bad; to mend it: do\n\n"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}') && report.to_text(true).contains("\u{1b}[31mfault"));
    }

    // Where shards can start, `serve` must not be kept from it, and the other way.
    #[test]
    fn require_agrees_with_check() {
        let settings = Settings::default();
        let required = require(&settings).is_ok();
        let faults = |name: &str| {
            let report = check(&settings, &[]);
            let found = report
                .findings
                .iter()
                .find(|finding| finding.name == name)
                .cloned();
            found.unwrap().verdict == Verdict::Fault
        };
        assert_eq!(required, !faults("io_uring") && !faults("memlock"));
    }
}
