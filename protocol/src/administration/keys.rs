//! Making and rotating API keys.

use super::{check_name, malformed};
use crate::access::{ApiKeyRecord, Role};
use crate::problem::{Code, Problem};
use serde::Deserialize;
use std::string::String;

/// Longest time that a key goes on working beside the one that replaces it, in seconds: 30 days.
const OVERLAP_MAX_S: u64 = 30 * 86_400;
/// The overlap where nobody says otherwise: a day.
const OVERLAP_DEFAULT_S: u64 = 86_400;

/// A key that somebody asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    role: Role,
    name: String,
    #[serde(default)]
    expires_at: Option<u64>,
}

impl NewKey {
    /// The key's role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The record to store, if the request holds.
    pub fn record(self, project: &str, now: u64) -> Result<ApiKeyRecord, Problem> {
        check_name(&self.name)?;
        if self.expires_at.is_some_and(|expiry| expiry <= now) {
            return Err(malformed(
                "expires_at",
                "`expires_at` is a Unix time in milliseconds, in the future.",
            ));
        }
        Ok(ApiKeyRecord {
            project: project.into(),
            role: self.role,
            name: self.name,
            created_at: now,
            expires_at: self.expires_at,
        })
    }
}

/// How a key is replaced by another of the same role and name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRotation {
    #[serde(default = "default_overlap")]
    overlap_s: u64,
}

const fn default_overlap() -> u64 {
    OVERLAP_DEFAULT_S
}

impl Default for KeyRotation {
    fn default() -> Self {
        Self { overlap_s: OVERLAP_DEFAULT_S }
    }
}

impl KeyRotation {
    /// The record of the new key, and when the old one ends. The new one keeps the old one's expiry:
    /// rotating prolongs nothing.
    pub fn apply(&self, old: &ApiKeyRecord, now: u64) -> Result<(ApiKeyRecord, u64), Problem> {
        if self.overlap_s > OVERLAP_MAX_S {
            return Err(malformed("overlap_s", "The old key goes on for 0 to 2,592,000 s (30 days)."));
        }
        if !old.is_alive(now) {
            return Err(Problem::new(Code::KeyEnded, "The key has ended. Create a new one."));
        }
        let overlap_end = now + self.overlap_s * 1_000;
        let ends_at = old.expires_at.map_or(overlap_end, |expiry| expiry.min(overlap_end));
        Ok((ApiKeyRecord { created_at: now, ..old.clone() }, ends_at))
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyRotation, NewKey, OVERLAP_MAX_S};
    use crate::access::{ApiKeyRecord, Role};
    use crate::problem::Code;

    fn wanted(json: &str) -> NewKey {
        serde_json::from_str(json).unwrap()
    }

    fn old(expires_at: Option<u64>) -> ApiKeyRecord {
        ApiKeyRecord {
            project: "prj_a".into(),
            role: Role::Viewer,
            name: "ci".into(),
            created_at: 1,
            expires_at,
        }
    }

    #[test]
    fn a_key_has_a_name_and_an_expiry_ahead() {
        let record = wanted(r#"{"role":"ingest","name":"ci","expires_at":11}"#).record("prj_a", 10).unwrap();
        assert_eq!((record.role, record.created_at, record.expires_at), (Role::Ingest, 10, Some(11)));
        assert!(record.is_alive(10));
        assert!(!record.is_alive(11));
        let past = wanted(r#"{"role":"admin","name":"ci","expires_at":10}"#).record("prj_a", 10).unwrap_err();
        assert_eq!((past.code, past.field.as_deref()), (Code::RequestMalformed, Some("expires_at")));
        let nameless = wanted(r#"{"role":"admin","name":""}"#).record("prj_a", 10).unwrap_err();
        assert_eq!(nameless.field.as_deref(), Some("name"));
        assert!(serde_json::from_str::<NewKey>(r#"{"role":"root","name":"ci"}"#).is_err());
        assert!(serde_json::from_str::<NewKey>(r#"{"role":"admin","name":"ci","scope":"x"}"#).is_err());
    }

    #[test]
    fn rotation_overlaps_and_prolongs_nothing() {
        let rotation = KeyRotation { overlap_s: 60 };
        let (fresh, ends_at) = rotation.apply(&old(None), 1_000).unwrap();
        assert_eq!((fresh.created_at, fresh.expires_at, ends_at), (1_000, None, 61_000));
        let (fresh, ends_at) = rotation.apply(&old(Some(5_000)), 1_000).unwrap();
        assert_eq!((fresh.expires_at, ends_at), (Some(5_000), 5_000));
        assert_eq!(rotation.apply(&old(Some(1_000)), 1_000).unwrap_err().code, Code::KeyEnded);
        let longest = KeyRotation { overlap_s: OVERLAP_MAX_S + 1 };
        assert_eq!(longest.apply(&old(None), 1).unwrap_err().field.as_deref(), Some("overlap_s"));
    }
}
