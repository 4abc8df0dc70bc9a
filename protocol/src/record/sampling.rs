//! Which executions are recorded.

use crate::digest::sha256;
use crate::ids::ExecutionId;

/// A part of all executions, chosen by their ids, so that every writer of an execution chooses alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// The part, where `u32::MAX` is all.
    pub rate: u32,
    /// Whether the others are recorded too, kept back until they end, and sent if they failed.
    pub keep_failures: bool,
}

impl Sampling {
    /// Every execution.
    pub const ALL: Self = Self { rate: u32::MAX, keep_failures: false };
}

/// Whether an execution is among the part `rate`: the first four bytes of its id's SHA-256, as a big-endian number, are
/// not above it (and it is not 0).
pub(super) fn is_sampled(execution: &ExecutionId, rate: u32) -> bool {
    let digest = sha256(&[execution.as_bytes()]);
    let place = digest[..4].iter().fold(0_u32, |place, byte| place << 8 | u32::from(*byte));
    rate != 0 && place <= rate
}

#[cfg(test)]
mod tests {
    use super::is_sampled;
    use crate::ids::ExecutionId;
    use std::format;

    #[test]
    fn the_part_is_as_large_as_asked_for_and_grows_with_the_rate() {
        let ids = || (0..10_000).map(|number| ExecutionId::parse(&format!("run_{number:032x}")).unwrap());
        for (rate, least, most) in [(0, 0, 0), (u32::MAX / 10, 900, 1_100), (u32::MAX, 10_000, 10_000)] {
            let sampled = ids().filter(|id| is_sampled(id, rate)).count();
            assert!((least..=most).contains(&sampled), "{sampled}");
        }
        assert!(ids().all(|id| !is_sampled(&id, u32::MAX / 10) || is_sampled(&id, u32::MAX / 2)));
    }
}
