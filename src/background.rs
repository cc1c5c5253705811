//! Threads beside the data plane: each waits most of the time, ends when it is
//! told, and keeps a connection to Redis of its own, which it makes when it is
//! needed.

use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult};

use crate::host;
use crate::settings::RedisUrl;

/// Longest wait for a thread that was told to end. One that is in the middle of
/// a question to a Redis or a carbon that does not answer is left behind.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// A thread that runs until it is stopped. Dropping it tells it to end too,
/// without waiting.
#[derive(Debug)]
pub(crate) struct Background {
    name: &'static str,
    stop: Option<Sender<()>>,
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

/// The word to end, from the thread's side.
pub(crate) struct Stop(Receiver<()>);

impl Background {
    /// Starts a thread of this name.
    ///
    /// # Errors
    ///
    /// The system's, when it gives no thread.
    pub fn start(
        name: &'static str,
        body: impl FnOnce(&Stop) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, told) = crossbeam_channel::bounded(0);
        let (end, ended) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(move || {
            // Dropped at the end, however that comes.
            let _end: Sender<()> = end;
            body(&Stop(told));
        })?;
        Ok(Self {
            name,
            stop: Some(stop),
            ended,
            thread,
        })
    }

    /// Tells the thread to end, and does not wait for it.
    pub fn begin_stop(&mut self) {
        self.stop = None;
    }

    /// Tells the thread to end, and waits for it.
    pub fn stop(mut self) {
        self.begin_stop();
        let is_over = self.ended.recv_timeout(END_TIMEOUT);
        if is_over == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(
                "{} still waits for an answer, and is left behind",
                self.name
            );
        } else if self.thread.join().is_err() {
            tracing::error!("{} has panicked, which is a bug", self.name);
        }
    }
}

impl Stop {
    /// The word comes when the other side of this is dropped.
    #[cfg(test)]
    pub fn of(told: Receiver<()>) -> Self {
        Self(told)
    }

    /// Waits until `deadline`, or for the word to end: true if that came.
    pub fn wait_until(&self, deadline: Instant) -> bool {
        self.0.recv_deadline(deadline) != Err(RecvTimeoutError::Timeout)
    }

    /// As [`Stop::wait_until`], from now.
    pub fn wait(&self, time: Duration) -> bool {
        self.wait_until(Instant::now() + time)
    }

    /// Whether the word to end has come.
    pub fn is_told(&self) -> bool {
        self.wait(Duration::ZERO)
    }
}

/// A connection to Redis for work that can wait: made when it is needed, and made
/// anew after any error, since an answer that comes late would be taken for that
/// to the next question.
pub(crate) struct Link {
    url: RedisUrl,
    connection: Option<redis::Connection>,
}

impl Link {
    /// To the Redis of this address.
    pub fn new(url: RedisUrl) -> Self {
        Self {
            url,
            connection: None,
        }
    }

    /// Runs a command.
    ///
    /// # Errors
    ///
    /// Those of connecting, of the connection, and of Redis.
    pub fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        self.with(|connection| command.query(connection))
    }

    /// Runs some commands at one go; with none it does nothing.
    ///
    /// # Errors
    ///
    /// As [`Link::query`]: the first that any of the commands had.
    pub fn run<T: FromRedisValue>(&mut self, commands: &Pipeline) -> RedisResult<T> {
        self.with(|connection| commands.query(connection))
    }

    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut redis::Connection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => host::connect_redis(&self.url)?,
        };
        let done = work(&mut connection)?;
        self.connection = Some(connection);
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waits_ends_when_it_is_told() {
        let (woken, seen) = crossbeam_channel::bounded(1);
        let thread = Background::start("test", move |stop| {
            let told = stop.wait(Duration::from_secs(3600));
            woken.send(told).unwrap();
        });
        thread.unwrap().stop();
        assert_eq!(seen.try_recv(), Ok(true));
    }

    #[test]
    fn a_wait_that_is_over_is_no_word_to_end() {
        let (done, seen) = crossbeam_channel::bounded(1);
        let thread = Background::start("test", move |stop| {
            done.send(stop.wait(Duration::from_millis(1)) || stop.is_told())
                .unwrap();
            stop.wait(Duration::from_secs(3600));
        });
        assert_eq!(seen.recv(), Ok(false));
        thread.unwrap().stop();
    }
}
