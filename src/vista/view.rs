//! A part of Vista's entries that fits into one answer.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::status::{EntryStatus, VistaStatus};

/// Entries of one answer, at most.
const ENTRIES_MAX: usize = 200;
/// States from the one that needs most attention on; others come last.
const WORST_FIRST: [&str; 5] = ["failing", "disabled", "populating", "waiting", "ok"];

/// As an answer shows it where nothing is to be found.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<S: Serializer>(vista: &VistaStatus, serializer: S) -> Result<S::Ok, S::Error> {
    vista.view("").serialize(serializer)
}

impl VistaStatus {
    /// The same with only the entries that have `find` in their name, source, state or
    /// error; with nothing to find, all of them. Where there are too many for one
    /// answer, those whose state needs attention, and how many more there are.
    pub fn view(&self, find: &str) -> Self {
        let find = find.to_lowercase();
        let has_it = |text: &str| text.to_lowercase().contains(&find);
        let fits = |entry: &EntryStatus| {
            find.is_empty()
                || has_it(&entry.metric)
                || has_it(&entry.remote_host)
                || has_it(entry.state)
                || has_it(&entry.error)
        };
        let mut states = BTreeMap::new();
        for entry in &self.entries {
            *states.entry(entry.state).or_default() += 1;
        }
        let all = self.entries.iter().enumerate();
        let mut found: Vec<_> = all.filter(|(_, entry)| fits(entry)).collect();
        let left_out = found.len().saturating_sub(ENTRIES_MAX);
        if left_out > 0 {
            let rank = |state| WORST_FIRST.iter().position(|worst| *worst == state);
            found.sort_by_key(|(_, entry)| rank(entry.state).unwrap_or(WORST_FIRST.len()));
            found.truncate(ENTRIES_MAX);
            found.sort_by_key(|(place, _)| *place);
        }
        Self {
            enabled: self.enabled,
            states,
            requests: self.requests,
            requests_failed: self.requests_failed,
            fetched: self.fetched,
            delivered: self.delivered,
            slowest_ms: self.slowest_ms,
            populates: self.populates,
            populates_failed: self.populates_failed,
            points: self.points,
            dropped: self.dropped,
            inherited: self.inherited,
            redis_errors: self.redis_errors,
            lag_max_s: self.lag_max_s,
            sources: self.sources.clone(),
            entries: found.into_iter().map(|(_, entry)| entry.clone()).collect(),
            left_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(count: usize) -> VistaStatus {
        let entry = |n: usize| EntryStatus {
            metric: format!("metric.{n}"),
            state: if n % 100 == 99 { "failing" } else { "ok" },
            ..EntryStatus::default()
        };
        VistaStatus {
            enabled: true,
            entries: (0..count).map(entry).collect(),
            ..VistaStatus::default()
        }
    }

    #[test]
    fn few_entries_are_all_shown_in_their_order() {
        let view = status(150).view("");
        let names: Vec<&str> = view.entries.iter().map(|e| &*e.metric).collect();
        assert_eq!((names.len(), view.left_out), (150, 0));
        assert_eq!(names[..2], ["metric.0", "metric.1"]);
    }

    /// Thousands of entries would make every answer as long.
    #[test]
    fn of_many_entries_those_that_fail_are_shown_and_all_are_counted() {
        let view = status(5000).view("");
        assert_eq!((view.entries.len(), view.left_out), (ENTRIES_MAX, 4800));
        let failing = view.entries.iter().filter(|entry| entry.state == "failing");
        assert_eq!(failing.count(), 50);
        assert_eq!(view.states, [("failing", 50), ("ok", 4950)].into());
    }

    #[test]
    fn entries_are_found_by_what_is_shown_of_them() {
        let status = status(5000);
        assert_eq!(status.view("METRIC.4999").entries.len(), 1);
        assert_eq!(status.view("fail").entries.len(), 50);
        assert!(status.view("nowhere").entries.is_empty());
    }
}
