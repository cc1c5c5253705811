//! How many labelled series there are: of one metric of a tenant, of one tenant, and
//! in all. A label whose values have no end would else fill every store behind.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;

/// A series that has had no sample for one to two of these is forgotten.
const WINDOW: Duration = Duration::from_secs(600);

/// Memory of one series that is the only one of its metric: two entries in tables that
/// are half full at worst, and two small sets.
pub const SERIES_BYTES: u64 = 320;

/// The bounds, each in series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of one metric name of one tenant.
    pub metric_max: usize,
    /// Of the tenant, if it has a quota.
    pub tenant_max: Option<usize>,
    /// In all.
    pub all_max: usize,
}

/// The bound that a series would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Excess {
    Metric,
    Tenant,
    All,
}

/// The series seen of late, as hashes. What is known always passes; what is new
/// passes within the bounds.
#[derive(Debug)]
pub struct Guard {
    hasher: RandomState,
    metrics: HashMap<u64, Metric, RandomState>,
    tenants: HashMap<u64, usize, RandomState>,
    series: usize,
    turned: Instant,
}

#[derive(Debug)]
struct Metric {
    tenant: u64,
    /// Of this window.
    recent: HashSet<u64, RandomState>,
    /// Of the one before, and not yet of this.
    before: HashSet<u64, RandomState>,
}

impl Guard {
    /// One that knows nothing.
    pub fn new(now: Instant) -> Self {
        Self {
            hasher: RandomState::default(),
            metrics: HashMap::default(),
            tenants: HashMap::default(),
            series: 0,
            turned: now,
        }
    }

    /// Series known.
    pub fn series(&self) -> usize {
        self.series
    }

    /// Series known of a tenant.
    pub fn series_of(&self, tenant: &str) -> usize {
        let tenant = self.hasher.hash_one(tenant);
        self.tenants.get(&tenant).copied().unwrap_or(0)
    }

    /// Lets a series pass, `name` with its labels, or says which bound it would
    /// exceed.
    ///
    /// # Errors
    ///
    /// The first bound that is reached, for a series that is not known.
    pub fn pass(
        &mut self,
        now: Instant,
        bounds: Bounds,
        tenant: &str,
        metric: &str,
        name: &str,
    ) -> Result<(), Excess> {
        if now.duration_since(self.turned) >= WINDOW {
            self.turn(now);
        }
        let tenant = self.hasher.hash_one(tenant);
        let key = self.hasher.hash_one((tenant, metric));
        let series = self.hasher.hash_one(name);
        let known = self.metrics.get_mut(&key);
        let mut metric_series = 0;
        if let Some(metric) = known {
            if metric.recent.contains(&series) {
                return Ok(());
            }
            if metric.before.remove(&series) {
                metric.recent.insert(series);
                return Ok(());
            }
            metric_series = metric.recent.len() + metric.before.len();
        }
        let tenant_series = self.tenants.get(&tenant).copied().unwrap_or(0);
        if metric_series >= bounds.metric_max {
            return Err(Excess::Metric);
        }
        if bounds.tenant_max.is_some_and(|max| tenant_series >= max) {
            return Err(Excess::Tenant);
        }
        if self.series >= bounds.all_max {
            return Err(Excess::All);
        }
        let metric = self.metrics.entry(key).or_insert_with(|| Metric {
            tenant,
            recent: HashSet::default(),
            before: HashSet::default(),
        });
        metric.recent.insert(series);
        *self.tenants.entry(tenant).or_default() += 1;
        self.series += 1;
        Ok(())
    }

    /// Forgets what was not seen in the window that is over.
    fn turn(&mut self, now: Instant) {
        let is_long_ago = now.duration_since(self.turned) >= 2 * WINDOW;
        self.turned = now;
        self.tenants.clear();
        self.metrics.retain(|_, metric| {
            metric.before = std::mem::take(&mut metric.recent);
            let known = if is_long_ago { 0 } else { metric.before.len() };
            if known > 0 {
                *self.tenants.entry(metric.tenant).or_default() += known;
            }
            known > 0
        });
        self.series = self.tenants.values().sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        metric_max: 2,
        tenant_max: Some(3),
        all_max: 4,
    };

    fn pass(guard: &mut Guard, now: Instant, tenant: &str, name: &str) -> Result<(), Excess> {
        let metric = name.split('{').next().unwrap();
        guard.pass(now, BOUNDS, tenant, metric, name)
    }

    #[test]
    fn new_series_stop_at_each_bound_and_known_ones_pass() {
        let now = Instant::now();
        let mut guard = Guard::new(now);
        for _ in 0..3 {
            assert_eq!(pass(&mut guard, now, "t", "a{1}"), Ok(()));
            assert_eq!(pass(&mut guard, now, "t", "a{2}"), Ok(()));
            assert_eq!(pass(&mut guard, now, "t", "a{3}"), Err(Excess::Metric));
            assert_eq!(pass(&mut guard, now, "t", "b{1}"), Ok(()));
            assert_eq!(pass(&mut guard, now, "t", "b{2}"), Err(Excess::Tenant));
            assert_eq!(pass(&mut guard, now, "u", "a{1}"), Ok(()));
            assert_eq!(pass(&mut guard, now, "u", "a{2}"), Err(Excess::All));
        }
        assert_eq!(
            (guard.series(), guard.series_of("t"), guard.series_of("u")),
            (4, 3, 1)
        );
    }

    // Pods come and go: their series must not count for ever.
    #[test]
    fn series_that_have_ended_make_room() {
        let start = Instant::now();
        let mut guard = Guard::new(start);
        for name in ["a{1}", "a{2}"] {
            assert_eq!(pass(&mut guard, start, "t", name), Ok(()));
        }
        let mut now = start;
        for _ in 0..2 {
            now += WINDOW;
            assert_eq!(pass(&mut guard, now, "t", "a{1}"), Ok(()));
        }
        assert_eq!(guard.series(), 1);
        assert_eq!(pass(&mut guard, now, "t", "a{3}"), Ok(()));
        assert_eq!(pass(&mut guard, now, "t", "a{2}"), Err(Excess::Metric));
        now += 3 * WINDOW;
        assert_eq!(pass(&mut guard, now, "t", "a{2}"), Ok(()));
        assert_eq!((guard.series(), guard.series_of("t")), (1, 1));
    }
}
