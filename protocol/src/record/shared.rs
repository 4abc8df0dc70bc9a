//! What the writers of one recorder share.

use super::clock::Clock;
use super::outbox::Outbox;
use super::random::Random;
use super::tally::Tally;

pub(super) struct Shared {
    /// Name and version of the host, for the header.
    pub(super) sdk: &'static str,
    /// Most events of a batch.
    pub(super) batch_events_max: u64,
    /// Most bytes of a batch's event lines, unless a single one is longer.
    pub(super) batch_bytes_max: usize,
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(super) outbox: Outbox,
    pub(super) tally: Tally,
}
