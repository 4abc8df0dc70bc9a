//! What the store keeps of an imported batch: when, by whom, and on whose word. The record carries a tag under the root: without
//! the root nobody can make one, and so nobody can pass a batch off as imported that no MAC holds for.

use super::attestation::Attested;
use crate::encoding::{hex_decode, hex_encode};
use crate::ids::ProjectId;
use crate::keys::Root;
use std::format;
use std::string::{String, ToString};

/// Bytes of the tag that are kept.
const TAG_LEN: usize = 16;

/// Of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRecord {
    /// When it was imported, Unix ms.
    pub at: u64,
    /// Who imported it.
    pub actor: String,
    /// The verifier key whose attestation it was imported on; none if its MAC held.
    pub key: Option<String>,
    /// That attestation, base64url.
    pub attestation: Option<String>,
}

impl ImportRecord {
    /// Hex of the tag of this record for the batch of `content`, its leaf's, in `project`.
    pub fn tag(&self, root: &Root, project: &ProjectId, content: &str) -> String {
        let tag = root.purpose_key("import", Some(project)).tag(&self.parts(content, &self.at.to_string()));
        hex_encode(&tag[..TAG_LEN])
    }

    /// Whether a stored record is the one that was made.
    pub fn is_sealed_by(&self, root: &Root, project: &ProjectId, content: &str, tag: &str) -> bool {
        let tag = hex_decode(tag).unwrap_or_default();
        root.purpose_key("import", Some(project))
            .is_truncated_tag(&self.parts(content, &self.at.to_string()), &tag)
    }

    /// Proof that an attestation was checked when the batch was imported; none if its MAC was. Only of a record whose
    /// [tag](Self::is_sealed_by) holds.
    pub fn attested(&self, root: &Root, project: &ProjectId, content: &str, tag: &str) -> Option<Attested> {
        self.key.as_ref()?;
        self.is_sealed_by(root, project, content, tag).then(Attested::confirmed)
    }

    fn parts<'a>(&'a self, content: &'a str, at: &'a str) -> [&'a [u8]; 5] {
        let optional = |text: &'a Option<String>| text.as_deref().unwrap_or_default().as_bytes();
        [
            content.as_bytes(),
            at.as_bytes(),
            self.actor.as_bytes(),
            optional(&self.key),
            optional(&self.attestation),
        ]
    }

    /// Whose word it was imported on, for people.
    pub fn on_the_word_of(&self) -> String {
        self.key.as_ref().map_or_else(|| "its MAC".into(), |key| format!("the attestation of {key}"))
    }
}

#[cfg(test)]
mod tests {
    use super::ImportRecord;
    use crate::ids::ProjectId;
    use crate::keys::Root;

    #[test]
    fn a_record_is_sealed_for_its_batch_and_project() {
        let root = Root::from_bytes(core::array::from_fn(|i| u8::try_from(i).unwrap())).unwrap();
        let (a, b) = (ProjectId::parse("prj_a").unwrap(), ProjectId::parse("prj_b").unwrap());
        let record = ImportRecord { at: 5, actor: "key_1".into(), key: Some("k".into()), attestation: None };
        let tag = record.tag(&root, &a, "content");
        assert!(record.attested(&root, &a, "content", &tag).is_some());
        assert!(!record.is_sealed_by(&root, &b, "content", &tag));
        assert!(!record.is_sealed_by(&root, &a, "other", &tag));
        assert!(!record.is_sealed_by(&root, &a, "content", ""));
        for other in [
            ImportRecord { at: 6, ..record.clone() },
            ImportRecord { key: Some("l".into()), ..record.clone() },
            ImportRecord { attestation: Some("x".into()), ..record.clone() },
        ] {
            assert!(!other.is_sealed_by(&root, &a, "content", &tag));
        }
        let by_mac = ImportRecord { key: None, ..record };
        let tag = by_mac.tag(&root, &a, "content");
        assert!(
            by_mac.is_sealed_by(&root, &a, "content", &tag)
                && by_mac.attested(&root, &a, "content", &tag).is_none()
        );
    }
}
