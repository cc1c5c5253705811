//! The way into a shard from other threads: a bounded channel, and a waker
//! that goes through the executor's own event file.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use atomic_waker::AtomicWaker;
use crossbeam_channel::{Receiver, TryRecvError, TrySendError};

/// Makes an inbox that holds at most `capacity` messages.
pub fn inbox<T>(capacity: usize) -> (Sender<T>, Inbox<T>) {
    let (sender, receiver) = crossbeam_channel::bounded(capacity);
    let waker = Arc::new(AtomicWaker::new());
    (
        Sender {
            channel: sender,
            bell: Bell(waker.clone()),
        },
        Inbox {
            channel: receiver,
            waker,
        },
    )
}

/// The end that any thread may hold.
pub struct Sender<T> {
    // Dropped before the bell, which tells the inbox to look.
    channel: crossbeam_channel::Sender<T>,
    bell: Bell,
}

/// Wakes the shard, also when it goes: the inbox may then have come to its end.
struct Bell(Arc<AtomicWaker>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            channel: self.channel.clone(),
            bell: Bell(self.bell.0.clone()),
        }
    }
}

impl<T> Sender<T> {
    /// Puts `message` into the inbox and wakes its shard. Never blocks.
    ///
    /// # Errors
    ///
    /// Gives the message back when the inbox is full or its shard has ended.
    pub fn try_send(&self, message: T) -> Result<(), T> {
        match self.channel.try_send(message) {
            Ok(()) => {
                self.bell.0.wake();
                Ok(())
            }
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => Err(message),
        }
    }

    /// As [`Sender::try_send`], but waits for room: never to be called on an
    /// executor.
    ///
    /// # Errors
    ///
    /// Gives the message back when the shard has ended.
    pub fn send(&self, message: T) -> Result<(), T> {
        self.channel.send(message).map_err(|refused| refused.0)?;
        self.bell.0.wake();
        Ok(())
    }
}

/// The end that one task of the shard reads.
pub struct Inbox<T> {
    channel: Receiver<T>,
    waker: Arc<AtomicWaker>,
}

impl<T> Inbox<T> {
    /// The next message; `None` when every sender is gone.
    pub async fn receive(&self) -> Option<T> {
        poll_fn(|cx| {
            for registered in [false, true] {
                match self.channel.try_recv() {
                    Ok(message) => return Poll::Ready(Some(message)),
                    Err(TryRecvError::Disconnected) => return Poll::Ready(None),
                    // A message may come between the look and the registration.
                    Err(TryRecvError::Empty) if !registered => self.waker.register(cx.waker()),
                    Err(TryRecvError::Empty) => {}
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        // The waker belongs to this thread's executor, which is about to end.
        drop(self.waker.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake};

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    /// A shard that waits for more would else never end.
    #[test]
    fn whoever_waits_is_woken_when_the_last_sender_goes() {
        let woken = Arc::new(Woken::default());
        let waker = woken.clone().into();
        let mut cx = Context::from_waker(&waker);
        let (sender, inbox) = inbox::<u8>(1);
        let mut next = pin!(inbox.receive());
        assert!(next.as_mut().poll(&mut cx).is_pending());
        drop(sender);
        assert!(woken.0.load(Ordering::Acquire));
        assert_eq!(next.as_mut().poll(&mut cx), Poll::Ready(None));
    }
}
