//! What Flux asks of Redis besides points and their last timestamps: little, seldom.

use std::sync::Arc;

use redis::{Cmd, FromRedisValue, RedisResult};
use tokio::sync::Mutex;

use crate::background::Link;
use crate::server::Handle;

/// One connection, which is made when it is needed. One question is asked at a time.
#[derive(Clone)]
pub struct Store {
    link: Arc<Mutex<Link>>,
}

impl Store {
    /// To the server's Redis.
    pub fn new(handle: &Handle) -> Self {
        let link = Link::new(handle.settings().redis_url());
        Self {
            link: Arc::new(Mutex::new(link)),
        }
    }

    /// Runs a command.
    ///
    /// # Errors
    ///
    /// Those of connecting, of the connection, and of Redis.
    pub async fn query<T>(&self, command: Cmd) -> RedisResult<T>
    where
        T: FromRedisValue + Send + 'static,
    {
        self.with(move |link| link.query(&command)).await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Link) -> RedisResult<T> + Send + 'static,
    ) -> RedisResult<T> {
        let mut link = self.link.clone().lock_owned().await;
        let done = tokio::task::spawn_blocking(move || work(&mut link)).await;
        done.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }
}
