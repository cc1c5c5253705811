//! What is kept of the points of one period.

use crate::settings::Method;

/// The points so far: enough for every method.
#[derive(Debug)]
pub(super) struct Sums {
    count: u64,
    sum: f64,
    /// What was lost of `sum` to rounding, as Neumaier's summation keeps it; Python's
    /// own `sum` does so too.
    lost: f64,
    min: f64,
    max: f64,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            count: 0,
            sum: 0.0,
            lost: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl Sums {
    /// Adds a point; equal ones count each.
    pub fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// What a method makes of the points; not finite if the sum is too large.
    pub fn value(&self, method: Method) -> f64 {
        match method {
            Method::Avg => (self.sum + self.lost) / self.count as f64,
            Method::Sum => self.sum + self.lost,
            Method::Max => self.max,
            Method::Min => self.min,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> [f64; 4] {
        let mut sums = Sums::default();
        values.iter().for_each(|value| sums.add(*value));
        [Method::Sum, Method::Avg, Method::Min, Method::Max].map(|method| sums.value(method))
    }

    #[test]
    fn equal_points_count_each_and_small_ones_are_not_lost() {
        assert_eq!(of(&[2.0, 2.0, 2.0]), [6.0, 2.0, 2.0, 2.0]);
        assert_eq!(of(&[1e16, 1.0, 1.0, -1e16])[0], 2.0);
        assert_eq!(of(&[0.1; 10])[..2], [1.0, 0.1]);
        assert_eq!(of(&[-5.0, 3.0]), [-2.0, -1.0, -5.0, 3.0]);
    }

    #[test]
    fn a_sum_that_is_too_large_is_not_finite() {
        assert!(!of(&[1e308, 1e308])[0].is_finite());
        assert_eq!(of(&[1e308, 1e308])[3], 1e308);
    }
}
