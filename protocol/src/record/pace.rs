//! When to send, and how much at once.

use super::random::Random;

/// Most batches on their way at once while all is well.
const IN_FLIGHT_MAX: usize = 4;
/// The first retry comes within this time, in milliseconds; each further one within twice as long.
const BACKOFF_BASE_MS: u64 = 1_000;
/// No retry is put off for longer than this by us, in milliseconds.
const BACKOFF_MAX_MS: u64 = 60_000;
/// Spread over the clients that were told the same `Retry-After`, in milliseconds.
const RETRY_AFTER_SPREAD_MS: u64 = 500;

/// Capped exponential backoff with full jitter: anything from 0 to the cap of the `failures`-th failure in a row.
pub(super) fn backoff_ms(failures: u32, random: &mut Random) -> u64 {
    let doublings = failures.saturating_sub(1).min(16);
    random.below((BACKOFF_BASE_MS << doublings).min(BACKOFF_MAX_MS) + 1)
}

/// The sender's pace: full speed until something fails, then one batch at a time as a probe, ever later.
#[derive(Default)]
pub(super) struct Pace {
    /// Failures in a row; concurrent ones count once.
    failures: u32,
    failed_at: u64,
    /// We would rather wait until then.
    backed_off_until: u64,
    /// The server asked to be left alone until then.
    held_until: u64,
}

impl Pace {
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A request that left at `sent_at` failed in a way that may pass.
    pub(super) fn failed(
        &mut self,
        sent_at: u64,
        now: u64,
        retry_after_ms: Option<u64>,
        random: &mut Random,
    ) {
        if sent_at >= self.failed_at {
            self.failures += 1;
            self.failed_at = now;
            self.backed_off_until = now + backoff_ms(self.failures, random);
        }
        if let Some(asked) = retry_after_ms {
            let until = now.saturating_add(asked).saturating_add(random.below(RETRY_AFTER_SPREAD_MS));
            self.held_until = self.held_until.max(until);
        }
    }

    /// The server asked an earlier recorder to wait until then.
    pub(super) fn hold_until(&mut self, until: u64) {
        self.held_until = self.held_until.max(until);
    }

    /// When the next request may leave.
    pub(super) fn open_at(&self) -> u64 {
        self.held_until.max(self.backed_off_until)
    }

    /// Until when the server asked not to be bothered; holds even for a page that closes.
    pub(super) fn held_until(&self) -> u64 {
        self.held_until
    }

    pub(super) fn in_flight_max(&self) -> usize {
        if self.failures == 0 { IN_FLIGHT_MAX } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, Random, backoff_ms};
    use alloc::vec::Vec;

    #[test]
    fn backoff_doubles_up_to_its_cap_and_is_spread_over_all_of_it() {
        let mut random = Random::new([7; 32]);
        for (failures, cap) in [(1, 1_000), (2, 2_000), (4, 8_000), (7, 60_000), (60, 60_000)] {
            let drawn: Vec<u64> = (0..500).map(|_| backoff_ms(failures, &mut random)).collect();
            assert!(drawn.iter().all(|ms| *ms <= cap), "{failures}");
            assert!(drawn.iter().any(|ms| *ms < cap / 10), "{failures}");
            assert!(drawn.iter().any(|ms| *ms > cap / 10 * 9), "{failures}");
        }
    }

    #[test]
    fn concurrent_failures_count_once_and_success_forgets_them() {
        let mut random = Random::new([7; 32]);
        let mut pace = Pace::default();
        assert_eq!(pace.in_flight_max(), 4);
        for _ in 0..4 {
            pace.failed(10, 20, None, &mut random);
        }
        assert_eq!((pace.failures, pace.in_flight_max()), (1, 1));
        pace.failed(30, 40, None, &mut random);
        assert_eq!(pace.failures, 2);
        pace.succeeded();
        assert_eq!(pace.in_flight_max(), 4);
    }

    #[test]
    fn retry_after_is_a_floor() {
        let mut random = Random::new([7; 32]);
        let mut pace = Pace::default();
        pace.failed(0, 100, Some(4_000), &mut random);
        assert!((4_100..4_600).contains(&pace.open_at()), "{}", pace.open_at());
        assert_eq!(pace.open_at(), pace.held_until());
    }
}
