//! Randomness from one seed.

use crate::encoding::push_base64;
use crate::ids::{BatchId, WriterId};
use alloc::vec::Vec;

/// Names and delays that differ from everybody else's. Half of the seed stands in each batch id, the other half moves on
/// from draw to draw (`xorshift64`, Marsaglia 2003, which repeats nothing before its end): nothing here is secret, and a test that
/// knows the seed can foretell it.
pub(super) struct Random {
    own: [u8; 8],
    state: u64,
}

impl Random {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let [mut own, mut state] = [[0; 8]; 2];
        own.copy_from_slice(&seed[..8]);
        state.copy_from_slice(&seed[8..16]);
        // From 0 it would not move.
        Self { own, state: u64::from_le_bytes(state).max(1) }
    }

    /// A new batch id: `bat_` and 22 characters of base64url.
    pub(super) fn batch_id(&mut self) -> BatchId {
        let mut text = Vec::new();
        text.extend_from_slice(b"bat_");
        self.push_unique(&mut text);
        BatchId::read(&text).expect("`bat_` and 22 characters of base64url fit the grammar")
    }

    /// A new writer id: 22 characters of base64url.
    pub(super) fn writer_id(&mut self) -> WriterId {
        let mut text = Vec::new();
        self.push_unique(&mut text);
        WriterId::read(&text).expect("22 characters of base64url fit the grammar")
    }

    fn push_unique(&mut self, out: &mut Vec<u8>) {
        push_base64(out, &self.own, true);
        push_base64(out, &self.draw().to_be_bytes(), true);
    }

    /// A number below `bound`, which is small against 2^64; 0 for the bound 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.draw().checked_rem(bound).unwrap_or(0)
    }

    #[inline(never)]
    fn draw(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}
