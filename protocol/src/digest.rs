//! The digest that names a batch's content: SHA-256 of its uncompressed NDJSON.

use crate::encoding::{base64url_encode, hex_encode, push_base64};
use alloc::string::String;
use alloc::vec::Vec;
use sha2::block_api::compress256;

/// The initial state (FIPS 180-4, section 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// SHA-256 of `parts`, one after the other. The compression is `sha2`'s; what it has around it for every hash that there
/// is would weigh three times as much in the page.
#[inline(never)]
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut message = Vec::with_capacity(len + 72);
    for part in parts {
        message.extend_from_slice(part);
    }
    // Padding (section 5.1.1): one bit, zeros, the length in bits, to a multiple of 64 bytes.
    message.extend_from_slice(&[0x80]);
    message.resize((len + 8) / 64 * 64 + 56, 0);
    message.extend_from_slice(&(len as u64 * 8).to_be_bytes());
    let mut state = INITIAL;
    compress256(&mut state, message.as_chunks().0);
    let mut digest = [0; 32];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

/// SHA-256 of a batch's uncompressed body. Chains (`prev`), conflicts and receipts use it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BodyDigest([u8; 32]);

impl BodyDigest {
    /// The digest of `ndjson`.
    pub fn of(ndjson: &[u8]) -> Self {
        Self(sha256(&[ndjson]))
    }

    /// The digest whose 32 bytes are known already.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Appends [`to_base64url`](Self::to_base64url)'s 43 characters.
    pub(crate) fn push_base64url(self, out: &mut Vec<u8>) {
        push_base64(out, &self.0, true);
    }

    /// 43 characters, as `prev` is written.
    pub fn to_base64url(self) -> String {
        base64url_encode(&self.0)
    }

    /// 64 characters, as replies and the store write it.
    pub fn to_hex(self) -> String {
        hex_encode(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::sha256;
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};
    use sha2::{Digest, Sha256};

    proptest! {
        #[test]
        fn the_hash_is_sha2s(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..300) {
            let (first, rest) = bytes.split_at(cut.min(bytes.len()));
            let expected: [u8; 32] = Sha256::digest(&bytes).into();
            prop_assert_eq!(sha256(&[first, rest]), expected);
        }
    }
}
