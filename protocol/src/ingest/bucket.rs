//! Token buckets, in whole numbers, with leases.
//!
//! A bucket holds up to `burst` tokens and gains `rate` a second. Nothing is ever admitted beyond it:
//! a lease takes its tokens out at once, so tokens of a lease that nobody used are lost, never lent
//! twice.

use serde::{Deserialize, Serialize};

/// What a bucket allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// Tokens gained a second.
    pub rate: u64,
    /// Tokens it holds at most.
    pub burst: u64,
}

/// A bucket's state; `Default` is one that was never used, and so is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Missing to the full, in thousandths of a token.
    missing_milli: u64,
    /// When that was so, Unix ms.
    at: u64,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// When the tokens asked for will be there, in milliseconds from now.
    pub retry_after_ms: u64,
}

impl Bucket {
    /// Takes `need` tokens and up to `extra` more, and says how many it took.
    pub fn take(&mut self, allowance: Allowance, now: u64, need: u64, extra: u64) -> Result<u64, Exhausted> {
        self.refill(allowance, now);
        let level = self.level(allowance);
        if level < need {
            let lacking_milli =
                self.missing_milli.saturating_sub(allowance.burst.saturating_sub(need) * 1_000);
            return Err(Exhausted { retry_after_ms: lacking_milli.div_ceil(allowance.rate.max(1)) });
        }
        let taken = level.min(need + extra);
        self.missing_milli += taken * 1_000;
        Ok(taken)
    }

    /// When the bucket is full again, Unix ms: from then on it is as one that was never used.
    pub const fn full_at(&self, allowance: Allowance) -> u64 {
        let rate = if allowance.rate == 0 { 1 } else { allowance.rate };
        self.at + self.missing_milli.div_ceil(rate)
    }

    /// Whole tokens left.
    pub const fn level(&self, allowance: Allowance) -> u64 {
        (allowance.burst * 1_000).saturating_sub(self.missing_milli) / 1_000
    }

    fn refill(&mut self, allowance: Allowance, now: u64) {
        // A clock that steps back gains nothing; the bucket waits for it.
        let elapsed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        // `rate` a second is `rate` thousandths a millisecond.
        self.missing_milli = self.missing_milli.saturating_sub(elapsed.saturating_mul(allowance.rate));
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, Bucket, Exhausted};
    use proptest::prelude::{any, prop_assert, proptest};

    const TEN: Allowance = Allowance { rate: 10, burst: 100 };

    #[test]
    fn a_new_bucket_is_full_and_never_overfull() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(TEN, 1_000, 60, 0), Ok(60));
        assert_eq!(bucket.take(TEN, 1_000, 30, 40), Ok(40));
        assert_eq!(bucket.take(TEN, 1_000, 1, 0), Err(Exhausted { retry_after_ms: 100 }));
        assert_eq!(bucket.take(TEN, 1_100, 1, 0), Ok(1));
        assert_eq!(bucket.take(TEN, 9_999_999, 100, 100), Ok(100));
    }

    #[test]
    fn it_says_when_it_is_full_again() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.full_at(TEN), 0);
        assert_eq!(bucket.take(TEN, 5_000, 25, 0), Ok(25));
        assert_eq!(bucket.full_at(TEN), 7_500);
    }

    #[test]
    fn a_clock_that_steps_back_gains_nothing() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(TEN, 5_000, 100, 0), Ok(100));
        assert_eq!(bucket.take(TEN, 1_000, 1, 0), Err(Exhausted { retry_after_ms: 100 }));
        assert_eq!(bucket.take(TEN, 5_000, 1, 0), Err(Exhausted { retry_after_ms: 100 }));
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_refill(
            asks in proptest::collection::vec((0_u64..500, 0_u64..60, 0_u64..60), 1..200),
            start in any::<u32>(),
        ) {
            let (mut bucket, mut now, mut taken) = (Bucket::default(), u64::from(start), 0);
            for (wait, need, extra) in asks {
                now += wait;
                taken += bucket.take(TEN, now, need, extra).unwrap_or(0);
                prop_assert!(taken <= TEN.burst + (now - u64::from(start)) * TEN.rate / 1_000 + 1);
            }
        }
    }
}
