//! Other programs write the same series while they are trimmed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use super::*;
use crate::fixture::sender::frame;

const METRICS: usize = 40;
/// Rounds after which the writers go on to other metrics, so that series do not grow to
/// what no pass can rewrite in the time that a test has.
const EPOCH: u64 = 20_000;

fn name(round: u64, metric: usize) -> String {
    format!("busy.{}.{metric}", round / EPOCH)
}

fn key(round: u64, metric: usize) -> String {
    format!("metrics.{}", name(round, metric))
}

/// Timestamp of the point with this number: of Skyring's at whole seconds, of the
/// other writer's between them. All are of times that are not too old for an hour.
fn time(start: f64, number: u64, is_own: bool) -> f64 {
    start + number as f64 + if is_own { 0.0 } else { 0.5 }
}

struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl Writers {
    fn start(writers: Vec<Box<dyn FnMut(u64) + Send>>) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |mut write: Box<dyn FnMut(u64) + Send>| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut rounds = 0;
                while !stop.load(Ordering::Acquire) {
                    write(rounds);
                    rounds += 1;
                }
                rounds
            })
        };
        Writers {
            threads: writers.into_iter().map(spawn).collect(),
            stop,
        }
    }

    /// How many rounds each has written.
    fn stop(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Release);
        let join = |thread: JoinHandle<u64>| thread.join().unwrap();
        self.threads.into_iter().map(join).collect()
    }
}

/// Writes one point of each metric as fast as it can, through Skyring.
fn own(skyring: &Skyring, start: f64) -> Box<dyn FnMut(u64) + Send> {
    let mut sender = Sender::connect(&skyring.pickle());
    Box::new(move |round| {
        let at = time(start, round, true);
        let names: Vec<String> = (0..METRICS).map(|metric| name(round, metric)).collect();
        let points = names.iter().map(|name| (name.as_str(), at, round as f64));
        sender.send(&frame(&points.collect::<Vec<_>>()));
    })
}

/// Writes one point of each metric as fast as it can, to Redis itself, and what is to
/// be thrown away: something too old, and its last point once more, with a larger value.
fn foreign(redis: &Redis, start: f64) -> Box<dyn FnMut(u64) + Send> {
    let mut connection = redis.connection();
    Box::new(move |round| {
        let at = time(start, round, false);
        let mut pipe = redis::pipe();
        for metric in 0..METRICS {
            let mut bytes = record(at, round as f64);
            match round % 50 {
                7 => bytes.extend(record(start - 500_000.0 - round as f64, 0.0)),
                9 => bytes.extend(record(at, round as f64 + 0.25)),
                _ => {}
            }
            pipe.cmd("APPEND")
                .arg(key(round, metric))
                .arg(bytes)
                .ignore();
        }
        pipe.query::<()>(&mut connection).unwrap();
    })
}

/// Waits until two more passes have ended: what they read says that they go on, however
/// long each takes beside writers at full speed.
fn wait_for_passes_under_load(skyring: &Skyring, redis: &Redis) {
    let aim = count(skyring, "passes") + 3;
    eventually_by_steps("passes ended beside the writers", || {
        let status = roomba(skyring);
        let is_over = status["passes"].as_u64() >= Some(aim);
        holds(is_over, || status.to_string()).map_err(|seen| (redis.calls("getrange"), seen))
    });
}

/// For each epoch its first round, and the points of each of its series when they are
/// as they must be in the end.
fn all(start: f64, own: u64, foreign: u64) -> Vec<(u64, Vec<u8>)> {
    let first = (0..own.max(foreign)).step_by(EPOCH as usize);
    let epoch = |first: u64| {
        let part = |end: u64| first..end.min(first + EPOCH);
        let own = part(own).map(|at| (time(start, at, true), at));
        let foreign = part(foreign).map(|at| (time(start, at, false), at));
        let mut points: Vec<(f64, u64)> = own.chain(foreign).collect();
        points.sort_by(|one, two| one.0.total_cmp(&two.0));
        let points = points
            .iter()
            .map(|(at, number)| record(*at, *number as f64));
        (first, points.collect::<Vec<_>>().concat())
    };
    first.map(epoch).collect()
}

/// Skyring and another client append to the same series at full speed, some of it old
/// or twice, while all is trimmed again and again: every point is there in the end,
/// once, unchanged and in order.
#[test]
fn no_point_is_lost_while_two_write_at_full_speed() {
    let redis = Redis::start();
    let skyring = trimming(&redis).start();
    let start = now_s() as f64;
    let writers = Writers::start(vec![own(&skyring, start), foreign(&redis, start)]);
    wait_for_passes_under_load(&skyring, &redis);
    let rounds = writers.stop();
    let points = rounds[0] * METRICS as u64;
    assert_eq!(skyring.wait_until_settled(points).stored, points);
    // Where only the other client has come to yet, nobody has made the metric known.
    let wanted = all(start, rounds[0], rounds[1]);
    let known = wanted.iter().filter(|(first, _)| *first < rounds[0]);
    eventually_by_steps("all was in order", || {
        // Nobody writes any more, so that both of these have an end.
        let mut step = count(&skyring, "mended") + count(&skyring, "cut");
        for (first, wanted) in known.clone() {
            for metric in 0..METRICS {
                let seen = series(&redis, &key(*first, metric)).unwrap();
                let (seen_bytes, wanted_bytes) = (seen.len(), wanted.len());
                let seen = holds(seen == *wanted, || {
                    format!("{first} {metric}: {seen_bytes} bytes, not {wanted_bytes}")
                });
                seen.map_err(|seen| (step, seen))?;
                step += 1;
            }
        }
        Ok(())
    });
    let status = roomba(&skyring);
    assert!(status["mended"].as_u64() > Some(METRICS as u64), "{status}");
    assert_eq!(
        (&status["removed"], &status["refused"]),
        (&0.into(), &0.into())
    );
    assert_eq!(status["quarantined"], 0);
    skyring.finish();
}

/// Another client renames and takes away series as Analyzer does, while both write: the
/// points of what it took and of what is there in the end are all that were sent.
#[test]
fn no_point_is_lost_while_series_are_renamed_and_removed() {
    let redis = Redis::start();
    let skyring = trimming(&redis).start();
    let start = now_s() as f64;
    let taken = Arc::new(std::sync::Mutex::new(BTreeMap::<String, Vec<u8>>::new()));
    let epoch = Arc::new(AtomicU64::new(0));
    let thief: Box<dyn FnMut(u64) + Send> = {
        let (mut connection, taken) = (redis.connection(), taken.clone());
        let round_now = Arc::clone(&epoch);
        Box::new(move |round| {
            let metric = round as usize * 7 % METRICS;
            let key = key(round_now.load(Ordering::Acquire), metric);
            let bytes: Option<Vec<u8>> = if round % 2 == 0 {
                let take = redis::cmd("GETDEL").arg(&key).to_owned();
                take.query(&mut connection).unwrap()
            } else {
                let mut both = redis::pipe();
                let both = both.atomic().cmd("RENAME").arg(&key).arg("taken");
                let both = both.ignore().cmd("GETDEL").arg("taken");
                // There may be nothing to rename.
                let answer: redis::RedisResult<(Vec<u8>,)> = both.query(&mut connection);
                answer.ok().map(|(bytes,)| bytes)
            };
            if let Some(bytes) = bytes {
                let mut taken = taken.lock().unwrap();
                taken.entry(key).or_default().extend(bytes);
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        })
    };
    let mut foreign = foreign(&redis, start);
    // The thief is where the other client is.
    let foreign: Box<dyn FnMut(u64) + Send> = Box::new(move |round| {
        epoch.store(round, Ordering::Release);
        foreign(round);
    });
    let writers = vec![own(&skyring, start), foreign, thief];
    let writers = Writers::start(writers);
    wait_for_passes_under_load(&skyring, &redis);
    let rounds = writers.stop();
    let points = rounds[0] * METRICS as u64;
    assert_eq!(skyring.wait_until_settled(points).stored, points);
    let wanted = all(start, rounds[0], rounds[1]);
    let mut taken = taken.lock().unwrap();
    for (first, wanted) in &wanted {
        let wanted: Vec<&[u8]> = wanted.chunks(19).collect();
        for metric in 0..METRICS {
            let key = key(*first, metric);
            let mut all = taken.remove(&key).unwrap_or_default();
            all.extend(series(&redis, &key).unwrap_or_default());
            let mut seen: Vec<&[u8]> = all.chunks(19).collect();
            // Not trimmed when it was taken: old, or the larger one of two.
            seen.retain(|record| wanted.binary_search(record).is_ok());
            seen.sort_unstable();
            assert!(seen == wanted, "{key}: {} of {}", seen.len(), wanted.len());
        }
    }
    skyring.finish();
}
