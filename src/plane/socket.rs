//! Sockets of the data plane.
//!
//! They are made with socket2, which has the options that the runtime's own
//! constructors lack, and handed to the runtime as file descriptors.

// The runtime takes over a socket only as a raw file descriptor, and gives one
// back only so: each conversion below states who owns the descriptor.
#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use glommio::net::{AcceptedTcpStream, TcpListener, TcpStream, UnixStream};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

/// Connections that the kernel holds ready for one listening socket.
const BACKLOG: i32 = 1024;

/// Room in the kernel for what is on its way to Redis: a batch should go in one
/// or two writes.
const SEND_BUFFER_BYTES: usize = 1 << 20;

/// A peer that is silent for this long is asked whether it still lives, so that
/// a half-open connection does not stay for ever.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A socket that listens on `address` and shares the port with the sockets of
/// this server's other shards.
///
/// # Errors
///
/// As socket, bind and listen of the system.
pub fn bind_listener(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// A socket that receives datagrams on `address`, not on any executor, and what the
/// kernel holds for it until they are read, in bytes: `buffer_bytes` if it allows
/// as much.
///
/// # Errors
///
/// As socket and bind of the system.
pub fn bind_datagrams(address: SocketAddr, buffer_bytes: usize) -> io::Result<(Socket, usize)> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Whether somebody else has the address is looked at before: here it is shared
    // only with a listener of this server that is about to be closed.
    socket.set_reuse_port(true)?;
    let fd = &socket;
    // Beyond net.core.rmem_max only with a capability; without it, up to that.
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(fd, buffer_bytes).is_err() {
        socket.set_recv_buffer_size(buffer_bytes)?;
    }
    socket.bind(&address.into())?;
    // The kernel doubles what it is asked for, for its own use.
    let held = socket.recv_buffer_size()? / 2;
    Ok((socket, held))
}

/// A listening socket on this thread's executor.
pub struct Listener {
    runtime: TcpListener,
    /// The same socket again, to take what is queued without waiting.
    socket: Socket,
}

impl Listener {
    /// Takes over a socket made by [`bind_listener`].
    ///
    /// # Errors
    ///
    /// When the process has no file descriptor left.
    pub fn new(socket: Socket) -> io::Result<Self> {
        let duplicate = socket.try_clone()?;
        // SAFETY: the descriptor is open, and `into_raw_fd` gave up its ownership.
        let runtime = unsafe { TcpListener::from_raw_fd(duplicate.into_raw_fd()) };
        Ok(Self { runtime, socket })
    }

    /// The next connection.
    ///
    /// # Errors
    ///
    /// As accept of the system; out of file descriptors among them.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match self.runtime.shared_accept().await {
            Ok(stream) => Ok(Accepted(Handover::Runtime(stream))),
            Err(error) => Err(error.into()),
        }
    }

    /// Connections that are queued already, at most as many as the kernel holds
    /// ready: peers may connect faster than they are taken.
    pub fn queued(&self) -> impl Iterator<Item = Accepted> {
        std::iter::from_fn(|| self.accept_queued()).take(BACKLOG as usize + 1)
    }

    /// Refuses connections from now on, and resets those that are queued. A wait in
    /// [`Listener::accept`] ends: with a connection that it has already taken, or
    /// else with an error.
    pub fn shut(&self) {
        // It can fail only for a socket that does not listen, which is as good.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn accept_queued(&self) -> Option<Accepted> {
        self.socket.set_nonblocking(true).ok()?;
        let (socket, _) = self.socket.accept().ok()?;
        Some(Accepted(Handover::Owned(socket.into())))
    }
}

/// A connection on its way to the shard that will serve it.
pub struct Accepted(Handover);

enum Handover {
    Runtime(AcceptedTcpStream),
    Owned(OwnedFd),
}

impl Accepted {
    /// Ties the connection to this thread's executor. It must be called exactly
    /// once, also to close the connection: the runtime's handle does not close
    /// its descriptor when it is dropped.
    pub fn into_stream(self) -> Stream {
        let stream = match self.0 {
            Handover::Runtime(stream) => stream.bind_to_executor(),
            // SAFETY: the descriptor is open, and `into_raw_fd` gave up its ownership.
            Handover::Owned(socket) => unsafe { TcpStream::from_raw_fd(socket.into_raw_fd()) },
        };
        let stream = Stream {
            fd: stream.as_raw_fd(),
            kind: Kind::Tcp(stream),
        };
        // A child process started later must not keep the connection open.
        let _ = rustix::io::fcntl_setfd(stream.borrow(), rustix::io::FdFlags::CLOEXEC);
        stream.keep_alive();
        stream
    }
}

/// A connected stream socket on this thread's executor.
pub struct Stream {
    kind: Kind,
    fd: RawFd,
}

enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Connects to the unix socket at `path`.
    ///
    /// # Errors
    ///
    /// As connect of the system. A full queue at the other end is an error
    /// (`WouldBlock`), not a wait.
    pub fn connect_unix(path: &Path) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)?;
        let fd = socket.as_raw_fd();
        // SAFETY: the descriptor is open, and `into_raw_fd` gave up its ownership.
        let stream = unsafe { UnixStream::from_raw_fd(socket.into_raw_fd()) };
        Ok(Self {
            kind: Kind::Unix(stream),
            fd,
        })
    }

    /// Connects to `address` over TCP.
    ///
    /// # Errors
    ///
    /// As connect of the system, and when it takes longer than `timeout`.
    pub async fn connect_tcp(address: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(address, timeout).await?;
        let stream = Self {
            fd: stream.as_raw_fd(),
            kind: Kind::Tcp(stream),
        };
        SockRef::from(&stream.borrow()).set_tcp_nodelay(true)?;
        stream.keep_alive();
        Ok(stream)
    }

    /// Reads what is there into `buffer`; 0 is the end of the stream.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Kind::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    /// Writes as much of `bytes` as the kernel takes.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Kind::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Reads what is there now, past the runtime, whose own read may not yet
    /// have heard of it.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is there.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let flags = rustix::net::RecvFlags::DONTWAIT;
        let (read, _) = rustix::net::recv(self.borrow(), buffer, flags)?;
        Ok(read)
    }

    /// Bytes that wait in the kernel to be read.
    pub fn queued_bytes(&self) -> u64 {
        rustix::io::ioctl_fionread(self.borrow()).unwrap_or(0)
    }

    /// Tells the peer that nothing will be sent to it any more, which relays
    /// take as a reason to close; what it still sends can be read.
    pub fn finish(&self) {
        // It may be closed already, which is as good.
        let _ = SockRef::from(&self.borrow()).shutdown(Shutdown::Write);
    }

    /// Who is at the other end, over TCP.
    pub fn peer(&self) -> Option<IpAddr> {
        let peer = SockRef::from(&self.borrow()).peer_addr().ok()?;
        peer.as_socket().map(|address| address.ip())
    }

    fn keep_alive(&self) {
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE / 4);
        // Only a convenience: a connection without it still works.
        let _ = SockRef::from(&self.borrow()).set_tcp_keepalive(&keepalive);
    }

    fn borrow(&self) -> BorrowedFd<'_> {
        // SAFETY: `kind` owns this descriptor and closes it only when `self` is
        // dropped, which the borrow cannot outlive.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}
