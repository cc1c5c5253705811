//! What systemd is told of the server's state, by `sd_notify(3)`: a datagram of
//! `NAME=VALUE` lines to the socket that the environment names.
//!
//! The environment is a parameter, not read here, so that several servers of one
//! process may each have their own.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};
use rustix::time::{ClockId, clock_gettime};

/// Tells systemd of the server; one made without a socket tells nobody, at no cost.
#[derive(Clone, Debug, Default)]
pub struct Notifier {
    socket: Option<OsString>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Takes `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` from `variable`,
    /// which is [`std::env::var_os`] but in tests.
    pub fn new(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let socket = variable("NOTIFY_SOCKET").filter(|socket| !socket.is_empty());
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_ours = match variable("WATCHDOG_PID") {
            Some(_) => number("WATCHDOG_PID") == Some(std::process::id().into()),
            None => true,
        };
        let watchdog = number("WATCHDOG_USEC").filter(|usec| is_ours && *usec > 0);
        Self {
            socket,
            watchdog: watchdog.map(Duration::from_micros),
        }
    }

    /// The server is up: everything listens and Redis has answered. After a reload:
    /// the reload is over.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// A reload has begun; [`Notifier::ready`] ends it.
    pub fn reloading(&self) {
        // Type=notify-reload tells by the time which SIGHUP is meant.
        let now = clock_gettime(ClockId::Monotonic);
        let usec = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
    }

    /// The drain has begun.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Shows a text in `systemctl status`.
    pub fn status(&self, text: &str) {
        self.tell(&format!("STATUS={}", crate::logging::printable(text)));
    }

    /// Starts a thread that tells systemd that the server lives, twice in the time
    /// after which it would be killed, for as long as `is_alive` says so. Nothing if
    /// systemd does not ask for that.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn watch(
        &self,
        is_alive: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Option<Watchdog>> {
        let (Some(_), Some(patience)) = (&self.socket, self.watchdog) else {
            return Ok(None);
        };
        let notifier = self.clone();
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let body = move || {
            loop {
                if is_alive() {
                    notifier.tell("WATCHDOG=1");
                }
                match stopped.recv_timeout(patience / 2) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return,
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("skyring-watchdog".to_owned())
            .spawn(body)?;
        Ok(Some(Watchdog {
            stop: Some(stop),
            thread: Some(thread),
        }))
    }

    fn tell(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket, state.as_bytes()) {
            tracing::warn!(%error, "systemd could not be told: {state}");
        }
    }
}

/// The thread of [`Notifier::watch`]; ended when dropped.
#[derive(Debug)]
pub struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It holds nothing that a panic could have spoilt.
            let _ = thread.join();
        }
    }
}

/// A name that begins with `@` is one of the abstract namespace.
fn send(socket: &OsStr, state: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state, &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Systemd {
        socket: UnixDatagram,
        name: OsString,
        _dir: tempfile::TempDir,
    }

    impl Systemd {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            Self {
                socket,
                name: path.into(),
                _dir: dir,
            }
        }

        fn notifier(&self, more: &[(&str, String)]) -> Notifier {
            Notifier::new(|name| {
                let found = more.iter().find(|(known, _)| *known == name);
                match (name, found) {
                    ("NOTIFY_SOCKET", None) => Some(self.name.clone()),
                    (_, found) => found.map(|(_, value)| value.into()),
                }
            })
        }

        fn heard(&self) -> String {
            let mut bytes = [0; 512];
            let length = self.socket.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        }

        fn hears_nothing(&self) -> bool {
            self.socket.set_nonblocking(true).unwrap();
            self.socket.recv(&mut [0; 512]).is_err()
        }
    }

    #[test]
    fn each_state_is_one_datagram() {
        let systemd = Systemd::new();
        let notifier = systemd.notifier(&[]);
        notifier.ready();
        assert_eq!(systemd.heard(), "READY=1");
        notifier.reloading();
        let text = systemd.heard();
        let usec = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(usec.parse::<u64>().unwrap() > 0);
        notifier.stopping();
        assert_eq!(systemd.heard(), "STOPPING=1");
        notifier.status("two\nlines");
        assert_eq!(systemd.heard(), "STATUS=two\\u{a}lines");
    }

    #[test]
    fn an_abstract_socket_is_found() {
        let name = format!("skyring-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Notifier::new(|variable| (variable == "NOTIFY_SOCKET").then(|| format!("@{name}").into()))
            .ready();
        let mut bytes = [0; 16];
        assert_eq!(socket.recv(&mut bytes).unwrap(), 7);
    }

    // Outside of systemd, and with a socket that is gone, the server runs on.
    #[test]
    fn nobody_listening_is_no_fault() {
        Notifier::default().ready();
        Notifier::new(|_| None).stopping();
        Notifier::new(|name| (name == "NOTIFY_SOCKET").then(|| "/nowhere/at/all".into())).ready();
    }

    // A watchdog that goes on while a shard hangs would be worth nothing.
    #[test]
    fn the_watchdog_is_told_only_while_the_server_is_alive() {
        let systemd = Systemd::new();
        let notifier = systemd.notifier(&[("WATCHDOG_USEC", "2000".to_owned())]);
        let alive = Arc::new(AtomicBool::new(true));
        let asked = crossbeam_channel::unbounded();
        let (theirs, asks) = (alive.clone(), asked.0);
        let watchdog = notifier
            .watch(move || {
                asks.send(()).unwrap();
                theirs.load(Ordering::SeqCst)
            })
            .unwrap()
            .unwrap();
        assert_eq!(systemd.heard(), "WATCHDOG=1");
        assert_eq!(systemd.heard(), "WATCHDOG=1");
        alive.store(false, Ordering::SeqCst);
        // One question may have been under way; those after it were answered no.
        while asked.1.try_recv().is_ok() {}
        asked.1.recv().unwrap();
        asked.1.recv().unwrap();
        systemd.socket.set_nonblocking(true).unwrap();
        while systemd.socket.recv(&mut [0; 64]).is_ok() {}
        asked.1.recv().unwrap();
        asked.1.recv().unwrap();
        assert!(systemd.hears_nothing());
        drop(watchdog);
    }

    #[test]
    fn the_watchdog_of_another_process_or_none_is_not_fed() {
        let systemd = Systemd::new();
        let usec = ("WATCHDOG_USEC", "2000".to_owned());
        for variables in [
            vec![],
            vec![("WATCHDOG_USEC", "0".to_owned())],
            vec![("WATCHDOG_USEC", "x".to_owned())],
            vec![usec.clone(), ("WATCHDOG_PID", "1".to_owned())],
            vec![usec.clone(), ("NOTIFY_SOCKET", String::new())],
        ] {
            let watchdog = systemd.notifier(&variables).watch(|| true).unwrap();
            assert!(watchdog.is_none(), "{variables:?}");
        }
        let ours = ("WATCHDOG_PID", std::process::id().to_string());
        let watchdog = systemd.notifier(&[usec, ours]).watch(|| true).unwrap();
        assert!(watchdog.is_some());
    }
}
