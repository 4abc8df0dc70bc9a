//! What is known of the difference between this machine's clock and the server's.

/// Smaller differences than this are the network's doing, not the clock's, in milliseconds.
const NOISE_MS: u64 = 1_000;
/// A reply that took longer than this says too little about the clock, in milliseconds.
const ROUND_TRIP_MAX_MS: u64 = 30_000;

/// The clock that attempts are signed by: the host's wall clock, corrected by what the server says.
#[derive(Default)]
pub(super) struct Clock {
    offset_ms: i64,
    /// The server's latest time that was heard of, in Unix milliseconds.
    latest_ms: u64,
}

impl Clock {
    /// Takes in a reply's `server_time`. The server read its clock some time within the round trip, so
    /// only a difference beyond it counts. A time before one that was heard already comes from a cache.
    pub(super) fn observe(&mut self, server_time_ms: u64, wall_ms: u64, round_trip_ms: u64) {
        if round_trip_ms > ROUND_TRIP_MAX_MS || server_time_ms < self.latest_ms {
            return;
        }
        self.latest_ms = server_time_ms;
        let offset_ms = difference(server_time_ms.saturating_add(round_trip_ms / 2), wall_ms);
        if offset_ms.abs_diff(self.offset_ms) > NOISE_MS.max(round_trip_ms / 2) {
            self.offset_ms = offset_ms;
        }
    }

    /// The server's time, as far as it is known, in milliseconds.
    pub(super) fn server_time_ms(&self, wall_ms: u64) -> u64 {
        wall_ms.saturating_add_signed(self.offset_ms)
    }

    /// How far the server's clock is ahead of this one, in milliseconds; 0 where nothing is known.
    pub(super) fn offset_ms(&self) -> i64 {
        self.offset_ms
    }
}

fn difference(a: u64, b: u64) -> i64 {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    signed(a) - signed(b)
}

#[cfg(test)]
mod tests {
    use super::Clock;

    const DAY: u64 = 86_400_000;
    const NOW: u64 = 1_790_000_000_000;

    #[test]
    fn a_clock_a_day_off_is_corrected_either_way() {
        for wall in [NOW - DAY, NOW + DAY] {
            let mut clock = Clock::default();
            clock.observe(NOW, wall, 200);
            assert_eq!(clock.server_time_ms(wall), NOW + 100);
        }
    }

    #[test]
    fn a_reply_from_a_cache_changes_nothing() {
        let mut clock = Clock::default();
        clock.observe(NOW + DAY, NOW, 10);
        clock.observe(NOW + DAY - 60_000, NOW + 5_000, 10);
        assert_eq!(clock.server_time_ms(NOW), NOW + DAY + 5);
    }

    #[test]
    fn noise_and_slow_replies_change_nothing() {
        let mut clock = Clock::default();
        clock.observe(NOW - 4_000, NOW, 5_000);
        clock.observe(NOW + 900, NOW, 10);
        clock.observe(NOW + DAY, NOW, 31_000);
        assert_eq!(clock.offset_ms(), 0);
        clock.observe(NOW + 6_000, NOW, 2_000);
        assert_eq!(clock.offset_ms(), 7_000);
    }
}
