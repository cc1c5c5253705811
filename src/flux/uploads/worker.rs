//! The one worker that processes uploads, one after the other. An upload stays on disk
//! until it is done, so that it is taken up again after a restart; points that had been
//! delivered are known then.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{AsyncCommands, RedisResult};
use tokio::sync::mpsc;

use super::archive::{self, Unpacked, extension, unpack};
use super::job::Job;
use super::points::points;
use super::status::Status;
use super::table::{self, Cell, Grid, Table};
use super::terms::{Format, Terms, metric_part};
use super::{time, workbook};
use crate::flux::{FluxPoint, Origin, Receipt, Site, Unavailable};
use crate::settings::FluxUploadsSettings;
use crate::source::Sample;

/// Points that are handed over at once.
const POINTS_AT_ONCE: usize = 5000;
/// Longest last part of a metric's name, for which carbon has a file.
const NAME_BYTES_MAX: usize = 251;
/// Status is written this often at most while columns are processed.
const STATUS_EVERY: Duration = Duration::from_millis(500);

/// The server ends; the upload stays where it is.
struct Stopped;

/// A file's data, ready to be submitted.
struct Parsed {
    times: time::Times,
    columns: Vec<Column>,
}

struct Column {
    /// As the file names it.
    name: String,
    metric: Result<String, String>,
    cells: Vec<Cell>,
}

/// What came of a column.
enum Made {
    /// A metric's points.
    Points(String, Vec<Sample>),
    /// None, and why that is well or not.
    Nothing(Result<String, String>),
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    columns: usize,
    good: usize,
}

/// Processes what an earlier server has left, and then what comes.
pub async fn run(site: Arc<Site>, left: Vec<Job>, mut queue: mpsc::Receiver<Job>) {
    for job in left {
        tracing::info!(upload = job.id_key, "an upload is taken up again");
        if process(&site, job).await.is_err() {
            return;
        }
    }
    while let Some(job) = queue.recv().await {
        if process(&site, job).await.is_err() {
            return;
        }
    }
}

async fn process(site: &Arc<Site>, job: Job) -> Result<(), Stopped> {
    let started = Instant::now();
    let settings = site.force().settings.clone();
    let mut work = Work {
        status: job.status(&settings),
        site: site.clone(),
        settings: settings.flux_uploads.clone(),
        written: Instant::now(),
        job,
    };
    work.status.set_now("processing started at");
    work.tell(true).await;
    let good = work.files().await?;
    let (status, last) = match good {
        Some(true) => ("complete", "complete"),
        Some(false) => ("complete", "complete - with errors"),
        None => ("failed", "failed"),
    };
    let status_set = [("status", status), ("final_status", last)];
    for (name, value) in status_set {
        work.status.set(name, value);
    }
    let seconds = started.elapsed().as_secs_f64();
    work.status
        .set("processing_time", format!("{seconds:.6} seconds"));
    work.status.set_now("processing completed at");
    tracing::info!(upload = work.job.id_key, "an upload was processed: {last}");
    work.finish().await
}

/// An upload that is being processed.
struct Work {
    site: Arc<Site>,
    job: Job,
    status: Status,
    settings: FluxUploadsSettings,
    written: Instant,
}

impl Work {
    /// Processes every file: whether all went well, or `None` if nothing did.
    async fn files(&mut self) -> Result<Option<bool>, Stopped> {
        let (terms, unpacked) = match self.unpack().await {
            Ok(ready) => ready,
            Err(error) => {
                self.status.set("error", error);
                return Ok(None);
            }
        };
        let mut is_all_good = unpacked.refused.is_empty();
        for (name, why) in &unpacked.refused {
            self.status.set(name, why.as_str());
        }
        let ending = match terms.format {
            Format::Csv => "csv",
            Format::Xlsx => "xlsx",
            Format::Xls => "xls",
        };
        let files = unpacked
            .files
            .iter()
            .filter(|(name, _)| extension(name) == ending);
        let files: Vec<_> = files.collect();
        if files.is_empty() {
            self.status.set(
                "error",
                format!("data file not found - no file ends with .{ending}"),
            );
        }
        let mut is_any_good = false;
        let mut metrics = BTreeSet::new();
        for (name, path) in files {
            let outcome = self.file(name, path, &terms, &mut metrics).await?;
            is_any_good |= outcome.good > 0;
            is_all_good &= outcome.columns > 0 && outcome.good == outcome.columns;
        }
        Ok(is_any_good.then_some(is_all_good))
    }

    /// Unpacks the files and reads what they say of themselves.
    async fn unpack(&mut self) -> Result<(Terms, Unpacked), String> {
        let mut fields = self.job.fields.clone();
        if let Some(info) = &self.job.info_name {
            let path = self.job.data_directory().join(info);
            let text = std::fs::read_to_string(path);
            fields.override_by(&text.map_err(|_| format!("info file not found - {info}"))?)?;
        }
        let terms = fields.terms()?;
        let (job, bounds) = (self.job.clone(), bounds(&self.settings));
        let archive = terms.archive;
        let unpacking = move || {
            let to = job.directory.join("extracted");
            // What an earlier server has unpacked may be half of it.
            let _ = std::fs::remove_dir_all(&to);
            std::fs::create_dir(&to).map_err(|error| error.to_string())?;
            let file = job.data_directory().join(&job.data_name);
            if !file.exists() {
                return Err(format!("data file not found - {}", job.data_name));
            }
            unpack(archive, &file, &job.data_name, &to, bounds)
        };
        let unpacked = blocking(unpacking).await?;
        if !terms.info_in_archive {
            return Ok((terms, unpacked));
        }
        let is_info = |(name, _): &&(String, PathBuf)| name.ends_with("info.json");
        let info = unpacked.files.iter().find(is_info);
        let (_, path) = info.ok_or_else(|| "info file not found - info.json".to_owned())?;
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        fields.override_by(&text)?;
        Ok((fields.terms()?, unpacked))
    }

    async fn file(
        &mut self,
        name: &str,
        path: &Path,
        terms: &Terms,
        metrics: &mut BTreeSet<String>,
    ) -> Result<Outcome, Stopped> {
        self.status.set(name, "in progress");
        self.tell(true).await;
        let (path, bounds) = (path.to_owned(), self.settings.clone());
        let wanted = terms.clone();
        let parsed = blocking(move || parse(&path, &wanted, &bounds)).await;
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                self.status.set(name, format!("failed - {error}"));
                return Ok(Outcome::default());
            }
        };
        for (number, note) in parsed.times.notes.iter().enumerate() {
            self.status
                .set(&format!("note {} ({name})", number + 1), note.as_str());
        }
        let names: Vec<String> = parsed
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        let made = self.points(parsed, terms, metrics).await?;
        let last = made
            .iter()
            .rposition(|made| matches!(made, Made::Points(..)));
        let mut outcome = Outcome {
            columns: made.len(),
            good: 0,
        };
        for (at, (column, made)) in names.into_iter().zip(made).enumerate() {
            let entry = format!("{column} ({name})");
            self.status.set(&entry, "processing");
            self.tell(false).await;
            let done = self.column(made, terms, Some(at) == last).await?;
            outcome.good += usize::from(done.is_ok());
            let text = done.unwrap_or_else(|why| format!("failed - {why}"));
            if terms.is_debug {
                tracing::info!(upload = self.job.id_key, "{entry}: {text}");
            }
            self.status.set(&entry, text);
        }
        let Outcome { columns, good } = outcome;
        let text = match columns {
            0 => "failed - there is no column besides the date".to_owned(),
            _ if good == columns => {
                format!("completed - processed all {columns} data columns OK")
            }
            _ => format!(
                "completed - with some errors processed {good} of the {columns} data columns"
            ),
        };
        self.status.set(name, text);
        Ok(outcome)
    }

    /// The points of every column.
    async fn points(
        &mut self,
        parsed: Parsed,
        terms: &Terms,
        metrics: &mut BTreeSet<String>,
    ) -> Result<Vec<Made>, Stopped> {
        let mut columns = Vec::new();
        for Column { metric, cells, .. } in parsed.columns {
            let metric = metric.and_then(|metric| match metrics.insert(metric.clone()) {
                true => Ok(metric),
                false => Err(format!("another column makes {metric} too")),
            });
            columns.push((metric, cells));
        }
        let named: Vec<String> = columns
            .iter()
            .filter_map(|(metric, _)| metric.as_ref().ok().cloned())
            .collect();
        let mut last = HashMap::new();
        if !terms.ignores_submitted {
            let found = self.last(&named).await?;
            last.extend(named.into_iter().zip(found));
        }
        let (times, resample) = (parsed.times.seconds, terms.resample);
        let making = move || {
            let made = columns.into_iter().map(|(metric, cells)| {
                let metric = match metric {
                    Ok(metric) => metric,
                    Err(why) => return Made::Nothing(Err(why)),
                };
                let after = last.get(&metric).copied().flatten();
                let new = points(&times, &cells, after, resample);
                if !new.is_empty() {
                    return Made::Points(metric, new);
                }
                let is_known = !points(&times, &cells, None, resample).is_empty();
                Made::Nothing(if is_known {
                    Ok("processed - no new timestamps, all already known".to_owned())
                } else {
                    Err("no timestamps have value data".to_owned())
                })
            });
            Ok(made.collect())
        };
        Ok(blocking(making).await.unwrap_or_default())
    }

    /// Submits a column: what is to be told of it, or why it failed.
    async fn column(
        &mut self,
        made: Made,
        terms: &Terms,
        is_last: bool,
    ) -> Result<Result<String, String>, Stopped> {
        let (metric, new) = match made {
            Made::Nothing(told) => return Ok(told),
            Made::Points(metric, new) => (metric, new),
        };
        if terms.is_dry_run {
            let count = new.len();
            return Ok(Ok(format!(
                "processed - {count} data points submitted (dryrun: none was)"
            )));
        }
        let point = |sample: Sample| FluxPoint {
            metric: metric.clone(),
            timestamp: sample.timestamp,
            value: sample.value,
            fill: terms.ignores_submitted,
        };
        let all: Vec<FluxPoint> = new.into_iter().map(point).collect();
        let receipt = self.submit(&all, is_last).await?;
        if terms.ignores_submitted {
            self.have_sorted(&metric).await;
        }
        Ok(told(&receipt))
    }

    /// The timestamps of the newest points that were delivered. Redis is waited for.
    async fn last(&mut self, metrics: &[String]) -> Result<Vec<Option<i64>>, Stopped> {
        let metrics: Vec<&str> = metrics.iter().map(String::as_str).collect();
        loop {
            match self.site.intake.last(&metrics).await {
                Ok(last) => return Ok(last),
                Err(error) => {
                    self.wait(&error.to_string(), Duration::from_secs(1))
                        .await?
                }
            }
        }
    }

    /// Hands points over until they are taken, however long that takes. What is last in
    /// its file is waited for until it is delivered, and all before it with it: the
    /// file goes when this is done.
    async fn submit(&mut self, points: &[FluxPoint], is_last: bool) -> Result<Receipt, Stopped> {
        let mut sum = Receipt::default();
        let mut parts = points.chunks(POINTS_AT_ONCE).peekable();
        while let Some(part) = parts.next() {
            let is_last = is_last && parts.peek().is_none();
            let receipt = loop {
                let intake = &self.site.intake;
                let taken = match is_last {
                    true => intake.deliver(Origin::Upload, part.to_vec()).await,
                    false => intake.submit(Origin::Upload, part.to_vec()).await,
                };
                match taken {
                    Ok(receipt) => break receipt,
                    Err(Unavailable::Stopping) => return Err(Stopped),
                    Err(
                        why @ (Unavailable::Full { retry_after }
                        | Unavailable::Away { retry_after }
                        | Unavailable::Late { retry_after }),
                    ) => self.wait(&why.to_string(), retry_after).await?,
                }
            };
            sum.taken += receipt.taken;
            sum.already_received += receipt.already_received;
            sum.skipped += receipt.skipped;
            sum.too_old += receipt.too_old;
            sum.refused += receipt.refused;
        }
        Ok(sum)
    }

    async fn wait(&mut self, why: &str, time: Duration) -> Result<(), Stopped> {
        if self.site.handle.is_draining() {
            return Err(Stopped);
        }
        self.status.set("waiting", why);
        self.tell(true).await;
        tokio::time::sleep(time).await;
        self.status.remove("waiting");
        Ok(())
    }

    /// Points may have come behind newer ones: Skyline's analysis is asked to put the
    /// series in order.
    async fn have_sorted(&self, metric: &str) {
        // Roomba puts them in order too.
        if let Ok(mut redis) = self.site.intake.redis().await {
            let metric = self.site.intake.stored_name(metric);
            let key = "flux.sort_and_dedup.metrics";
            let _: RedisResult<()> = redis.sadd(key, &*metric).await;
        }
    }

    /// Writes the status, unless that was done just now.
    async fn tell(&mut self, is_due: bool) {
        if is_due || self.written.elapsed() > STATUS_EVERY {
            self.written = Instant::now();
            if let Err(error) = self.status.write(&self.site.intake).await {
                tracing::debug!(%error, "the status of an upload could not be written");
            }
        }
    }

    /// Keeps the files where that is wanted, writes the last status, and removes the
    /// upload.
    async fn finish(mut self) -> Result<(), Stopped> {
        if let Some(directory) = self.settings.save_dir.clone() {
            let job = self.job.clone();
            let saving = move || job.save(&directory).map_err(|error| error.to_string());
            if let Err(error) = blocking(saving).await {
                tracing::warn!("the files of an upload could not be saved: {error}");
                self.status
                    .set("warning", format!("the files could not be saved: {error}"));
            }
        }
        while self.status.write(&self.site.intake).await.is_err() {
            self.wait("redis", Duration::from_secs(1)).await?;
        }
        let directory = self.job.directory;
        let removing = move || std::fs::remove_dir_all(directory).map_err(|e| e.to_string());
        if let Err(error) = blocking(removing).await {
            tracing::warn!("the files of an upload could not be removed: {error}");
        }
        Ok(())
    }
}

/// What is told of a column's points.
fn told(receipt: &Receipt) -> Result<String, String> {
    let mut left_out = Vec::new();
    for (count, why) in [
        (receipt.too_old, "older than redis.full_duration_s"),
        (receipt.already_received, "already known"),
        (receipt.skipped, "skipped by horizon.skip"),
        (receipt.refused, "refused"),
    ] {
        if count > 0 {
            left_out.push(format!("{count} {why}"));
        }
    }
    let left_out = left_out.join(", ");
    match (receipt.taken, &*left_out) {
        (0, left_out) if receipt.already_received == 0 => Err(format!("none stored: {left_out}")),
        (taken, "") => Ok(format!("processed - {taken} data points submitted")),
        (taken, left_out) => Ok(format!(
            "processed - {taken} data points submitted, not stored: {left_out}"
        )),
    }
}

fn parse(path: &Path, terms: &Terms, settings: &FluxUploadsSettings) -> Result<Parsed, String> {
    let bounds = table::Bounds {
        cells_max: settings.cells_max,
    };
    let grid = match terms.format {
        Format::Csv => Grid::read_csv(path, terms.skip_rows, bounds)?,
        format => {
            let mut grid = workbook::read(path, format, bounds, settings.workbook_bytes_max)?;
            grid.skip(terms.skip_rows);
            grid
        }
    };
    let Table { names, columns } = grid.into_table(terms, bounds)?;
    let date = date_column(&names, &columns)?;
    let cells: Vec<&Cell> = columns[date].iter().collect();
    let times = time::read(&cells, &terms.timezone, terms.day_first)?;
    let others = names.into_iter().zip(columns).enumerate();
    let others = others.filter(|(at, _)| *at != date);
    let columns = others.map(|(_, (name, cells))| Column {
        metric: metric(&terms.namespace, &name),
        name,
        cells,
    });
    Ok(Parsed {
        columns: columns.collect(),
        times,
    })
}

/// The column that holds the times: the one called `date`, or else the only one with
/// dates in it.
fn date_column(names: &[String], columns: &[Vec<Cell>]) -> Result<usize, String> {
    let named = (0..names.len()).filter(|at| table::is_date(&names[*at]));
    let mut found: Vec<usize> = named.collect();
    if found.is_empty() {
        let has_dates = |at: &usize| {
            let cells: Vec<&Cell> = columns[*at].iter().take(100).collect();
            time::is_likely(&cells)
        };
        found = (0..columns.len()).filter(has_dates).collect();
    }
    match found[..] {
        [date] => Ok(date),
        [] => Err(
            "no date column: one must be called date, in the header or in \
                   columns_to_metrics"
                .to_owned(),
        ),
        _ => Err("more than one date column".to_owned()),
    }
}

fn metric(namespace: &str, column: &str) -> Result<String, String> {
    let part = metric_part(column);
    let part = part.trim_matches('.');
    let last = part.rsplit('.').next().unwrap_or_default();
    if part.is_empty() || part.contains("..") {
        return Err("its name has nothing that a metric's name may have".to_owned());
    }
    if last.len() > NAME_BYTES_MAX {
        return Err("its name is too long".to_owned());
    }
    Ok(format!("{namespace}.{part}"))
}

fn bounds(settings: &FluxUploadsSettings) -> archive::Bounds {
    archive::Bounds {
        bytes_max: settings.unpacked_bytes_max as u64,
        ratio_max: settings.ratio_max.into(),
        files_max: settings.files_max as usize,
    }
}

/// Runs what takes time on a thread made for waiting. A panic there is the file's
/// fault, and costs no other.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err("it cannot be read".to_owned()))
}
