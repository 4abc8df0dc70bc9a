//! What the log holds: stored batches and deletions.

use super::tree::{Hash, leaf_hash};
use crate::digest::BodyDigest;
use crate::encoding::hex_encode;
use sha2::{Digest, Sha256};
use std::format;
use std::string::String;

/// An entry of a project's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf<'a> {
    /// A batch was stored.
    Batch {
        /// Execution.
        execution: &'a str,
        /// Writer.
        writer: &'a str,
        /// Index in the writer's sequence.
        k: u64,
        /// [`content`] of its body and envelope.
        content: &'a str,
    },
    /// An execution was deleted.
    Deletion {
        /// Execution.
        execution: &'a str,
    },
}

/// Hex of SHA-256 over the digest of a batch's NDJSON and the digest of its envelope.
pub fn content(digest: &BodyDigest, envelope: &str) -> String {
    let envelope = Sha256::digest(envelope.as_bytes());
    hex_encode(&Sha256::new().chain_update(digest.as_bytes()).chain_update(envelope).finalize())
}

impl Leaf<'_> {
    /// Its hash in the tree of `project`. No field can hold a zero byte.
    pub fn hash(&self, project: &str) -> Hash {
        let data = match self {
            Self::Batch { execution, writer, k, content } => {
                format!("stepseal/leaf/v1\0batch\0{project}\0{execution}\0{writer}\0{k}\0{content}")
            }
            Self::Deletion { execution } => format!("stepseal/leaf/v1\0deletion\0{project}\0{execution}"),
        };
        leaf_hash(data.as_bytes())
    }
}
