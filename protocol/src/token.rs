//! Session tokens: public claims that name who writes, from where and until when.
//!
//! `s1.<project>.<kid>.<base64url of the claims' JSON>`. A token proves nothing by itself: the session
//! key is derived from its exact bytes, so claims count only once a MAC under that key verified
//! ([`crate::envelope::Verified::claims`]).

use crate::encoding::{base64url_decode, base64url_encode};
use crate::ids::{KeyId, ProjectId};
use crate::limits::{EARLIER_SUBJECTS_MAX, ISSUED_AHEAD_MAX_S, SESSION_TTL_MAX_S, SUBJECT_MAX, TOKEN_MAX};
use crate::problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::format;
use std::string::String;
use std::vec::Vec;

const TOKEN_VERSION: &str = "s1";
const CLAIMS_VERSION: u8 = 1;

/// Who minted a session, and therefore what its subject is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provenance {
    /// The customer's backend, which knows its user.
    #[default]
    Backend,
    /// This worker, for a page it knows by origin only.
    Origin,
}

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Write batches, and nothing else.
    Ingest,
}

/// The claims of a session token. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Version of the claims, 1.
    pub v: u8,
    /// Subject: whose executions these are.
    pub sub: String,
    /// Session id.
    pub sid: String,
    /// Issued at.
    pub iat: u64,
    /// Expires at.
    pub exp: u64,
    /// The only origin that may send under this session, if named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// Scope.
    pub scp: Scope,
    /// Provenance.
    #[serde(default, skip_serializing_if = "is_backend")]
    pub prv: Provenance,
    /// Earlier subjects whose executions this session may go on with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub was: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_backend(provenance: &Provenance) -> bool {
    *provenance == Provenance::Backend
}

impl Claims {
    /// The token that carries these claims.
    pub fn to_token(&self, project: &ProjectId, kid: &KeyId) -> String {
        let claims = serde_json::to_vec(self).unwrap_or_default();
        format!("{TOKEN_VERSION}.{project}.{kid}.{}", base64url_encode(&claims))
    }

    /// Refuses a session that is over, or not begun, at `now` (Unix seconds).
    pub fn check_life(&self, now: u64) -> Result<(), Problem> {
        if now >= self.exp {
            return Err(Problem::new(
                Code::SessionExpired,
                format!("The session expired {} s ago. Ask for a new one and sign again.", now - self.exp),
            ));
        }
        if self.iat > now.saturating_add(ISSUED_AHEAD_MAX_S) {
            return Err(Problem::new(
                Code::SessionNotYetValid,
                format!(
                    "The session was issued {} s ahead of this server's time; {ISSUED_AHEAD_MAX_S} s are \
                     tolerated. Check the clock of the machine that mints sessions.",
                    self.iat - now
                ),
            ));
        }
        Ok(())
    }

    fn check_shape(&self) -> Result<(), &'static str> {
        let subject_fits = |subject: &String| (1..=SUBJECT_MAX).contains(&subject.len());
        let life = self.exp.checked_sub(self.iat);
        match () {
            () if self.v != CLAIMS_VERSION => Err("claim `v` must be 1"),
            () if !subject_fits(&self.sub) => Err("claim `sub` must have 1 to 128 bytes"),
            () if !(1..=64).contains(&self.sid.len()) => Err("claim `sid` must have 1 to 64 bytes"),
            () if !life.is_some_and(|life| (1..=SESSION_TTL_MAX_S).contains(&life)) => {
                Err("claim `exp` must be 1 to 3,600 s after `iat`")
            }
            () if self.was.len() > EARLIER_SUBJECTS_MAX || !self.was.iter().all(subject_fits) => {
                Err("claim `was` names at most 4 subjects of 1 to 128 bytes")
            }
            () => Ok(()),
        }
    }
}

/// A token as received. Its claims are somebody's words until a MAC verified under the key it leads to.
#[derive(Clone, Debug)]
pub struct UnverifiedToken<'a> {
    text: &'a str,
    project: ProjectId,
    kid: KeyId,
    claims: Claims,
}

impl<'a> UnverifiedToken<'a> {
    /// Reads a token's parts and the shape of its claims.
    pub fn parse(text: &'a str) -> Result<Self, Problem> {
        let malformed = |detail: &str| Problem::new(Code::TokenMalformed, detail).of_field("token");
        if text.len() > TOKEN_MAX {
            return Err(malformed(&format!("The token has {} bytes; {TOKEN_MAX} are allowed.", text.len())));
        }
        let mut parts = text.split('.');
        let (Some(TOKEN_VERSION), Some(project), Some(kid), Some(claims), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("A token reads `s1.<project>.<kid>.<claims>`."));
        };
        let project =
            ProjectId::parse(project).map_err(|_| malformed("The token's project id is malformed."))?;
        let kid = KeyId::parse(kid).map_err(|_| malformed("The token's key id is malformed."))?;
        let json =
            base64url_decode(claims).map_err(|_| malformed("The claims are not unpadded base64url."))?;
        let claims: Claims = serde_json::from_slice(&json)
            .map_err(|error| malformed(&format!("The claims cannot be read: {error}.")))?;
        claims.check_shape().map_err(|fault| malformed(&format!("The {fault}.")))?;
        Ok(Self { text, project, kid, claims })
    }

    /// The exact text that the session key derives from.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The project it names.
    pub fn project(&self) -> &ProjectId {
        &self.project
    }

    /// The key generation it names.
    pub fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// The claims, not to be trusted yet.
    pub fn unverified_claims(&self) -> &Claims {
        &self.claims
    }
}
