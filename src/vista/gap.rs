//! What an entry needs next, and when: arithmetic on whole seconds of UTC, without a
//! clock of its own.
//!
//! ```text
//!          last point        looked at up to here       minute   now
//! ─────────────┼──────────────────────┼───────────────────┼───────┼──▶
//!              │◀────── asked for, since values come late ▶│
//!                                     │◀──── the gap ─────────────▶│
//! ```
//!
//! The current minute is never asked for. What was looked at and had no point is no
//! gap: a source that lags is asked for the same minutes until they have one. What was
//! not looked at for long, since the source or this server was away, is a gap.

use super::entry::{Ask, Entry};

/// A minute in seconds.
pub const MINUTE_S: i64 = 60;
/// How much longer than its frequency a metric may go without a look before that is
/// filled as history is.
const GAP_S: i64 = 300;
/// How far before the last point a question begins, so that an answer shows the
/// resolution of the source.
const GRAPHITE_OVERLAP_S: i64 = 300;
const PROMETHEUS_OVERLAP_S: i64 = 120;
/// What is asked of Prometheus where no last point is known.
const PROMETHEUS_WINDOW_S: i64 = 300;
/// The same for Graphite, where the entry does not say it.
const GRAPHITE_WINDOW_S: i64 = 600;
/// How long values may come late and are still looked for.
const LATE_S: i64 = 86_400;
/// Longest window of one question.
pub const PIECE_S: i64 = 86_400;
/// How often a metric is asked for that has long had no new point.
const SELDOM_S: i64 = 300;

/// A window of time, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Window {
    pub from_s: i64,
    pub to_s: i64,
}

/// What is known of an entry's points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The newest point that was delivered.
    pub last_s: Option<i64>,
    /// Up to where the source was last asked, with an answer.
    pub looked_s: Option<i64>,
    /// Seconds between two points of the source.
    pub resolution_s: Option<i64>,
    /// Where the next piece begins of a gap that is filled piece by piece.
    pub piece_from_s: Option<i64>,
    /// Whether what is missing is no longer to be populated: there is none, or it was
    /// tried in vain.
    pub gave_up: bool,
}

/// What an entry needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The points of a window.
    Fetch(Window),
    /// A part of what could not be populated, the oldest.
    Piece {
        /// The part.
        window: Window,
        /// Whether it is the last.
        is_last: bool,
    },
    /// What its own uri asks for.
    AsWritten,
    /// What is missing since the last point, or all history if there is none.
    Populate,
}

/// The beginning of the minute that `now_s` is in.
pub fn minute_of(now_s: i64) -> i64 {
    now_s.div_euclid(MINUTE_S) * MINUTE_S
}

/// What the entry needs at this time.
pub fn need(entry: &Entry, seen: &Seen, now_s: i64) -> Need {
    let minute_s = minute_of(now_s);
    let (overlap_s, window_s, until_s) = match &entry.ask {
        Ask::PrometheusUri(_) => return Need::AsWritten,
        Ask::PrometheusRange => (PROMETHEUS_OVERLAP_S, PROMETHEUS_WINDOW_S, 0),
        Ask::Graphite(render) => (
            GRAPHITE_OVERLAP_S,
            render.span_s().unwrap_or(GRAPHITE_WINDOW_S),
            render.until_span_s().unwrap_or(0),
        ),
    };
    let to_s = minute_s - minute_of(until_s);
    let Some(last_s) = seen.last_s.map(|last_s| last_s.min(minute_s)) else {
        if entry.has_history && !seen.gave_up {
            return Need::Populate;
        }
        let from_s = minute_of(minute_s - window_s).min(to_s - MINUTE_S);
        return Need::Fetch(Window { from_s, to_s });
    };
    if let Some(from_s) = seen.piece_from_s {
        return piece(from_s, to_s);
    }
    if is_gap(entry, seen, last_s, now_s) {
        if !seen.gave_up && entry.can_populate() {
            return Need::Populate;
        }
        return piece(minute_of(last_s), to_s);
    }
    // An older start would only ask for what is known to be empty.
    let from_s = last_s.max(to_s - LATE_S) - overlap_s;
    let from_s = match entry.ask {
        Ask::Graphite(_) => from_s,
        _ => minute_of(from_s),
    };
    Need::Fetch(Window { from_s, to_s })
}

/// A window that is cheap to answer.
pub fn probe(now_s: i64) -> Window {
    let to_s = minute_of(now_s);
    Window {
        from_s: to_s - PROMETHEUS_WINDOW_S,
        to_s,
    }
}

fn piece(from_s: i64, to_s: i64) -> Need {
    let window = Window {
        from_s: from_s.min(to_s - MINUTE_S),
        to_s: to_s.min(from_s.saturating_add(PIECE_S)),
    };
    Need::Piece {
        window,
        is_last: window.to_s == to_s,
    }
}

fn is_gap(entry: &Entry, seen: &Seen, last_s: i64, now_s: i64) -> bool {
    let looked_s = seen
        .looked_s
        .map_or(last_s, |looked_s| looked_s.max(last_s));
    let resolution_s = seen.resolution_s.unwrap_or(0);
    let widened_s = if resolution_s > entry.frequency_s {
        resolution_s
    } else {
        0
    };
    now_s - looked_s > entry.frequency_s + GAP_S + widened_s
}

/// When the entry is to be asked for again, if it was just asked for: once the minute is
/// over in which its next point is due, and at least `delay_ms` after that; in
/// milliseconds since 1970.
pub fn next_due_ms(entry: &Entry, seen: &Seen, now_ms: i64, delay_ms: i64) -> i64 {
    let now_s = now_ms.div_euclid(1000);
    let minute_s = minute_of(now_s);
    let next_minute_s = minute_s + MINUTE_S;
    let Some(last_s) = seen.last_s else {
        return next_minute_s * 1000 + delay_ms;
    };
    let whole_s = minute_of(last_s.saturating_add(entry.frequency_s)) + MINUTE_S;
    // A metric whose points come late is looked for each minute, but not for ever.
    let late_s = now_s - whole_s;
    let every_s = if late_s > entry.frequency_s.max(3600) {
        entry.frequency_s.min(SELDOM_S)
    } else {
        MINUTE_S
    };
    whole_s.max(minute_s + every_s) * 1000 + delay_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vista::entry::tests::{graphite, prometheus};

    /// 1,795,295,760 is a whole minute.
    const NOW_S: i64 = 1_795_295_764;

    fn last(last_s: i64) -> Seen {
        Seen {
            last_s: Some(last_s),
            ..Seen::default()
        }
    }

    fn fetch(from_s: i64, to_s: i64) -> Need {
        Need::Fetch(Window { from_s, to_s })
    }

    // Vectors of the reference: a question begins some minutes before the last point, and
    // ends with the last whole minute.
    #[test]
    fn a_question_begins_before_the_last_point_and_ends_with_the_minute() {
        let (graphite, prometheus) = (graphite(), prometheus());
        let minute_s = 1_795_295_760;
        assert_eq!(
            need(&prometheus, &Seen::default(), NOW_S),
            fetch(1_795_295_460, minute_s)
        );
        assert_eq!(
            need(&graphite, &Seen::default(), NOW_S),
            fetch(minute_s - 600, minute_s)
        );
        assert_eq!(
            need(&graphite, &last(1_795_295_640), NOW_S),
            fetch(1_795_295_340, minute_s)
        );
        assert_eq!(
            need(&prometheus, &last(1_795_295_633), NOW_S),
            fetch(1_795_295_460, minute_s)
        );
    }

    #[test]
    fn a_gap_is_what_nobody_looked_at_for_longer_than_the_frequency_and_300_s() {
        let entry = graphite();
        for (behind_s, is_gap) in [(360, false), (361, true), (400, true)] {
            let need = need(&entry, &last(NOW_S - behind_s), NOW_S);
            assert_eq!(need == Need::Populate, is_gap, "{behind_s}: {need:?}");
        }
        // The metric's own resolution widens it.
        let hourly = Seen {
            resolution_s: Some(3600),
            ..last(NOW_S - 3960)
        };
        assert!(matches!(need(&entry, &hourly, NOW_S), Need::Fetch(_)));
        assert_eq!(need(&entry, &hourly, NOW_S + 1), Need::Populate);
    }

    // A source that lags is asked for the same minutes again, and is not populated from.
    #[test]
    fn what_was_looked_at_is_no_gap_and_is_asked_for_again() {
        let seen = Seen {
            looked_s: Some(NOW_S - 60),
            ..last(NOW_S - 7200)
        };
        let minute_s = minute_of(NOW_S);
        assert_eq!(
            need(&graphite(), &seen, NOW_S),
            fetch(NOW_S - 7500, minute_s)
        );
        let long_ago = Seen {
            last_s: Some(0),
            ..seen
        };
        assert_eq!(
            need(&graphite(), &long_ago, NOW_S),
            fetch(minute_s - 86_700, minute_s)
        );
    }

    #[test]
    fn history_comes_first_for_a_new_metric_that_has_resolutions() {
        let mut entry = prometheus();
        entry.has_history = true;
        assert_eq!(need(&entry, &Seen::default(), NOW_S), Need::Populate);
        let in_vain = Seen {
            gave_up: true,
            ..Seen::default()
        };
        assert!(matches!(need(&entry, &in_vain, NOW_S), Need::Fetch(_)));
    }

    // A gap that could not be filled as history is asked for piece by piece.
    #[test]
    fn a_gap_that_was_given_up_is_fetched_in_pieces() {
        let from_s = minute_of(NOW_S) - 20 * PIECE_S;
        let mut seen = Seen {
            gave_up: true,
            ..last(from_s)
        };
        let mut pieces = 0;
        while let Need::Piece { window, is_last } = need(&prometheus(), &seen, NOW_S) {
            assert_eq!(window.from_s, from_s + pieces * PIECE_S);
            assert!(window.to_s - window.from_s <= PIECE_S);
            assert_eq!(is_last, window.to_s == minute_of(NOW_S));
            pieces += 1;
            if is_last {
                break;
            }
            seen.piece_from_s = Some(window.to_s);
        }
        assert_eq!(pieces, 20);
    }

    // The clock of a source, or of whoever wrote the last point, may be ahead.
    #[test]
    fn a_last_point_in_the_future_asks_for_no_window_that_ends_before_it_begins() {
        for entry in [graphite(), prometheus()] {
            let Need::Fetch(window) = need(&entry, &last(NOW_S + 3600), NOW_S) else {
                panic!("no fetch");
            };
            assert!(window.from_s < window.to_s, "{window:?}");
        }
    }

    #[test]
    fn a_fetch_is_due_when_the_minute_of_the_next_point_is_over() {
        let entry = graphite();
        let due = |last_s| next_due_ms(&entry, &last(last_s), NOW_S * 1000, 5000);
        let minute_s = minute_of(NOW_S);
        assert_eq!(due(minute_s - 60), (minute_s + 60) * 1000 + 5000);
        // One that lags is looked for each minute.
        assert_eq!(due(minute_s - 600), (minute_s + 60) * 1000 + 5000);
        // One that is dead is looked for seldom; at this frequency that is the same.
        assert_eq!(due(0), (minute_s + 60) * 1000 + 5000);
        let mut hourly = graphite();
        hourly.frequency_s = 3600;
        let due = |last_s| next_due_ms(&hourly, &last(last_s), NOW_S * 1000, 5000);
        assert_eq!(due(minute_s - 600), (minute_s + 3060) * 1000 + 5000);
        assert_eq!(due(minute_s - 3600), (minute_s + 60) * 1000 + 5000);
        assert_eq!(due(minute_s - 9000), (minute_s + 300) * 1000 + 5000);
    }
}
