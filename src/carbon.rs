//! carbon's pickle protocol from the side of a sender: points to frames, and the
//! connection they go out on.
//!
//! ```text
//! u32, big-endian      length of what follows
//! pickle, protocol 2   [(name, (timestamp, value)), ...]
//! ```
//!
//! Integers and floats are sent as what they are; names are text.

use std::borrow::Borrow;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_pickle::SerOptions;

use crate::point::Number;
use crate::shard::OwnedPoint;

/// Most points in one frame; what carbon itself sends by default.
pub const FRAME_POINTS_MAX: usize = 500;

/// Longest frame without its length, in bytes: what carbon takes by default.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// What a point may take besides its name, in bytes: opcodes, and two numbers.
const POINT_BYTES_MAX: usize = 64;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest that a peer may leave a write waiting before it is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for the peer to close after the last byte.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The points as frames, each with its length in front and within both bounds.
///
/// # Errors
///
/// `InvalidInput` for a point whose name alone is too long for a frame; the points
/// of its frame are not encoded, those after them are.
pub fn frames<P: Borrow<OwnedPoint>>(points: &[P]) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    let mut rest = points;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_at(fitting(rest));
        rest = after;
        (!first.is_empty()).then(|| frame(first))
    })
}

/// How many of the first points fit one frame: one at least, if there is one.
pub(crate) fn fitting<P: Borrow<OwnedPoint>>(points: &[P]) -> usize {
    let mut bytes = POINT_BYTES_MAX;
    let fits = points.iter().take(FRAME_POINTS_MAX).take_while(|point| {
        bytes += (*point).borrow().name.len() + POINT_BYTES_MAX;
        bytes <= FRAME_BYTES_MAX
    });
    fits.count().max(1).min(points.len())
}

fn frame<P: Borrow<OwnedPoint>>(points: &[P]) -> io::Result<Vec<u8>> {
    let invalid = |text: String| io::Error::new(ErrorKind::InvalidInput, text);
    let items: Vec<Item> = points
        .iter()
        .map(|point| Item::from(point.borrow()))
        .collect();
    let mut frame = vec![0; 4];
    serde_pickle::to_writer(&mut frame, &items, SerOptions::new().proto_v2())
        .map_err(|error| invalid(error.to_string()))?;
    let bytes = frame.len() - 4;
    if bytes > FRAME_BYTES_MAX {
        let text = format!("a frame of {bytes} bytes; a name is too long");
        return Err(invalid(text));
    }
    frame[..4].copy_from_slice(&(bytes as u32).to_be_bytes());
    Ok(frame)
}

#[derive(Serialize)]
struct Item<'a>(&'a str, (Value, Value));

impl<'a> From<&'a OwnedPoint> for Item<'a> {
    fn from(point: &'a OwnedPoint) -> Self {
        Self(&point.name, (Value(point.timestamp), Value(point.value)))
    }
}

struct Value(Number);

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Number::Int(int) => serializer.serialize_i64(int),
            Number::Uint(int) => serializer.serialize_u64(int),
            Number::Float(float) => serializer.serialize_f64(float),
            Number::Bool(truth) => serializer.serialize_bool(truth),
        }
    }
}

/// A blocking connection to a carbon, a relay or Skyring, on which bytes go one way.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
}

/// How a connection came to its end after the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer has read up to the end and closed.
    Closed,
    /// The peer has neither closed nor complained in time; it may still read.
    Silent,
}

impl Connection {
    /// Connects to `host:port`, where the host may be a name or an IPv6 address in
    /// brackets, trying each of its addresses in turn.
    ///
    /// # Errors
    ///
    /// Those of the last address that was tried, or of resolving the name.
    pub fn open(address: &str) -> io::Result<Self> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in address.to_socket_addrs()? {
            match connect(address) {
                Ok(stream) => return Ok(Self { stream }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Sends all of it.
    ///
    /// # Errors
    ///
    /// Those of the socket, and `TimedOut` if the peer takes nothing for a minute.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).map_err(timed_out)
    }

    /// Ends the stream and waits for the peer to close, so that a peer that has
    /// thrown the connection away is not taken for one that has read it.
    ///
    /// # Errors
    ///
    /// `ConnectionAborted` if the peer had closed before the end, `ConnectionReset`
    /// if it left bytes unread.
    pub fn finish(mut self) -> io::Result<End> {
        if self.is_closed_by_peer()? {
            let text = "the other side closed the connection before everything was sent";
            return Err(io::Error::new(ErrorKind::ConnectionAborted, text));
        }
        self.stream.shutdown(Shutdown::Write)?;
        self.stream.set_read_timeout(Some(CLOSE_TIMEOUT))?;
        let mut scratch = [0; 256];
        loop {
            match self.stream.read(&mut scratch) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Ok(End::Silent),
                Err(error) => return Err(error),
            }
        }
        match self.stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(End::Closed),
        }
    }

    fn is_closed_by_peer(&self) -> io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false)?;
        match peeked {
            Ok(bytes) => Ok(bytes == 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The system reports a time-out of a blocking socket as one that would block.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn timed_out(error: io::Error) -> io::Error {
    if !is_timeout(&error) {
        return error;
    }
    let seconds = WRITE_TIMEOUT.as_secs();
    io::Error::new(
        ErrorKind::TimedOut,
        format!("the other side has taken nothing for {seconds} s"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::pickle::Decoder;
    use std::net::TcpListener;

    fn point(name: &str, timestamp: Number, value: Number) -> OwnedPoint {
        OwnedPoint {
            name: name.to_owned(),
            timestamp,
            value,
        }
    }

    /// The points of a frame as our decoder reads them.
    fn read(frame: &[u8]) -> Vec<OwnedPoint> {
        let length = u32::from_be_bytes(frame[..4].try_into().unwrap());
        assert_eq!(length as usize, frame.len() - 4);
        let mut decoder = Decoder::new();
        let decoded = decoder.decode(&frame[4..]).unwrap();
        let own = |point: crate::point::Point<'_>| OwnedPoint {
            name: String::from_utf8(point.name.to_vec()).unwrap(),
            timestamp: point.timestamp,
            value: point.value,
        };
        decoded.points().map(own).collect()
    }

    #[test]
    fn numbers_keep_their_kind_and_names_their_text() {
        use Number::{Bool, Float, Int, Uint};
        let now = Int(1_795_302_404);
        let mut points = vec![point("caf\u{e9}.a", Float(1_795_302_404.25), Float(-0.0))];
        for value in [
            Int(0),
            Int(255),
            Int(65_536),
            Int(-1),
            Int(1 << 31),
            Int(i64::MIN),
            Int(i64::MAX),
            Uint(u64::MAX),
            Float(1e300),
            Bool(true),
        ] {
            points.push(point("a.b", now, value));
        }
        let frames: Vec<_> = frames(&points).map(Result::unwrap).collect();
        assert_eq!(frames.len(), 1);
        assert_eq!(read(&frames[0]), points);
        assert_eq!(frames[0][4..6], *b"\x80\x02");
    }

    // carbon drops the connection on a frame over its bound.
    #[test]
    fn frames_end_at_500_points_or_a_mebibyte() {
        let points: Vec<_> = (0..1201)
            .map(|at| point(&format!("m{at}"), Number::Int(at), Number::Int(at)))
            .collect();
        let parts: Vec<_> = frames(&points).map(|frame| read(&frame.unwrap())).collect();
        assert_eq!(
            parts.iter().map(Vec::len).collect::<Vec<_>>(),
            [500, 500, 201]
        );
        assert_eq!(parts.concat(), points);
        let long = "x".repeat(300_000);
        let points = vec![point(&long, Number::Int(1), Number::Int(1)); 7];
        let parts: Vec<_> = frames(&points).map(Result::unwrap).collect();
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|frame| frame.len() <= FRAME_BYTES_MAX + 4));
        assert_eq!(frames::<OwnedPoint>(&[]).count(), 0);
    }

    #[test]
    fn a_name_longer_than_a_frame_is_an_error_and_not_sent() {
        let points = [point(
            &"x".repeat(FRAME_BYTES_MAX),
            Number::Int(1),
            Number::Int(1),
        )];
        let frames: Vec<_> = frames(&points).collect();
        assert_eq!(frames.len(), 1);
        assert_eq!(
            frames[0].as_ref().unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }

    fn listen() -> (TcpListener, String) {
        let listener = TcpListener::bind("[::1]:0")
            .or_else(|_| TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    #[test]
    fn a_peer_that_reads_to_the_end_and_closes_is_a_good_end() {
        let (listener, address) = listen();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut bytes)?;
            io::Result::Ok(bytes)
        });
        let mut connection = Connection::open(&address).unwrap();
        connection.send(b"abc").unwrap();
        assert_eq!(connection.finish().unwrap(), End::Closed);
        assert_eq!(reader.join().unwrap().unwrap(), b"abc");
    }

    // A server over its limit of connections closes them unread.
    #[test]
    fn a_peer_that_closes_unread_is_an_error() {
        let (listener, address) = listen();
        let mut connection = Connection::open(&address).unwrap();
        connection.send(b"abc").unwrap();
        let (stream, _) = listener.accept().unwrap();
        let mut unread = [0];
        stream.peek(&mut unread).unwrap();
        drop(stream);
        assert!(connection.finish().is_err());

        let connection = Connection::open(&address).unwrap();
        drop(listener.accept().unwrap());
        connection.stream.peek(&mut [0]).unwrap();
        let error = connection.finish().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    }

    #[test]
    fn nobody_listening_is_refused() {
        let (listener, address) = listen();
        drop(listener);
        let error = Connection::open(&address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(Connection::open("no port").is_err());
    }
}
