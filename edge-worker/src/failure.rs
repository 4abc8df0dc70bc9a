//! The two ways a request fails: the caller's fault, which is told, and ours, which is logged.

use serde_json::{Map, Value};
use stepseal_protocol::problem::{Code, Problem};

/// Why a request was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The caller's fault.
    Refused(Refusal),
    /// Ours.
    Fault(Fault),
}

/// A refusal, with what the reply carries beside the problem.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) problem: Problem,
    /// Further members of the problem document.
    pub(crate) members: Map<String, Value>,
    /// Further headers.
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// A fault of ours: what we were doing, and the platform's words, for the log only.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) doing: &'static str,
    pub(crate) cause: String,
}

pub(crate) type Outcome<T> = Result<T, Failure>;

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, members: Map::new(), headers: Vec::new() }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem.into())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Fault {
    pub(crate) fn internal(doing: &'static str, cause: impl Into<String>) -> Self {
        Self { code: Code::Internal, doing, cause: cause.into() }
    }

    pub(crate) fn misconfigured(doing: &'static str, cause: impl Into<String>) -> Self {
        Self { code: Code::Misconfigured, doing, cause: cause.into() }
    }
}

/// Says what was being done when the platform failed.
pub(crate) trait Doing<T> {
    /// For faults of the platform or of ours.
    fn doing(self, doing: &'static str) -> Result<T, Fault>;
    /// For faults of a store: the caller may try again.
    fn storing(self, doing: &'static str) -> Result<T, Fault>;
}

impl<T, E: ToString> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str) -> Result<T, Fault> {
        self.map_err(|cause| Fault::internal(doing, cause.to_string()))
    }

    fn storing(self, doing: &'static str) -> Result<T, Fault> {
        self.map_err(|cause| Fault { code: Code::StorageUnavailable, doing, cause: cause.to_string() })
    }
}
