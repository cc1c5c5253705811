//! What the data plane listens on: opened at the start, and brought in line with
//! the settings by a reload.
//!
//! Each TCP address is bound once for each shard, so that every shard accepts; each
//! UDP address once, and given to one shard.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use socket2::Socket;

use crate::datagrams::Receiver;
use crate::host::{self, Transport};
use crate::plane::{self, Sender};
use crate::settings::{Listen, Settings};
use crate::shard::Message;
use crate::stats::Source;

/// Deliveries of datagrams that wait in a shard's inbox, at most.
const DELIVERIES: usize = 4;
/// Longest that a closed listener is given to hand over what is queued there.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked for.
const CLOSE_POLL: Duration = Duration::from_millis(1);

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "{key}: cannot listen on {address}: {error}; stop what listens there, or set {key} to another address (port 0 takes a free one)"
)]
pub struct ListenError {
    /// The setting.
    pub key: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// The system's error.
    pub error: io::Error,
}

/// Everything that is open.
#[derive(Default)]
pub struct Listeners {
    open: Vec<Open>,
    /// Receivers that were told to stop and still hand over what they have.
    ending: Vec<Receiver>,
    /// What the kernel had dropped of receivers that have ended since.
    drops_before: [u64; Source::ALL.len()],
}

struct Open {
    /// As the settings have it: the port may be 0.
    wanted: Listen,
    bound: Listen,
    receiver: Option<Receiver>,
}

/// An address that is bound, and not yet listened on.
pub struct Bound {
    wanted: Listen,
    bound: Listen,
    sockets: Vec<Socket>,
}

impl Listeners {
    /// Binds every address of `settings` that is not open.
    ///
    /// # Errors
    ///
    /// The first that cannot be bound; then none is.
    pub fn bind(&mut self, settings: &Settings, shards: usize) -> Result<Vec<Bound>, ListenError> {
        self.reap();
        let (stays, missing) = compare(&self.open, settings);
        let leaving = self.open.iter().zip(stays).filter(|(_, stays)| !stays);
        let leaving: Vec<Listen> = leaving.map(|(open, _)| open.bound).collect();
        let mut bound = Vec::new();
        for wanted in missing {
            let made = if wanted.source.is_udp() {
                bind_udp(wanted, settings.horizon.udp_buffer_bytes, &leaving)
            } else {
                bind_tcp(wanted, shards, &leaving)
            };
            bound.push(made.map_err(|error| ListenError {
                key: wanted.source.key(),
                address: wanted.address,
                error,
            })?);
        }
        Ok(bound)
    }

    /// Has the shards listen on what was bound.
    ///
    /// # Errors
    ///
    /// When a thread for datagrams cannot be started.
    pub fn open(&mut self, bound: Vec<Bound>, shards: &[Sender<Message>]) -> io::Result<()> {
        for Bound {
            wanted,
            bound,
            sockets,
        } in bound
        {
            let mut receiver = None;
            if wanted.source.is_udp() {
                let udp = self.open.iter().filter(|open| open.receiver.is_some());
                // From the last on: the first has most of what belongs to no shard.
                let shard = &shards[shards.len() - 1 - udp.count() % shards.len()];
                for socket in sockets {
                    let (sender, inbox) = plane::inbox(DELIVERIES);
                    receiver = Some(Receiver::start(bound.source, socket, sender)?);
                    let _ = shard.send(Message::Feed(bound.source, inbox));
                }
            } else {
                for (shard, socket) in shards.iter().zip(sockets) {
                    // A shard that has ended accepts nothing.
                    let _ = shard.send(Message::Listen(bound, socket));
                }
            }
            self.open.push(Open {
                wanted,
                bound,
                receiver,
            });
        }
        Ok(())
    }

    /// Begins to close every listener that `settings` do not have; returns those over
    /// TCP, for [`close`].
    pub fn leave_others(&mut self, settings: &Settings) -> Vec<Listen> {
        let (stays, _) = compare(&self.open, settings);
        let mut stays = stays.into_iter();
        let leaves = |_: &mut Open| stays.next() == Some(false);
        let leaving: Vec<Open> = self.open.extract_if(.., leaves).collect();
        let mut over_tcp = Vec::new();
        for open in leaving {
            match open.receiver {
                Some(receiver) => {
                    receiver.stop();
                    self.ending.push(receiver);
                }
                None => over_tcp.push(open.bound),
            }
        }
        over_tcp
    }

    /// Has all datagrams received that are queued, and no more.
    pub fn stop_receivers(&mut self) {
        for open in &mut self.open {
            if let Some(receiver) = open.receiver.take() {
                receiver.stop();
                self.ending.push(receiver);
            }
        }
    }

    /// Waits for the receivers' threads, which end at the latest with the shards.
    pub fn join_receivers(&mut self) {
        for receiver in std::mem::take(&mut self.ending) {
            self.join(receiver);
        }
    }

    /// Where a source is listened on.
    pub fn addresses(&self, source: Source) -> Vec<SocketAddr> {
        let of_source = self.open.iter().filter(|open| open.bound.source == source);
        of_source.map(|open| open.bound.address).collect()
    }

    /// Datagrams that the kernel has dropped since it had no room for more.
    pub fn kernel_drops(&self, source: Source) -> u64 {
        let receivers = self.open.iter().filter_map(|open| open.receiver.as_ref());
        let now = receivers
            .chain(&self.ending)
            .filter(|receiver| receiver.source() == source)
            .map(Receiver::kernel_drops)
            .sum::<u64>();
        self.drops_before[source as usize] + now
    }

    fn reap(&mut self) {
        let ended = self.ending.extract_if(.., |receiver| receiver.has_ended());
        for receiver in ended.collect::<Vec<_>>() {
            self.join(receiver);
        }
    }

    fn join(&mut self, receiver: Receiver) {
        let source = receiver.source() as usize;
        self.drops_before[source] += receiver.join();
    }
}

/// Waits until what is queued at the listeners that leave has been handed over, but
/// not for ever; connections that were accepted there go on. The lock is held for
/// moments only, since others look at the listeners meanwhile.
pub fn close(leaving: Vec<Listen>, listeners: &Mutex<Listeners>, shards: &[Sender<Message>]) {
    for listen in leaving {
        close_tcp(listen, shards);
    }
    let deadline = Instant::now() + CLOSE_TIMEOUT;
    while Instant::now() < deadline {
        let mut listeners = listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.reap();
        if listeners.ending.is_empty() {
            return;
        }
        drop(listeners);
        std::thread::sleep(CLOSE_POLL);
    }
}

fn close_tcp(listen: Listen, shards: &[Sender<Message>]) {
    let answers: Vec<_> = shards
        .iter()
        .map(|shard| {
            let (reply, answer) = bounded(1);
            let _ = shard.send(Message::Unlisten(listen, reply));
            answer
        })
        .collect();
    for answer in answers {
        if answer.recv_timeout(CLOSE_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(
                listener = listen.source.as_str(),
                address = %listen.address,
                "a shard is late: it closes the listener when it has the time"
            );
        }
    }
}

/// Whether each open listener stays under `settings`, and what is to be opened
/// besides. One that had the choice of its port stays also when that very port is
/// now asked for.
fn compare(open: &[Open], settings: &Settings) -> (Vec<bool>, Vec<Listen>) {
    let mut stays = vec![false; open.len()];
    let mut missing = Vec::new();
    for wanted in settings.listeners() {
        let is_it = |open: &Open| open.wanted == wanted || open.bound == wanted;
        let mut open = open.iter().zip(&stays);
        match open.position(|(open, stays)| !stays && is_it(open)) {
            Some(at) => stays[at] = true,
            None => missing.push(wanted),
        }
    }
    (stays, missing)
}

/// Binds an address once for each shard. It is first probed without sharing, so
/// that two servers do not share a port unseen; a port is shared for a moment only
/// with listeners of our own that are about to be closed.
fn bind_tcp(wanted: Listen, shards: usize, leaving: &[Listen]) -> io::Result<Bound> {
    let address = probe(wanted, leaving)?;
    let sockets: io::Result<Vec<Socket>> =
        (0..shards).map(|_| plane::bind_listener(address)).collect();
    Ok(Bound {
        wanted,
        bound: Listen { address, ..wanted },
        sockets: sockets?,
    })
}

fn probe(wanted: Listen, leaving: &[Listen]) -> io::Result<SocketAddr> {
    let (port, is_udp) = (wanted.address.port(), wanted.source.is_udp());
    let is_ours = |open: &Listen| open.source.is_udp() == is_udp && open.address.port() == port;
    let transport = if is_udp {
        Transport::Udp
    } else {
        Transport::Tcp
    };
    match host::probe_port(wanted.address, transport) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && leaving.iter().any(is_ours) => {
            Ok(wanted.address)
        }
        probed => probed,
    }
}

/// As [`bind_tcp`], once.
fn bind_udp(wanted: Listen, buffer_bytes: usize, leaving: &[Listen]) -> io::Result<Bound> {
    let address = probe(wanted, leaving)?;
    let (socket, held) = plane::bind_datagrams(address, buffer_bytes)?;
    if held < buffer_bytes {
        tracing::warn!(
            listener = wanted.source.as_str(),
            asked = buffer_bytes,
            given = held,
            mend = format!("sysctl -w net.core.rmem_max={buffer_bytes}"),
            "the kernel holds fewer bytes for a UDP listener than horizon.udp_buffer_bytes"
        );
    }
    let address = socket.local_addr()?.as_socket();
    let address = address.ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(Bound {
        wanted,
        bound: Listen { address, ..wanted },
        sockets: vec![socket],
    })
}
