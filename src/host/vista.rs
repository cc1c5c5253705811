//! The entries of `vista.fetch`: whether each can be fetched.

use super::{Finding, Verdict};
use crate::logging::printable;
use crate::settings::Settings;
use crate::vista::entry;

/// Judges every entry; says nothing if there is none.
pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    let checked = entry::check(settings);
    if checked.is_empty() {
        return Vec::new();
    }
    let good = checked.iter().filter(|entry| entry.is_ok()).count();
    let finding = |verdict, message: String, mend: &str| Finding {
        name: "vista",
        verdict,
        message,
        mend: mend.to_owned(),
    };
    let mut findings = Vec::new();
    for (number, checked) in (1..).zip(&checked) {
        match checked {
            Ok(entry) => findings.extend(entry.notes.iter().map(|note| {
                let message = format!("entry {number}, {}: {note}", entry.metric);
                finding(Verdict::Warn, message, "")
            })),
            Err(disabled) => {
                let metric = printable(&disabled.metric);
                let message = format!("entry {number}, {metric}: {}", disabled.fault);
                let mend = "mend it in vista.fetch; until then it alone is not fetched";
                findings.push(finding(Verdict::Fault, message, mend));
            }
        }
    }
    if good > 0 {
        let message = format!("{good} of {} entries can be fetched", checked.len());
        findings.insert(0, finding(Verdict::Ok, message, ""));
    }
    findings
}
