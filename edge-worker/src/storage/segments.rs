//! Reading stored batches: pages in order of (writer, k), single ones, and the ones that hold messages.

use super::bodies::read_body;
use super::cipher;
use super::statement::{Bind, bind};
use super::subject_keys::SubjectKey;
use crate::failure::{Doing, Outcome};
use serde::Deserialize;
use std::rc::Rc;
use stepseal_protocol::at_rest::BodyPlace;
use stepseal_protocol::encoding::hex_decode_any_case;
use stepseal_protocol::transfer::ImportRecord;
use worker::Env;

/// A stored batch as the reading routes need it.
#[derive(Deserialize)]
pub(crate) struct Segment {
    pub(crate) writer: String,
    pub(crate) k: u64,
    pub(crate) n: u64,
    pub(crate) count: u64,
    pub(crate) sha256: String,
    pub(crate) batch_id: String,
    pub(crate) provenance: String,
    pub(crate) received_at: u64,
    pub(crate) envelope: String,
    attempt: String,
    bytes: u64,
    /// When it was imported, Unix ms; not read where it does not matter.
    #[serde(default)]
    imported_at: Option<u64>,
    #[serde(default)]
    import_actor: Option<String>,
    #[serde(default)]
    import_key: Option<String>,
    #[serde(default)]
    import_attestation: Option<String>,
    #[serde(default)]
    import_tag: Option<String>,
    /// The version of the prices that its costs were derived from.
    #[serde(default)]
    pub(crate) price_version: Option<u64>,
    /// How many of its scores are rows; none if it was stored before scores were kept.
    #[serde(default)]
    pub(crate) scores: Option<u64>,
    /// Hex of the body where the row holds it.
    body: Option<String>,
}

/// What came of reading a body.
pub(crate) enum Body {
    /// Its bytes as received.
    Opened(Vec<u8>),
    /// KV does not have it (any more, or not yet here).
    Absent,
    /// It is there and does not open in its row.
    Shut,
    /// The key of its subject was destroyed.
    Erased,
}

impl Body {
    /// The bytes, for readers to whom it does not matter why there are none: `verify` says.
    pub(crate) fn opened(self) -> Option<Vec<u8>> {
        match self {
            Self::Opened(bytes) => Some(bytes),
            Self::Absent | Self::Shut | Self::Erased => None,
        }
    }
}

/// Where a page of segments begins: after this writer and index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentPosition {
    pub(crate) writer: String,
    pub(crate) k: i64,
}

impl SegmentPosition {
    /// Before every segment.
    pub(crate) fn first() -> Self {
        Self { writer: String::new(), k: -1 }
    }
}

/// Up to `limit` segments of an execution in order of (writer, k), after `position`.
pub(crate) async fn page(
    env: &Env,
    project: &str,
    execution: &str,
    position: &SegmentPosition,
    limit: u32,
) -> Outcome<Vec<Segment>> {
    let doing = "reading segments";
    let values = [
        Bind::Text(project),
        Bind::Text(execution),
        Bind::Text(&position.writer),
        Bind::Signed(position.k),
        Bind::Number(limit.into()),
    ];
    read(env, include_str!("page_segments.sql"), &values, doing).await
}

/// The segments of a writer that hold any of the messages `first` to `last`.
pub(crate) async fn with_messages(
    env: &Env,
    project: &str,
    execution: &str,
    writer: &str,
    first: u64,
    last: u64,
) -> Outcome<Vec<Segment>> {
    let values = [
        Bind::Text(project),
        Bind::Text(execution),
        Bind::Text(writer),
        Bind::Number(first),
        Bind::Number(last),
    ];
    read(env, include_str!("segments_with_messages.sql"), &values, "reading segments with messages").await
}

/// One segment by its key.
pub(crate) async fn one(
    env: &Env,
    project: &str,
    execution: &str,
    writer: &str,
    k: u64,
) -> Outcome<Option<Segment>> {
    let doing = "reading a segment";
    let values = [Bind::Text(project), Bind::Text(execution), Bind::Text(writer), Bind::Number(k)];
    Ok(read(env, include_str!("one_segment.sql"), &values, doing).await?.pop())
}

async fn read(env: &Env, sql: &str, values: &[Bind<'_>], doing: &'static str) -> Outcome<Vec<Segment>> {
    let database = env.d1("DB").doing(doing)?;
    let result = bind(&database, sql, values).doing(doing)?.all().await.storing(doing)?;
    Ok(result.results().doing(doing)?)
}

impl Segment {
    /// The body, opened.
    pub(crate) async fn load_body(&self, env: &Env, project: &str, execution: &str) -> Outcome<Body> {
        Ok(self.load_with_key(env, project, execution).await?.0)
    }

    /// The body, and the subject's key that it took.
    pub(super) async fn load_with_key(
        &self,
        env: &Env,
        project: &str,
        execution: &str,
    ) -> Outcome<(Body, Option<Rc<SubjectKey>>)> {
        let (writer, k, attempt) = (self.writer.as_str(), self.k, self.attempt.as_str());
        let place = BodyPlace { project, execution, writer, k, attempt };
        let stored = match &self.body {
            Some(hex) => {
                Some(hex_decode_any_case(hex).map_err(|_| "the store's hex").doing("reading a body")?)
            }
            None => read_body(env, &place).await?,
        };
        let Some(stored) = stored else { return Ok((Body::Absent, None)) };
        cipher::open(env, &place, &stored).await
    }

    /// What is kept of its import, and the record's tag; none if it was sent here.
    pub(crate) fn import(&self) -> Option<(ImportRecord, &str)> {
        let record = ImportRecord {
            at: self.imported_at?,
            actor: self.import_actor.clone()?,
            key: self.import_key.clone(),
            attestation: self.import_attestation.clone(),
        };
        Some((record, self.import_tag.as_deref()?))
    }

    /// Whether the body is in KV.
    pub(crate) fn is_in_kv(&self) -> bool {
        self.body.is_none()
    }

    /// Size of the body as received, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}
