//! What a reply means for the batch it answers.

/// What came of an attempt. Fields that the reply did not have are `None`, 0 or empty.
#[derive(Clone, Copy, Default, Debug)]
pub struct Reply<'a> {
    /// The HTTP status; 0 if no reply came.
    pub status: u16,
    /// The reply's `code`.
    pub code: &'a str,
    /// The reply's `server_time`, in Unix milliseconds.
    pub server_time_ms: Option<u64>,
    /// How long the server asks to wait, in milliseconds: the later of `Retry-After`, `retry_after_s` and `stop_until`.
    pub retry_after_ms: Option<u64>,
    /// How many of the batch's events the server kept out of its sums.
    pub rejected: u64,
    /// The reasons of the reply's `verdicts`, one a line.
    pub rejected_because: &'a str,
}

/// What to do with the batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The server has it.
    Stored,
    /// The clock was wrong: sign again by the server's.
    ClockOff,
    /// The session's time is over or has not come: another session will do.
    SessionOver,
    /// The session does not verify: another one may; if not, nothing will.
    SessionRefused,
    /// This may pass.
    Retry,
    /// This will not.
    Refused,
}

/// Judges a reply. A refusal without a `code` comes from something between us and the server, such as a
/// captive portal, and is no judgement of the batch; nor is a 200 that does not say `stored`.
pub(super) fn judge(reply: &Reply<'_>) -> Outcome {
    match (reply.status, reply.code) {
        (200, "stored" | "duplicate") => Outcome::Stored,
        (401, "timestamp_outside_window") => Outcome::ClockOff,
        (401, "session_expired" | "session_not_yet_valid") => Outcome::SessionOver,
        (401, code) if !code.is_empty() => Outcome::SessionRefused,
        (408 | 425 | 429, _) => Outcome::Retry,
        (400..=499, code) if !code.is_empty() => Outcome::Refused,
        _ => Outcome::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Reply, judge};

    #[test]
    fn every_kind_of_reply_has_its_outcome() {
        for (status, code, outcome) in [
            (200, "stored", Outcome::Stored),
            (200, "duplicate", Outcome::Stored),
            (200, "", Outcome::Retry),
            (204, "", Outcome::Retry),
            (302, "", Outcome::Retry),
            (0, "", Outcome::Retry),
            (400, "body_malformed", Outcome::Refused),
            (400, "", Outcome::Retry),
            (401, "timestamp_outside_window", Outcome::ClockOff),
            (401, "session_expired", Outcome::SessionOver),
            (401, "session_not_yet_valid", Outcome::SessionOver),
            (401, "signature_invalid", Outcome::SessionRefused),
            (401, "key_unknown", Outcome::SessionRefused),
            (401, "", Outcome::Retry),
            (403, "session_denied", Outcome::Refused),
            (403, "", Outcome::Retry),
            (404, "", Outcome::Retry),
            (409, "batch_conflict", Outcome::Refused),
            (410, "execution_deleted", Outcome::Refused),
            (413, "body_too_large", Outcome::Refused),
            (429, "rate_limited", Outcome::Retry),
            (500, "internal", Outcome::Retry),
            (503, "storage_unavailable", Outcome::Retry),
        ] {
            let reply = Reply { status, code, ..Reply::default() };
            assert_eq!(judge(&reply), outcome, "{status} {code}");
        }
    }
}
