//! The first line of a batch: which execution, which writer, where in its sequence.

use crate::digest::BodyDigest;
use crate::encoding::base64url_decode;
use crate::ids::{ExecutionId, WriterId};
use crate::limits::{NUMBER_MAX, SUBJECT_MAX};
use crate::problem::{Code, Problem};
use serde::Deserialize;
use std::borrow::Cow;
use std::format;
use std::string::String;

/// A batch's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The execution.
    pub execution: ExecutionId,
    /// The writer.
    pub writer: WriterId,
    /// The batch's index in its writer's sequence.
    pub k: u64,
    /// Digest of the writer's batch before it; none for its first.
    pub prev: Option<BodyDigest>,
    /// Number of the batch's first event.
    pub n: u64,
    /// Offset of the writer's clock, where it knows one, in milliseconds.
    pub off: Option<i64>,
    /// Executions this client had to drop so far.
    pub lost: Option<u64>,
    /// Name and version of what wrote it.
    pub sdk: Option<Cow<'a, str>>,
    /// Server batches only: whose execution it is.
    pub subject: Option<Cow<'a, str>>,
    /// Whether this is its writer's last batch, where another writer started the execution.
    pub fin: bool,
}

#[derive(Deserialize)]
struct Wire<'a> {
    v: u64,
    #[serde(borrow)]
    x: Cow<'a, str>,
    #[serde(default, borrow)]
    w: Cow<'a, str>,
    k: u64,
    #[serde(borrow)]
    prev: Cow<'a, str>,
    n: u64,
    #[serde(default)]
    off: Option<f64>,
    #[serde(default)]
    lost: Option<u64>,
    #[serde(default, borrow)]
    sdk: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    sub: Option<Cow<'a, str>>,
    #[serde(default)]
    fin: bool,
}

const BODY_VERSION: u64 = 1;

fn malformed(field: &str, detail: impl Into<String>) -> Problem {
    Problem::new(Code::HeaderMalformed, detail).at_line(1).of_field(field)
}

impl<'a> Header<'a> {
    /// Reads line 1 of the body.
    pub fn parse(text: &'a str) -> Result<Self, Problem> {
        let wire: Wire<'a> = serde_json::from_str(text).map_err(|fault| {
            Problem::new(Code::HeaderMalformed, format!("The header cannot be read: {fault}.")).at_line(1)
        })?;
        if wire.v != BODY_VERSION {
            return Err(Problem::new(Code::VersionUnsupported, "This server reads bodies of version 1.")
                .at_line(1)
                .of_field("v"));
        }
        let id = |fault: crate::ids::InvalidId, field| {
            malformed(field, format!("The {} must match {}.", fault.what, fault.grammar))
        };
        if wire.k > NUMBER_MAX || wire.n > NUMBER_MAX {
            return Err(malformed("n", "Numbers are at most 2^53 - 1."));
        }
        if wire.sub.as_ref().is_some_and(|sub| !(1..=SUBJECT_MAX).contains(&sub.len())) {
            return Err(malformed("sub", "A subject has 1 to 128 bytes."));
        }
        Ok(Self {
            execution: ExecutionId::parse(&wire.x).map_err(|fault| id(fault, "x"))?,
            writer: WriterId::parse(&wire.w).map_err(|fault| id(fault, "w"))?,
            prev: parse_prev(&wire.prev, wire.k)?,
            k: wire.k,
            n: wire.n,
            off: wire.off.map(whole_milliseconds),
            lost: wire.lost,
            sdk: wire.sdk,
            subject: wire.sub,
            fin: wire.fin,
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and an offset is informative only")]
fn whole_milliseconds(offset: f64) -> i64 {
    offset as i64
}

fn parse_prev(text: &str, k: u64) -> Result<Option<BodyDigest>, Problem> {
    match (text, k) {
        ("", 0) => Ok(None),
        ("", _) => {
            Err(malformed("prev", "Every batch but a writer's first names the digest of the one before."))
        }
        (_, 0) => Err(malformed("prev", "A writer's first batch has an empty `prev`.")),
        (text, _) => base64url_decode(text)
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .map(|bytes| Some(BodyDigest::from_bytes(bytes)))
            .ok_or_else(|| malformed("prev", "`prev` is the unpadded base64url of 32 bytes.")),
    }
}
