//! A flood of datagrams that loses none, and the least that receiving them costs.
//!
//! A burst is sent, and the next only when the kernel's table says that nothing of
//! it waits: so it fits into the socket's buffer. The kernel cuts each write into 64
//! datagrams and queues them before it lets anyone else run, as it does with what a
//! network card has ready: so whoever receives finds full batches.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, recvmmsg, sendmsg};

use crate::process::own_cpu_ns;

/// Datagrams that are sent, and received, with one system call.
pub const BATCH: usize = 64;
/// Bytes of each datagram.
pub const BYTES: usize = 100;
/// What every name begins with, for a skip list.
pub const PREFIX: &str = "refused.";

/// Bytes of a name in a datagram of [`BYTES`].
const NAME_BYTES: usize = BYTES - 18;
/// What the kernel charges a socket's buffer for one such datagram is less.
const CHARGED_BYTES: usize = 1280;
/// Room for each datagram of the bare loop.
const ROOM_BYTES: usize = 2048;
/// How long nothing may move before datagrams count as lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a sender waits before it looks again whether all was received.
const LOOK: Duration = Duration::from_micros(100);

/// Datagrams, in whole batches, that certainly fit into a socket's buffer of
/// `buffer_bytes`; no more than 1024.
pub fn burst(buffer_bytes: usize) -> usize {
    (buffer_bytes / CHARGED_BYTES).clamp(BATCH, 1024) / BATCH * BATCH
}

/// Datagrams to be sent over and over.
pub struct Flood {
    bytes: Vec<u8>,
    socket: UdpSocket,
}

/// What the bare loop saw.
pub struct Received {
    /// CPU time of the thread, in ns.
    pub cpu_ns: u64,
    /// System calls.
    pub calls: u64,
}

impl Flood {
    /// One datagram of [`BYTES`] for each of `metrics` metrics, as msgpack writes
    /// `[name, [whole seconds, double]]`.
    pub fn new(metrics: u64, second: u64) -> Result<Self> {
        let mut bytes = Vec::with_capacity(metrics as usize * BYTES);
        for metric in 0..metrics {
            let name = format!("{PREFIX}collectd.host-{metric:06}.");
            bytes.extend_from_slice(&[0x92, 0xd9, NAME_BYTES as u8]);
            bytes.extend_from_slice(format!("{name:x<NAME_BYTES$}").as_bytes());
            bytes.extend_from_slice(&[0x92, 0xce]);
            bytes.extend_from_slice(&(second as u32).to_be_bytes());
            bytes.push(0xcb);
            bytes.extend_from_slice(&crate::plan::value(metric).to_be_bytes());
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self { bytes, socket })
    }

    /// Sends `count` datagrams to `address`, `burst` at a time, and waits each time
    /// until all have been received.
    ///
    /// # Errors
    /// When they are not, for some seconds, or the stop flag is raised.
    pub fn send(
        &self,
        address: SocketAddr,
        burst: usize,
        count: u64,
        stop: &AtomicBool,
        mut progress: impl FnMut(u64),
    ) -> Result<()> {
        self.socket.connect(address)?;
        let mut order = self.bytes.chunks(BATCH * BYTES).cycle();
        let mut sent = 0;
        while sent < count {
            if stop.load(Ordering::Relaxed) {
                bail!("stopped");
            }
            let until = (sent + burst as u64).min(count);
            while sent < until {
                let batch = order.next().context("there are no datagrams")?;
                let bytes = batch.len().min((until - sent) as usize * BYTES);
                let segment = ControlMessage::UdpGsoSegments(&(BYTES as u16));
                sendmsg(
                    self.socket.as_raw_fd(),
                    &[IoSlice::new(&batch[..bytes])],
                    &[segment],
                    MsgFlags::empty(),
                    None::<&()>,
                )
                .context("datagrams could not be sent")?;
                sent += (bytes / BYTES) as u64;
            }
            progress(sent);
            wait_until_received(address.port())?;
        }
        Ok(())
    }
}

/// Receives `count` datagrams of [`BYTES`] and does nothing with them.
///
/// # Errors
/// When nothing comes for some seconds, or a datagram has another length.
pub fn receive(socket: &UdpSocket, count: u64) -> Result<Received> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut room = vec![0; BATCH * ROOM_BYTES];
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    let before = own_cpu_ns();
    let (mut received, mut bytes, mut calls) = (0, 0, 0);
    while received < count {
        let rooms = room.chunks_exact_mut(ROOM_BYTES);
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = rooms.map(|r| [IoSliceMut::new(r)]).collect();
        // Waits for the first and takes what is there.
        let flags = MsgFlags::MSG_WAITFORONE;
        let fd = socket.as_raw_fd();
        match recvmmsg(fd, &mut headers, slices.iter_mut(), flags, None) {
            Ok(messages) => {
                for message in messages {
                    received += 1;
                    bytes += message.bytes as u64;
                }
            }
            Err(Errno::EINTR) => {}
            Err(error) => bail!("{received} of {count} datagrams were received: {error}"),
        }
        calls += 1;
    }
    let cpu_ns = own_cpu_ns() - before;
    if bytes != count * BYTES as u64 {
        bail!("{count} datagrams had {bytes} bytes");
    }
    Ok(Received { cpu_ns, calls })
}

fn wait_until_received(port: u16) -> Result<()> {
    let start = Instant::now();
    while queued_bytes(port)? > 0 {
        if start.elapsed() > PATIENCE {
            bail!("datagrams were not received for {PATIENCE:?}");
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// What waits at the socket bound to `port`, as the kernel charges for it.
fn queued_bytes(port: u16) -> Result<u64> {
    let table = std::fs::read_to_string("/proc/net/udp")?;
    // "   7: 0100007F:C350 00000000:0000 07 00000000:00000300 ...": sl, local,
    // remote, state, tx_queue:rx_queue.
    let local = format!(":{port:04X}");
    let row = table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next()?.ends_with(&local).then(|| fields.nth(2))?
    });
    let queued = row.and_then(|queues| queues.split_once(':')?.1.into());
    let queued = queued.with_context(|| format!("no UDP socket on port {port}"))?;
    Ok(u64::from_str_radix(queued, 16)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The burst must fit: the loop fails when one is missing.
    #[test]
    fn the_bare_loop_receives_every_datagram_of_a_flood() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (socket, held) = skyring::plane::bind_datagrams(any, 256 << 10).unwrap();
        let socket = UdpSocket::from(std::os::fd::OwnedFd::from(socket));
        let address = socket.local_addr().unwrap();
        let flood = Flood::new(1000, 1_700_000_000).unwrap();
        let received = std::thread::scope(|scope| {
            let receiver = scope.spawn(|| receive(&socket, 5000));
            flood
                .send(address, burst(held), 5000, &AtomicBool::new(false), |_| {})
                .unwrap();
            receiver.join().unwrap().unwrap()
        });
        assert!((5000 / 64..=5000).contains(&received.calls));
    }

    #[test]
    fn datagrams_are_points_of_their_length() {
        let flood = Flood::new(3, 1_700_000_000).unwrap();
        for datagram in flood.bytes.chunks(BYTES) {
            let point = skyring::wire::datagram::decode(datagram).unwrap().unwrap();
            assert!(point.name.starts_with(PREFIX.as_bytes()));
            assert_eq!(point.timestamp, skyring::point::Number::Int(1_700_000_000));
        }
    }
}
