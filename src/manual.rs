//! `skyring man` and `skyring completions`: made from the definition of the command
//! line, so that they say what it says. Beside them, the pages that the README leads to.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::{Cli, EXIT_FAILED, EXIT_USAGE, print, tell};
use crate::settings::DEFAULT_FILE;

#[doc = include_str!("manual/flux.md")]
pub mod flux {}

#[doc = include_str!("manual/listeners.md")]
pub mod listeners {}

#[doc = include_str!("manual/operation.md")]
pub mod operation {}

#[doc = include_str!("manual/several.md")]
pub mod several {}

#[doc = include_str!("manual/takeover.md")]
pub mod takeover {}

#[doc = include_str!("manual/trimming.md")]
pub mod trimming {}

#[doc = include_str!("manual/uploads.md")]
pub mod uploads {}

#[doc = include_str!("manual/vista.md")]
pub mod vista {}

/// Prints the completion script of a shell.
pub fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "skyring", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints the page of the program as a whole, or of one of its commands.
pub fn man(command: Option<&str>) -> ExitCode {
    let page = match command {
        None => program(),
        Some(name) => match subcommand(name) {
            Some(command) => one(command),
            None => {
                let message =
                    format!("man: there is no command \"{name}\"; skyring --help lists them");
                return tell(EXIT_USAGE, &message);
            }
        },
    };
    match page {
        Ok(page) => print(&String::from_utf8_lossy(&page)),
        Err(error) => tell(EXIT_FAILED, &format!("man: {error}")),
    }
}

/// The command's definition under its full name, `skyring serve` and the like.
fn subcommand(name: &str) -> Option<clap::Command> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    program.find_subcommand(name).cloned()
}

fn one(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = page_of(command);
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    see_also(&mut page, "skyring")?;
    Ok(page)
}

fn program() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = page_of(Cli::command().disable_help_subcommand(true));
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    let mut roff = Roff::new();
    list(
        &mut roff,
        "EXIT STATUS",
        &[
            ("0", "Done."),
            ("1", "Failed."),
            ("2", "The command line or the configuration is at fault."),
        ],
    );
    list(
        &mut roff,
        "SIGNALS",
        &[
            (
                "SIGTERM, SIGINT",
                "The server accepts nothing more, reads and stores what was sent, and ends.",
            ),
            (
                "SIGHUP",
                "The server reads its configuration again. One at fault changes nothing.",
            ),
        ],
    );
    list(
        &mut roff,
        "FILES",
        &[
            (
                DEFAULT_FILE,
                "The configuration. skyring config --default prints every setting with its comment.",
            ),
            ("/var/lib/skyring", "The private Redis, and the lock."),
        ],
    );
    roff.to_writer(&mut page)?;
    see_also(&mut page, "redis-server")?;
    Ok(page)
}

fn page_of(command: clap::Command) -> Man {
    Man::new(command)
        .source(concat!("skyring ", env!("CARGO_PKG_VERSION")))
        .manual("Skyring")
}

fn list(roff: &mut Roff, title: &str, rows: &[(&str, &str)]) {
    roff.control("SH", [title]);
    for (term, text) in rows {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*text)]);
    }
}

fn see_also(page: &mut Vec<u8>, other: &str) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold(other), roman("(1)")]);
    roff.to_writer(page)
}
