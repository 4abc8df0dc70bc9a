//! Encryption at rest: which key, which additional data, and how a stored value looks.
//!
//! Bodies are sealed with AES-256-GCM under a key of the project and a random nonce; the cipher is the
//! shell's (Web Crypto), what surrounds it is decided here. The additional data names the row, so a body
//! moved to another row does not open. A stored body begins with a byte that no body as sent begins with,
//! then names the root its key derives from.
//!
//! A body may be sealed under a key of its subject, which takes 32 random bytes beside the root; it then names that key.
//!
//! Labels stand as blind indexes, with the sealed texts beside them: see [`labels`].

pub mod labels;

use std::format;
use std::vec::Vec;

/// Length of a body's nonce, in bytes: 96 random bits. Beyond 2^32 bodies a project and root, two might
/// meet; rotate the root before that (NIST SP 800-38D, section 8.3).
pub const NONCE_LEN: usize = 12;
/// A body as sent begins with `{` or with gzip's 1f.
const MAGIC: &[u8] = b"\0s1";
/// The same, for a body that is sealed under a subject's key.
const MAGIC_OF_SUBJECT: &[u8] = b"\0s2";

/// The row that a body belongs to.
#[derive(Clone, Copy, Debug)]
pub struct BodyPlace<'a> {
    /// Project.
    pub project: &'a str,
    /// Execution.
    pub execution: &'a str,
    /// Writer.
    pub writer: &'a str,
    /// Index in the writer's sequence.
    pub k: u64,
    /// The attempt that stored it.
    pub attempt: &'a str,
}

impl BodyPlace<'_> {
    /// What the seal covers beside the body. No field can hold a zero byte.
    pub fn additional_data(&self) -> Vec<u8> {
        let Self { project, execution, writer, k, attempt } = self;
        format!("stepseal/segments.body/v1\0{project}\0{execution}\0{writer}\0{k}\0{attempt}").into_bytes()
    }
}

/// Names a subject's key: the subject by its tag, the key by a random id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectKeyId {
    /// Tag of the subject ([`Root::subject_tag`]).
    pub subject: [u8; 16],
    /// The key among the subject's.
    pub key: [u8; 8],
}

impl SubjectKeyId {
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (subject, rest) = bytes.split_first_chunk::<16>()?;
        let (key, rest) = rest.split_first_chunk::<8>()?;
        Some((Self { subject: *subject, key: *key }, rest))
    }
}

/// A stored body, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub enum StoredBody<'a> {
    /// Sealed.
    Sealed {
        /// Name of the root.
        root: &'a str,
        /// The subject's key that is needed beside it.
        subject_key: Option<SubjectKeyId>,
        /// Nonce.
        nonce: &'a [u8],
        /// Ciphertext and tag.
        ciphertext: &'a [u8],
    },
    /// As it was sent: stored before encryption at rest existed.
    Plain(&'a [u8]),
}

impl<'a> StoredBody<'a> {
    /// Takes stored bytes apart; none if they are cut off.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let of_subject = bytes.strip_prefix(MAGIC_OF_SUBJECT);
        let Some(rest) = of_subject.or_else(|| bytes.strip_prefix(MAGIC)) else {
            return Some(Self::Plain(bytes));
        };
        let (length, rest) = rest.split_first()?;
        let (root, rest) = rest.split_at_checked(usize::from(*length))?;
        let (subject_key, rest) = if of_subject.is_some() {
            let (id, rest) = SubjectKeyId::read(rest)?;
            (Some(id), rest)
        } else {
            (None, rest)
        };
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN)?;
        Some(Self::Sealed { root: core::str::from_utf8(root).ok()?, subject_key, nonce, ciphertext })
    }
}

/// A sealed body as it is stored.
pub fn sealed_body(
    root: &str,
    subject_key: Option<&SubjectKeyId>,
    nonce: &[u8; NONCE_LEN],
    ciphertext: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + root.len() + ciphertext.len());
    bytes.extend_from_slice(if subject_key.is_some() { MAGIC_OF_SUBJECT } else { MAGIC });
    // A root's name is a key id: at most 32 bytes.
    bytes.push(u8::try_from(root.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(root.as_bytes());
    if let Some(id) = subject_key {
        bytes.extend_from_slice(&id.subject);
        bytes.extend_from_slice(&id.key);
    }
    bytes.extend_from_slice(nonce);
    bytes.extend_from_slice(ciphertext);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{BodyPlace, StoredBody, SubjectKeyId, sealed_body};

    #[test]
    fn a_stored_body_says_what_sealed_it() {
        let id = SubjectKeyId { subject: [3; 16], key: [4; 8] };
        let of_subject = sealed_body("k1", Some(&id), &[7; 12], b"ciphertext");
        let expected = |subject_key| StoredBody::Sealed {
            root: "k1",
            subject_key,
            nonce: &[7; 12],
            ciphertext: b"ciphertext",
        };
        assert_eq!(StoredBody::read(&of_subject), Some(expected(Some(id))));
        for cut in 3..42 {
            assert_eq!(StoredBody::read(&of_subject[..cut]), None, "{cut}");
        }
        let stored = sealed_body("k1", None, &[7; 12], b"ciphertext");
        assert_eq!(StoredBody::read(&stored), Some(expected(None)));
        assert_eq!(StoredBody::read(b"{}"), Some(StoredBody::Plain(b"{}")));
        assert_eq!(StoredBody::read(&[0x1f, 0x8b]), Some(StoredBody::Plain(&[0x1f, 0x8b])));
        for cut in 3..18 {
            assert_eq!(StoredBody::read(&stored[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn additional_data_tells_rows_apart() {
        let place = BodyPlace { project: "p", execution: "x", writer: "w", k: 1, attempt: "a" };
        let data = place.additional_data();
        for other in [
            BodyPlace { project: "q", ..place },
            BodyPlace { execution: "y", ..place },
            BodyPlace { writer: "", ..place },
            BodyPlace { k: 2, ..place },
            BodyPlace { attempt: "b", ..place },
        ] {
            assert_ne!(other.additional_data(), data, "{other:?}");
        }
    }
}
