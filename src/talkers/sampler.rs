//! Which points are looked at.

/// Points that are picked in a second before only every second one of those is.
const PICKED: u32 = 1024;
/// Largest mean distance between two that are picked.
const STRIDE_MAX: u32 = 1 << 16;

/// Picks every point of a slow stream, and of a fast one some hundreds to a few thousand
/// a second, at random distances, since names come in the same order again and again.
#[derive(Debug)]
pub(super) struct Sampler {
    /// Mean distance between two that are picked.
    stride: u32,
    /// The distance to the one that is picked next, from the last one.
    gap: u32,
    /// Points that pass before it.
    before: usize,
    picked: u32,
    random: fastrand::Rng,
}

impl Default for Sampler {
    fn default() -> Self {
        Self {
            stride: 1,
            gap: 1,
            before: 0,
            picked: 0,
            random: fastrand::Rng::new(),
        }
    }
}

impl Sampler {
    /// Lets `count` points pass; `pick` is called with the place of each that is picked,
    /// and how many it stands for.
    pub fn pass(&mut self, count: usize, pick: impl FnMut(usize, u64)) {
        if self.before >= count {
            self.before -= count;
        } else {
            self.pick(count, pick);
        }
    }

    #[cold]
    fn pick(&mut self, count: usize, mut pick: impl FnMut(usize, u64)) {
        let mut at = self.before;
        while at < count {
            pick(at, self.gap.into());
            self.picked += 1;
            if self.picked.is_multiple_of(PICKED) {
                self.stride = (self.stride * 2).min(STRIDE_MAX);
            }
            self.gap = match self.stride {
                1 => 1,
                stride => self.random.u32(1..2 * stride),
            };
            at += self.gap as usize;
        }
        self.before = at - count;
    }

    /// To be called about once a second.
    pub fn tick(&mut self) {
        if self.picked < PICKED / 2 {
            self.stride = (self.stride / 2).max(1);
        }
        self.picked = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(sampler: &mut Sampler, count: usize) -> (u64, u64) {
        let (mut times, mut sum) = (0, 0);
        sampler.pass(count, |at, weight| {
            assert!(at < count);
            times += 1;
            sum += weight;
        });
        (times, sum)
    }

    #[test]
    fn a_slow_stream_is_looked_at_whole() {
        let mut sampler = Sampler::default();
        for _ in 0..100 {
            assert_eq!(picked(&mut sampler, 500), (500, 500));
            sampler.tick();
        }
    }

    /// However much comes within a second, and then each second.
    #[test]
    fn a_fast_stream_costs_little_and_is_counted_about_whole() {
        let mut sampler = Sampler::default();
        let (mut times, mut sum) = (0, 0);
        let mut second = |sampler: &mut Sampler| {
            let mut this = 0;
            for _ in 0..100_000 {
                let (picked, weight) = picked(sampler, 32);
                this += picked;
                sum += weight;
            }
            sampler.tick();
            times += this;
            this
        };
        assert!(second(&mut sampler) < 16 * u64::from(PICKED));
        for _ in 0..9 {
            let picked = second(&mut sampler);
            assert!((300..2048).contains(&picked), "{picked}");
        }
        let all = 32_000_000_f64;
        assert!((sum as f64 - all).abs() < all / 20.0, "{sum}");
    }

    #[test]
    fn a_stream_that_slows_down_is_looked_at_whole_again() {
        let mut sampler = Sampler::default();
        picked(&mut sampler, 10_000_000);
        for _ in 0..40 {
            sampler.tick();
            picked(&mut sampler, 100_000);
        }
        for _ in 0..20 {
            sampler.tick();
        }
        picked(&mut sampler, 2 * STRIDE_MAX as usize);
        for _ in 0..20 {
            sampler.tick();
            picked(&mut sampler, 300);
        }
        assert_eq!(picked(&mut sampler, 300).0, 300);
    }
}
