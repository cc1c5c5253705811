//! What is fetched: each entry of `vista.fetch`, judged. A bad one disables itself
//! alone.

use std::collections::HashMap;
use std::sync::Arc;

use crate::logging::printable;
use crate::rules::Rules;
use crate::settings::{Fetch, RemoteHostType, Settings, Several};
use crate::source::graphite::{self, Render};
use crate::source::{Site, prometheus};
use crate::stats::DropReason;

/// Longest name of one part of a metric, which is a file or directory of Graphite.
const PART_BYTES_MAX: usize = 250;

/// An entry that is fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The metric's final name.
    pub metric: String,
    /// The entry as it was configured.
    pub fetch: Fetch,
    /// Where it is asked for, and with which login.
    pub site: Arc<Site>,
    /// How it is asked for.
    pub ask: Ask,
    /// Seconds between two fetches, at least a minute.
    pub frequency_s: i64,
    /// Whether history is fetched once.
    pub has_history: bool,
    /// What the operator should know, though it is no fault.
    pub notes: Vec<String>,
}

impl Entry {
    /// Whether gaps can be filled as history is, of which there must be one series.
    pub fn can_populate(&self) -> bool {
        self.fetch.several == Several::Error && !matches!(self.ask, Ask::PrometheusUri(_))
    }
}

/// How an entry is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Graphite's render API.
    Graphite(Render),
    /// Prometheus's `query_range`, a step each minute.
    PrometheusRange,
    /// A path and query of Prometheus that are sent as written.
    PrometheusUri(String),
}

/// An entry that is not fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Disabled {
    /// The metric's final name, or what is known of it.
    pub metric: String,
    /// The entry as it was configured.
    pub fetch: Fetch,
    /// What is wrong, and what would be right.
    pub fault: String,
}

/// What became of an entry of `vista.fetch`.
pub type Checked = Result<Arc<Entry>, Box<Disabled>>;

/// Judges every entry, in their order. Of two that would be stored under the same name,
/// the first keeps it.
pub fn check(settings: &Settings) -> Vec<Checked> {
    let rules = rules_here(settings);
    let mut names: HashMap<String, usize> = HashMap::new();
    let fetches = settings.vista.fetch.iter().enumerate();
    let checked = fetches.map(|(index, fetch)| {
        let entry = judge(fetch, settings.horizon.name_bytes_max).and_then(|entry| {
            let stored = stored(rules.as_ref(), &entry.metric)?;
            match names.get(&stored) {
                Some(first) => Err(format!(
                    "entry {} has the same name, {stored}: give one of them another \
                     graphite_target or namespace_prefix",
                    first + 1,
                )),
                None => Ok((entry, stored)),
            }
        });
        match entry {
            Ok((entry, stored)) => {
                names.insert(stored, index);
                Ok(Arc::new(entry))
            }
            Err(fault) => Err(Box::new(Disabled {
                metric: fallback_name(fetch),
                fetch: fetch.clone(),
                fault,
            })),
        }
    });
    checked.collect()
}

/// The rules by which points get their names here: on the way to carbon names stay as they
/// are.
pub(super) fn rules_here(settings: &Settings) -> Option<Rules> {
    let is_direct = settings.graphite.carbon_pickle.is_none();
    is_direct.then(|| Rules::new(settings))
}

/// The name under which a metric is stored, by the operator's rules.
pub(super) fn stored(rules: Option<&Rules>, metric: &str) -> Result<String, String> {
    let Some(rules) = rules else {
        return Ok(metric.to_owned());
    };
    match rules.stored(metric, |_| {}) {
        Ok(stored) => Ok(stored.into_owned()),
        Err(DropReason::Rule) => Err(format!("a [[rule]] drops {metric}")),
        Err(reason) => Err(format!(
            "a [[rule]] makes a bad name of {metric}: {}",
            reason.as_str()
        )),
    }
}

/// What an entry is called that has no good name.
fn fallback_name(fetch: &Fetch) -> String {
    let target = fetch.graphite_target.as_ref();
    let target = target.unwrap_or(&fetch.remote_target);
    match &fetch.namespace_prefix {
        Some(prefix) => format!("{prefix}.{target}"),
        None => target.clone(),
    }
}

fn judge(fetch: &Fetch, name_bytes_max: usize) -> Result<Entry, String> {
    let mut notes = Vec::new();
    let metric = final_name(fetch, &mut notes)?;
    if metric.len() > name_bytes_max {
        return Err(format!(
            "its name has {} bytes; horizon.name_bytes_max is {name_bytes_max}",
            metric.len()
        ));
    }
    let site = Site::of(fetch).map_err(|error| error.to_string())?;
    single_series(fetch)?;
    let ask = ask(fetch)?;
    let mut has_history = !fetch.populate_at_resolutions.is_empty();
    for text in &fetch.populate_at_resolutions {
        if !is_span(fetch.remote_host_type, text) {
            return Err(format!(
                "populate_at_resolutions: expected spans such as \"7days\" or \"24hours\" for \
                 Graphite, \"15d\" for Prometheus, found {:?}",
                printable(text)
            ));
        }
    }
    if matches!(ask, Ask::PrometheusUri(_)) && has_history {
        has_history = false;
        notes.push(
            "populate_at_resolutions is not used with a uri of your own: set uri = \"default\""
                .to_owned(),
        );
    }
    if fetch.several == Several::First && has_history {
        has_history = false;
        notes.push("populate_at_resolutions is not used with several = \"first\"".to_owned());
    }
    if fetch.frequency < 60 {
        notes.push(format!(
            "frequency {} is taken as 60: only whole minutes are fetched",
            fetch.frequency
        ));
    }
    Ok(Entry {
        metric,
        fetch: fetch.clone(),
        site: Arc::new(site),
        ask,
        frequency_s: i64::from(fetch.frequency.max(60)),
        has_history,
        notes,
    })
}

/// Prefix and target, joined by a dot. The prefix is used exactly as it is written; in
/// the target each run of characters that Graphite's names cannot have becomes a `_`.
fn final_name(fetch: &Fetch, notes: &mut Vec<String>) -> Result<String, String> {
    let target = match &fetch.graphite_target {
        Some(target) => target,
        None if is_plain(&fetch.remote_target) => &fetch.remote_target,
        None => {
            return Err(format!(
                "graphite_target is missing: {:?} is no plain dotted name to store it under",
                printable(&fetch.remote_target)
            ));
        }
    };
    let cleaned = clean(target);
    if cleaned != *target {
        notes.push(format!(
            "graphite_target {:?} is stored as {cleaned}",
            printable(target)
        ));
    }
    if !is_plain(&cleaned) {
        return Err(format!(
            "graphite_target: expected a plain dotted name such as \"servers.web01.load\", found \
             {:?}",
            printable(target)
        ));
    }
    let Some(prefix) = &fetch.namespace_prefix else {
        return Ok(cleaned);
    };
    if prefix.ends_with('.') {
        return Err(format!(
            "namespace_prefix {:?} ends with a dot, which is added: remove it",
            printable(prefix)
        ));
    }
    if !is_plain(prefix) {
        return Err(format!(
            "namespace_prefix: expected a plain dotted name such as \"vista.example_org\", found \
             {:?}",
            printable(prefix)
        ));
    }
    Ok(format!("{prefix}.{cleaned}"))
}

fn is_plain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-".contains(c)
}

/// Whether Graphite can store a metric under this name as it is.
fn is_plain(name: &str) -> bool {
    let is_part = |part: &str| (1..=PART_BYTES_MAX).contains(&part.len());
    name.chars().all(is_plain_char) && name.split('.').all(is_part)
}

fn clean(name: &str) -> String {
    let mut cleaned = String::with_capacity(name.len());
    let mut is_in_run = false;
    for c in name.chars() {
        let is_good = is_plain_char(c);
        if is_good {
            cleaned.push(c);
        } else if !is_in_run {
            cleaned.push('_');
        }
        is_in_run = !is_good;
    }
    cleaned
}

/// A wildcard outside of a function names several series, if not today then one day.
fn single_series(fetch: &Fetch) -> Result<(), String> {
    let target = &fetch.remote_target;
    let is_bare_wildcard = fetch.remote_host_type == RemoteHostType::Graphite
        && !target.contains('(')
        && target.contains(['*', '?', '[', '{']);
    if is_bare_wildcard && fetch.several == Several::Error {
        return Err(format!(
            "remote_target {:?} may name several series: put it in a function that makes one of \
             them, such as sumSeries(...), or set several = \"first\"",
            printable(target)
        ));
    }
    Ok(())
}

fn ask(fetch: &Fetch) -> Result<Ask, String> {
    match (fetch.remote_host_type, fetch.uri.as_str()) {
        (RemoteHostType::Graphite, text) => match Render::parse(text) {
            Ok(render) if render.span_s().is_some() => Ok(Ask::Graphite(render)),
            Ok(_) => Err(format!(
                "uri: expected from to be a span back from now, such as from=-10minutes, found {:?}",
                printable(text)
            )),
            Err(error) => Err(error.to_string()),
        },
        (RemoteHostType::Prometheus, "default") => Ok(Ask::PrometheusRange),
        (RemoteHostType::Prometheus, text) if text.starts_with('/') => {
            Ok(Ask::PrometheusUri(text.to_owned()))
        }
        (RemoteHostType::Prometheus, text) => Err(format!(
            "uri: expected \"default\", or a path and query such as \
             \"/api/v1/query?query=up%5B5m%5D\", found {:?}",
            printable(text)
        )),
    }
}

fn is_span(host_type: RemoteHostType, text: &str) -> bool {
    match host_type {
        RemoteHostType::Graphite => graphite::windows(&[text.to_owned()], 1 << 40).is_ok(),
        RemoteHostType::Prometheus => prometheus::duration_s(text).is_some(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::path::Path;

    /// Settings of this TOML.
    pub fn settings(text: &str) -> Settings {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("skyring.toml");
        std::fs::write(&file, text).unwrap();
        Settings::load(Some(Path::new(&file)), &[]).unwrap()
    }

    /// The entries of these tables, each without its `[[vista.fetch]]`.
    pub fn checked(tables: &[String]) -> Vec<Checked> {
        let tables = tables
            .iter()
            .map(|table| format!("[[vista.fetch]]\n{table}\n"));
        check(&settings(&tables.collect::<String>()))
    }

    /// The table of a metric of a Graphite or Prometheus.
    pub fn table(host_type: &str, target: &str, more: &str) -> String {
        format!(
            "remote_host = 'http://source.example.org'\nremote_host_type = '{host_type}'\n\
             remote_target = '{target}'\n{more}"
        )
    }

    /// A plain entry of a Graphite.
    pub fn graphite() -> Entry {
        Entry::clone(
            checked(&[table("graphite", "a.b", "")])[0]
                .as_ref()
                .unwrap(),
        )
    }

    /// A plain entry of a Prometheus.
    pub fn prometheus() -> Entry {
        Entry::clone(
            checked(&[table("prometheus", "up", "")])[0]
                .as_ref()
                .unwrap(),
        )
    }

    fn fault(table: String) -> String {
        checked(&[table]).remove(0).unwrap_err().fault
    }

    #[test]
    fn names_are_prefixed_as_written_and_cleaned() {
        let checked = checked(&[
            table(
                "graphite",
                "stats.etcd-1.cpu.user",
                "namespace_prefix = 'vista.graphite_example_org'",
            ),
            table(
                "prometheus",
                "job:up:sum",
                "graphite_target = 'a3/é(x)%y:z'",
            ),
        ]);
        let entry = checked[0].as_ref().unwrap();
        assert_eq!(
            entry.metric,
            "vista.graphite_example_org.stats.etcd-1.cpu.user"
        );
        assert!(entry.notes.is_empty());
        let entry = checked[1].as_ref().unwrap();
        assert_eq!(entry.metric, "a3_x_y_z");
        assert_eq!(entry.notes.len(), 1, "{:?}", entry.notes);
    }

    #[test]
    fn a_bad_entry_disables_itself_alone_and_says_what_would_be_right() {
        let good = table("graphite", "a.b", "");
        for (bad, what) in [
            (
                table("prometheus", "up{a=\"b\"}", ""),
                "graphite_target is missing",
            ),
            (
                table("graphite", "a.c", "namespace_prefix = 'x.'"),
                "ends with a dot",
            ),
            (
                table("graphite", "a.c", "namespace_prefix = 'x y'"),
                "namespace_prefix: expected",
            ),
            (
                table("graphite", "a.c", "graphite_target = 'x..y'"),
                "graphite_target: expected",
            ),
            (
                table("graphite", "a.*.c", "graphite_target = 'x'"),
                "sumSeries(...)",
            ),
            (table("graphite", "a.c", "uri = '/render'"), "uri: expected"),
            (
                table("prometheus", "up", "uri = 'api'"),
                "uri: expected \"default\"",
            ),
            (
                table("graphite", "a.c", "populate_at_resolutions = ['x']"),
                "expected spans",
            ),
            (
                table("graphite", "a.c", "token = 't'\nuser = 'u'"),
                "two logins",
            ),
            (
                table("graphite", "a.c", "password = 'p'"),
                "password needs a user",
            ),
            (
                table("graphite", "a.c", "token = 't'\ntoken_file = '/x'"),
                "token_file are both",
            ),
            (
                table("graphite", "a.c", "token_file = '/nowhere/x'"),
                "cannot read /nowhere/x",
            ),
            (
                table("graphite", "a.b", ""),
                "entry 1 has the same name, a.b",
            ),
        ] {
            let checked = checked(&[good.clone(), bad]);
            assert!(checked[0].is_ok());
            let fault = &checked[1].as_ref().unwrap_err().fault;
            assert!(fault.contains(what) && !fault.contains('\n'), "{fault}");
        }
    }

    // A function makes one series of many, and who asks for the first gets it.
    #[test]
    fn a_wildcard_is_for_functions_and_for_those_who_want_the_first() {
        let name = "graphite_target = 'x'";
        let function = table("graphite", "sumSeries(stats.*.procs_running)", name);
        assert!(checked(&[function])[0].is_ok());
        let first = format!("{name}\nseveral = 'first'");
        assert!(checked(&[table("graphite", "stats.*.x", &first)])[0].is_ok());
        // In a Prometheus expression these characters mean something else.
        assert!(checked(&[table("prometheus", "rate(a[5m])", name)])[0].is_ok());
        assert!(fault(table("graphite", "stats.{a,b}", name)).contains("several series"));
    }

    #[test]
    fn secrets_come_from_files_too_and_are_shown_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "from-the-file\n").unwrap();
        let more = format!("user = 'u'\npassword_file = '{}'", file.display());
        let checked = checked(&[table("graphite", "a.b", &more)]);
        let entry = checked[0].as_ref().unwrap();
        let password = entry.fetch.password().unwrap().unwrap();
        assert_eq!(password.expose(), "from-the-file");
        assert!(!format!("{entry:?}").contains("from-the-file"));
    }

    #[test]
    fn history_is_not_fetched_with_an_own_uri() {
        let spans = |spans: &str| format!("populate_at_resolutions = {spans}\n");
        let uri = "uri = '/api/v1/query?query=up'";
        let checked = checked(&[
            table("graphite", "a.b", &spans("['6hours', '90days', '7d']")),
            table("prometheus", "up", &(spans("['15d']") + uri)),
        ]);
        assert!(checked[0].as_ref().unwrap().has_history);
        assert!(!checked[1].as_ref().unwrap().has_history);
        assert_eq!(checked[1].as_ref().unwrap().notes.len(), 1);
    }

    // Both would have one last point, and one of them would never be newer.
    #[test]
    fn names_are_compared_as_rules_make_them_where_points_are_stored_directly() {
        let entries = ["web1.load", "web2.load", "probe.x", "db.load"];
        let tables = entries.map(|target| {
            let table = table("graphite", target, "");
            format!("[[vista.fetch]]\n{table}\n")
        });
        let rules = "[[rule]]\nmatch = '^web\\d\\.'\naction = 'rename'\nto = 'web.'\n\
                     [[rule]]\nprefix = 'probe.'\naction = 'drop'\n";
        let faults = |more: &str| -> Vec<String> {
            let checked = check(&settings(&format!("{}{rules}{more}", tables.concat())));
            let fault = |entry: Checked| entry.map_or_else(|it| it.fault, |_| String::new());
            checked.into_iter().map(fault).collect()
        };
        let told = faults("");
        assert!(
            told[1].starts_with("entry 1 has the same name, web.load"),
            "{told:?}"
        );
        assert_eq!(told[2], "a [[rule]] drops probe.x");
        assert_eq!((&*told[0], &*told[3]), ("", ""));
        assert_eq!(
            faults("[graphite]\ncarbon_pickle = '127.0.0.1:2004'\n"),
            ["", "", "", ""]
        );
    }
}
