//! Whether a verified batch may be written to its project, and as whom.

use crate::administration::ABANDON_AFTER_DEFAULT_MINUTES;
use crate::administration::Denial;
use crate::batch::Header;
use crate::envelope::Verified;
use crate::prices::PriceTable;
use crate::problem::{Code, Problem};
use crate::search::Search;
use crate::token::{Provenance, Scope};
use serde::{Deserialize, Serialize};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::bucket::Allowance;
use super::budget::Budget;

/// What the worker knows of a project while it takes batches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Project id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Whether it takes batches.
    pub status: ProjectStatus,
    /// Key generations it accepts.
    pub kids: Vec<String>,
    /// Origins that may mint sessions by the publishable key, and read from a page.
    pub origins: Vec<String>,
    /// The key that a page may carry to mint sessions.
    pub publishable_key: String,
    /// Fair limits.
    pub limits: Limits,
    /// The same of each session.
    #[serde(default = "Limits::of_a_session")]
    pub session_limits: Limits,
    /// What it may store in a month.
    #[serde(default)]
    pub budget: Budget,
    /// When the last of `kids` was added, Unix ms; 0 for one that came with the project.
    #[serde(default)]
    pub newest_kid_at: u64,
    /// Number of the last generation that was ever made; a retired number is not used again.
    #[serde(default = "first_generation")]
    pub generation: u32,
    /// Whether a person's bodies are sealed under a key of that person, which deleting destroys.
    #[serde(default)]
    pub subject_keys: bool,
    /// Whether executions are found by their words.
    #[serde(default)]
    pub search: Search,
    /// Whether a page must solve Cloudflare's Turnstile to get a session from the worker.
    #[serde(default)]
    pub turnstile: bool,
    /// Days after which executions are deleted; 0 keeps them until somebody deletes them.
    #[serde(default)]
    pub retention_days: u32,
    /// Minutes of silence after which an execution that has not ended is abandoned.
    #[serde(default = "silence_default")]
    pub abandon_after_minutes: u32,
    /// Sessions and subjects that are refused.
    #[serde(default)]
    pub denials: Vec<Denial>,
    /// What steps cost that do not say so.
    #[serde(default)]
    pub prices: PriceTable,
    /// When it was created, Unix ms.
    pub created_at: u64,
}

const fn first_generation() -> u32 {
    1
}

/// Whether a project takes batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProjectStatus {
    /// It does.
    Active,
    /// It refuses them for the time being; reading goes on.
    Paused,
    /// It is gone; its id stays taken.
    Deleted,
}

/// A project's fair limits: token buckets in bytes as sent and in events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes a second, sustained.
    pub bytes_per_s: u64,
    /// Bytes at once.
    pub bytes_burst: u64,
    /// Events a second, sustained.
    pub steps_per_s: u64,
    /// Events at once.
    pub steps_burst: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_per_s: 2_000_000, bytes_burst: 60_000_000, steps_per_s: 2_000, steps_burst: 60_000 }
    }
}

impl Limits {
    /// A session's where nobody says otherwise: a quarter of a project's, so that no page uses it up alone.
    pub const fn of_a_session() -> Self {
        Self { bytes_per_s: 500_000, bytes_burst: 15_000_000, steps_per_s: 500, steps_burst: 15_000 }
    }

    /// The bucket in bytes.
    pub const fn bytes(&self) -> Allowance {
        Allowance { rate: self.bytes_per_s, burst: self.bytes_burst }
    }

    /// The bucket in events.
    pub const fn steps(&self) -> Allowance {
        Allowance { rate: self.steps_per_s, burst: self.steps_burst }
    }

    /// Refuses limits under which a legal batch could never pass, or whose arithmetic could overflow.
    pub fn check(&self) -> Result<(), Problem> {
        const LARGEST: u64 = 1_000_000_000_000;
        let at_least = |field: &str, value: u64, least: u64| {
            if (least..=LARGEST).contains(&value) {
                return Ok(());
            }
            Err(Problem::new(Code::RequestMalformed, format!("`{field}` must be {least} to {LARGEST}."))
                .of_field(field))
        };
        at_least("bytes_per_s", self.bytes_per_s, 1)?;
        at_least("bytes_burst", self.bytes_burst, crate::limits::REQUEST_MAX as u64)?;
        at_least("steps_per_s", self.steps_per_s, 1)?;
        at_least("steps_burst", self.steps_burst, crate::limits::EVENTS_MAX as u64)
    }
}

/// Who writes: the subject that owns the execution, and the ones it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Subject of this batch.
    pub subject: String,
    /// Earlier subjects whose executions it may go on with.
    pub was: Vec<String>,
    /// Who vouches for the subject.
    pub provenance: AuthorProvenance,
}

/// Who vouches for a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthorProvenance {
    /// A session that the customer's backend minted.
    Backend,
    /// A session that this worker minted for a page of an allowed origin.
    Origin,
    /// The backend itself, by a server batch.
    Server,
}

impl AuthorProvenance {
    /// The word as it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Origin => "origin",
            Self::Server => "server",
        }
    }
}

const fn silence_default() -> u32 {
    ABANDON_AFTER_DEFAULT_MINUTES
}

impl Project {
    /// Checks what a verified batch claims against the project: status, key generation, origin, scope
    /// and the deny-list at `now` (Unix ms). `origin` is the request's `Origin` header.
    pub fn admit(&self, batch: &Verified<'_>, origin: Option<&str>, now: u64) -> Result<(), Problem> {
        self.refuse_inactive()?;
        if !self.kids.iter().any(|kid| kid == batch.kid().as_str()) {
            return Err(Problem::new(
                Code::KeyRetired,
                format!(
                    "The project no longer accepts key {}. Mint sessions under a current one.",
                    batch.kid()
                ),
            ));
        }
        let Some(claims) = batch.claims() else { return Ok(()) };
        if claims.org.is_some() && claims.org.as_deref() != origin {
            return Err(Problem::new(
                Code::OriginMismatch,
                "The session is bound to one origin and the request's `Origin` is another.",
            ));
        }
        match claims.scp {
            Scope::Ingest => {}
        }
        self.refuse_denied(&claims.sid, &claims.sub, now)
    }
}

impl Author {
    /// Who wrote a verified batch with this header.
    pub fn of(batch: &Verified<'_>, header: &Header<'_>) -> Result<Self, Problem> {
        if let Some(claims) = batch.claims() {
            let provenance = match claims.prv {
                Provenance::Backend => AuthorProvenance::Backend,
                Provenance::Origin => AuthorProvenance::Origin,
            };
            return Ok(Self { subject: claims.sub.clone(), was: claims.was.clone(), provenance });
        }
        let subject = header.subject.as_deref().ok_or_else(|| {
            Problem::new(Code::HeaderMalformed, "A server batch names its subject in `sub`.")
                .at_line(1)
                .of_field("sub")
        })?;
        Ok(Self { subject: subject.to_string(), was: Vec::new(), provenance: AuthorProvenance::Server })
    }

    /// Every subject whose executions this author may write to.
    pub fn subjects(&self) -> impl Iterator<Item = &str> {
        core::iter::once(self.subject.as_str()).chain(self.was.iter().map(String::as_str))
    }
}
