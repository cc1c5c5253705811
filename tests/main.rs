//! Black-box tests: the real `skyring` binary between real carbon-relays,
//! Python picklers and sockets on one side and a real Redis on the other.
//!
//! Every server is started by the test that needs it, on ports and sockets of
//! its own in a directory of its own, and ends with it, so tests run side by
//! side. Nothing here waits for time to pass: [`fixture::eventually`] polls a
//! condition until a deadline that is only ever reached by a failure.
//!
//! Bytes are expected as the real Python makes them (`pickle`, and Debian's
//! `msgpack`), never as our own encoder does.

#![allow(clippy::unwrap_used)] // A fixture that fails is a failed test.

mod fixture;

mod admin;
mod cli;
mod cluster;
mod connections;
mod dashboard;
mod datagrams;
mod documents;
mod flux;
mod flux_carbon;
mod import;
mod keys;
mod lifecycle;
mod line_senders;
mod lines;
mod listeners;
mod manual;
mod metrics;
mod nginx;
mod populate;
mod redis_faults;
mod relay;
mod reload;
mod remote_write;
mod roomba;
mod rules;
mod secrets;
mod self_metrics;
mod side_keys;
mod skip;
mod source;
mod tools;
mod top;
mod uploads;
mod vista;
mod wire;
