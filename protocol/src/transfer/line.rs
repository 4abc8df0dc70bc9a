//! Lines of an export, one JSON object each.

use super::attestation::{Attestation, text};
use crate::digest::BodyDigest;
use crate::encoding::{base64_decode, base64_encode, base64url_decode, hex_decode};
use crate::ids::{ExecutionId, WriterId};
use crate::limits::{BODY_MAX, ENVELOPE_LINE_MAX, NUMBER_MAX, SUBJECT_MAX};
use crate::problem::{Code, Problem};
use crate::transparency::{VerifierKey, content};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Version of the format.
const VERSION: u64 = 1;
/// What `Date` can hold, in milliseconds.
const TIME_MAX_MS: u64 = 8_640_000_000_000_000;

/// What came of a line that holds no batch: heads, deletions, and batches that were gone when they were exported.
pub const NO_BATCH: &str = "no_batch";

/// A stored batch as a line of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchLine {
    /// Its number in the log, in exports of the log.
    pub i: Option<u64>,
    /// Execution.
    pub execution: ExecutionId,
    /// Writer.
    pub writer: WriterId,
    /// Index in the writer's sequence.
    pub k: u64,
    /// SHA-256 of the NDJSON, as hex.
    pub sha256: String,
    /// When it was received first, Unix ms.
    pub received_at: u64,
    /// Who vouches for its subject.
    pub provenance: String,
    /// Who owns the execution.
    pub subject: String,
    /// The envelope's line.
    pub envelope: String,
    /// The bytes as received; none where they are not readable any more.
    pub body: Option<Vec<u8>>,
}

/// A line of a file that is imported.
#[derive(Clone, Debug)]
pub enum Line {
    /// Nothing to import: a head, a deletion, or a batch that was gone.
    NoBatch,
    /// A batch.
    Batch {
        /// What it says.
        line: Box<BatchLine>,
        /// The exporting log's signature over it.
        signature: Option<[u8; 64]>,
        /// The key it is under, where that is not the exporting log's: it had imported the batch itself.
        key: Option<String>,
    },
}

#[derive(Deserialize)]
struct Stem<'a> {
    #[serde(borrow)]
    t: Cow<'a, str>,
    v: Option<u64>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    i: Option<u64>,
    #[serde(borrow)]
    x: Cow<'a, str>,
    #[serde(borrow)]
    w: Cow<'a, str>,
    k: u64,
    #[serde(borrow)]
    sha256: Cow<'a, str>,
    received_at: u64,
    #[serde(borrow)]
    provenance: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    envelope: Cow<'a, str>,
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    #[serde(borrow)]
    attestation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
}

fn malformed(field: &str, detail: impl Into<String>) -> Problem {
    Problem::new(Code::LineMalformed, detail).of_field(field)
}

/// The first line: whose export it is, and the key that its attestations are under.
pub fn head(project: &str, key: &VerifierKey, checkpoint: Option<&str>) -> Value {
    let mut head = json!({ "t": "export", "v": VERSION, "project": project, "key": key.to_text() });
    if let Some(checkpoint) = checkpoint {
        head["checkpoint"] = checkpoint.into();
    }
    head
}

impl Line {
    /// Reads a line. What is wrong with it is told by the line's member.
    pub fn parse(line: &str) -> Result<Self, Problem> {
        let stem: Stem<'_> = serde_json::from_str(line).map_err(|fault| {
            malformed("t", format!("The line is no line of an export, a JSON object with `t`: {fault}."))
        })?;
        match (&*stem.t, stem.v) {
            ("export", Some(VERSION)) | ("gone" | "deletion", _) => Ok(Self::NoBatch),
            ("export", _) => Err(malformed("v", "This server reads exports of version 1.")),
            ("batch", _) => Self::parse_batch(line),
            _ => Err(malformed("t", "`t` is one of `export`, `batch`, `gone` and `deletion`.")),
        }
    }

    fn parse_batch(line: &str) -> Result<Self, Problem> {
        let wire: Wire<'_> = serde_json::from_str(line).map_err(|fault| {
            malformed("batch", format!("The batch's line cannot be read: {fault}. Export it again."))
        })?;
        let id = |field, fault: crate::ids::InvalidId| {
            malformed(field, format!("The {} must match {}.", fault.what, fault.grammar))
        };
        let signature = wire.attestation.map(|text| {
            base64url_decode(&text).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok()).ok_or_else(|| {
                malformed("attestation", "`attestation` is the unpadded base64url of 64 bytes.")
            })
        });
        let batch = BatchLine {
            i: wire.i,
            execution: ExecutionId::parse(&wire.x).map_err(|fault| id("x", fault))?,
            writer: WriterId::parse(&wire.w).map_err(|fault| id("w", fault))?,
            k: wire.k,
            sha256: wire.sha256.into_owned(),
            received_at: wire.received_at,
            provenance: wire.provenance.into_owned(),
            subject: wire.subject.into_owned(),
            envelope: wire.envelope.into_owned(),
            body: wire.body.map(|text| body(&text)).transpose()?,
        };
        batch.check()?;
        let key = wire.key.map(Cow::into_owned);
        Ok(Self::Batch { line: Box::new(batch), signature: signature.transpose()?, key })
    }
}

fn body(text: &str) -> Result<Vec<u8>, Problem> {
    let bytes = base64_decode(text).map_err(|_| malformed("body", "`body` is base64 with padding."))?;
    if bytes.len() > BODY_MAX {
        return Err(malformed("body", format!("`body` has more than {BODY_MAX} bytes.")));
    }
    Ok(bytes)
}

impl BatchLine {
    fn check(&self) -> Result<(), Problem> {
        if self.k > NUMBER_MAX {
            return Err(malformed("k", "`k` is at most 2^53 - 1."));
        }
        if self.received_at > TIME_MAX_MS {
            return Err(malformed("received_at", "`received_at` is a Unix time in milliseconds."));
        }
        if !(1..=SUBJECT_MAX).contains(&self.subject.len()) {
            return Err(malformed("subject", "A subject has 1 to 128 bytes."));
        }
        // A stored server batch's line may list four signatures.
        if self.envelope.len() > ENVELOPE_LINE_MAX || self.envelope.contains('\n') {
            return Err(malformed(
                "envelope",
                format!("`envelope` is one line of at most {ENVELOPE_LINE_MAX} bytes."),
            ));
        }
        Ok(())
    }

    /// The digest that it states; one that is no digest equals none.
    pub fn digest(&self) -> BodyDigest {
        let bytes = hex_decode(&self.sha256).ok().and_then(|bytes| bytes.try_into().ok());
        BodyDigest::from_bytes(bytes.unwrap_or_default())
    }

    /// What `project`'s log signs for it.
    pub fn attested_text(&self, project: &str) -> String {
        text(project, self, &content(&self.digest(), &self.envelope))
    }

    /// Its attestation under the key of a log.
    pub fn attestation(&self, key: VerifierKey, signature: [u8; 64]) -> Attestation {
        let text = self.attested_text(key.project());
        Attestation { key, signature, text }
    }

    /// The line as JSON, without its line break.
    pub fn to_json(&self, signature: Option<&str>, key: Option<&str>) -> Value {
        let mut line = Map::new();
        line.insert("t".into(), "batch".into());
        line.extend(self.i.map(|i| ("i".to_string(), i.into())));
        let members: [(&str, Value); 8] = [
            ("x", self.execution.as_str().into()),
            ("w", self.writer.as_str().into()),
            ("k", self.k.into()),
            ("sha256", self.sha256.as_str().into()),
            ("received_at", self.received_at.into()),
            ("provenance", self.provenance.as_str().into()),
            ("subject", self.subject.as_str().into()),
            ("envelope", self.envelope.as_str().into()),
        ];
        line.extend(members.map(|(name, value)| (name.to_string(), value)));
        line.insert("body".into(), self.body.as_deref().map(base64_encode).into());
        line.extend(signature.map(|text| ("attestation".to_string(), text.into())));
        line.extend(key.map(|key| ("key".to_string(), key.into())));
        Value::Object(line)
    }
}

#[cfg(test)]
mod tests {
    use super::{BatchLine, Line, head};
    use crate::encoding::base64url_encode;
    use crate::ids::{ExecutionId, WriterId};
    use crate::problem::Code;
    use crate::transparency::VerifierKey;
    use serde_json::{Value, json};
    use std::string::ToString;

    fn line() -> BatchLine {
        BatchLine {
            i: None,
            execution: ExecutionId::parse("run_0000000000000001").unwrap(),
            writer: WriterId::parse("").unwrap(),
            k: 3,
            sha256: "00".repeat(32),
            received_at: 1_790_000_000_000,
            provenance: "backend".into(),
            subject: "user_1".into(),
            envelope: "b1 token".into(),
            body: Some(b"{}\n".to_vec()),
        }
    }

    #[test]
    fn a_line_survives_its_text() {
        let text = line().to_json(Some(&base64url_encode(&[7; 64])), None).to_string();
        let Line::Batch { line: read, signature, key } = Line::parse(&text).unwrap() else {
            panic!("{text}")
        };
        assert_eq!((*read, signature, key), (line(), Some([7; 64]), None));
        let key = VerifierKey::of("prj_a", [1; 32]);
        assert!(matches!(Line::parse(&head("prj_a", &key, None).to_string()), Ok(Line::NoBatch)));
    }

    #[test]
    fn an_attestation_covers_every_member_but_the_number() {
        let text = line().attested_text("prj_a");
        assert_eq!(BatchLine { i: Some(4), ..line() }.attested_text("prj_a"), text);
        for other in [
            BatchLine { k: 4, ..line() },
            BatchLine { sha256: "01".repeat(32), ..line() },
            BatchLine { received_at: 5, ..line() },
            BatchLine { provenance: "origin".into(), ..line() },
            BatchLine { subject: "user_2".into(), ..line() },
            BatchLine { envelope: "b1 other".into(), ..line() },
            BatchLine { writer: WriterId::parse("w").unwrap(), ..line() },
        ] {
            assert_ne!(other.attested_text("prj_a"), text);
        }
        assert_ne!(line().attested_text("prj_b"), text);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = line().to_json(None, None);
        for (member, value) in [
            ("t", json!("else")),
            ("x", json!("run")),
            ("w", json!("a.b")),
            ("k", json!(1_u64 << 53)),
            ("received_at", json!(u64::MAX)),
            ("subject", json!("")),
            ("envelope", json!("a\nb")),
            ("body", json!("*")),
            ("attestation", json!("AA")),
        ] {
            let mut bad = good.clone();
            bad[member] = value;
            let problem = Line::parse(&bad.to_string()).unwrap_err();
            assert_eq!((problem.code, problem.field.as_deref()), (Code::LineMalformed, Some(member)));
        }
        for text in ["", "nonsense", "[]", "{}", r#"{"t":"export","v":2}"#, r#"{"t":"batch"}"#] {
            assert_eq!(Line::parse(text).unwrap_err().code, Code::LineMalformed, "{text}");
        }
        let absent: Value = serde_json::from_str(r#"{"t":"gone"}"#).unwrap();
        assert!(matches!(Line::parse(&absent.to_string()), Ok(Line::NoBatch)));
    }
}
