//! The names under which points are stored. Where they go to the data plane, the
//! operator's rules are followed here, before anything else is decided of a point: so
//! a metric has one name for de-duplication, aggregation, filling and all keys beside
//! the data. On the way to carbon names stay as they are, since Graphite stores them
//! so; Horizon follows the rules when it gets the points back.

use std::borrow::Cow;
use std::sync::Arc;

use super::intake::FluxPoint;
use super::lock;
use crate::rules::Rules;
use crate::server::Handle;
use crate::stats::{DropReason, RuleCounts, rule_counts};

/// See the module.
pub(super) struct Names {
    handle: Arc<Handle>,
    is_direct: bool,
}

impl Names {
    /// For points that go to the data plane, or to carbon.
    pub fn new(handle: Arc<Handle>, is_direct: bool) -> Self {
        Self { handle, is_direct }
    }

    /// The name under which points of this metric are stored; its own, if they are
    /// not stored at all.
    pub fn stored<'n>(&self, metric: &'n str) -> Cow<'n, str> {
        if !self.is_direct {
            return Cow::Borrowed(metric);
        }
        let stored = self.handle.rules().stored(metric, |_| {});
        stored.unwrap_or(Cow::Borrowed(metric))
    }

    /// Gives each point its name, and leaves out those that have none: `refused` is
    /// told why.
    pub fn give(&self, points: &mut Vec<FluxPoint>, mut refused: impl FnMut(DropReason)) {
        if !self.is_direct {
            return;
        }
        let rules = self.handle.rules();
        if rules.list().is_empty() {
            return;
        }
        let mut found = rule_counts(rules.list(), &[]);
        points.retain_mut(|point| {
            let mut last = None;
            let stored = rules.stored(&point.metric, |rule| {
                found[rule].judged += 1;
                last = Some(rule);
            });
            if let Some(rule) = last {
                found[rule].points += 1;
            }
            match stored {
                Ok(Cow::Borrowed(_)) => true,
                Ok(Cow::Owned(name)) => {
                    point.metric = name;
                    true
                }
                Err(reason) => {
                    refused(reason);
                    false
                }
            }
        });
        self.count(&rules, &found);
    }

    fn count(&self, rules: &Rules, found: &[RuleCounts]) {
        let mut counts = lock(&self.handle.boards.flux_rules);
        let is_same = |one: &RuleCounts, other: &RuleCounts| one.name == other.name;
        let are_same = counts.len() == found.len()
            && counts
                .iter()
                .zip(found)
                .all(|(one, other)| is_same(one, other));
        if !are_same {
            *counts = rule_counts(rules.list(), &counts);
        }
        for (sum, found) in counts.iter_mut().zip(found) {
            sum.judged += found.judged;
            sum.points += found.points;
        }
    }
}
