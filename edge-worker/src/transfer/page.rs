//! A page of an export: its lines, and the header that names the next.

use crate::access::Reader;
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use crate::projects::random;
use crate::request::url;
use crate::respond::Reply;
use crate::storage::segments::{Body, Segment};
use crate::transparency::signer::Signer;
use serde_json::Value;
use std::borrow::Cow;
use std::rc::Rc;
use stepseal_protocol::encoding::base64url_encode;
use stepseal_protocol::ids::{ExecutionId, WriterId};
use stepseal_protocol::query::Cursors;
use stepseal_protocol::transfer::{BatchLine, FileSecrets, Recipient, take_recipient};
use worker::Request;

/// Media type of our lines.
pub(super) const NDJSON: &str = "application/x-ndjson";
/// Media type of armor: age has registered none.
const ARMOR: &str = "text/plain";
/// Bytes of bodies after which a page ends: it is built in memory.
const BYTES_MAX: u64 = 4_000_000;
/// Bodies that one request reads from KV at most: the free plan allows 50 calls a request.
const KV_BODIES_MAX: usize = 30;

pub(super) fn cursors(call: &Call, reader: &Reader, query: String) -> Outcome<Cursors> {
    Ok(Cursors::of(&Secrets::of(&call.env)?.oldest_root()?, &reader.project, query))
}

/// What a page has taken on.
#[derive(Default)]
pub(super) struct Load {
    bytes: u64,
    in_kv: usize,
    segments: usize,
}

impl Load {
    /// Whether another segment fits; the first always does, so that every page comes further.
    pub(super) fn take(&mut self, segment: &Segment) -> bool {
        let bytes = self.bytes + segment.bytes();
        let in_kv = self.in_kv + usize::from(segment.is_in_kv());
        if self.segments > 0 && (bytes > BYTES_MAX || in_kv > KV_BODIES_MAX) {
            return false;
        }
        *self = Self { bytes, in_kv, segments: self.segments + 1 };
        true
    }

    pub(super) fn segments(&self) -> usize {
        self.segments
    }
}

/// What an export's request asks for.
pub(crate) struct Asked {
    /// Its parameters, but for the recipient.
    pub(crate) pairs: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    recipient: Option<Recipient>,
}

impl Asked {
    pub(crate) fn of(request: &Request) -> Outcome<Self> {
        let url = url(request)?;
        let (recipient, pairs) = take_recipient(url.query_pairs())?;
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let pairs = pairs.into_iter().map(|(name, value)| (owned(name), owned(value))).collect();
        Ok(Self { pairs, recipient })
    }

    /// The reply with a page's text, encrypted where a recipient is named; `Link` names the next page where there is one.
    pub(crate) fn reply(
        self,
        request: &Request,
        media_type: &'static str,
        text: String,
        next: Option<&str>,
    ) -> Outcome<Reply> {
        let reply = match self.recipient {
            None => Reply::text(media_type, text),
            Some(recipient) => {
                let secrets = FileSecrets { file_key: random()?, ephemeral: random()?, nonce: random()? };
                Reply::text(ARMOR, recipient.seal(text.as_bytes(), &secrets))
            }
        };
        let Some(cursor) = next else { return Ok(reply) };
        Ok(reply.with_headers(vec![("Link", link(request, cursor)?)]))
    }
}

/// Lines of a page.
#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    pub(super) fn push(&mut self, line: &Value) {
        self.0.push_str(&line.to_string());
        self.0.push('\n');
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// The header that names the page at `cursor` of the same question.
fn link(request: &Request, cursor: &str) -> Outcome<String> {
    let mut next = url(request)?;
    let kept: Vec<(String, String)> = next
        .query_pairs()
        .filter(|(name, _)| name != "cursor")
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    next.query_pairs_mut().clear().extend_pairs(kept).append_pair("cursor", cursor);
    Ok(format!("<{}?{}>; rel=\"next\"", next.path(), next.query().unwrap_or_default()))
}

/// Writes the lines of a project's batches.
pub(super) struct BatchWriter<'a> {
    call: &'a Call,
    project: &'a str,
    signer: Rc<Signer>,
}

impl<'a> BatchWriter<'a> {
    pub(super) async fn of(call: &'a Call, reader: &'a Reader) -> Outcome<Self> {
        let signer = Signer::of(&call.env, &reader.project).await?;
        Ok(Self { call, project: reader.project.as_str(), signer })
    }

    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// A batch's line. One whose row is there and whose body is not shows without one: the verifier says so. What was imported on
    /// another log's word keeps that word.
    pub(super) async fn line(
        &self,
        i: Option<u64>,
        execution: &str,
        owner: &str,
        segment: &Segment,
    ) -> Outcome<Value> {
        let doing = "reading a stored id";
        let body = match segment.load_body(&self.call.env, self.project, execution).await? {
            Body::Opened(bytes) => Some(bytes),
            Body::Absent | Body::Shut | Body::Erased => None,
        };
        let line = BatchLine {
            i,
            execution: ExecutionId::parse(execution).map_err(|_| "an execution id").doing(doing)?,
            writer: WriterId::parse(&segment.writer).map_err(|_| "a writer id").doing(doing)?,
            k: segment.k,
            sha256: segment.sha256.clone(),
            received_at: segment.received_at,
            provenance: segment.provenance.clone(),
            subject: owner.to_owned(),
            envelope: segment.envelope.clone(),
            body,
        };
        let import = segment.import().map(|(record, _)| record);
        if let Some((key, attestation)) = import.and_then(|record| record.key.zip(record.attestation)) {
            return Ok(line.to_json(Some(&attestation), Some(&key)));
        }
        let signature = self.signer.sign(&line.attested_text(self.project)).await?;
        Ok(line.to_json(Some(&base64url_encode(&signature)), None))
    }
}
