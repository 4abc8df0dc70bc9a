//! Randomness from one seed.

use crate::encoding::push_hex;
use crate::ids::{BatchId, WriterId};
use alloc::vec::Vec;

/// Names and delays that differ from everybody else's. Half of the seed stands in each batch id, the other half moves on
/// from draw to draw (`SplitMix64`, Steele et al. 2014): nothing here is secret, and a test that knows the seed can foretell it.
pub(super) struct Random {
    own: [u8; 8],
    state: u64,
}

impl Random {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let [mut own, mut state] = [[0; 8]; 2];
        own.copy_from_slice(&seed[..8]);
        state.copy_from_slice(&seed[8..16]);
        Self { own, state: u64::from_le_bytes(state) }
    }

    /// A new batch id: `bat_` and 32 hex digits.
    pub(super) fn batch_id(&mut self) -> BatchId {
        let mut text = Vec::new();
        text.extend_from_slice(b"bat_");
        self.push_unique(&mut text);
        BatchId::read(&text).expect("`bat_` and 32 hex digits fit the grammar")
    }

    /// A new writer id: 32 hex digits.
    pub(super) fn writer_id(&mut self) -> WriterId {
        let mut text = Vec::new();
        self.push_unique(&mut text);
        WriterId::read(&text).expect("32 hex digits fit the grammar")
    }

    fn push_unique(&mut self, out: &mut Vec<u8>) {
        push_hex(out, &self.own);
        push_hex(out, &self.draw().to_be_bytes());
    }

    /// A number below `bound`, which is small against 2^64; 0 for the bound 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.draw().checked_rem(bound).unwrap_or(0)
    }

    #[inline(never)]
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
