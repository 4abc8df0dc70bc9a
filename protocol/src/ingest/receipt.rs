//! Receipts: the worker's word that it stored a batch, and when.
//!
//! `r1.<stored at, Unix ms>.<base64url tag>`, the tag under the root that the batch's key derives from,
//! over the batch's key and digest. A retry of the same batch gets the first receipt again.

use crate::digest::BodyDigest;
use crate::encoding::base64url_encode;
use crate::ids::{ExecutionId, ProjectId, WriterId};
use crate::keys::Root;
use std::format;
use std::string::{String, ToString};

/// What identifies a stored batch: the key under which a retry is a no-op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchKey {
    /// Project.
    pub project: ProjectId,
    /// Execution.
    pub execution: ExecutionId,
    /// Writer.
    pub writer: WriterId,
    /// Index in the writer's sequence.
    pub k: u64,
}

/// The receipt for the batch under `key` with content `digest`, stored at `stored_at` (Unix ms).
pub fn receipt(root: &Root, key: &BatchKey, digest: &BodyDigest, stored_at: u64) -> String {
    let tag = root.purpose_key("receipt", Some(&key.project)).tag(&[
        key.execution.as_str().as_bytes(),
        key.writer.as_str().as_bytes(),
        key.k.to_string().as_bytes(),
        digest.as_bytes(),
        stored_at.to_string().as_bytes(),
    ]);
    format!("r1.{stored_at}.{}", base64url_encode(&tag))
}
