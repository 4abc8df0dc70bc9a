//! Randomness from one seed.

use crate::digest::sha256;
use crate::encoding::push_hex;
use crate::ids::{BatchId, WriterId};
use alloc::vec::Vec;

/// Draws from SHA-256 of a random seed and a counter: nobody who lacks the seed can foretell a draw,
/// and a test that knows it can.
pub(super) struct Random {
    seed: [u8; 32],
    drawn: u64,
}

impl Random {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    /// A new batch id: `bat_` and 32 hex digits.
    pub(super) fn batch_id(&mut self) -> BatchId {
        let mut text = Vec::from(*b"bat_");
        push_hex(&mut text, &self.draw()[..16]);
        BatchId::parse_bytes(&text).expect("`bat_` and 32 hex digits fit the grammar")
    }

    /// A new writer id: 16 hex digits.
    pub(super) fn writer_id(&mut self) -> WriterId {
        let mut text = Vec::new();
        push_hex(&mut text, &self.draw()[..8]);
        WriterId::parse_bytes(&text).expect("16 hex digits fit the grammar")
    }

    /// A number below `bound`, which is small against 2^64; 0 for the bound 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let mut number = 0;
        for byte in &self.draw()[..8] {
            number = number << 8 | u64::from(*byte);
        }
        number.checked_rem(bound).unwrap_or(0)
    }

    fn draw(&mut self) -> [u8; 32] {
        self.drawn += 1;
        sha256(&[&self.seed, &self.drawn.to_be_bytes()])
    }
}
