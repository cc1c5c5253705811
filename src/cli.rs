//! The command line: what it looks like, what each way out means, and the commands
//! that need no running server.
//!
//! Exit codes: 0 done, 1 failed, 2 bad usage or configuration. Errors are one line
//! each on standard error.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::logging::printable;
use crate::settings::{DEFAULT_FILE, Settings, SettingsError};
use crate::{generate, get, host, import, manual, owner, roomba, send, test_rules, top, vista};

/// The command did not do what it was asked for.
pub const EXIT_FAILED: u8 = 1;

/// The command line or the configuration is at fault.
pub const EXIT_USAGE: u8 = 2;

/// Takes a whole carbon-relay stream into the Redis of a Skyline installation
#[derive(Debug, Parser)]
#[command(name = "skyring", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything that the configuration turns on, until SIGTERM or SIGINT
    ///
    /// Once everything listens and Redis has answered, one line is printed: "ready" and
    /// a JSON object of the bound addresses. Logs go to standard error.
    Serve(Options),
    /// Check the configuration and this host, and print the worst-case memory
    ///
    /// Every fault is a line with the way to mend it. Ends with 1 if there is any.
    Check(Options),
    /// Trim every series in Redis to its length, in order and without duplicates
    ///
    /// Every series is read as a whole. Other programs may write meanwhile.
    Trim(TrimOptions),
    /// Print the configuration as TOML, each setting with its comment
    Config {
        /// Print the defaults instead of what is in effect
        #[arg(long)]
        default: bool,
        #[allow(missing_docs)]
        #[command(flatten)]
        options: Options,
    },
    /// Print a Skyline settings.py as TOML, without running it
    ///
    /// What cannot be carried over is told on standard error, with its line.
    Import {
        /// Skyline's settings.py
        file: PathBuf,
    },
    /// Send one point, or lines of "name value timestamp" from standard input
    ///
    /// A missing timestamp or -1 means now. Lines that are no points are told with their
    /// numbers and left out; if there was any, the command ends with 1.
    Send(send::Options),
    /// Print a metric's points from Redis, oldest first: "timestamp value"
    ///
    /// Ends with 1 if there is no such metric, or if some of it cannot be read.
    Get {
        /// The metric's name, without redis.namespace
        metric: String,
        /// Draw the points instead of listing them
        #[arg(long)]
        plot: bool,
        #[allow(missing_docs)]
        #[command(flatten)]
        options: Options,
    },
    /// Print for each metric the node of the cluster that owns it: "METRIC NODE"
    ///
    /// Without METRIC, names are read from standard input, one on a line. Ends with 1 if
    /// there was a name that no node would store.
    Owner {
        /// The metric's name, without redis.namespace
        metric: Vec<OsString>,
        #[allow(missing_docs)]
        #[command(flatten)]
        options: Options,
    },
    /// Watch a running server in the terminal: what its page shows, every two seconds
    ///
    /// q ends it, t shows other talkers.
    Top(top::TopOptions),
    /// Print what would become of metrics, and by which rule, list or node
    ///
    /// Names are read from standard input, one on a line. What other programs have put
    /// into the skip hashes in Redis is not looked at.
    TestRules {
        /// Print each as one line of JSON
        #[arg(long)]
        json: bool,
        #[allow(missing_docs)]
        #[command(flatten)]
        options: Options,
    },
    /// Try what is fetched from Graphite and Prometheus
    #[command(subcommand)]
    Vista(VistaCommand),
    /// Print a file that goes with a server, such as its unit file
    ///
    /// What the file says of ports and limits is what the configuration says.
    Generate(generate::Options),
    /// Print the script that completes this command line in a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or that of one command
    Man {
        /// The command
        command: Option<String>,
    },
    /// Print the rows of a spreadsheet; what a running server calls to read one
    #[command(hide = true)]
    ReadWorkbook {
        /// xls or xlsx
        kind: String,
        /// Most memory, in bytes
        memory_bytes_max: u64,
        /// The file
        file: PathBuf,
    },
}

/// What can be tried of Vista.
#[derive(Clone, Debug, Subcommand)]
pub enum VistaCommand {
    /// Fetch one entry now, and show what was asked, what came, and what of it would be
    /// submitted
    ///
    /// Nothing is submitted. Ends with 1 if the entry is at fault, or if its source does
    /// not answer as it should.
    Test {
        /// The metric's final name, or its remote_target
        name: String,
        #[allow(missing_docs)]
        #[command(flatten)]
        options: Options,
    },
}

/// How series are trimmed by hand.
#[derive(Args, Clone, Debug)]
pub struct TrimOptions {
    /// Make one pass and end; a running server makes them by itself
    #[arg(long, required = true)]
    pub once: bool,
    /// Change nothing, and say what would be changed
    #[arg(long)]
    pub dry_run: bool,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub options: Options,
}

/// Where the configuration comes from.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Configuration file; without it /etc/skyring/skyring.toml if that exists, else the
    /// defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting, over those of the file; the value is TOML or a bare string
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub sets: Vec<String>,
}

impl Options {
    /// The settings that the options lead to.
    ///
    /// # Errors
    ///
    /// Every fault of the file and of the options.
    pub fn load(&self) -> Result<Settings, SettingsError> {
        let default = Path::new(DEFAULT_FILE);
        // One that is there but cannot be looked at is a fault, not an absence.
        let default = default.try_exists().unwrap_or(true).then_some(default);
        Settings::load(self.config.as_deref().or(default), &self.sets)
    }
}

/// Runs the command line `args`, the program's name first. `serve` runs the server,
/// and has the options to load the settings again;
/// `shard_bytes` names what each shard holds at most besides the shared buffers, in
/// bytes, for the table of `check`.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    serve: impl FnOnce(Settings, &Options) -> ExitCode,
    shard_bytes: impl FnOnce(&Settings) -> Vec<(&'static str, u64)>,
) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return tell_usage(&error),
    };
    match cli.command {
        Command::Serve(options) => match options.load() {
            Ok(settings) => serve(settings, &options),
            Err(error) => tell(EXIT_USAGE, &error.to_string()),
        },
        Command::Check(options) => match options.load() {
            Ok(settings) => check(&settings, &shard_bytes(&settings)),
            Err(error) => tell(EXIT_USAGE, &error.to_string()),
        },
        Command::Trim(trim) => with_settings(&trim.options, |settings| {
            roomba::trim_once(settings, trim.dry_run)
        }),
        Command::Config { default, options } => config(default, &options),
        Command::Owner { metric, options } => {
            with_settings(&options, |settings| owner::run(settings, metric))
        }
        Command::TestRules { json, options } => {
            with_settings(&options, |settings| test_rules::run(settings, json))
        }
        Command::Import { file } => import::run(&file),
        Command::Send(options) => send::run(&options),
        Command::Get {
            metric,
            plot,
            options,
        } => with_settings(&options, |settings| get::run(settings, &metric, plot)),
        Command::Vista(VistaCommand::Test { name, options }) => {
            with_settings(&options, |settings| vista::trial::run(settings, &name))
        }
        Command::Top(top) => with_settings(&top.options, |settings| {
            top::run(top.url.as_deref(), settings)
        }),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { command } => manual::man(command.as_deref()),
        Command::Generate(options) => with_settings(&options.settings, |settings| {
            generate::run(&options, settings)
        }),
        Command::ReadWorkbook {
            kind,
            memory_bytes_max,
            file,
        } => crate::flux::uploads::workbook::print(&kind, memory_bytes_max, &file),
    }
}

fn with_settings(options: &Options, run: impl FnOnce(&Settings) -> ExitCode) -> ExitCode {
    match options.load() {
        Ok(settings) => run(&settings),
        Err(error) => tell(EXIT_USAGE, &error.to_string()),
    }
}

/// Prints what all checks of the host find; fails if there is a fault.
pub fn check(settings: &Settings, shard_bytes: &[(&str, u64)]) -> ExitCode {
    let report = host::check(settings, shard_bytes);
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = io::stdout().is_terminal() && !no_colour;
    let printed = print(&report.to_text(colour));
    if report.has_fault() {
        ExitCode::from(EXIT_FAILED)
    } else {
        printed
    }
}

/// Prints the settings in effect, or the defaults.
pub fn config(default: bool, options: &Options) -> ExitCode {
    if default {
        return print(&Settings::default().to_toml());
    }
    match options.load() {
        Ok(settings) => print(&settings.to_toml()),
        Err(error) => tell(EXIT_USAGE, &error.to_string()),
    }
}

/// Writes `message`, whose lines are one error each, to standard error; returns `code`.
pub fn tell(code: u8, message: &str) -> ExitCode {
    let mut stderr = io::stderr().lock();
    for line in message.lines() {
        // Nobody is left to be told if this fails.
        let _ = writeln!(stderr, "skyring: {}", printable(line));
    }
    ExitCode::from(code)
}

/// Writes to standard output. A reader that has gone away, such as `head`, is no
/// failure.
pub(crate) fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => tell(
            EXIT_FAILED,
            &format!("cannot write to standard output: {error}"),
        ),
    }
}

fn tell_usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            if io::stdout().is_terminal() {
                // It prints in colour.
                let _ = error.print();
                return ExitCode::SUCCESS;
            }
            print(&error.render().to_string())
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => tell(
            EXIT_USAGE,
            "a command is missing; skyring --help lists them",
        ),
        _ => tell(EXIT_USAGE, &one_line(&error.render().to_string())),
    }
}

/// clap's words on one line: what is wrong, its tips, and where to find help, without
/// the usage.
fn one_line(rendered: &str) -> String {
    let text = rendered.split("\n\nUsage:").next().unwrap_or_default();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let (text, _) = text
        .split_once("\n\nFor more information")
        .unwrap_or((text, ""));
    let words: Vec<&str> = text.split_whitespace().collect();
    format!("{}; see --help", words.join(" ").replace(" tip: ", "; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["skyring"], args].concat())
    }

    fn usage_error(args: &[&str]) -> String {
        one_line(&parse(args).unwrap_err().render().to_string())
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_options_reach_their_command() {
        let cli = parse(&[
            "serve",
            "--set",
            "shards=1",
            "--config",
            "/x",
            "--set",
            "drain_s=2",
        ]);
        let Command::Serve(options) = cli.unwrap().command else {
            panic!("not serve")
        };
        assert_eq!(options.config.as_deref(), Some(Path::new("/x")));
        assert_eq!(options.sets, ["shards=1", "drain_s=2"]);
        let cli = parse(&["config", "--default"]).unwrap();
        assert!(matches!(cli.command, Command::Config { default: true, .. }));
    }

    #[test]
    fn a_usage_error_is_one_line_that_names_the_argument() {
        let error = usage_error(&["serve", "--confg", "x"]);
        assert!(
            error.starts_with("unexpected argument '--confg' found"),
            "{error}"
        );
        assert!(
            error.contains("'--config'") && error.ends_with("; see --help"),
            "{error}"
        );
        let error = usage_error(&["serv"]);
        assert!(
            error.starts_with("unrecognized subcommand 'serv'"),
            "{error}"
        );
        let error = usage_error(&["serve", "--set"]);
        assert!(
            error.starts_with("a value is required for '--set"),
            "{error}"
        );
        assert!(!error.contains('\n'));
    }

    fn exit(args: &[&str]) -> ExitCode {
        let args = ["skyring"].iter().chain(args).map(OsString::from);
        run(args, |_, _| ExitCode::from(77), |_| Vec::new())
    }

    #[test]
    fn bad_usage_and_bad_configuration_end_with_2_before_serving() {
        for args in [
            &["nonsense"][..],
            &[],
            &["serve", "--set", "shards=x"],
            &["serve", "--config", "/nowhere/x"],
            &["check", "--set", "shards=x"],
            &["config", "--set", "shards=x"],
            &["owner", "a.b", "--set", "shards=x"],
        ] {
            assert_eq!(exit(args), ExitCode::from(EXIT_USAGE), "{args:?}");
        }
        assert_eq!(exit(&["serve", "--set", "shards=1"]), ExitCode::from(77));
    }
}
