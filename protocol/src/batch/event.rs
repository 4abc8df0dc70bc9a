//! Events: one line each, with a type `t` and a number `n`.

use super::Verdict;
use crate::limits::NUMBER_MAX;
use crate::problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// What `Date` can hold, in milliseconds (ECMA-262, "Time Values and Time Range").
const TIME_MAX_MS: f64 = 8.64e15;
/// Dearest step accepted, in dollars: its nano-dollars stay exact in a JSON number.
const COST_MAX_USD: f64 = 1e6;

/// One sound event.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// Its number in its writer's sequence.
    pub n: u64,
    /// Its line in the body, counted from 1.
    pub line: u64,
    /// The whole line as it was signed.
    pub text: &'a str,
    /// What it says, as far as the server understands it.
    pub kind: Kind<'a>,
}

/// What an event says.
#[derive(Clone, Debug)]
pub enum Kind<'a> {
    /// The execution begins.
    Start(Start<'a>),
    /// It runs, or waits for a person.
    State {
        /// When, Unix ms.
        at: i64,
        /// Whether it waits.
        waiting: bool,
    },
    /// An entry of the writer's message table.
    Message {
        /// Its index.
        index: u64,
        /// The message, any JSON.
        value: &'a RawValue,
    },
    /// A step began.
    Open(Step<'a>),
    /// A step, whole.
    Step(Step<'a>),
    /// A log line.
    Log {
        /// When, Unix ms.
        at: i64,
    },
    /// A score of the execution or of a step.
    Score(Score<'a>),
    /// Events that the writer could not keep.
    Drop {
        /// Why.
        reason: Cow<'a, str>,
        /// How many.
        count: u64,
        /// The numbers it took the place of, where they are not its own.
        range: Option<(u64, u64)>,
    },
    /// The execution ends.
    End(End<'a>),
    /// A type that this version does not know: kept and counted.
    Unknown,
}

/// The fields of `start` that lists show and filter by.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// When, Unix ms.
    pub at: i64,
    /// Name of what runs.
    pub name: Cow<'a, str>,
    /// Agent.
    pub agent: Option<Cow<'a, str>>,
    /// Pipeline it is part of.
    pub pipeline: Option<Cow<'a, str>>,
    /// End user, as the host calls them.
    pub user: Option<Cow<'a, str>>,
    /// Conversation or visit.
    pub session: Option<Cow<'a, str>>,
    /// Deployment environment.
    pub environment: Option<Cow<'a, str>>,
    /// Release of the host.
    pub release: Option<Cow<'a, str>>,
    /// Tags.
    pub tags: Vec<Cow<'a, str>>,
    /// Free metadata, an object.
    pub metadata: Option<&'a RawValue>,
    /// Input of the execution.
    pub input: Option<&'a RawValue>,
}

/// The fields of `open` and `step` that roll-ups and trees need.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// The step's id.
    pub id: Cow<'a, str>,
    /// What kind of work.
    pub kind: StepKind,
    /// Its name.
    pub name: Cow<'a, str>,
    /// Start, Unix ms.
    pub at: i64,
    /// How long it took, ms; 0 while it runs.
    pub duration_ms: f64,
    /// How it went; none while it runs.
    pub status: Option<StepStatus>,
    /// Model.
    pub model: Option<Cow<'a, str>>,
    /// Tool's name.
    pub tool: Option<Cow<'a, str>>,
    /// Tokens.
    pub usage: Usage,
    /// Cost that it reports, in nano-dollars.
    pub cost_nano_usd: Option<u64>,
    /// When its first token came, Unix ms, where it says how long that took.
    pub first_token_at: Option<i64>,
}

impl Step<'_> {
    /// Whether its tokens and cost are its own: an agent or a chain reports the sum of its children, and counting both
    /// would count twice.
    pub const fn is_leaf(&self) -> bool {
        !matches!(self.kind, StepKind::Agent | StepKind::Chain)
    }
}

/// The fields of `score`. All but the name are raw: batches were stored before anybody read them, so nothing in them makes
/// the event unsound now.
#[derive(Clone, Debug)]
pub struct Score<'a> {
    /// What is judged.
    pub name: Cow<'a, str>,
    /// The judgement.
    pub value: &'a RawValue,
    /// Id of the step that is judged.
    pub step: Option<&'a RawValue>,
    /// Why.
    pub comment: Option<&'a RawValue>,
    /// Who or what judges.
    pub source: Option<&'a RawValue>,
}

/// The fields of `end`.
#[derive(Clone, Debug)]
pub struct End<'a> {
    /// How it ended.
    pub status: EndStatus,
    /// When, Unix ms.
    pub at: i64,
    /// Whether somebody else ended it for a page that died.
    pub adopted: bool,
    /// Output of the execution.
    pub output: Option<&'a RawValue>,
    /// What failed, an object.
    pub error: Option<&'a RawValue>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[expect(missing_docs, reason = "the words are the wire's own, SPEC.md explains them")]
        pub enum $name { $($variant),* }

        impl $name {
            /// The words of the wire, for messages.
            const WORDS: &'static str = concat!($("`", $word, "` "),*);

            fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)* _ => None }
            }

            /// The word of the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}

words!(
    /// What kind of work a step is.
    StepKind {
        Llm = "llm", Tool = "tool", Retrieval = "retrieval", Embedding = "embedding", Agent = "agent",
        Chain = "chain", Decision = "decision", Guardrail = "guardrail", Evaluator = "evaluator",
        Custom = "custom",
    }
);
words!(
    /// How a step went.
    StepStatus { Ok = "ok", Error = "error", Cancelled = "cancelled" }
);
words!(
    /// How an execution ended.
    EndStatus { Completed = "completed", Failed = "failed", Cancelled = "cancelled" }
);

/// Tokens by exclusive bucket: no token counts in two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Fresh input.
    pub input: u64,
    /// Input read from a cache.
    pub cache_read: u64,
    /// Input written to a cache.
    pub cache_write: u64,
    /// Output.
    pub output: u64,
    /// Reasoning.
    pub reasoning: u64,
}

/// Every field an event of this version can have. `t` decides which are needed; a field of the wrong
/// type fails the line, and [`Stem`] then finds out whose line it is.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    t: Cow<'a, str>,
    n: u64,
    at: Option<f64>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    agent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pipeline: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    #[serde(borrow)]
    session: Option<Cow<'a, str>>,
    #[serde(borrow)]
    environment: Option<Cow<'a, str>>,
    #[serde(borrow)]
    release: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tags: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    state: Option<Cow<'a, str>>,
    i: Option<u64>,
    #[serde(borrow)]
    v: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    duration_ms: Option<f64>,
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tool: Option<Tool<'a>>,
    usage: Option<Usage>,
    cost_usd: Option<f64>,
    /// Raw, because a time that is none spoils no step: batches were stored before anybody read it.
    #[serde(borrow)]
    ttft_ms: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    step: Option<&'a RawValue>,
    #[serde(borrow)]
    comment: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    count: Option<u64>,
    from: Option<u64>,
    to: Option<u64>,
    last: Option<u64>,
    adopted: Option<bool>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

/// What every event has.
#[derive(Deserialize)]
struct Stem<'a> {
    #[serde(borrow)]
    t: Cow<'a, str>,
    n: u64,
}

const KNOWN: [&str; 9] = ["start", "state", "msg", "open", "step", "log", "score", "drop", "end"];

impl<'a> Event<'a> {
    /// Reads one line that must carry the number `expected`. The outer error refuses the batch, the
    /// inner one is this event's alone.
    pub(super) fn parse(text: &'a str, line: u64, expected: u64) -> Result<Result<Self, Verdict>, Problem> {
        let (n, kind) = match serde_json::from_str::<Wire<'a>>(text) {
            Ok(wire) => (wire.n, wire.into_kind(expected)),
            Err(fault) => {
                let stem: Stem<'_> = serde_json::from_str(text).map_err(|fault| {
                    Problem::new(
                        Code::BodyMalformed,
                        format!("The line is no event, a JSON object with `t` and `n`: {fault}."),
                    )
                    .at_line(line)
                })?;
                if KNOWN.contains(&&*stem.t) {
                    (stem.n, Err(fault.to_string()))
                } else {
                    (stem.n, Ok(Kind::Unknown))
                }
            }
        };
        if n != expected {
            return Err(Problem::new(
                Code::EventGap,
                format!("The event has number {n} where {expected} follows; within a batch numbers are contiguous."),
            )
            .at_line(line)
            .of_field("n"));
        }
        Ok(kind.map(|kind| Self { n, line, text, kind }).map_err(|reason| Verdict { n, line, reason }))
    }
}

type Checked<T> = Result<T, String>;

fn need<T>(value: Option<T>, field: &str) -> Checked<T> {
    value.ok_or_else(|| format!("field `{field}` is missing"))
}

fn time(value: Option<f64>, field: &str) -> Checked<i64> {
    let at = need(value, field)?;
    if !(0.0..=TIME_MAX_MS).contains(&at) {
        return Err(format!("field `{field}` is no Unix time in milliseconds"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was just checked")]
    Ok(at as i64)
}

/// A time to the first token as a time; none if it is not one.
fn first_token_at(at: i64, ttft_ms: &RawValue) -> Option<i64> {
    let ttft: f64 = ttft_ms.get().parse().ok()?;
    time(Some(ttft), "ttft_ms").ok().map(|ttft| at + ttft)
}

fn object<'a>(value: Option<&'a RawValue>, field: &str) -> Checked<Option<&'a RawValue>> {
    match value {
        Some(raw) if raw.get() != "null" && !raw.get().starts_with('{') => {
            Err(format!("field `{field}` must be an object"))
        }
        other => Ok(other),
    }
}

fn word<T>(value: Option<T>, field: &str, words: &str) -> Checked<T> {
    value.ok_or_else(|| format!("field `{field}` must be one of {}", words.trim_end()))
}

impl<'a> Wire<'a> {
    fn into_kind(self, n: u64) -> Checked<Kind<'a>> {
        match &*self.t {
            "start" => self.into_start().map(Kind::Start),
            "state" => {
                let waiting = match self.state.as_deref() {
                    Some("waiting") => true,
                    Some("running") => false,
                    _ => return Err("field `state` must be one of `running` `waiting`".into()),
                };
                Ok(Kind::State { at: time(self.at, "at")?, waiting })
            }
            "msg" => Ok(Kind::Message { index: need(self.i, "i")?, value: need(self.v, "v")? }),
            "open" => self.into_step(false).map(Kind::Open),
            "step" => self.into_step(true).map(Kind::Step),
            "log" => Ok(Kind::Log { at: time(self.at, "at")? }),
            "score" => Ok(Kind::Score(Score {
                name: need(self.name, "name")?,
                value: need(self.value, "value")?,
                step: self.step,
                comment: self.comment,
                source: self.source,
            })),
            "drop" => self.into_drop(n),
            "end" => self.into_end(n).map(Kind::End),
            _ => Ok(Kind::Unknown),
        }
    }

    fn into_start(self) -> Checked<Start<'a>> {
        Ok(Start {
            at: time(self.at, "at")?,
            name: need(self.name, "name")?,
            agent: self.agent,
            pipeline: self.pipeline,
            user: self.user,
            session: self.session,
            environment: self.environment,
            release: self.release,
            tags: self.tags.unwrap_or_default(),
            metadata: object(self.metadata, "metadata")?,
            input: self.input,
        })
    }

    fn into_step(self, ended: bool) -> Checked<Step<'a>> {
        object(self.metadata, "metadata")?;
        object(self.error, "error")?;
        let kind = word(self.kind.as_deref().and_then(StepKind::parse), "kind", StepKind::WORDS)?;
        let mut status = None;
        if ended {
            let parsed = self.status.as_deref().and_then(StepStatus::parse);
            status = Some(word(parsed, "status", StepStatus::WORDS)?);
            let duration = need(self.duration_ms, "duration_ms")?;
            if !(0.0..=TIME_MAX_MS).contains(&duration) {
                return Err("field `duration_ms` must be 0 or more".into());
            }
        }
        if self.cost_usd.is_some_and(|cost| !(0.0..=COST_MAX_USD).contains(&cost)) {
            return Err("field `cost_usd` must be between 0 and 1,000,000".into());
        }
        let usage = self.usage.unwrap_or_default();
        let buckets = [usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning];
        if buckets.iter().any(|tokens| *tokens > NUMBER_MAX >> 13) {
            return Err("a bucket of `usage` is beyond 2^40 tokens".into());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was just checked"
        )]
        let cost_nano_usd = self.cost_usd.map(|cost| (cost * 1e9).round() as u64);
        let at = time(self.at, "at")?;
        Ok(Step {
            id: need(self.id, "id")?,
            kind,
            name: need(self.name, "name")?,
            at,
            first_token_at: self.ttft_ms.and_then(|raw| first_token_at(at, raw)),
            duration_ms: if ended { self.duration_ms.unwrap_or_default() } else { 0.0 },
            status,
            model: self.model,
            tool: self.tool.and_then(|tool| tool.name),
            usage,
            cost_nano_usd,
        })
    }

    fn into_drop(self, n: u64) -> Checked<Kind<'a>> {
        let range = match (self.from, self.to) {
            (None, None) => None,
            (Some(from), Some(to)) if from <= to && to <= NUMBER_MAX => {
                // Numbers that the event itself holds the place of are counted by its own number already.
                if (from, to) == (n, n) { None } else { Some((from, to)) }
            }
            _ => return Err("fields `from` and `to` go together, `from` first".into()),
        };
        Ok(Kind::Drop { reason: need(self.reason, "reason")?, count: need(self.count, "count")?, range })
    }

    fn into_end(self, n: u64) -> Checked<End<'a>> {
        if need(self.last, "last")? != n {
            return Err("field `last` must be the number of the end event itself".into());
        }
        let status = word(self.status.as_deref().and_then(EndStatus::parse), "status", EndStatus::WORDS)?;
        Ok(End {
            status,
            at: time(self.at, "at")?,
            adopted: self.adopted.unwrap_or(false),
            output: self.output,
            error: object(self.error, "error")?,
        })
    }
}
