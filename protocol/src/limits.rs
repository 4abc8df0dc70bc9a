//! Every number that bounds the wire (SPEC.md, sections 2 to 5).

/// Longest first line of a sealed batch, line break included, in bytes.
pub const ENVELOPE_LINE_MAX: usize = 1_024;
/// Longest session token, in bytes.
pub const TOKEN_MAX: usize = 768;
/// Longest body as sent, in bytes.
pub const BODY_MAX: usize = 900_000;
/// Longest request of the ingest routes, in bytes: the first line and the body.
pub const REQUEST_MAX: usize = ENVELOPE_LINE_MAX + BODY_MAX;
/// Longest body once inflated, in bytes.
pub const INFLATED_MAX: usize = 8_000_000;
/// How many times longer than sent a body may inflate to.
pub const INFLATED_RATIO_MAX: usize = 100;
/// Most events of a batch.
pub const EVENTS_MAX: usize = 1_000;
/// Deepest nesting of arrays and objects in one line.
pub const DEPTH_MAX: usize = 64;
/// Largest event number, batch index or count: what a JSON number carries exactly, 2^53 - 1.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;
/// How far an attempt's time may be from the server's, in seconds, to either side.
pub const WINDOW_S: u64 = 300;
/// How far ahead a session's `iat` may be, in seconds.
pub const ISSUED_AHEAD_MAX_S: u64 = 300;
/// Longest life of a session, in seconds.
pub const SESSION_TTL_MAX_S: u64 = 3_600;
/// Life of a session where nobody says otherwise, in seconds.
pub const SESSION_TTL_DEFAULT_S: u64 = 900;
/// Most earlier subjects a session may name in `was`.
pub const EARLIER_SUBJECTS_MAX: usize = 4;
/// Longest subject, in bytes.
pub const SUBJECT_MAX: usize = 128;

/// Largest batch the SDK makes, first line included, in bytes: under the 64 KiB that a page may have
/// in flight while it closes (Fetch Standard, "keepalive").
pub const SDK_BATCH_MAX: usize = 60_000;
/// What all keepalive requests of a page may carry at once, in bytes (Fetch Standard, §4.6).
pub const KEEPALIVE_BUDGET: usize = 65_536;
