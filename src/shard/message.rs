//! What a shard may be told.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender as Reply;
use socket2::Socket;

use crate::admit::{CensusPage, Cut, MembersPage, MetricId};
use crate::batch::Outcome;
use crate::datagrams::Delivery;
use crate::pipeline::Inquiry;
use crate::plane::{Accepted, Inbox};
use crate::point::Number;
use crate::rules::Rules;
use crate::settings::{Listen, Settings};
use crate::stats::{Counts, Source};
use crate::talkers::Report;

/// What other threads, and other shards, may tell a shard.
pub enum Message {
    /// A connection to serve.
    Serve(Source, Accepted),
    /// Points from inside the process.
    Points(Vec<OwnedPoint>, Reply<Outcome>),
    /// Send a copy of all counts.
    Count(Reply<Counts>),
    /// Say who brings the most.
    Talkers(Reply<Report>),
    /// Send a page of what is known of the metrics: from this one on, at most so
    /// many.
    Census(MetricId, usize, Reply<CensusPage>),
    /// Say of these metrics how their series are.
    Inquire(Arc<Vec<Box<[u8]>>>, Reply<Inquiry>),
    /// Send the names of metrics that were made known: of those from this one on, at
    /// most so many.
    Members(MetricId, usize, Reply<MembersPage>),
    /// These series have become shorter.
    Cut(Arc<Vec<Cut>>),
    /// Accept connections from this socket.
    Listen(Listen, Socket),
    /// Accept nothing more there; answer when what was queued has been handed over.
    Unlisten(Listen, Reply<()>),
    /// Take in what a thread receives in datagrams.
    Feed(Source, Inbox<Delivery>),
    /// Take in points from inside the process as they come, in their order.
    Take(Inbox<Parcel>),
    /// Go on under these settings and rules.
    Reload(Arc<Settings>, Arc<Rules>, Reply<()>),
    /// Accept nothing more; answer when what was queued has been handed over.
    StopAccepting(Reply<()>),
    /// Read what is there, settle it, and end by this time.
    Drain(Instant),
}

/// A point that does not borrow its name.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedPoint {
    /// The metric's name.
    pub name: String,
    /// Seconds since 1970.
    pub timestamp: Number,
    /// The value.
    pub value: Number,
}

/// Points from inside the process under the names under which they are stored, and who
/// is told what became of them.
pub struct Parcel {
    pub(super) points: Arc<[OwnedPoint]>,
    pub(super) tell: Option<Tell>,
}

type Tell = Box<dyn FnOnce(Option<Outcome>) + Send>;

impl Parcel {
    /// `tell` is called on the shard's thread, so it must not take long; with `None`
    /// if the shard has ended before it took them.
    pub fn new(
        points: Arc<[OwnedPoint]>,
        tell: impl FnOnce(Option<Outcome>) + Send + 'static,
    ) -> Self {
        Self {
            points,
            tell: Some(Box::new(tell)),
        }
    }

    /// Says that no more will come.
    pub fn end() -> Self {
        Self {
            points: Arc::new([]),
            tell: None,
        }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            tell(None);
        }
    }
}
