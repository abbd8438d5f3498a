//! When to try again: exponential backoff with full jitter, inside a window.
//!
//! The window is counted from the first failure, not from the first attempt, so that a request that took minutes to
//! time out is still tried again. The last attempt comes at the end of the window: a server that is away for less than
//! the window is survived whatever the dice say. Counting attempts instead gives up after seconds when connections are
//! refused at once.
//!
//! The schedule is a pure function; who waits, and how, is the caller's business.

use std::time::Duration;

/// How long to try again, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Schedule {
    /// Upper limit of the first wait. Doubles with every failure.
    pub(super) base: Duration,
    /// Upper limit of every wait.
    pub(super) longest: Duration,
    /// Nothing is tried again when this has passed since the first failure.
    pub(super) window: Duration,
}

impl Schedule {
    /// Half a second, doubling, at most 15 seconds, for as long as `window`.
    pub(super) fn within(window: Duration) -> Self {
        Self { base: Duration::from_millis(500), longest: Duration::from_secs(15), window }
    }

    /// How long to wait after failure number `failures` (from 1), `elapsed` after the first one. `dice` is between 0
    /// and 1. `None` is the end.
    pub(super) fn wait(&self, failures: u32, elapsed: Duration, dice: f64) -> Option<Duration> {
        let left = self.window.checked_sub(elapsed).filter(|left| !left.is_zero())?;
        let doublings = failures.saturating_sub(1).min(16);
        let limit = self.base.saturating_mul(1 << doublings).min(self.longest);
        Some(limit.mul_f64(dice.clamp(0.0, 1.0)).min(left))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_the_limit() {
        let schedule = Schedule::within(3600 * SECOND);
        let waits: Vec<_> = (1..9).map(|n| schedule.wait(n, Duration::ZERO, 1.0).unwrap().as_secs_f64()).collect();
        assert_eq!(waits, [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]);
        assert_eq!(schedule.wait(4, SECOND, 0.5), Some(2 * SECOND));
        assert_eq!(schedule.wait(u32::MAX, SECOND, 1.0), Some(15 * SECOND));
    }

    #[test]
    fn nothing_is_tried_again_after_the_window() {
        let schedule = Schedule::within(10 * SECOND);
        assert_eq!(schedule.wait(9, 10 * SECOND, 0.5), None);
        assert_eq!(schedule.wait(9, 11 * SECOND, 0.5), None);
        assert_eq!(Schedule::within(Duration::ZERO).wait(1, Duration::ZERO, 0.5), None);
    }

    proptest! {
        #[test]
        fn last_attempt_comes_at_the_end_of_the_window_or_before(window in 1_u64..600_000, dice in prop::collection::vec(0.01_f64..1.0, 1..50)) {
            let schedule = Schedule::within(Duration::from_millis(window));
            let (mut elapsed, mut failures) = (Duration::ZERO, 0);
            while let Some(wait) = schedule.wait(failures + 1, elapsed, dice[failures as usize % dice.len()]) {
                elapsed += wait;
                failures += 1;
            }
            prop_assert_eq!(elapsed, schedule.window);
        }
    }
}
