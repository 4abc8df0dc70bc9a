//! Receipts: the worker's word that it stored a batch, and when.
//!
//! `r2.<stored at, Unix ms>.<base64url signature>`: Ed25519 under the project's signing key over
//! [`receipt_text`](crate::transparency::receipt_text), so that whoever has the public key can check it. Ed25519
//! gives one signature for one text: a retry of the same batch gets the first receipt again.

use crate::encoding::base64url_encode;
use crate::ids::{ExecutionId, ProjectId, WriterId};
use std::format;
use std::string::String;

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

/// The receipt of a batch that was stored at `stored_at` (Unix ms).
pub fn receipt(stored_at: u64, signature: &[u8; 64]) -> String {
    format!("r2.{stored_at}.{}", base64url_encode(signature))
}
