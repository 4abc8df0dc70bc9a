//! The Durable Object that holds a project's buckets: one instance a project, so its counts are exact.

use serde::{Deserialize, Serialize};
use stepseal_protocol::ingest::admission::Limits;
use stepseal_protocol::ingest::bucket::{Bucket, Exhausted};
use worker::{Date, DurableObject, Env, Request, Response, Result, State, durable_object};

const BUCKETS: &str = "buckets";

/// What an isolate asks for. The limits come along: the project's configuration is the isolate's to read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) bytes: u64,
    pub(crate) steps: u64,
    pub(crate) limits: Limits,
}

/// What it gets: at least what it asked for, or nothing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Grant {
    Taken { bytes: u64, steps: u64, steps_left: u64 },
    Exhausted { retry_after_ms: u64, bucket: String },
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Buckets {
    bytes: Bucket,
    steps: Bucket,
}

/// Holds the token buckets of one project.
#[durable_object]
pub struct FairLimiter {
    state: State,
}

impl DurableObject for FairLimiter {
    fn new(state: State, _env: Env) -> Self {
        Self { state }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let ask: Ask = request.json().await?;
        let storage = self.state.storage();
        // Storage is the state: an evicted object must not come back with full buckets. Reads are served
        // from memory, and no other request runs between a read and its write (input gates).
        let mut buckets: Buckets = storage.get(BUCKETS).await?.unwrap_or_default();
        let grant = buckets.take(&ask, Date::now().as_millis());
        storage.put(BUCKETS, buckets).await?;
        Response::from_json(&grant)
    }
}

impl Buckets {
    /// A lease is a quarter of a second of the sustained rate beyond what is needed now: enough to share
    /// one call among batches, little enough that several isolates do not starve each other.
    fn take(&mut self, ask: &Ask, now: u64) -> Grant {
        let (in_bytes, in_steps) = (ask.limits.bytes(), ask.limits.steps());
        let before = *self;
        let exhausted = |Exhausted { retry_after_ms }, bucket: &str| Grant::Exhausted {
            retry_after_ms,
            bucket: bucket.to_owned(),
        };
        let bytes = match self.bytes.take(in_bytes, now, ask.bytes, in_bytes.rate / 4) {
            Ok(bytes) => bytes,
            Err(fault) => return exhausted(fault, "bytes"),
        };
        match self.steps.take(in_steps, now, ask.steps, in_steps.rate / 4) {
            Ok(steps) => Grant::Taken { bytes, steps, steps_left: self.steps.level(in_steps) },
            Err(fault) => {
                *self = before;
                exhausted(fault, "steps")
            }
        }
    }
}
