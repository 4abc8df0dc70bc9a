//! API keys, roles and the credentials that are not batches.
//!
//! A key reads `stepseal_<role>_<32 hex><8 hex>`: the last eight are the CRC-32 of what stands before
//! them, so that a secret scanner can tell a leaked key from any other text and a mistyped one is
//! refused without a look-up. What is stored is a keyed digest; the key itself is shown once.

mod sign_in;

pub use sign_in::{SIGN_IN_LIFE_MS, SignIn, SignIns, Site, cookie_value, ending_cookie, starting_cookie};

use crate::encoding::{base64url_decode, base64url_encode, hex_decode, hex_encode};
use crate::ids::{KeyId, ProjectId};
use crate::keys::Root;
use crate::limits::SESSION_TTL_DEFAULT_S;
use crate::token::{Claims, Provenance, Scope};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::format;
use std::string::String;
use std::vec::Vec;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Write, and nothing else.
    Ingest,
    /// Read.
    Viewer,
    /// Read, change, delete.
    Admin,
}

impl Role {
    /// The role's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }

    /// Whether it may read executions.
    pub const fn may_read(self) -> bool {
        matches!(self, Self::Viewer | Self::Admin)
    }

    /// Whether it may add to what is recorded.
    pub const fn may_write(self) -> bool {
        matches!(self, Self::Ingest | Self::Admin)
    }

    /// Whether it may change the project and what is in it.
    pub const fn may_administer(self) -> bool {
        matches!(self, Self::Admin)
    }
}

/// What is stored of an API key, under its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRecord {
    /// The project it opens.
    pub project: String,
    /// What it may do there.
    pub role: Role,
    /// Name for people.
    pub name: String,
    /// When it was made, Unix ms.
    pub created_at: u64,
    /// When it stops working, Unix ms; none is never.
    pub expires_at: Option<u64>,
}

impl ApiKeyRecord {
    /// Whether the key works at `now`, as far as its expiry says.
    pub fn is_alive(&self, now: u64) -> bool {
        self.expires_at.is_none_or(|expiry| now < expiry)
    }
}

/// The public name of the key that is stored under `digest`: enough to list and revoke it, no help in
/// guessing it, because the digest is keyed.
pub fn key_id(digest: &str) -> String {
    format!("key_{}", digest.chars().take(16).collect::<String>())
}

/// An API key's text, its role and checksum found to be sound.
pub struct ApiKey {
    text: String,
    role: Role,
}

const PREFIX: &str = "stepseal_";
const RANDOM_LEN: usize = 16;

fn checksum(text: &str) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(text.as_bytes());
    hex_encode(&crc.sum().to_be_bytes())
}

impl ApiKey {
    /// A new key from 16 random bytes.
    pub fn generate(role: Role, random: [u8; RANDOM_LEN]) -> Self {
        let mut text = format!("{PREFIX}{}_{}", role.as_str(), hex_encode(&random));
        text.push_str(&checksum(&text));
        Self { text, role }
    }

    /// Reads a key; none if it is not one, or was mistyped.
    pub fn parse(text: &str) -> Option<Self> {
        let (role, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let role =
            [Role::Ingest, Role::Viewer, Role::Admin].into_iter().find(|known| known.as_str() == role)?;
        let sound = rest.len() == 2 * RANDOM_LEN + 8
            && hex_decode(rest).is_ok()
            && checksum(&text[..text.len() - 8]) == text[text.len() - 8..];
        sound.then(|| Self { text: text.into(), role })
    }

    /// The key's role, as it says; the stored record decides.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Lets the key out, once, to whoever asked for it.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What it is stored under: HMAC under a key of the deployment.
    pub fn digest(&self, root: &Root) -> String {
        hex_encode(&root.purpose_key("api-key", None).tag(&[self.text.as_bytes()]))
    }
}

/// A publishable key: names a project, proves nothing. `stepseal_pub_<project>.<24 hex>`.
pub fn publishable_key(project: &ProjectId, random: [u8; 12]) -> String {
    format!("{PREFIX}pub_{project}.{}", hex_encode(&random))
}

/// The project that a publishable key names.
pub fn project_of_publishable_key(key: &str) -> Option<ProjectId> {
    let (project, random) = key.strip_prefix(PREFIX)?.strip_prefix("pub_")?.split_once('.')?;
    if random.len() != 24 || hex_decode(random).is_err() {
        return None;
    }
    ProjectId::parse(project).ok()
}

/// A session handed to a page: the token, and the key derived from it.
pub struct MintedSession {
    /// The token.
    pub token: String,
    /// Base64 of the session key.
    pub key: String,
    /// Its subject.
    pub subject: String,
    /// When it expires, Unix seconds.
    pub expires_at: u64,
}

/// Mints a session for an anonymous page of `origin`. `install` is the page's own 128-bit random.
pub fn mint_origin_session(
    root: &Root,
    project: &ProjectId,
    kid: &KeyId,
    origin: &str,
    install: &[u8; 16],
    now: u64,
    session_random: [u8; 16],
) -> MintedSession {
    let claims = Claims {
        v: 1,
        sub: origin_subject(project, install),
        sid: format!("ses_{}", hex_encode(&session_random)),
        iat: now,
        exp: now + SESSION_TTL_DEFAULT_S,
        org: Some(origin.into()),
        scp: Scope::Ingest,
        prv: Provenance::Origin,
        was: Vec::new(),
    };
    let token = claims.to_token(project, kid);
    let key = root.project_secret(project, kid).session_key(&token).reveal();
    MintedSession { token, key, subject: claims.sub, expires_at: claims.exp }
}

/// `o_` and SHA-256(project ‖ 0 ‖ install) in base64url: stable for one browser, nobody's name.
pub fn origin_subject(project: &ProjectId, install: &[u8; 16]) -> String {
    let digest = Sha256::new()
        .chain_update(project.as_str().as_bytes())
        .chain_update([0])
        .chain_update(install)
        .finalize();
    format!("o_{}", base64url_encode(&digest))
}

/// Reads `install`: 22 characters of base64url.
pub fn parse_install(text: &str) -> Option<[u8; 16]> {
    base64url_decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{ApiKey, Role, project_of_publishable_key, publishable_key};
    use crate::ids::ProjectId;

    #[test]
    fn a_key_survives_its_text_and_a_typo_does_not() {
        let key = ApiKey::generate(Role::Viewer, *b"0123456789abcdef");
        assert_eq!(key.reveal().len(), "stepseal_viewer_".len() + 40);
        assert_eq!(ApiKey::parse(key.reveal()).map(|key| key.role()), Some(Role::Viewer));
        let mut typo = key.reveal().replacen("3031", "3032", 1);
        assert!(ApiKey::parse(&typo).is_none());
        typo.truncate(20);
        assert!(ApiKey::parse(&typo).is_none());
        assert!(ApiKey::parse("").is_none());
        assert!(ApiKey::parse(&key.reveal().replace("viewer", "admin")).is_none());
    }

    #[test]
    fn a_publishable_key_names_its_project() {
        let project = ProjectId::parse("prj_demo").unwrap();
        let key = publishable_key(&project, *b"0123456789ab");
        assert_eq!(project_of_publishable_key(&key), Some(project));
        assert_eq!(project_of_publishable_key("stepseal_pub_prj_demo"), None);
    }
}
