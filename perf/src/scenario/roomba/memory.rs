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
    let waiting = world.namespace.slack_s / MINUTE_S + 1;
    world.grow(&mut connection, world.points() + waiting)?;
    let grown = world.memory(&mut connection)?;
    let mut trimmer = Trimmer::new(redis.connect()?, false)?;
    trimmer.carries = true;
    let (namespace, now_s) = (world.namespace.clone(), world.now_s());
    trimmer.pass(&namespace, &HashSet::new(), now_s, &mut world)?;
    let cut = world.memory(&mut connection)?;
    for _ in 0..waiting {
        world.append(&mut connection)?;
    }
    let again = world.memory(&mut connection)?;
    let columns = ["of points", "in Redis"];
    let mut table = Table::new("trimming: bytes a series, appended one by one", &columns);
    table.row("grown by appends alone", &grown);
    table.row("cut", &cut);
    table.row("appended to until the next cut", &again);
    findings.tables.push(table);
    Ok(())
}
