//! Labels: names, agents, users, tags, models and the like, as the store has them.
//!
//! Lists filter by labels and roll-ups compare them, so equal labels must be equal texts in the store: each stands there
//! as its **blind index**, an HMAC under a key of the project. Beside stand the labels themselves, sealed, under a key of the
//! project or of the subject that sent them. Once a subject's key is destroyed, what is left of its labels is which are equal.
//!
//! Both keys derive from the oldest root and are not rotated, because the store merges labels by their indexes.

use super::SubjectKeyId;
use crate::encoding::{base64url_decode, base64url_encode};
use crate::ids::ProjectId;
use crate::keys::{DataKey, KEY_LEN, PurposeKey, Root};
use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Key, Nonce};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Begins every index, and says of which kind it is.
const PREFIX: &str = "h1.";
/// Bytes of the HMAC that are kept.
const INDEX_LEN: usize = 16;

/// Makes the blind indexes of one project.
pub struct LabelIndex(PurposeKey);

impl LabelIndex {
    /// Under the oldest root.
    pub fn of(root: &Root, project: &ProjectId) -> Self {
        Self(root.purpose_key("label-index", Some(project)))
    }

    /// What stands for `label` in `column`: the same for the same label, of one length for all.
    pub fn of_label(&self, column: &str, label: &str) -> String {
        let tag = self.0.tag(&[column.as_bytes(), label.as_bytes()]);
        format!("{PREFIX}{}", base64url_encode(&tag[..INDEX_LEN]))
    }
}

/// What makes an index of a column and a label, and may keep what it saw.
pub type Indexing<'a> = dyn FnMut(&str, &str) -> String + 'a;

/// Seals and opens labels: the project's, or a subject's.
pub struct LabelKey {
    name: String,
    cipher: Aes256GcmSiv,
}

/// The name of a key, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelKeyName<'a> {
    /// The root's name.
    pub root: &'a str,
    /// The subject's key that is needed beside it.
    pub subject_key: Option<SubjectKeyId>,
}

impl<'a> LabelKeyName<'a> {
    /// Takes a name apart; none if it is not one.
    pub fn read(name: &'a str) -> Option<Self> {
        let Some((root, id)) = name.split_once('.') else {
            return Some(Self { root: name, subject_key: None });
        };
        let id = base64url_decode(id).ok()?;
        let (id, rest) = SubjectKeyId::read(&id)?;
        rest.is_empty().then_some(Self { root, subject_key: Some(id) })
    }
}

impl LabelKey {
    /// The project's, under the root of this name.
    pub fn of_project(root_name: &str, root: &Root, project: &ProjectId) -> Self {
        Self::of(root_name.to_string(), &root.label_key(project))
    }

    /// A subject's, which takes its secret beside the root.
    pub fn of_subject(
        root_name: &str,
        root: &Root,
        project: &ProjectId,
        id: &SubjectKeyId,
        secret: &[u8; KEY_LEN],
    ) -> Self {
        let id = base64url_encode(&[&id.subject[..], &id.key[..]].concat());
        Self::of(format!("{root_name}.{id}"), &root.subject_label_key(project, secret))
    }

    fn of(name: String, key: &DataKey) -> Self {
        Self { name, cipher: Aes256GcmSiv::new(&Key::<Aes256GcmSiv>::from(*key.expose())) }
    }

    /// The label sealed for its index, which the seal covers: at another it does not open. Deterministic (RFC 8452 with one
    /// nonce shows that two texts are equal, which their indexes show anyway), so that a batch that says what was said
    /// changes nothing.
    ///
    /// # Panics
    ///
    /// On labels of 2^36 bytes, which no request can carry.
    fn seal(&self, index: &str, label: &str) -> String {
        let payload = Payload { msg: label.as_bytes(), aad: index.as_bytes() };
        let sealed = self
            .cipher
            .encrypt(&Nonce::default(), payload)
            .expect("AES-GCM-SIV seals anything shorter than 2^36 bytes");
        base64url_encode(&sealed)
    }

    fn open(&self, index: &str, sealed: &str) -> Option<String> {
        let sealed = base64url_decode(sealed).ok()?;
        let payload = Payload { msg: &sealed, aad: index.as_bytes() };
        String::from_utf8(self.cipher.decrypt(&Nonce::default(), payload).ok()?).ok()
    }
}

/// Sealed labels by the name of their key and their index, as a column holds them: JSON, so that SQL can merge them
/// (RFC 7396).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedLabels(BTreeMap<String, BTreeMap<String, String>>);

impl SealedLabels {
    /// Of a column; nothing of what is none.
    pub fn read(stored: &str) -> Self {
        serde_json::from_str(stored).unwrap_or_default()
    }

    /// As a column holds them.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// Seals `label` for `index`, once.
    pub fn add(&mut self, key: &LabelKey, index: &str, label: &str) {
        let of_key = self.0.entry(key.name.clone()).or_default();
        if !of_key.contains_key(index) {
            of_key.insert(index.into(), key.seal(index, label));
        }
    }

    /// The names of the keys that it takes to open them.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Labels by their indexes.
#[derive(Debug, Default)]
pub struct OpenLabels(HashMap<String, String>);

impl OpenLabels {
    /// Adds those that one of `keys` opens. An index stands for the same label wherever it stands, so each is opened once.
    pub fn open(&mut self, sealed: &SealedLabels, keys: &[LabelKey]) {
        for (name, labels) in &sealed.0 {
            let Some(key) = keys.iter().find(|key| key.name == *name) else { continue };
            for (index, label) in labels {
                if !self.0.contains_key(index)
                    && let Some(label) = key.open(index, label)
                {
                    self.0.insert(index.clone(), label);
                }
            }
        }
    }

    /// The label of an index; none if nothing opened it.
    pub fn get(&self, index: &str) -> Option<&str> {
        self.0.get(index).map(String::as_str)
    }

    /// The label of an index that may be absent.
    pub fn of(&self, index: Option<&String>) -> Option<&str> {
        self.get(index?)
    }

    /// The labels of a stored set, a JSON array of indexes, in order.
    pub fn of_set(&self, stored: &str) -> Vec<&str> {
        let stored: Vec<String> = serde_json::from_str(stored).unwrap_or_default();
        let mut labels: Vec<_> = stored.iter().filter_map(|index| self.get(index)).collect();
        labels.sort_unstable();
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::{LabelIndex, LabelKey, LabelKeyName, OpenLabels, SealedLabels};
    use crate::at_rest::SubjectKeyId;
    use crate::ids::ProjectId;
    use crate::keys::Root;

    const ID: SubjectKeyId = SubjectKeyId { subject: [3; 16], key: [4; 8] };

    fn root() -> Root {
        Root::from_bytes(*b"0123456789abcdefghijklmnopqrstuv").unwrap()
    }

    fn project(id: &str) -> ProjectId {
        ProjectId::parse(id).unwrap()
    }

    #[test]
    fn an_index_is_of_its_label_column_and_project_alone() {
        let mine = LabelIndex::of(&root(), &project("prj_a"));
        let index = mine.of_label("name", "book a flight");
        assert_eq!(index, mine.of_label("name", "book a flight"));
        assert_eq!(index.len(), mine.of_label("name", "").len());
        assert_ne!(index, mine.of_label("agent", "book a flight"));
        assert_ne!(index, mine.of_label("name", "book a train"));
        assert_ne!(index, LabelIndex::of(&root(), &project("prj_b")).of_label("name", "book a flight"));
    }

    #[test]
    fn a_label_opens_under_its_own_key_at_its_own_index_only() {
        let of_project = || LabelKey::of_project("k1", &root(), &project("prj_a"));
        let of_subject = |secret| LabelKey::of_subject("k1", &root(), &project("prj_a"), &ID, &[secret; 32]);
        for (key, others) in [
            (of_project(), [LabelKey::of_project("k1", &root(), &project("prj_b")), of_subject(1)]),
            (of_subject(1), [of_subject(2), of_project()]),
        ] {
            let mut sealed = SealedLabels::default();
            sealed.add(&key, "h1.a", "book a flight");
            assert!(!sealed.to_json().contains("flight"));
            let stored = SealedLabels::read(&sealed.to_json());
            assert_eq!(stored, sealed);
            let mut open = OpenLabels::default();
            open.open(&stored, &others);
            open.open(&SealedLabels::read(&stored.to_json().replace("h1.a", "h1.b")), &[key]);
            assert_eq!((open.get("h1.a"), open.get("h1.b")), (None, None));
            let key = if stored.keys().any(|name| name.contains('.')) { of_subject(1) } else { of_project() };
            open.open(&stored, &[key]);
            assert_eq!(open.get("h1.a"), Some("book a flight"));
        }
        for cut in ["", "{", "[]", "{\"k1\":1}", "null"] {
            assert_eq!(SealedLabels::read(cut), SealedLabels::default());
        }
    }

    #[test]
    fn a_set_is_shown_in_the_order_of_its_labels() {
        let key = LabelKey::of_project("k1", &root(), &project("prj_a"));
        let mut sealed = SealedLabels::default();
        sealed.add(&key, "h1.1", "b");
        sealed.add(&key, "h1.2", "a");
        let mut open = OpenLabels::default();
        open.open(&sealed, &[key]);
        assert_eq!(open.of_set(r#"["h1.1","h1.2","h1.3"]"#), ["a", "b"]);
    }

    #[test]
    fn a_key_says_what_it_derives_from() {
        let of_subject = LabelKey::of_subject("k1", &root(), &project("prj_a"), &ID, &[1; 32]);
        assert_eq!(
            LabelKeyName::read(&of_subject.name),
            Some(LabelKeyName { root: "k1", subject_key: Some(ID) })
        );
        assert_eq!(LabelKeyName::read("k1"), Some(LabelKeyName { root: "k1", subject_key: None }));
        for cut in 3..of_subject.name.len() {
            assert_eq!(LabelKeyName::read(&of_subject.name[..cut]), None, "{cut}");
        }
    }
}
