//! What can be wrong with a request, by its stable code (RFC 9457 problem documents).
//!
//! A [`Problem`] is the caller's fault. Faults of one event inside a good batch are
//! [`batch::Verdict`](crate::batch::Verdict)s; faults of ours belong to the shell.

use alloc::string::String;
use std::vec::Vec;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// A stable code: clients branch on it, so once released it never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code, for documents and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it stands in replies.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status it is answered with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// What it means, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// Line 1 is not `b1 <token> <batch id> <ts> v1,<signature>`.
    EnvelopeMalformed = "envelope_malformed", 400, "The batch's first line is malformed";
    /// Line 1 names a version this server does not speak.
    VersionUnsupported = "version_unsupported", 400, "The protocol version is not supported";
    /// The session token cannot be read.
    TokenMalformed = "token_malformed", 400, "The session token is malformed";
    /// The batch's header line breaks a rule.
    HeaderMalformed = "header_malformed", 400, "The batch's header is malformed";
    /// A line of the body is no JSON object, or the body's shape is wrong.
    BodyMalformed = "body_malformed", 400, "The batch's body is malformed";
    /// The body is not UTF-8.
    Utf8Invalid = "utf8_invalid", 400, "The batch's body is not UTF-8";
    /// A line nests too deeply.
    NestingTooDeep = "nesting_too_deep", 400, "A line nests too deeply";
    /// Event numbers do not follow one another.
    EventGap = "event_gap", 400, "The events' numbers do not follow one another";
    /// More events than a batch may hold.
    TooManyEvents = "too_many_events", 400, "The batch holds too many events";
    /// A body of an API route that cannot be read.
    RequestMalformed = "request_malformed", 400, "The request's body is malformed";
    /// A line of a file that is imported cannot be read.
    LineMalformed = "line_malformed", 400, "The line is no line of an export";
    /// A query parameter that no route of ours has.
    ParameterUnknown = "parameter_unknown", 400, "Unknown query parameter";
    /// A query parameter whose value does not fit.
    ParameterInvalid = "parameter_invalid", 400, "Invalid query parameter";
    /// A cursor that this server did not make for this query.
    CursorInvalid = "cursor_invalid", 400, "Invalid cursor";
    /// No credential where one is needed.
    Unauthenticated = "unauthenticated", 401, "A credential is required";
    /// A credential that is unknown, expired or revoked.
    CredentialInvalid = "credential_invalid", 401, "The credential is not valid";
    /// The batch names a root this server does not hold.
    KeyUnknown = "key_unknown", 401, "The key is unknown";
    /// The MAC does not match the bytes.
    SignatureInvalid = "signature_invalid", 401, "The signature does not match";
    /// The session's life is over.
    SessionExpired = "session_expired", 401, "The session has expired";
    /// The session was issued in the future.
    SessionNotYetValid = "session_not_yet_valid", 401, "The session is not valid yet";
    /// The attempt's time is too far from the server's.
    TimestampOutsideWindow = "timestamp_outside_window", 401, "The timestamp is outside the accepted window";
    /// The request's Origin is not the session's.
    OriginMismatch = "origin_mismatch", 403, "The request comes from another origin than its session";
    /// The page did not solve the challenge that the project asks for.
    ChallengeFailed = "challenge_failed", 403, "The challenge was not solved";
    /// The request's Origin is not on the project's allow-list.
    OriginNotAllowed = "origin_not_allowed", 403, "The origin is not allowed";
    /// A request that rides on a browser's cookie without proof that our own page made it.
    CrossSiteRequest = "cross_site_request", 403, "The request was not made by this site's own page";
    /// The credential's role does not cover the route.
    RoleInsufficient = "role_insufficient", 403, "The credential's role does not cover this";
    /// No project of that id here, or the publishable key names none.
    ProjectUnknown = "project_unknown", 403, "The project is unknown";
    /// The project takes nothing at the moment.
    ProjectPaused = "project_paused", 403, "The project is paused";
    /// The project no longer accepts this key generation.
    KeyRetired = "key_retired", 401, "The key has been retired";
    /// The session was put on the project's deny-list.
    SessionDenied = "session_denied", 403, "The session has been revoked";
    /// The execution belongs to another subject.
    SubjectMismatch = "subject_mismatch", 403, "The execution belongs to another subject";
    /// No route at this path.
    RouteNotFound = "route_not_found", 404, "There is nothing at this path";
    /// No project of that id, for the operator.
    ProjectNotFound = "project_not_found", 404, "There is no such project";
    /// No such API key in the project.
    KeyNotFound = "key_not_found", 404, "There is no such API key";
    /// No such key generation in the project.
    GenerationNotFound = "generation_not_found", 404, "There is no such key generation";
    /// No such entry on the project's deny-list.
    DenialNotFound = "denial_not_found", 404, "There is no such denial";
    /// No such execution in the project.
    ExecutionNotFound = "execution_not_found", 404, "There is no such execution";
    /// The project's prices have no such version.
    PricesNotFound = "prices_not_found", 404, "There is no such version of the prices";
    /// The project's log has no checkpoint yet.
    CheckpointNotFound = "checkpoint_not_found", 404, "There is no checkpoint yet";
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed here";
    /// The key (execution, writer, k) holds another body.
    BatchConflict = "batch_conflict", 409, "Another batch is stored under this key";
    /// The score's id stands for another one.
    ScoreConflict = "score_conflict", 409, "Another score is stored under this id";
    /// A project of that id exists.
    ProjectExists = "project_exists", 409, "The project exists already";
    /// The project's only key generation: without it nobody could write.
    LastGeneration = "last_generation", 409, "The project has no other key generation";
    /// The API key is revoked or expired, so there is nothing to rotate.
    KeyEnded = "key_ended", 409, "The API key has ended";
    /// A list of the project is full.
    ListFull = "list_full", 409, "The list is full";
    /// Others changed the same thing at the same time.
    ChangedMeanwhile = "changed_meanwhile", 409, "The project was changed meanwhile";
    /// A batch whose content was not readable any more when it was exported.
    BodyAbsent = "body_absent", 422, "The batch has no content";
    /// A batch so old that the project's retention would delete it at once.
    RetentionOver = "retention_over", 422, "The batch is older than the project's retention";
    /// The execution was deleted.
    ExecutionDeleted = "execution_deleted", 410, "The execution was deleted";
    /// More bytes than a request may carry.
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    /// More bytes, or a larger ratio, than a body may inflate to.
    InflatedTooLarge = "inflated_too_large", 413, "The body inflates too far";
    /// A media type that the route does not take.
    MediaTypeUnsupported = "media_type_unsupported", 415, "The content type is not supported";
    /// A limit is used up.
    RateLimited = "rate_limited", 429, "A rate limit is used up";
    /// The project's budget for the month is used up.
    BudgetExhausted = "budget_exhausted", 429, "The month's budget is used up";
    /// Our fault; the detail stays in our logs.
    Internal = "internal", 500, "Internal error";
    /// The store did not answer; nothing was stored, or the retry will find out.
    StorageUnavailable = "storage_unavailable", 503, "The store is unavailable";
    /// Whoever judges challenges did not answer; without its judgement nothing is minted.
    ChallengeUnavailable = "challenge_unavailable", 503, "The challenge cannot be judged at the moment";
    /// A secret of the deployment is missing or weak.
    Misconfigured = "misconfigured", 503, "The server is not configured";
}

/// One refusal: the code, and what is wrong this time, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which problem it is.
    pub code: Code,
    /// What is wrong this time and what to do; says nothing internal and echoes no secret.
    pub detail: String,
    /// The line of the (inflated) body, counted from 1; the header is line 1.
    pub line: Option<u64>,
    /// The field, header or parameter at fault.
    pub field: Option<String>,
}

impl Problem {
    /// A problem of the whole request.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), line: None, field: None }
    }

    /// The same problem, at a line of the body.
    #[must_use]
    pub fn at_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    /// The same problem, of a named field.
    #[must_use]
    pub fn of_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The members of the problem document (RFC 9457, section 3) as a JSON object.
    pub fn to_members(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut members: Vec<(&str, serde_json::Value)> = std::vec![
            ("type", std::format!("urn:stepseal:problem:{}", self.code.as_str()).into()),
            ("title", self.code.title().into()),
            ("status", self.code.status().into()),
            ("detail", self.detail.as_str().into()),
            ("code", self.code.as_str().into()),
        ];
        members.extend(self.line.map(|line| ("line", line.into())));
        members.extend(self.field.as_deref().map(|field| ("field", field.into())));
        members.into_iter().map(|(name, value)| (name.into(), value)).collect()
    }
}
