//! `skyring trim --once`: one pass by hand, in which every series is read as a whole.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use super::pass::{Company, Deeds, PassError, Trimmer};
use super::{batch_keys, namespaces, now_s};
use crate::admit::Tidings;
use crate::cli::{EXIT_FAILED, print, tell};
use crate::host;
use crate::settings::Settings;

/// Trims every series, or only counts what would be trimmed, and prints what was
/// done.
pub fn trim_once(settings: &Settings, is_dry: bool) -> ExitCode {
    match pass(settings, is_dry) {
        Ok(deeds) => print(&report(&deeds, is_dry)),
        Err(error) => {
            let url = settings.redis_url();
            tell(
                EXIT_FAILED,
                &format!("{url}: {error}; what was trimmed until then stays trimmed"),
            )
        }
    }
}

fn pass(settings: &Settings, is_dry: bool) -> Result<Deeds, PassError> {
    let url = settings.redis_url();
    let mut deeds = Deeds::default();
    for namespace in namespaces(settings) {
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
    let would = if is_dry { "would be " } else { "" };
    let Deeds {
        members,
        batch_members,
        cut,
        mended,
        removed,
        ghosts,
        quarantined,
        conflicts,
        refused,
        records_old,
        records_duplicate,
        values_foreign,
        bytes_before,
        bytes_after,
        ..
    } = deeds;
    let bytes = bytes_before.saturating_sub(*bytes_after);
    format!(
        "series                  {members:>12}, of which {batch_members} are left to batch processing\n\
         {would}cut                     {cut:>12}\n\
         {would}put in order            {mended:>12}\n\
         {would}removed                 {removed:>12}\n\
         {would}set aside               {quarantined:>12}\n\
         members without series  {ghosts:>12}\n\
         records too old         {records_old:>12}\n\
         records duplicate       {records_duplicate:>12}\n\
         values that are none    {values_foreign:>12}\n\
         bytes less              {bytes:>12}\n\
         changed by others       {conflicts:>12}, and so read again\n\
         refused by Redis        {refused:>12}\n"
    )
}

/// Nobody else is asked, and nobody is waited for.
struct Alone {
    bar: ProgressBar,
}

impl Company for Alone {
    fn tidings(&mut self, names: Vec<Box<[u8]>>) -> Vec<Tidings> {
        vec![Tidings::default(); names.len()]
    }

    fn go_on(&mut self, done: u64, all: u64) -> Result<(), PassError> {
        self.bar.set_length(all);
        self.bar.set_position(done);
        Ok(())
    }
}
