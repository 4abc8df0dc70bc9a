//! The table of routes.

use super::Access::{Admin, AdminOrOperator, Anyone, Operator, Reader, Signature, Writer};
use super::{Access, Body, Operation as Op, Parameter, Route};
use crate::problem::Code;

const JSON: &str = "application/json";
const TEXT: &str = r#"{"type":"string"}"#;
const TIME: &str = r#"{"type":"integer","minimum":0,"maximum":8640000000000000}"#;

const LIMIT: Parameter = Parameter {
    name: "limit",
    schema: r#"{"type":"integer","minimum":1,"maximum":200,"default":50}"#,
    about: "Rows of a page.",
};
const CURSOR: Parameter =
    Parameter { name: "cursor", schema: TEXT, about: "`next_cursor` of the page before." };
const FROM: Parameter = Parameter { name: "from", schema: TIME, about: "At or after, Unix ms." };
const TO: Parameter = Parameter { name: "to", schema: TIME, about: "Before, Unix ms." };
const PAGE: &[Parameter] = &[LIMIT, CURSOR];
const RECIPIENT: Parameter = Parameter {
    name: "recipient",
    schema: r#"{"type":"string","pattern":"^age1[0-9a-z]{58}$"}"#,
    about: "Each page is an armored age file (age-encryption.org/v1) that only this X25519 recipient opens, as text/plain.",
};

const fn typed(name: &'static str, schema: &'static str, about: &'static str) -> Parameter {
    Parameter { name, schema, about }
}

const COUNT: &str = r#"{"type":"integer","minimum":0,"maximum":9007199254740991}"#;
const SCORE_BOUND: &str = r#"{"type":"number","minimum":-1000000000000000,"maximum":1000000000000000}"#;
const AMOUNT: &str = r#"{"type":"number","minimum":0,"maximum":9000000}"#;

/// The lists one after the other; how long that is, is said where it is used and checked when this is compiled.
const fn joined<const LEN: usize>(lists: &[&[Parameter]]) -> [Parameter; LEN] {
    let mut all = [LIMIT; LEN];
    let (mut filled, mut list) = (0, 0);
    while list < lists.len() {
        let mut index = 0;
        while index < lists[list].len() {
            all[filled] = lists[list][index];
            filled += 1;
            index += 1;
        }
        list += 1;
    }
    assert!(filled == LEN, "the lists have another length");
    all
}

/// What executions are filtered by, wherever they are asked for.
/// What lists and statistics find executions by.
const LABELS: [Parameter; 11] = [
    typed(
        "status",
        r#"{"enum":["running","waiting","completed","failed","cancelled","abandoned"]}"#,
        "Only this status.",
    ),
    text("name", "Only this name, exactly."),
    text("agent", "Only this agent."),
    text("pipeline", "Only this pipeline."),
    text("user", "Only this user."),
    text("session", "Only this session."),
    text("environment", "Only this environment."),
    text("release", "Only this release."),
    text("tag", "Only with this tag."),
    text("model", "Only what used this model."),
    text("tool", "Only what used this tool."),
];

const PROPERTIES: [Parameter; 8] = [
    typed("error", r#"{"type":"boolean"}"#, "Only where something failed, or where nothing did."),
    typed(
        "completeness",
        r#"{"enum":["open","complete","incomplete"]}"#,
        "Only records that are whole, or not.",
    ),
    typed("min_duration_ms", COUNT, "Only what took this long or longer."),
    typed("max_duration_ms", COUNT, "Only what took this long or less."),
    typed("min_tokens", COUNT, "Only with this many tokens or more, of all buckets."),
    typed("max_tokens", COUNT, "Only with this many tokens or fewer."),
    typed("min_cost_usd", AMOUNT, "Only what cost this or more."),
    typed("max_cost_usd", AMOUNT, "Only what cost this or less."),
];

const FILTERS: [Parameter; 19] = joined::<19>(&[&LABELS, &PROPERTIES]);

const SCORES: [Parameter; 4] = [
    text("score", "Only with a score of this name."),
    typed("min_score", SCORE_BOUND, "Only where such a score is this or more; `true` counts as 1."),
    typed("max_score", SCORE_BOUND, "Only where such a score is this or less."),
    text("score_value", "Only where such a score is this text, `true` or `false`."),
];

const WORDS: Parameter = typed(
    "text",
    r#"{"type":"string","minLength":1}"#,
    "Only what has all these words (up to 16) in its names, errors or the beginnings of its inputs and outputs; `word*` finds beginnings where the project's `search` is `plain`. Refused where it is `off`.",
);
const SORT: Parameter = typed(
    "sort",
    r#"{"enum":["start","duration","cost","tokens"],"default":"start"}"#,
    "Largest first. By anything but the start: what has ended, in a window of whole days, at most 32.",
);
const FIELDS: Parameter = text("fields", "Members to show, separated by commas; all if not given.");

/// What executions are filtered by, and how they are shown.
const LIST: &[Parameter] =
    &joined::<30>(&[&FILTERS, &SCORES, &[FROM, TO, WORDS, SORT, FIELDS, LIMIT, CURSOR]]);

/// The list as a table.
const TABLE: &[Parameter] = &joined::<31>(&[LIST, &[RECIPIENT]]);

/// Which executions an export is of: the list's filters, or one alone.
const EXPORT: &[Parameter] = &joined::<30>(&[
    &[text("execution", "Only this execution, instead of a list."), RECIPIENT],
    &FILTERS,
    &SCORES,
    &[FROM, TO, WORDS, LIMIT, CURSOR],
]);

/// The list's filters, and where to go on.
const LIVE: &[Parameter] = &joined::<25>(&[
    &FILTERS,
    &SCORES,
    &[WORDS],
    &[typed("cursor", COUNT, "The last message that was seen; `Last-Event-ID` says the same.")],
]);

const STEPS: &[Parameter] = &[
    typed(
        "kind",
        r#"{"enum":["llm","tool","retrieval","embedding","agent","chain","decision","guardrail","evaluator","custom"]}"#,
        "Only this kind.",
    ),
    text("name", "Only steps of this name, exactly."),
    text("model", "Only of this model."),
    text("tool", "Only of this tool."),
    typed("status", r#"{"enum":["ok","error","cancelled"]}"#, "Only of this status."),
    typed(
        "text",
        r#"{"type":"string","minLength":3,"maxLength":200}"#,
        "Only with this text anywhere in what was recorded of them, in whatever case.",
    ),
    text("user", "Only in executions of this user."),
    text("session", "Only in executions of this session."),
    text("agent", "Only in executions of this agent."),
    text("pipeline", "Only in executions of this pipeline."),
    text("environment", "Only in executions of this environment."),
    text("release", "Only in executions of this release."),
    text("tag", "Only in executions with this tag."),
    text("score", "Only in executions with a score of this name."),
    FROM,
    TO,
    LIMIT,
    CURSOR,
];

const FACET: &str = r#"{"enum":["session","user","tag","score","release","tool","name","model","agent","pipeline","error","environment","status"]}"#;

const STATS: &[Parameter] = &joined::<19>(&[
    &LABELS,
    &[
        typed("error", r#"{"enum":["true"]}"#, "Only where something failed."),
        text("score", "Only with a score of this name."),
        FROM,
        TO,
        typed(
            "bucket",
            r#"{"enum":["hour","day"]}"#,
            "Buckets of time: hours for up to 31 days, days for up to 366; fitting if not given.",
        ),
        typed("group_by", FACET, "Also by each value of this facet, at most 100."),
        typed(
            "scores",
            r#"{"type":"boolean","default":false}"#,
            "Also the scores, by name: at most 20 names, of 20,000 scores.",
        ),
        typed(
            "steps",
            r#"{"type":"boolean","default":false}"#,
            "Also the steps, by kind and name: of the newest 2,000 executions; times within 11 %.",
        ),
    ],
]);

const fn text(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, schema: TEXT, about }
}

const fn json(schema: &'static str) -> Body {
    Body { media: JSON, schema, required: true }
}

const fn maybe_json(schema: &'static str) -> Body {
    Body { media: JSON, schema, required: false }
}

const LINES: Body = Body { media: "application/x-ndjson", schema: "", required: true };
const BYTES: Body = Body { media: "text/plain", schema: "", required: true };

const fn route(
    operation: Op,
    method: &'static str,
    path: &'static str,
    access: Access,
    about: &'static str,
) -> Route {
    Route {
        operation,
        method,
        path,
        access,
        about,
        query: &[],
        body: None,
        success: 200,
        answers: JSON,
        reply: "",
        refusals: &[],
    }
}

impl Route {
    const fn query(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    const fn body(mut self, body: Body) -> Self {
        self.body = Some(body);
        self
    }

    const fn success(mut self, status: u16) -> Self {
        self.success = status;
        self
    }

    const fn answers(mut self, media: &'static str) -> Self {
        self.answers = media;
        self
    }

    const fn replies(mut self, schema: &'static str) -> Self {
        self.reply = schema;
        self
    }

    const fn refusals(mut self, refusals: &'static [Code]) -> Self {
        self.refusals = refusals;
        self
    }
}

/// What any batch may be refused for.
const BATCH_REFUSALS: &[Code] = &[
    Code::EnvelopeMalformed,
    Code::VersionUnsupported,
    Code::TokenMalformed,
    Code::HeaderMalformed,
    Code::BodyMalformed,
    Code::Utf8Invalid,
    Code::NestingTooDeep,
    Code::EventGap,
    Code::TooManyEvents,
    Code::KeyUnknown,
    Code::SignatureInvalid,
    Code::SessionExpired,
    Code::SessionNotYetValid,
    Code::TimestampOutsideWindow,
    Code::KeyRetired,
    Code::OriginMismatch,
    Code::ProjectUnknown,
    Code::ProjectPaused,
    Code::SessionDenied,
    Code::SubjectMismatch,
    Code::BatchConflict,
    Code::ExecutionDeleted,
    Code::BodyTooLarge,
    Code::InflatedTooLarge,
    Code::RateLimited,
    Code::BudgetExhausted,
];
const PAGE_REFUSALS: &[Code] = &[Code::ParameterUnknown, Code::ParameterInvalid, Code::CursorInvalid];
const VERIFY_REFUSALS: &[Code] =
    &[Code::ParameterUnknown, Code::ParameterInvalid, Code::CursorInvalid, Code::ExecutionNotFound];
const EXECUTION_REFUSALS: &[Code] = &[
    Code::ParameterUnknown,
    Code::ParameterInvalid,
    Code::CursorInvalid,
    Code::ExecutionNotFound,
    Code::ExecutionDeleted,
];
const CHANGE_REFUSALS: &[Code] = &[
    Code::RequestMalformed,
    Code::BodyTooLarge,
    Code::ProjectNotFound,
    Code::ChangedMeanwhile,
    Code::ListFull,
];

/// Every route but those of [`PROJECT_ROUTES`]; what is asked most stands first.
pub(super) const ROUTES: &[Route] = &[
    route(Op::SendBatch, "POST", "/v1/batches", Signature, "Stores a page's sealed batch (SPEC.md).").replies("BatchReply")
        .body(BYTES)
        .refusals(BATCH_REFUSALS),
    route(
        Op::SendServerBatch,
        "POST",
        "/v1/server/batches",
        Signature,
        "Stores a backend's batch, signed as Standard Webhooks.",
    ).replies("BatchReply")
    .body(BYTES)
    .refusals(BATCH_REFUSALS),
    route(
        Op::MintSession,
        "POST",
        "/v1/sessions",
        Anyone,
        "Mints a session for a page of an allowed origin.",
    ).replies("MintedSession")
    .body(json("SessionRequest"))
    .refusals(&[
        Code::RequestMalformed,
        Code::ProjectUnknown,
        Code::ProjectPaused,
        Code::OriginNotAllowed,
        Code::ChallengeFailed,
        Code::ChallengeUnavailable,
        Code::SessionDenied,
        Code::BodyTooLarge,
        Code::RateLimited,
    ]),
    route(Op::ListExecutions, "GET", "/v1/executions", Reader, "Lists executions of a window, the last 7 days where none is given. A page may be short and yet not the last: go on while there is a `next_cursor`.").replies("ExecutionList")
        .query(LIST)
        .refusals(PAGE_REFUSALS),
    route(
        Op::ExportTable,
        "GET",
        "/v1/export/executions.csv",
        Reader,
        "The list as CSV that is safe to open in a spreadsheet; `Link` names the next page.",
    )
    .query(TABLE)
    .answers("text/csv")
    .refusals(PAGE_REFUSALS),
    route(
        Op::SearchSteps,
        "GET",
        "/v1/steps",
        Reader,
        "Looks for steps in all executions of a window, newest execution first. A page may be short and yet not the last.",
    ).replies("StepSearch")
    .query(STEPS)
    .refusals(PAGE_REFUSALS),
    route(
        Op::ShowStats,
        "GET",
        "/v1/stats",
        Reader,
        "Counts, failure rate, quantiles, tokens and cost of a window: in all, by time, and by a facet's values.",
    ).replies("Stats")
    .query(STATS)
    .refusals(&[Code::ParameterUnknown, Code::ParameterInvalid]),
    route(
        Op::ListFacets,
        "GET",
        "/v1/facets",
        Reader,
        "What executions of a window are found by, with counts: one facet page by page, or the first values of each.",
    ).replies("Facets")
    .query(&[typed("facet", FACET, "Only this one."), FROM, TO, LIMIT, CURSOR])
    .refusals(PAGE_REFUSALS),
    route(Op::ListSessions, "GET", "/v1/sessions", Reader, "Lists sessions by their newest execution, with totals.").replies("SessionList")
        .query(&[FROM, TO, LIMIT, CURSOR])
        .refusals(PAGE_REFUSALS),
    route(Op::ListUsers, "GET", "/v1/users", Reader, "Lists users by their newest execution, with totals.").replies("UserList")
        .query(&[FROM, TO, LIMIT, CURSOR])
        .refusals(PAGE_REFUSALS),
    route(
        Op::Follow,
        "GET",
        "/v1/live",
        Reader,
        "Follows what is stored, by the list's filters: a WebSocket (101) where one is asked for, else server-sent events. Messages carry the `cursor` to resume from; readers of a WebSocket send `{\"ack\":cursor}` at least every 500 messages or 2 MB. A reader that takes nothing for 10 s is told `slow` and dropped.",
    )
    .query(LIVE)
    .answers("text/event-stream")
    .refusals(&[Code::ParameterUnknown, Code::ParameterInvalid, Code::CursorInvalid, Code::OriginNotAllowed]),
    route(Op::ShowExecution, "GET", "/v1/executions/{execution}", Reader, "Shows one execution.").replies("ExecutionReply")
        .refusals(EXECUTION_REFUSALS),
    route(
        Op::DeleteExecution,
        "DELETE",
        "/v1/executions/{execution}",
        Admin,
        "Deletes an execution; late batches for it are refused.",
    )
    .refusals(&[Code::ExecutionNotFound, Code::ExecutionDeleted]),
    route(
        Op::ListSteps,
        "GET",
        "/v1/executions/{execution}/steps",
        Reader,
        "Lists an execution's steps, messages in place of their ranges.",
    ).replies("StepList")
    .query(PAGE)
    .refusals(EXECUTION_REFUSALS),
    route(
        Op::CompareExecutions,
        "GET",
        "/v1/executions/{execution}/compare/{other}",
        Reader,
        "Compares two executions: aligned steps, members that differ, time, tokens and cost; of long ones the beginning.",
    )
    .replies("Comparison")
    .refusals(&[Code::ParameterUnknown, Code::ExecutionNotFound, Code::ExecutionDeleted]),
    route(
        Op::AddScore,
        "POST",
        "/v1/executions/{execution}/scores",
        Writer,
        "Scores an execution or one of its steps. The same id with the same content is a no-op.",
    )
    .replies("ScoreReply")
    .body(json("ScoreRequest"))
    .refusals(&[
        Code::RequestMalformed,
        Code::BodyTooLarge,
        Code::ProjectUnknown,
        Code::ProjectPaused,
        Code::ExecutionNotFound,
        Code::ExecutionDeleted,
        Code::ScoreConflict,
        Code::ListFull,
    ]),
    route(
        Op::VerifyExecution,
        "GET",
        "/v1/executions/{execution}/verify",
        Reader,
        "Says whether an execution is untouched and whole; a deleted one has the verdict `deleted`.",
    ).replies("Verification")
    .query(PAGE)
    .refusals(VERIFY_REFUSALS),
    route(
        Op::ShowMetrics,
        "GET",
        "/v1/metrics",
        AdminOrOperator,
        "Counters for Prometheus: an admin's project, or for the operator what belongs to none.",
    )
    .answers("text/plain; version=0.0.4"),
    route(
        Op::ListCheckpoints,
        "GET",
        "/v1/checkpoints",
        Reader,
        "Lists signed checkpoints of the log, largest first.",
    ).replies("CheckpointList")
    .query(PAGE)
    .refusals(PAGE_REFUSALS),
    route(
        Op::ShowLatestCheckpoint,
        "GET",
        "/v1/checkpoints/latest",
        Reader,
        "The last checkpoint, a signed note.",
    )
    .answers("text/plain")
    .refusals(&[Code::ParameterUnknown, Code::CheckpointNotFound]),
    route(
        Op::ShowVerifierKey,
        "GET",
        "/v1/checkpoints/key",
        Reader,
        "The public key that verifies checkpoints and receipts.",
    )
    .answers("text/plain")
    .refusals(&[Code::ParameterUnknown]),
    route(
        Op::Export,
        "GET",
        "/v1/export",
        Reader,
        "The log up to the last checkpoint with its batches, as NDJSON; `Link` names the next page.",
    )
    .query(&[RECIPIENT, LIMIT, CURSOR])
    .answers("application/x-ndjson")
    .refusals(&[
        Code::ParameterUnknown,
        Code::ParameterInvalid,
        Code::CursorInvalid,
        Code::CheckpointNotFound,
    ]),
    route(
        Op::ExportExecutions,
        "GET",
        "/v1/export/executions.ndjson",
        Reader,
        "The batches of one execution, or of a list of them, as NDJSON that can be imported; `Link` names the next page.",
    )
    .query(EXPORT)
    .answers("application/x-ndjson")
    .refusals(EXECUTION_REFUSALS),
    route(
        Op::ExportTraces,
        "GET",
        "/v1/export/traces.jsonl",
        Reader,
        "One execution, or a list of them, as OpenTelemetry traces (OTLP/JSON, one request a line); `Link` names the next page.",
    )
    .query(EXPORT)
    .answers("application/x-ndjson")
    .refusals(EXECUTION_REFUSALS),
    route(Op::SignIn, "POST", "/v1/sign-in", Anyone, "Exchanges an API key for the dashboard's cookie.").replies("SignInReply")
        .body(json("SignInRequest"))
        .refusals(&[
            Code::RequestMalformed,
            Code::CredentialInvalid,
            Code::CrossSiteRequest,
            Code::RoleInsufficient,
            Code::BodyTooLarge,
            Code::RateLimited,
        ]),
    route(Op::ShowSignIn, "GET", "/v1/sign-in", Anyone, "Says who is signed in; nobody is an answer too.").replies("SignInReply")
        .refusals(&[Code::CredentialInvalid, Code::CrossSiteRequest]),
    route(Op::SignOut, "DELETE", "/v1/sign-in", Anyone, "Ends the sign-in.").replies("SignInReply")
        .refusals(&[Code::CredentialInvalid, Code::CrossSiteRequest]),
    route(Op::ListProjects, "GET", "/v1/projects", Operator, "Lists all projects by id.")
        .query(PAGE)
        .refusals(PAGE_REFUSALS),
    route(
        Op::CreateProject,
        "POST",
        "/v1/projects",
        Operator,
        "Makes a project; its secrets are shown this once.",
    )
    .body(json("NewProject"))
    .success(201)
    .refusals(&[Code::RequestMalformed, Code::BodyTooLarge, Code::ProjectExists]),
    route(Op::ShowHealth, "GET", "/healthz", Anyone, "Says that the worker answers.").replies("Health"),
    route(Op::ShowDocument, "GET", "/openapi.json", Anyone, "This document."),
];

/// Own routes that have a second, shorter path.
pub(super) const OWN_ALIASES: &[(&str, &str)] =
    &[("/v1/audit", "/audit"), ("/v1/audit/verify", "/audit/verify")];

/// What administrators do with a project: under `/v1/project` an admin key with its own, under
/// `/v1/projects/{project}` the operator with any.
pub(super) const PROJECT_ROUTES: &[Route] = &[
    route(Op::ShowProject, "GET", "", Reader, "Shows the project."),
    route(
        Op::ChangeProject,
        "PATCH",
        "",
        Admin,
        "Changes what is given. Limits are the operator's to change.",
    )
    .body(json("ProjectChange"))
    .refusals(CHANGE_REFUSALS),
    route(Op::DeleteProject, "DELETE", "", Operator, "Deletes a project; its id stays taken.")
        .success(202)
        .refusals(CHANGE_REFUSALS),
    route(Op::ListKeys, "GET", "/keys", Admin, "Lists API keys, without the keys themselves.").replies("KeyList"),
    route(Op::CreateKey, "POST", "/keys", Admin, "Makes an API key; it is shown this once.").replies("MadeKey")
        .body(json("NewKey"))
        .success(201)
        .refusals(CHANGE_REFUSALS),
    route(Op::RevokeKey, "DELETE", "/keys/{key}", Admin, "Revokes an API key.")
        .refusals(&[Code::KeyNotFound]),
    route(
        Op::RotateKey,
        "POST",
        "/keys/{key}/rotate",
        Admin,
        "Replaces an API key; the old one goes on for a while.",
    )
    .body(maybe_json("KeyRotation"))
    .success(201)
    .refusals(&[Code::RequestMalformed, Code::BodyTooLarge, Code::KeyNotFound, Code::KeyEnded]),
    route(
        Op::AddGeneration,
        "POST",
        "/generations",
        Admin,
        "Adds a key generation and shows its project secret, this once.",
    )
    .success(201)
    .refusals(CHANGE_REFUSALS),
    route(Op::RetireGeneration, "DELETE", "/generations/{kid}", Admin, "Retires a key generation.").refusals(
        &[Code::GenerationNotFound, Code::LastGeneration, Code::ProjectNotFound, Code::ChangedMeanwhile],
    ),
    route(Op::ListDenials, "GET", "/denials", Admin, "Lists denied sessions and subjects.").replies("DenialList")
        .refusals(&[Code::ProjectNotFound]),
    route(Op::AddDenial, "POST", "/denials", Admin, "Denies a session or subject.")
        .body(json("DenialRequest"))
        .success(201)
        .refusals(CHANGE_REFUSALS),
    route(Op::RemoveDenial, "DELETE", "/denials", Admin, "Takes a denial back.")
        .query(&[text("session", "The session."), text("subject", "The subject.")])
        .refusals(&[
            Code::RequestMalformed,
            Code::ParameterUnknown,
            Code::DenialNotFound,
            Code::ProjectNotFound,
            Code::ChangedMeanwhile,
        ]),
    route(
        Op::ShowPrices,
        "GET",
        "/prices",
        Admin,
        "Shows the prices that costs are derived from where steps report none.",
    )
    .replies("Prices")
    .refusals(&[Code::ProjectNotFound]),
    route(
        Op::ReplacePrices,
        "PUT",
        "/prices",
        Admin,
        "Replaces the prices by a new version. What is stored keeps the version that it was priced under.",
    )
    .replies("Prices")
    .body(json("PricesRequest"))
    .refusals(CHANGE_REFUSALS),
    route(
        Op::ShowPricesVersion,
        "GET",
        "/prices/{version}",
        Admin,
        "Shows the prices as they were at a version.",
    )
    .replies("Prices")
    .refusals(&[Code::PricesNotFound]),
    route(Op::ListDeletions, "GET", "/deletions", Admin, "Lists the last hundred deletions.").replies("DeletionList"),
    route(Op::OrderDeletion, "POST", "/deletions", Admin, "Deletes everything of a user or subject.")
        .body(json("DeletionRequest"))
        .success(202)
        .refusals(CHANGE_REFUSALS),
    route(
        Op::ImportBatches,
        "POST",
        "/import",
        Admin,
        "Imports up to 8 lines of an export: each is stored or not by itself, and `results` says which and why not.",
    )
    .query(&[text("key", "Verifier key of the exporting log, for batches of a root that this server does not hold.")])
    .body(LINES)
    .replies("ImportReply")
    .refusals(&[
        Code::RequestMalformed,
        Code::ParameterUnknown,
        Code::ParameterInvalid,
        Code::ProjectPaused,
        Code::ProjectNotFound,
        Code::BodyTooLarge,
        Code::RateLimited,
        Code::BudgetExhausted,
    ]),
    route(Op::ListAudit, "GET", "/audit", Admin, "Lists the audit log, newest first.").replies("AuditList")
        .query(&[
            text("action", "Only this action."),
            text("actor", "Only of this actor."),
            text("target", "Only to this target."),
            FROM,
            TO,
            LIMIT,
            CURSOR,
        ])
        .refusals(PAGE_REFUSALS),
    route(Op::VerifyAudit, "GET", "/audit/verify", Admin, "Says whether the audit log is whole.").replies("AuditVerification")
        .query(&[
            Parameter {
                name: "seq",
                schema: r#"{"type":"integer","minimum":1}"#,
                about: "Number of an entry that was noted.",
            },
            text("hash", "Hash of that entry."),
            CURSOR,
        ])
        .refusals(PAGE_REFUSALS),
    route(
        Op::ShowUsage,
        "GET",
        "/usage",
        Admin,
        "Shows the month's use and budget, outcomes by day and the ledger.",
    )
    .refusals(&[Code::ProjectNotFound]),
];
