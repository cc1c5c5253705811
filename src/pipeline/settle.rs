//! Settling: Redis's answers matched to the commands they are for, and what is
//! to be done about those that failed.

use std::time::{Duration, Instant};

use super::{Pipeline, Redis};
use crate::admit::MetricId;
use crate::batch::{Answered, Batch};
use crate::stats::DropReason;
use crate::wire::resp::{self, Parsed, Reply};

impl Pipeline {
    /// Takes the answers at the front of `bytes`; returns how many bytes they
    /// were.
    ///
    /// # Errors
    ///
    /// When the bytes cannot be answers to what was sent: the connection is of
    /// no more use.
    pub fn settle(&mut self, bytes: &[u8]) -> Result<usize, Garbage> {
        let mut taken = 0;
        while let Some(mut batch) = self.in_flight.pop_front() {
            let outcome = self.settle_batch(&mut batch, &bytes[taken..]);
            if outcome.is_err() || !batch.is_answered() {
                self.in_flight.push_front(batch);
                taken += outcome?;
                break;
            }
            self.unanswered_since = self.in_flight.front().map(|_| Instant::now());
            if batch.has_failed() {
                self.redis = Redis::Refusing;
                self.failed.push(batch);
            } else {
                if self.redis == Redis::Refusing && self.failed.is_empty() {
                    self.redis = Redis::Ready;
                }
                self.retire(batch);
            }
            taken += outcome?;
        }
        if self.in_flight.is_empty() {
            if taken < bytes.len() {
                return Err(Garbage);
            }
            self.send_failed_again();
        }
        self.wake_connections();
        Ok(taken)
    }

    fn settle_batch(&mut self, batch: &mut Batch, bytes: &[u8]) -> Result<usize, Garbage> {
        let mut taken = 0;
        loop {
            let (reply, len) = match resp::parse(&bytes[taken..]) {
                Parsed::Reply(reply, len) => (reply, len),
                Parsed::Incomplete => return Ok(taken),
                Parsed::Garbage => return Err(Garbage),
            };
            let Some(answered) = batch.next_answered() else {
                return Ok(taken);
            };
            taken += len;
            self.unanswered -= 1;
            match (answered, reply) {
                (Answered::Item(item), Reply::Integer(length)) => {
                    self.settle_item(batch, item, length);
                }
                (Answered::Item(item), Reply::Error(error)) => {
                    self.refuse_item(batch, item, error);
                }
                (Answered::Members { from, to }, Reply::Integer(_)) => {
                    let now_s = self.clock_s();
                    self.counts.redis.members_asserted += (to - from) as u64;
                    for metric in batch.member_metrics(from, to) {
                        let entry = self.metrics.entry(metric);
                        entry.confirmed_s = now_s;
                        entry.end_sadd();
                    }
                }
                (Answered::Members { from, to }, Reply::Error(error)) => {
                    self.counts.redis.errors.count(error_word(error));
                    if is_passing(error_code(error)) {
                        batch.note_failed();
                    } else {
                        for metric in batch.member_metrics(from, to) {
                            self.metrics.entry(metric).end_sadd();
                        }
                    }
                }
                (_, Reply::Simple(_)) => return Err(Garbage),
            }
            if batch.is_answered() {
                return Ok(taken);
            }
        }
    }

    fn settle_item(&mut self, batch: &mut Batch, number: usize, length: i64) {
        batch.settle_item(number);
        self.counts.redis.appends += 1;
        let item = batch.item(number);
        if let Some(metric) = item.metric() {
            let entry = self.metrics.entry(metric);
            entry.note_length(item.bytes, length, batch.seq);
            // The key is new, so the metric may have been removed as a member.
            if length == i64::from(item.bytes) && entry.confirmed_s != 0 {
                entry.confirmed_s = 0;
                self.unknown.push(metric);
            }
        }
        batch.count_points(item, |source, points| {
            let counts = self.counts.source(source);
            counts.stored += points;
            counts.in_flight -= points;
        });
    }

    fn refuse_item(&mut self, batch: &mut Batch, number: usize, error: &[u8]) {
        self.counts.redis.errors.count(error_word(error));
        let code = error_code(error);
        if is_passing(code) {
            batch.note_failed();
            return;
        }
        batch.settle_item(number);
        let reason = if code == b"WRONGTYPE" {
            DropReason::WrongType
        } else {
            DropReason::RefusedByRedis
        };
        self.drop_item(batch, number, reason);
    }

    pub(super) fn drop_item(&mut self, batch: &Batch, number: usize, reason: DropReason) {
        let item = batch.item(number);
        batch.count_points(item, |source, points| {
            let counts = self.counts.source(source);
            counts.drop(reason, points);
            counts.in_flight -= points;
        });
        batch.note_lost(&self.metrics, item, reason);
    }

    /// A batch of which every command is settled.
    fn retire(&mut self, mut batch: Batch) {
        let now = Instant::now();
        for (at, points) in batch.arrivals() {
            let micros = now.saturating_duration_since(*at).as_micros() as u64;
            self.counts
                .latency_us
                .saturating_record_n(micros, u64::from(*points));
        }
        self.counts.redis.batches += 1;
        self.just_settled = true;
        self.recycle(&mut batch);
    }

    pub(super) fn recycle(&mut self, batch: &mut Batch) {
        self.budget.release(batch.claimed);
        batch.clear(0);
        // As many as can be in use while Redis is there.
        if self.spare.len() < 2 * self.in_flight_max {
            self.spare.push(std::mem::take(batch));
        }
    }

    /// Puts what Redis refused for now back in front, when nothing newer can
    /// overtake it any more.
    fn send_failed_again(&mut self) {
        while let Some(mut batch) = self.failed.pop() {
            self.prepare_resend(&mut batch);
            self.waiting.push_front(batch);
        }
    }

    /// The connection is gone: what was answered is settled, the rest will be
    /// sent again before anything newer.
    pub fn lose_connection(&mut self) {
        self.redis = Redis::Away;
        self.unanswered = 0;
        self.unanswered_since = None;
        let mut unsettled: Vec<Batch> = self
            .failed
            .drain(..)
            .chain(self.in_flight.drain(..))
            .collect();
        unsettled.sort_by_key(|batch| batch.seq);
        while let Some(mut batch) = unsettled.pop() {
            self.prepare_resend(&mut batch);
            self.waiting.push_front(batch);
        }
    }

    fn prepare_resend(&mut self, batch: &mut Batch) {
        // The members of the first time are sent again by each further one.
        let is_first = batch.rewind();
        let metrics: Vec<Option<MetricId>> =
            batch.unsettled().map(|(_, item)| item.metric()).collect();
        self.counts.redis.resent += metrics.len() as u64;
        for metric in metrics.into_iter().flatten() {
            let entry = self.metrics.entry(metric);
            entry.expect_doubt();
            if is_first && entry.begin_sadd() {
                batch.assert_member(metric);
            }
        }
    }

    /// A connection is made and Redis has let us in.
    pub fn connect(&mut self) {
        self.redis = Redis::Ready;
        self.counts.redis.connections += 1;
        self.wake_connections();
    }

    /// Whether commands may be sent.
    pub fn redis(&self) -> Redis {
        self.redis
    }

    /// How long the oldest unanswered command has been unanswered.
    pub fn silence(&self) -> Duration {
        self.unanswered_since
            .map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// Redis, or what poses as it, has sent what cannot be an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what came from Redis is no answer to what was sent")]
pub struct Garbage;

fn error_code(error: &[u8]) -> &[u8] {
    error.split(|&byte| byte == b' ').next().unwrap_or(error)
}

/// The code as a word for the counters: short, and of harmless characters.
fn error_word(error: &[u8]) -> &str {
    match std::str::from_utf8(error_code(error)) {
        Ok(code)
            if (1..=32).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase()) =>
        {
            code
        }
        _ => "other",
    }
}

/// Whether an error reply will pass by itself or when an operator mends it.
fn is_passing(code: &[u8]) -> bool {
    const PASSING: [&[u8]; 13] = [
        b"LOADING",
        b"READONLY",
        b"NOAUTH",
        b"NOPERM",
        b"WRONGPASS",
        b"MISCONF",
        b"BUSY",
        b"OOM",
        b"MASTERDOWN",
        b"NOREPLICAS",
        b"TRYAGAIN",
        b"CLUSTERDOWN",
        b"UNBLOCKED",
    ];
    PASSING.contains(&code)
}
