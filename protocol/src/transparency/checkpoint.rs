//! Texts that are signed, and how their signatures are written (C2SP signed-note, tlog-checkpoint).

use super::tree::Hash;
use crate::digest::BodyDigest;
use crate::encoding::{base64_decode, base64_encode, hex_encode};
use crate::ids::ProjectId;
use crate::ingest::receipt::BatchKey;
use sha2::{Digest, Sha256};
use std::format;
use std::string::String;

/// Signature type of C2SP signed-note: Ed25519 over the note's text.
const ED25519: u8 = 1;

/// The log's origin, which is also its key's name. A project's id holds neither a space nor a plus.
pub fn origin(project: &str) -> String {
    format!("stepseal/{project}")
}

/// The public key that a log's notes are verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// The key of `project`'s log.
    pub fn of(project: &str, public: [u8; 32]) -> Self {
        Self { name: origin(project), public }
    }

    /// Reads [`to_text`](Self::to_text)'s text; none if it was mistyped or altered.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(3, '+');
        let (name, id, encoded) = (parts.next()?, parts.next()?, parts.next()?);
        let project = ProjectId::parse(name.strip_prefix("stepseal/")?).ok()?;
        let bytes: [u8; 33] = base64_decode(encoded).ok()?.try_into().ok()?;
        let (kind, public) = bytes.split_first()?;
        let key = Self::of(project.as_str(), public.try_into().ok()?);
        (*kind == ED25519 && hex_encode(&key.id()) == id).then_some(key)
    }

    /// The project whose log it is of.
    pub fn project(&self) -> &str {
        self.name.strip_prefix("stepseal/").unwrap_or(&self.name)
    }

    /// The 32 bytes of the public key.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The first four bytes of SHA-256(name ‖ LF ‖ type ‖ key), which notes name it by.
    pub fn id(&self) -> [u8; 4] {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(self.name.as_bytes())
            .chain_update([b'\n', ED25519])
            .chain_update(self.public)
            .finalize()
            .into();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// `<name>+<id>+<type and key>`, as verifiers take it.
    pub fn to_text(&self) -> String {
        let mut key = [ED25519; 33];
        key[1..].copy_from_slice(&self.public);
        format!("{}+{}+{}", self.name, hex_encode(&self.id()), base64_encode(&key))
    }
}

/// The text of a checkpoint: origin, size, root, a line each.
pub fn checkpoint_text(project: &str, size: u64, root: &Hash) -> String {
    format!("{}\n{size}\n{}\n", origin(project), base64_encode(root))
}

/// A text with its signature.
pub fn signed_note(text: &str, key: &VerifierKey, signature: &[u8; 64]) -> String {
    let mut bytes = [0; 68];
    bytes[..4].copy_from_slice(&key.id());
    bytes[4..].copy_from_slice(signature);
    format!("{text}\n\u{2014} {} {}\n", key.name, base64_encode(&bytes))
}

/// What a receipt's signature covers. No checkpoint begins so: an origin's second part has no slash.
pub fn receipt_text(key: &BatchKey, digest: &BodyDigest, stored_at: u64) -> String {
    let BatchKey { project, execution, writer, k } = key;
    let sha256 = digest.to_hex();
    format!(
        "stepseal/receipt/v1\n{project}\n{}\n{}\n{k}\n{sha256}\n{stored_at}\n",
        execution.as_str(),
        writer.as_str()
    )
}

#[cfg(test)]
mod tests {
    use super::{VerifierKey, checkpoint_text, signed_note};

    /// Golden values computed with Node's crypto from the seed 00…1f.
    #[test]
    fn texts_have_the_forms_that_c2sp_names() {
        let public =
            crate::encoding::hex_decode("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");
        let key = VerifierKey::of("prj_demo", public.unwrap().try_into().unwrap());
        assert_eq!(key.to_text(), KEY);
        assert_eq!(VerifierKey::parse(KEY), Some(key.clone()));
        for other in ["", "a+b", &KEY.replace("demo", "dem0"), &KEY[..60], &KEY.replace("stepseal/", "")] {
            assert_eq!(VerifierKey::parse(other), None, "{other}");
        }
        let text = checkpoint_text("prj_demo", 7, &[9; 32]);
        assert_eq!(text, "stepseal/prj_demo\n7\nCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=\n");
        let note = signed_note(&text, &key, &[1; 64]);
        assert!(note.starts_with(&text));
        let signature = note.strip_prefix(&text).unwrap();
        assert!(signature.starts_with("\n\u{2014} stepseal/prj_demo ") && signature.ends_with('\n'));
    }

    const KEY: &str = "stepseal/prj_demo+022bf45d+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
}
