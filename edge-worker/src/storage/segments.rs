//! Reading stored batches: pages in order of (writer, k), single ones, and the ones that hold messages.

use super::bodies::read_body;
use super::statement::{Bind, bind};
use crate::failure::{Doing, Outcome};
use serde::Deserialize;
use stepseal_protocol::encoding::hex_decode_any_case;
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
    /// Hex of the body where the row holds it.
    body: Option<String>,
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
    /// The body's bytes as received. None where KV does not have them (any more, or not yet here).
    pub(crate) async fn load_body(
        &self,
        env: &Env,
        project: &str,
        execution: &str,
    ) -> Outcome<Option<Vec<u8>>> {
        if let Some(hex) = &self.body {
            return Ok(Some(
                hex_decode_any_case(hex).map_err(|_| "the store's hex").doing("reading a body")?,
            ));
        }
        read_body(env, project, execution, &self.writer, self.k, &self.attempt).await
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
