//! `skyring generate`: the files that go with a server. Most are a text under
//! `src/generate/` in which `@NAME@` stands for a value of the configuration or of
//! the command line; what tells of metrics is made from their catalogue.

mod alerts;
mod grafana;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::catalogue;
use crate::cli::{self, EXIT_USAGE, print, tell};
use crate::settings::{DEFAULT_FILE, Settings};

/// Time that the end of the server may take besides `drain_s`, in seconds: the
/// listeners', the shards' and the private Redis's own, and some more.
const STOP_SLACK_S: u32 = 40;
/// Open files of the unit, unless the configuration may need more.
const FILES_MIN: u64 = 65_536;
/// What a form has besides the files that are uploaded with it.
const UPLOAD_SLACK_BYTES: usize = 64 << 10;
/// Open files besides the connections.
const FILES_RESERVE: u64 = 4096;

/// The options of `skyring generate`.
#[derive(Args, Clone, Debug)]
#[group(skip)] // Its name would be that of the options within it.
pub struct Options {
    /// What to print
    #[arg(value_enum)]
    pub thing: Thing,
    /// Path of the skyring binary; without it that of this one
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,
    /// User that the server runs as (unit)
    #[arg(long, default_value = "skyring")]
    pub user: String,
    /// Skyline's PID_PATH (horizon.d)
    #[arg(long, value_name = "DIR", default_value = "/var/run/skyline")]
    pub pid_path: PathBuf,
    /// Skyline's LOG_PATH (horizon.d)
    #[arg(long, value_name = "DIR", default_value = "/var/log/skyline")]
    pub log_path: PathBuf,
    /// The server's certificate (nginx)
    #[arg(long, value_name = "FILE", default_value = "/etc/nginx/skyring.crt")]
    pub certificate: PathBuf,
    /// Its private key (nginx)
    #[arg(long, value_name = "FILE", default_value = "/etc/nginx/skyring.key")]
    pub certificate_key: PathBuf,
    /// Users and their passwords, as htpasswd makes it (nginx)
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/nginx/skyring.htpasswd"
    )]
    pub htpasswd: PathBuf,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub settings: cli::Options,
}

/// What can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Thing {
    /// The systemd unit: /etc/systemd/system/skyring.service
    Unit,
    /// Skyline's service script, for Skyring: start, stop, restart, status, run
    #[value(name = "horizon.d")]
    HorizonD,
    /// nginx in front of the page for operators and of Flux
    Nginx,
    /// HAProxy in front of several servers' TCP listeners
    Haproxy,
    /// A sample configuration: every setting with its comment and default
    Config,
    /// What goes into carbon-relay's carbon.conf and relay-rules.conf
    CarbonRelay,
    /// A carbon-c-relay configuration
    CarbonCRelay,
    /// What /metrics shows, as Markdown: each metric, and when to worry
    Metrics,
    /// A Grafana dashboard, to be imported
    Grafana,
    /// Alert rules for Prometheus
    Alerts,
}

/// Prints what the options name.
pub fn run(options: &Options, settings: &Settings) -> ExitCode {
    match text(options, settings) {
        Ok(text) => print(&text),
        Err(fault) => tell(EXIT_USAGE, &fault.to_string()),
    }
}

/// Why a file cannot be generated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error(
        "{what}: {text:?} must be of letters, digits and any of / . _ - + @ only, and a path \
         absolute: it goes into a file where other characters would mean something else"
    )]
    Unsafe { what: &'static str, text: String },
}

fn text(options: &Options, settings: &Settings) -> Result<String, Fault> {
    let template = match options.thing {
        Thing::Unit => include_str!("generate/skyring.service"),
        Thing::HorizonD => include_str!("generate/horizon.d"),
        Thing::Nginx => include_str!("generate/nginx.conf"),
        Thing::Haproxy => include_str!("generate/haproxy.cfg"),
        Thing::Config => return Ok(sample()),
        Thing::CarbonRelay => include_str!("generate/carbon-relay.conf"),
        Thing::CarbonCRelay => include_str!("generate/carbon-c-relay.conf"),
        Thing::Metrics => return Ok(catalogue::markdown()),
        Thing::Grafana => return Ok(grafana::text()),
        Thing::Alerts => return Ok(alerts::text()),
    };
    let running = std::env::current_exe().ok();
    let binary = options.binary.as_deref().or(running.as_deref());
    let binary = binary.unwrap_or(Path::new("/usr/bin/skyring"));
    let config = options.settings.config.as_deref();
    let stop_s = settings.drain_s + STOP_SLACK_S;
    let files = u64::from(settings.horizon.connections_max) + FILES_RESERVE;
    let pickle = reachable(settings.horizon.pickle.first(), 2024);
    let admin = reachable(settings.admin.listen.as_ref(), 2080);
    let flux = reachable(settings.flux.listen.first(), 8000);
    let uploads = &settings.flux_uploads;
    let values = [
        ("@BINARY@", path("--binary", binary)?),
        (
            "@CONFIG@",
            path("--config", config.unwrap_or(Path::new(DEFAULT_FILE)))?,
        ),
        ("@USER@", word("--user", &options.user)?.to_owned()),
        ("@PID_PATH@", path("--pid-path", &options.pid_path)?),
        ("@LOG_PATH@", path("--log-path", &options.log_path)?),
        ("@STOP_S@", stop_s.to_string()),
        ("@FILES@", files.max(FILES_MIN).to_string()),
        ("@PICKLE@", pickle.to_string()),
        ("@ADMIN@", admin.to_string()),
        ("@ADMIN_PORT@", admin.port().to_string()),
        ("@FLUX@", flux.to_string()),
        ("@BODY_BYTES@", settings.flux.body_bytes_max.to_string()),
        (
            "@UPLOAD_BYTES@",
            (uploads.bytes_max + UPLOAD_SLACK_BYTES).to_string(),
        ),
        ("@UPLOAD_S@", uploads.receive_s.to_string()),
        (
            "@CERTIFICATE@",
            path("--certificate", &options.certificate)?,
        ),
        (
            "@CERTIFICATE_KEY@",
            path("--certificate-key", &options.certificate_key)?,
        ),
        ("@HTPASSWD@", path("--htpasswd", &options.htpasswd)?),
    ];
    let fill = |text: String, (name, value): &(&str, String)| text.replace(name, value);
    Ok(values.iter().fold(template.to_owned(), fill))
}

/// The default configuration with every setting commented out: `#name = value`, where
/// `# ` begins a comment.
fn sample() -> String {
    let mut sample = String::from(
        "# Skyring's configuration. What is commented out has the value that stands here,\n\
         # and where that is localhost, the host's own name.\n",
    );
    let default = Settings::of_no_host();
    for line in default.to_toml_with(&default).lines() {
        if !(line.is_empty() || line.starts_with(['#', '['])) {
            sample.push('#');
        }
        sample.push_str(line);
        sample.push('\n');
    }
    sample
}

/// A text as a JSON string, which YAML reads too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where a listener is reached from this host.
fn reachable(listen: Option<&SocketAddr>, port: u16) -> SocketAddr {
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    match listen {
        None => local(port),
        Some(listen) if listen.ip().is_unspecified() => local(listen.port()),
        Some(listen) => *listen,
    }
}

fn path(what: &'static str, path: &Path) -> Result<String, Fault> {
    let text = path.to_string_lossy();
    if !path.is_absolute() {
        let text = text.into_owned();
        return Err(Fault::Unsafe { what, text });
    }
    word(what, &text).map(str::to_owned)
}

fn word<'a>(what: &'static str, text: &'a str) -> Result<&'a str, Fault> {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    if text.is_empty() || text.starts_with('-') || !text.chars().all(is_safe) {
        let text = text.to_owned();
        return Err(Fault::Unsafe { what, text });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(thing: Thing) -> Options {
        Options {
            thing,
            binary: None,
            user: "skyring".to_owned(),
            pid_path: "/var/run/skyline".into(),
            log_path: "/var/log/skyline".into(),
            certificate: "/etc/nginx/skyring.crt".into(),
            certificate_key: "/etc/nginx/skyring.key".into(),
            htpasswd: "/etc/nginx/skyring.htpasswd".into(),
            settings: cli::Options::default(),
        }
    }

    #[test]
    fn every_thing_has_all_its_values() {
        for thing in Thing::value_variants() {
            let text = text(&options(*thing), &Settings::default()).unwrap();
            assert!(text.is_ascii() && text.ends_with('\n'), "{thing:?}");
            let left = text.split('@').skip(1).step_by(2).find(|part| {
                !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            });
            assert_eq!(left, None, "{thing:?}");
        }
    }

    /// A metric that is renamed, or that never was, would leave an alert silent for ever.
    #[test]
    fn alerts_and_dashboard_name_metrics_that_there_are() {
        let of = |thing| text(&options(thing), &Settings::default()).unwrap();
        for text in [of(Thing::Alerts), of(Thing::Grafana)] {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let words = text.split(|c| !is_word(c));
            let mut names = words.filter(|word| word.starts_with("skyring_")).peekable();
            assert!(names.peek().is_some());
            for name in names {
                let plain = name.strip_suffix("_bucket").unwrap_or(name);
                assert!(
                    catalogue::all().any(|metric| metric.name == plain),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn the_values_are_those_of_the_configuration() {
        let sets = [
            "drain_s=100",
            "horizon.connections_max=200000",
            "horizon.pickle=['0.0.0.0:2124']",
            "admin.listen='[::1]:99'",
            "flux.listen=['0.0.0.0:8123']",
            "flux.uploads.bytes_max=1048576",
        ];
        let settings = Settings::load(None, &sets.map(str::to_owned)).unwrap();
        let text = |thing| text(&options(thing), &settings).unwrap();
        let unit = text(Thing::Unit);
        assert!(unit.contains("\nTimeoutStopSec=140\n"), "{unit}");
        assert!(unit.contains("\nLimitNOFILE=204096\n"), "{unit}");
        assert!(text(Thing::CarbonRelay).contains("127.0.0.1:2124"));
        let nginx = text(Thing::Nginx);
        assert!(nginx.contains("http://[::1]:99;"), "{nginx}");
        assert!(nginx.contains("http://127.0.0.1:8123;"), "{nginx}");
        assert!(nginx.contains("client_max_body_size 1114112;"), "{nginx}");
    }

    // The values go into a shell script and a unit file.
    #[test]
    fn words_that_could_mean_more_are_refused() {
        for bad in ["", "a b", "a;b", "$(a)", "-x", "a\nb", "a'b", "%i"] {
            let options = Options {
                user: bad.to_owned(),
                ..options(Thing::Unit)
            };
            assert!(text(&options, &Settings::default()).is_err(), "{bad:?}");
        }
        let options = Options {
            binary: Some("bin/skyring".into()),
            ..options(Thing::Unit)
        };
        let fault = text(&options, &Settings::default()).unwrap_err();
        assert!(
            fault
                .to_string()
                .starts_with("--binary: \"bin/skyring\" must")
        );
    }

    #[test]
    fn the_sample_changes_nothing_until_a_setting_is_uncommented() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("skyring.toml");
        fn is_empty(section: &toml::Value) -> bool {
            section
                .as_table()
                .is_some_and(|table| table.values().all(is_empty))
        }
        let load = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Settings::load(Some(&file), &[]).unwrap()
        };
        assert_eq!(load(&sample()), Settings::default());
        assert!(
            toml::from_str::<toml::Table>(&sample())
                .unwrap()
                .values()
                .all(is_empty)
        );
        let uncommented: Vec<String> = sample()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') => setting.to_owned(),
                _ => line.to_owned(),
            })
            .collect();
        assert_eq!(load(&uncommented.join("\n")), Settings::of_no_host());
        let changed = sample().replace("#drain_s = 20", "drain_s = 21");
        assert_eq!(load(&changed).drain_s, 21);
    }
}
