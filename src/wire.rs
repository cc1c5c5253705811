//! The formats on the wire, none of which does any I/O: bytes in, points out,
//! and the other way round.

pub mod datagram;
#[cfg(test)]
mod goldens;
pub mod line;
pub mod msgpack;
pub(crate) mod number;
pub mod pickle;
pub mod resp;
pub mod series;
