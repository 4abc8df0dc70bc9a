//! Encryption at rest: which key, which additional data, and how a stored value looks.
//!
//! Bodies are sealed with AES-256-GCM under a key of the project and a random nonce; the cipher is the
//! shell's (Web Crypto), what surrounds it is decided here. The additional data names the row, so a body
//! moved to another row does not open. A stored body begins with a byte that no body as sent begins with,
//! then names the root its key derives from.
//!
//! A body may be sealed under a key of its subject, which takes 32 random bytes beside the root; it then names that key.
//!
//! Labels are what lists filter by and roll-ups compare: equal labels must be equal texts in the store.
//! [`Labels`] therefore seals them deterministically, by AES-256-GCM-SIV (RFC 8452), which shows that two
//! labels of a column are equal and nothing else. Their key derives from the oldest root and is not
//! rotated, because the store merges them by their sealed text.

use crate::encoding::{base64url_decode, base64url_encode};
use crate::ids::ProjectId;
use crate::keys::Root;
use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Key, Nonce};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Length of a body's nonce, in bytes: 96 random bits. Beyond 2^32 bodies a project and root, two might
/// meet; rotate the root before that (NIST SP 800-38D, section 8.3).
pub const NONCE_LEN: usize = 12;
/// A body as sent begins with `{` or with gzip's 1f.
const MAGIC: &[u8] = b"\0s1";
/// The same, for a body that is sealed under a subject's key.
const MAGIC_OF_SUBJECT: &[u8] = b"\0s2";
const LABEL_PREFIX: &str = "e1";

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

/// Seals and opens the labels of one project.
pub struct Labels {
    cipher: Aes256GcmSiv,
    root: String,
}

impl Labels {
    /// Under the root of this name.
    pub fn of(root_name: &str, root: &Root, project: &ProjectId) -> Self {
        let key = root.label_key(project);
        Self {
            cipher: Aes256GcmSiv::new(&Key::<Aes256GcmSiv>::from(*key.expose())),
            root: root_name.to_string(),
        }
    }

    /// The text that stands for `label` in `column`: the same for the same label.
    ///
    /// # Panics
    ///
    /// On labels of 2^36 bytes, which no request can carry.
    pub fn seal(&self, column: &str, label: &str) -> String {
        let payload = Payload { msg: label.as_bytes(), aad: column.as_bytes() };
        let sealed = self
            .cipher
            .encrypt(&Nonce::default(), payload)
            .expect("AES-GCM-SIV seals anything shorter than 2^36 bytes");
        format!("{LABEL_PREFIX}.{}.{}", self.root, base64url_encode(&sealed))
    }

    /// The label of a stored text. One that was stored before encryption at rest existed is itself; none if
    /// it is sealed and does not open.
    pub fn open(&self, column: &str, stored: &str) -> Option<String> {
        let Some(rest) = stored.strip_prefix(LABEL_PREFIX).and_then(|rest| rest.strip_prefix('.')) else {
            return Some(stored.to_string());
        };
        let (root, sealed) = rest.split_once('.')?;
        let sealed = base64url_decode(sealed).ok().filter(|_| root == self.root)?;
        let payload = Payload { msg: &sealed, aad: column.as_bytes() };
        String::from_utf8(self.cipher.decrypt(&Nonce::default(), payload).ok()?).ok()
    }

    /// The labels of a stored set, a JSON array of texts, in order.
    pub fn open_set(&self, column: &str, stored: &str) -> Vec<String> {
        let stored: Vec<String> = serde_json::from_str(stored).unwrap_or_default();
        let mut labels: Vec<_> = stored.iter().filter_map(|text| self.open(column, text)).collect();
        labels.sort();
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::{BodyPlace, Labels, StoredBody, SubjectKeyId, sealed_body};
    use crate::ids::ProjectId;
    use crate::keys::Root;
    use std::format;

    fn labels(project: &str) -> Labels {
        let root = Root::from_bytes(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
        Labels::of("k1", &root, &ProjectId::parse(project).unwrap())
    }

    #[test]
    fn a_label_opens_in_its_own_column_and_project_only() {
        let mine = labels("prj_a");
        let sealed = mine.seal("name", "book a flight");
        assert!(sealed.starts_with("e1.k1.") && !sealed.contains("flight"));
        assert_eq!(sealed, mine.seal("name", "book a flight"));
        assert_eq!(mine.open("name", &sealed).as_deref(), Some("book a flight"));
        assert_ne!(sealed, mine.seal("agent", "book a flight"));
        assert_eq!(mine.open("agent", &sealed), None);
        assert_eq!(labels("prj_b").open("name", &sealed), None);
        assert_eq!(mine.open("name", &sealed.replace("k1", "k2")), None);
        assert_eq!(mine.open("name", "e1.k1.AAAA"), None);
        assert_eq!(mine.open("name", "from before").as_deref(), Some("from before"));
        let set = format!("[\"{}\",\"{}\"]", mine.seal("tags", "b"), mine.seal("tags", "a"));
        assert_eq!(mine.open_set("tags", &set), ["a", "b"]);
    }

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
