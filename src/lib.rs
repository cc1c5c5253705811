//! Skyring takes a whole carbon-relay stream into the Redis of a Skyline
//! installation.
//!
//! ```text
//!                    one executor per core, pinned, nothing shared
//! TCP, pickle  ==>  +-------------------------------------------------+
//! TCP, lines   ==>  | fill > decode > admit > append > flush > settle | <==> Redis
//! UDP          ==>  +-------------------------------------------------+        ^
//!                    threads beside: side keys, self metrics, Roomba  <=======+
//! ```
//!
//! # The life of a point
//!
//! | step | where | what |
//! | --- | --- | --- |
//! | fill | [`connection`], [`datagrams`] | bytes into the shard's scratch, or the connection's own buffer; datagrams by a thread |
//! | decode | [`wire`] | one frame, line or datagram to points that borrow from it |
//! | admit | [`admit`], [`rules`] | the name, once for each metric; age and numbers, for each point |
//! | append | [`batch`] | the point's record to those of its metric |
//! | flush | [`pipeline`], [`redis`] | one APPEND for each metric of the batch, one write |
//! | settle | [`pipeline`] | answers matched to commands; every point counted |
//!
//! [`shard`] holds these together, [`server`] the shards, [`listeners`] what they
//! listen on. [`plane`] is the runtime below. Nothing on this way takes a lock,
//! allocates for a point in the steady state, or waits for another core.
//!
//! # Beside the data
//!
//! | what | where |
//! | --- | --- |
//! | the keys that other programs of Skyline read | [`side_keys`] |
//! | Skyline's metrics about itself | [`self_metrics`] |
//! | series kept at their length and in order | [`roomba`] |
//! | points over HTTP, to Graphite or to the data plane | [`flux`] |
//! | points fetched from Graphite and Prometheus | [`vista`], [`source`] |
//! | what operators see: the page, its numbers, the last half hour, who brings the most | [`admin`], [`status`], [`history`], [`talkers`] |
//! | the commands that need no server | [`cli`] and what it names |
//! | the pages for operators | [`manual`] |
//!
//! # What must stay true
//!
//! 1. Every point ends in exactly one counter: at any moment and for each
//!    listener, `received = stored + the sum of dropped + in_flight`.
//! 2. Nothing is lost while Redis is away: what it has not answered is sent
//!    again, in order, before anything newer. Behind a bound, reading stops.
//! 3. Nothing is unbounded; the bounds are settings, and `skyring check` prints
//!    what they add up to.
//! 4. Hostile bytes cost their own frame, or their own connection.
//! 5. The bytes in Redis are those that Python's msgpack writes for the same
//!    numbers.
//! 6. Other programs write the same keys; a series is appended to, and cut only
//!    where it still is as it was read.
//! 7. The order of each metric's points on one connection is kept.
//! 8. The end loses nothing that can be saved.
//! 9. An idle server costs nothing.

pub mod admin;
pub mod admit;
mod background;
pub mod batch;
pub mod budget;
pub mod carbon;
pub mod catalogue;
pub mod cli;
pub mod connection;
pub mod datagrams;
pub mod flux;
pub mod generate;
pub mod get;
pub mod history;
pub mod host;
pub mod http;
pub mod import;
pub mod listeners;
mod literal;
pub mod logging;
pub mod manual;
pub mod matcher;
pub mod notify;
pub mod owner;
pub mod pipeline;
pub mod plane;
pub mod point;
pub mod private_redis;
pub mod redis;
pub mod redis_info;
pub mod roomba;
pub mod rules;
pub mod self_metrics;
pub mod send;
pub mod server;
pub mod settings;
pub mod shard;
pub mod side_keys;
pub mod source;
pub mod stats;
pub mod status;
pub mod stretch;
pub mod talkers;
pub mod test_rules;
pub mod top;
pub mod vista;
pub mod wire;

pub use server::Server;
pub use settings::Settings;
