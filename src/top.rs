//! `skyring top`: what the dashboard shows, in a terminal.
//!
//! A thread asks the server every two seconds; this one draws, and waits for keys. The
//! terminal is given back however it ends: by a key, a signal, or a panic.

mod ask;
mod screen;

use std::io::{self, IsTerminal, Stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use ratatui_core::terminal::Terminal;
use ratatui_crossterm::CrosstermBackend;
use ratatui_crossterm::crossterm::cursor::Show;
use ratatui_crossterm::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui_crossterm::crossterm::execute;
use ratatui_crossterm::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::{self, EXIT_FAILED, EXIT_USAGE};
use crate::settings::Settings;
use ask::Answers;
use screen::{Screen, Theme};

/// How often it is looked whether a signal came.
const LOOK: Duration = Duration::from_millis(250);

/// Which server is watched.
#[derive(Args, Clone, Debug)]
pub struct TopOptions {
    /// The page of the server, with a name and password if what stands before it asks
    /// for them [default: where admin.listen says]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub options: cli::Options,
}

/// Watches a server until a key or a signal ends it.
pub fn run(url: Option<&str>, settings: &Settings) -> ExitCode {
    let url = match base(url, settings) {
        Ok(url) => url,
        Err(fault) => return cli::tell(EXIT_USAGE, &fault),
    };
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        let fault = "top needs a terminal; the same numbers for programs are at api/status";
        return cli::tell(EXIT_USAGE, fault);
    }
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let theme = if is_plain {
        Theme::plain()
    } else {
        Theme::coloured()
    };
    match watch(url, theme) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::tell(EXIT_FAILED, &format!("the terminal: {error}")),
    }
}

/// The address of the page, ending in a slash.
fn base(url: Option<&str>, settings: &Settings) -> Result<reqwest::Url, String> {
    let text = match url {
        Some(url) if url.contains("://") => url.to_owned(),
        Some(url) => format!("http://{url}"),
        None => {
            let mut address = settings.admin.listen.ok_or(
                "admin.listen is \"\", so that the server has no page; set it, or name one with --url",
            )?;
            if address.ip().is_unspecified() {
                address.set_ip(match address {
                    std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                    std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
                });
            }
            format!("http://{address}")
        }
    };
    let text = format!("{}/", text.trim_end_matches('/'));
    match reqwest::Url::parse(&text) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => Ok(url),
        _ => Err(format!(
            "--url: {text} is no address of a page, such as http://127.0.0.1:2080"
        )),
    }
}

fn watch(url: reqwest::Url, theme: Theme) -> io::Result<()> {
    let is_told = Arc::new(AtomicBool::new(false));
    // SIGHUP ends it at once: there is no terminal left to be given back.
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, is_told.clone())?;
    }
    let mut screen = Screen::new(ask::shown(&url), theme);
    let answers = Answers::start(url)?;
    let mut taken = Taken::take()?;
    let mut drawn: Option<Instant> = None;
    while !is_told.load(Ordering::Relaxed) {
        let is_news = answers.take_into(&mut screen);
        // Ages are shown in seconds.
        let is_due = drawn.is_none_or(|drawn| drawn.elapsed() >= Duration::from_secs(1));
        if is_news || is_due {
            taken.terminal.draw(|frame| screen.draw(frame))?;
            drawn = Some(Instant::now());
        }
        if has_hung_up_within(LOOK)? {
            break;
        }
        if event::poll(Duration::ZERO)? {
            match act(&event::read()?, &mut screen) {
                Act::End => break,
                Act::Draw => drawn = None,
                Act::Nothing => {}
            }
        }
    }
    Ok(())
}

/// Waits for a key; whether the terminal has gone instead. Where it has, and SIGHUP is
/// ignored, crossterm would read its end without a pause and never return.
fn has_hung_up_within(wait: Duration) -> io::Result<bool> {
    let input = io::stdin();
    let mut watched = [PollFd::new(&input, PollFlags::IN)];
    let wait = Timespec::try_from(wait).map_err(io::Error::other)?;
    match rustix::event::poll(&mut watched, Some(&wait)) {
        // Looked at in the next turn.
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
        Ok(_) => {
            let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
            Ok(watched[0].revents().intersects(gone))
        }
    }
}

enum Act {
    End,
    Draw,
    Nothing,
}

fn act(event: &Event, screen: &mut Screen) -> Act {
    match event {
        Event::Resize(..) => Act::Draw,
        Event::Key(key) if key.kind == KeyEventKind::Release => Act::Nothing,
        Event::Key(key) => match key.code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => Act::End,
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => Act::End,
            KeyCode::Char('t') | KeyCode::Tab => {
                screen.next_depth();
                Act::Draw
            }
            _ => Act::Nothing,
        },
        _ => Act::Nothing,
    }
}

/// The terminal while it is ours.
struct Taken {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Taken {
    fn take() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        enable_raw_mode()?;
        let taken = execute!(io::stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match taken {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// As far as it can be: nobody could be told.
fn give_back() {
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_found_by_the_option_or_the_configuration() {
        let settings = |set: &str| Settings::load(None, &[set.to_owned()]).unwrap();
        let at = |url: Option<&str>, set: &str| base(url, &settings(set)).map(String::from);
        let default = "shards=1";
        let found = [
            (None, default, "http://127.0.0.1:2080/"),
            (None, "admin.listen=0.0.0.0:99", "http://127.0.0.1:99/"),
            (None, "admin.listen=[::]:99", "http://[::1]:99/"),
            (Some("host:1"), default, "http://host:1/"),
            (Some("https://u:p@h/sky/"), default, "https://u:p@h/sky/"),
        ];
        for (url, set, wanted) in found {
            assert_eq!(at(url, set).as_deref(), Ok(wanted), "{url:?} {set}");
        }
        for url in ["ftp://host", "http://", "a b"] {
            assert!(at(Some(url), default).unwrap_err().starts_with("--url: "));
        }
        assert!(at(None, "admin.listen=").is_err());
    }
}
