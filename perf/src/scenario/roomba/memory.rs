//! What a cut gives back of the room that Redis has made for appends: series that
//! have grown point by point, then cut, then appended to again.

use std::collections::HashSet;

use anyhow::Result;
use skyring::roomba::pass::Trimmer;

use super::namespace;
use super::world::{MINUTE_S, World};
use crate::redis::Redis;
use crate::report::{Findings, Table};
use crate::scenario::Bench;

/// Measures it, on an empty Redis.
pub fn measure(bench: &Bench<'_>, redis: &Redis, findings: &mut Findings) -> Result<()> {
    bench.progress.begin("trimming: memory");
    redis.flush()?;
    let mut connection = redis.connect()?;
    let names: Vec<String> = (0..bench.size(20, 500))
        .map(|at| crate::names::name(2, at))
        .collect();
    let mut world = World::new(&names, namespace()?);
    let empty = redis.used_bytes()?;
    let each = |used: u64| (used.saturating_sub(empty)) as f64 / names.len() as f64;
    let waiting = world.namespace.slack_s / MINUTE_S + 1;
    world.grow(&mut connection, world.points() + waiting)?;
    let grown = redis.used_bytes()?;
    let mut trimmer = Trimmer::new(redis.connect()?, false)?;
    let (namespace, now_s) = (world.namespace.clone(), world.now_s());
    trimmer.pass(&namespace, &HashSet::new(), now_s, &mut world)?;
    let cut = redis.used_bytes()?;
    for _ in 0..waiting {
        world.append(&mut connection)?;
    }
    let again = redis.used_bytes()?;
    let bytes: f64 = trimmer.deeds.bytes_after as f64 / names.len() as f64;
    let columns = [
        "bytes of points",
        "grown by appends",
        "cut",
        "appended to until the next cut",
    ];
    let mut table = Table::new("trimming: Redis's memory a series", &columns);
    table.row("bytes", &[bytes, each(grown), each(cut), each(again)]);
    findings.tables.push(table);
    Ok(())
}
