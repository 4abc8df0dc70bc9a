//! What the writers of one recorder share.

use super::clock::Clock;
use super::journal::Journal;
use super::outbox::Outbox;
use super::owners::Owners;
use super::random::Random;
use super::tally::Tally;

pub(super) struct Shared {
    /// Name and version of the host, for the header.
    pub(super) sdk: &'static str,
    /// Most events of a batch.
    pub(super) batch_events_max: u64,
    /// Most bytes of a batch's event lines, unless a single one is longer.
    pub(super) batch_bytes_max: usize,
    /// The host's wall clock when it was last asked what to do, in Unix milliseconds.
    pub(super) wall_ms: u64,
    /// Executions of which nothing will reach the server.
    pub(super) lost: u64,
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(super) outbox: Outbox,
    pub(super) journal: Journal,
    pub(super) owners: Owners,
    pub(super) tally: Tally,
}
