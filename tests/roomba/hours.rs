//! Hours of series, pass by pass, against Skyline's Roomba over the same series.

use std::collections::BTreeSet;

use skyring::roomba::trim;

use super::clock::{START_S, World};
use super::*;

const MINUTES: usize = 100;
/// With the grace: so short that some series have nothing left in the end.
const DURATION_S: i64 = 1800;

/// Each minute, whatever was written in it: the records that are young enough are those
/// that Skyline's Roomba leaves, byte for byte, and those in front of them are older, in
/// order, and none of them has waited longer than it may.
#[test]
fn hour_after_hour_each_pass_leaves_what_skylines_roomba_leaves() {
    for seed in ["one", "two", "three"] {
        let mut world = World::new(&["redis.full_duration_s=1200"]);
        let arguments = [START_S, DURATION_S, MINUTES as i64, 40].map(|it| it.to_string());
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        arguments.push(seed);
        let minutes = python::script("roomba_hours.py", &arguments, "");
        assert_eq!(minutes.len(), MINUTES);
        for (number, minute) in minutes.iter().enumerate() {
            let unnoticed = write(&world, minute);
            let now_s = minute["now"].as_i64().unwrap();
            world.pass(now_s).unwrap();
            for (name, wanted) in minute["after"].as_object().unwrap() {
                if unnoticed.contains(name) {
                    continue;
                }
                let seen = world.redis.series(name);
                let wanted = wanted.as_str().map(hex).unwrap_or_default();
                let told = || format!("seed {seed}, minute {number}, {name}");
                let old = seen.strip_suffix(&wanted[..]);
                let old =
                    old.unwrap_or_else(|| panic!("{}: {seen:02x?} and not {wanted:02x?}", told()));
                check_old(old, now_s, &told());
            }
        }
        let deeds = &world.trimmer.deeds;
        for (what, count) in [
            ("cut", deeds.cut),
            ("mended", deeds.mended),
            ("removed", deeds.removed),
            ("duplicates", deeds.records_duplicate),
            ("cut records", deeds.values_foreign),
        ] {
            assert!(count > 0, "{what} {deeds:?}");
        }
        assert_eq!((deeds.conflicts, deeds.quarantined), (0, 0));
        assert!(deeds.read_whole < deeds.looked_at / 2, "{deeds:?}");
    }
}

/// Writes what comes in a minute. Returns the series that another program was the last
/// to write, after Skyring: that is noticed with the next minute.
fn write(world: &World, minute: &Value) -> BTreeSet<String> {
    let (mut fed, mut unnoticed) = (BTreeSet::new(), BTreeSet::new());
    for appended in minute["appended"].as_array().unwrap() {
        let name = appended[0].as_str().unwrap();
        let bytes = hex(appended[1].as_str().unwrap());
        let key = format!("metrics.{name}");
        if let Some(seconds) = appended[2].as_array() {
            let seconds = seconds.iter().map(|second| second.as_i64().unwrap());
            world.feeder.append(&world.redis, name, &bytes);
            world.feeder.note_times(name, seconds);
            let _: u32 = world.redis.run(&["SADD", SET, &key]);
            fed.insert(name.to_owned());
            unnoticed.remove(name);
        } else {
            append(&world.redis, &key, &bytes);
            if fed.contains(name) {
                unnoticed.insert(name.to_owned());
            }
        }
    }
    unnoticed
}

/// What waits to be cut off.
fn check_old(old: &[u8], now_s: i64, told: &str) {
    let front = trim::old_front(old, now_s - DURATION_S);
    let (bytes, records, first_s) = front.unwrap_or_else(|| panic!("{told}: {old:02x?}"));
    assert_eq!((bytes, first_s), (old.len(), None), "{told}: {old:02x?}");
    assert_eq!(trim::trim(old, i64::MIN).0, trim::Action::Keep, "{told}");
    if records > 0 {
        let oldest_s = trim::first_s(old).unwrap();
        assert!(oldest_s > now_s - DURATION_S - 600, "{told}: {oldest_s}");
    }
}
