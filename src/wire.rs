//! The formats on the wire, none of which does any I/O: bytes in, points out,
//! and the other way round.

pub mod msgpack;
pub mod pickle;
pub mod resp;
