//! The digest that names a batch's content: SHA-256 of its uncompressed NDJSON.

use crate::encoding::{base64url_encode, hex_encode, push_base64};
use alloc::string::String;
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

/// SHA-256 of `parts`, one after the other.
#[inline(never)]
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
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
