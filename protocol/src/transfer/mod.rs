//! What leaves a deployment as a file, and what may come back from one (SPEC.md, "Exports and imports").
//!
//! [`line`] writes and reads the lines of our NDJSON; [`attestation`] is the exporting log's word for one of them, which a
//! deployment without the root that signed a batch imports it on; [`age`] encrypts to a recipient's key; [`record`] is what the store keeps of an import, sealed so
//! that nobody without the root can make one; [`otlp`] makes traces of executions, and [`query`] reads the routes' parameters.

mod age;
mod attestation;
mod line;
mod otlp;
mod query;
mod record;

pub use age::{FileSecrets, Recipient};
pub use attestation::{Attestation, Attested};
pub use line::{BatchLine, Line, NO_BATCH, head};
pub use otlp::Trace;
pub use query::{ExportQuery, ImportQuery, take_recipient};
pub use record::ImportRecord;

/// Lines that one request imports at most: each takes four statements, and the free plan allows 50 queries a request.
pub const IMPORT_LINES_MAX: usize = 8;
/// Bytes that one request imports at most: one line holds the largest batch in base64.
pub const IMPORT_BYTES_MAX: usize = 2_000_000;
