//! `skyring trim --once`: one pass by hand, in which every series is read as a whole.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use super::deeds::Deeds;
use super::pass::{Company, Namespace, PassError, Trimmer};
use super::{batch_keys, namespaces, now_s};
use crate::admit::{Cut, Tidings};
use crate::cli::{EXIT_FAILED, print, tell};
use crate::host;
use crate::logging;
use crate::settings::Settings;

/// Trims every series, or only counts what would be trimmed, and prints what was
/// done.
pub fn trim_once(settings: &Settings, is_dry: bool) -> ExitCode {
    // What is set aside is told there.
    logging::init(settings.log.level, settings.log.format);
    match pass(settings, is_dry) {
        Ok(deeds) => print(&report(&deeds, is_dry)),
        Err(error) => {
            let url = settings.redis_url();
            let stays = if is_dry {
                ""
            } else {
                "; what was trimmed until then stays trimmed"
            };
            let mend = "see to that Redis runs and takes writes, or set redis.url";
            tell(
                EXIT_FAILED,
                &format!("redis at {url}: {error}: {mend}{stays}"),
            )
        }
    }
}

fn pass(settings: &Settings, is_dry: bool) -> Result<Deeds, PassError> {
    let url = settings.redis_url();
    let mut deeds = Deeds::default();
    for namespace in namespaces(settings) {
        // Nothing that is due waits.
        let namespace = Namespace {
            slack_s: 0,
            ..namespace
        };
        let mut connection = host::connect_redis(&url)?;
        let excluded = batch_keys(&mut connection, settings)?;
        let mut trimmer = Trimmer::new(connection, is_dry)?;
        let mut company = Alone {
            bar: ProgressBar::new(0).with_style(style()),
        };
        trimmer.pass(&namespace, &excluded, now_s(), &mut company)?;
        company.bar.finish_and_clear();
        deeds += &trimmer.deeds;
    }
    Ok(deeds)
}

fn style() -> ProgressStyle {
    let style =
        ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} series, {eta} left");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn report(deeds: &Deeds, is_dry: bool) -> String {
    let be = if is_dry { "would be " } else { "" };
    let bytes_less = deeds.bytes_before.saturating_sub(deeds.bytes_after);
    let rows = [
        ("", "series", deeds.members),
        ("", "left to batch processing", deeds.batch_members),
        (be, "cut", deeds.cut),
        (be, "put in order", deeds.mended),
        (be, "removed", deeds.removed),
        (be, "removed, without series", deeds.ghosts),
        (be, "set aside", deeds.quarantined),
        ("", "records too old", deeds.records_old),
        ("", "records twice", deeds.records_duplicate),
        ("", "values that are no record", deeds.values_foreign),
        ("", "bytes less", bytes_less),
        ("", "changed by others meanwhile", deeds.conflicts),
        ("", "refused by Redis", deeds.refused),
    ];
    let line = |(be, what, number): (&str, &str, u64)| {
        let label = format!("{be}{what}");
        format!("{label:<34}{number:>14}\n")
    };
    rows.map(line).concat()
}

/// Nobody else is asked, and nobody is waited for.
struct Alone {
    bar: ProgressBar,
}

impl Company for Alone {
    fn names(&mut self, _: usize) -> Option<Vec<Box<[u8]>>> {
        None
    }

    fn tidings(&mut self, names: Vec<Box<[u8]>>) -> Vec<Tidings> {
        vec![Tidings::default(); names.len()]
    }

    fn note_cuts(&mut self, _: Vec<Cut>) {}

    fn go_on(&mut self, done: u64, all: u64) -> Result<(), PassError> {
        self.bar.set_length(all);
        self.bar.set_position(done);
        Ok(())
    }
}
