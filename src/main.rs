//! The `skyring` command: a thin front of the library.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use skyring::cli::{self, EXIT_FAILED, Options};
use skyring::host::PidFile;
use skyring::notify::Notifier;
use skyring::server::Addresses;
use skyring::{Server, Settings, logging};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), serve, skyring::shard::bytes_max)
}

/// Runs the server until SIGTERM or SIGINT, then drains it. Fails if points that
/// were received could not be stored in time.
fn serve(settings: Settings, options: &Options) -> ExitCode {
    logging::init(settings.log.level, settings.log.format);
    let pid_file = settings.pid_file.clone();
    // From here on a signal waits until it is asked for.
    let mut signals = match Signals::new([SIGTERM, SIGINT, SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => return cli::tell(EXIT_FAILED, &format!("signals: {error}")),
    };
    let mut server = match Server::start(settings) {
        Ok(server) => server,
        Err(error) => return cli::tell(error.exit_code(), &error.to_string()),
    };
    let _pid_file = match pid_file.as_deref().map(PidFile::create).transpose() {
        Ok(file) => file,
        Err(error) => return cli::tell(EXIT_FAILED, &format!("pid_file: {error}")),
    };
    let notifier = Arc::new(Notifier::new(|name| std::env::var_os(name)));
    let handle = server.handle();
    let ready_notifier = notifier.clone();
    notifier.status("waiting for Redis");
    let is_ready = Arc::new(AtomicBool::new(false));
    let ready_told = is_ready.clone();
    std::thread::spawn(move || {
        while !handle.wait_ready(Duration::MAX) {}
        announce(&handle.addresses());
        ready_notifier.ready();
        ready_notifier.status("serving");
        ready_told.store(true, Ordering::Relaxed);
    });
    let alive = server.handle();
    let _watchdog = match notifier.watch(move || alive.is_alive()) {
        Ok(watchdog) => watchdog,
        Err(error) => return cli::tell(EXIT_FAILED, &format!("watchdog: {error}")),
    };
    for signal in signals.forever() {
        if signal != SIGHUP {
            tracing::info!(signal, "ending: reading what was sent, and settling it");
            break;
        }
        // A supervisor that still waits for the start takes the end of a reload for
        // the end of that.
        if is_ready.load(Ordering::Relaxed) {
            notifier.reloading();
            reload(&mut server, options);
            notifier.ready();
        } else {
            reload(&mut server, options);
        }
    }
    notifier.stopping();
    notifier.status("draining");
    let drained = server.drain();
    tracing::info!("{drained}");
    if drained.is_complete() {
        return ExitCode::SUCCESS;
    }
    cli::tell(
        EXIT_FAILED,
        &format!("points were lost, since drain_s was over: {drained}"),
    )
}

/// Takes up the configuration as it now is. One that is at fault changes nothing.
fn reload(server: &mut Server, options: &Options) {
    let settings = match options.load() {
        Ok(settings) => settings,
        Err(error) => {
            for fault in error.to_string().lines() {
                tracing::error!("reload: {fault}");
            }
            tracing::error!("reload: nothing has changed: the configuration is at fault");
            return;
        }
    };
    match server.reload(&settings) {
        Ok(changes) if changes.is_empty() => tracing::info!("reload: nothing has changed"),
        Ok(changes) => {
            for change in changes {
                tracing::info!("reload: {change}");
            }
        }
        Err(error) => tracing::error!("reload: nothing has changed: {error}"),
    }
}

fn announce(addresses: &Addresses) {
    let Ok(addresses) = serde_json::to_string(addresses) else {
        return;
    };
    let mut stdout = std::io::stdout().lock();
    // Nobody need be listening.
    let _ = writeln!(stdout, "ready {addresses}").and_then(|()| stdout.flush());
}
