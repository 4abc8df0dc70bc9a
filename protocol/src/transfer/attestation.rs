//! Attestations: the exporting log's Ed25519 signature over everything that a batch's line says.
//!
//! A MAC can be checked by whoever holds the root; an attestation by whoever has the log's public key, and it also covers what no
//! MAC does: when the batch was received, and who owns the execution.

use super::line::BatchLine;
use crate::problem::{Code, Problem};
use crate::transparency::VerifierKey;
use std::format;
use std::string::String;

/// A signature over a line that nobody has checked yet.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// The key that it must hold under.
    pub key: VerifierKey,
    /// The signature.
    pub signature: [u8; 64],
    /// What it covers.
    pub text: String,
}

/// Proof that an attestation holds. [`Attestation::confirmed`] and [`ImportRecord::attested`](super::ImportRecord::attested)
/// alone make one.
#[derive(Debug)]
pub struct Attested(());

impl Attested {
    pub(super) const fn confirmed() -> Self {
        Self(())
    }
}

impl Attestation {
    /// The proof, given what the platform's Ed25519 said of key, text and signature.
    pub fn confirmed(&self, holds: bool) -> Result<Attested, Problem> {
        if holds {
            return Ok(Attested(()));
        }
        Err(Problem::new(
            Code::SignatureInvalid,
            format!(
                "The line's attestation does not hold under {}. Give the key of the log that the file was exported from; if it \
                 is that one, the line was altered: export it again.",
                self.key.to_text()
            ),
        )
        .of_field("attestation"))
    }
}

/// What an attestation covers. No checkpoint and no receipt begins so.
pub(super) fn text(project: &str, line: &BatchLine, content: &str) -> String {
    let BatchLine { execution, writer, k, received_at, provenance, subject, .. } = line;
    format!(
        "stepseal/export/v1\n{project}\n{}\n{}\n{k}\n{content}\n{received_at}\n{provenance}\n{subject}\n",
        execution.as_str(),
        writer.as_str()
    )
}
