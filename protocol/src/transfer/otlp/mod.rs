//! Executions as OpenTelemetry traces: OTLP/JSON with the semantic conventions for generative AI (1.41, in development).
//!
//! One trace an execution, a root span for the execution itself and one for each step under its parent. Ids follow from the ids
//! recorded (the SDK's are a trace's and a span's already), so that exporting twice names the same spans. What the conventions have
//! no attribute for is under `stepseal.`.
//!
//! A span must have an end. What had none when it was exported ends with its execution, or where nothing more is known of that, and
//! says so in `stepseal.status`: `running`, `waiting` or `abandoned`.
//!
//! Scores are events of the execution's span, `gen_ai.evaluation.result`. A step's name the span that they judge: which spans are on
//! later pages is not known where the execution's is written.

mod attributes;
mod messages;

use crate::digest::sha256;
use crate::encoding::hex_encode;
use attributes::{Attributes, text_of};
use messages::{input_messages, output_messages};
use serde_json::{Value, json};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Span kinds of the protocol.
const INTERNAL: u8 = 1;
const CLIENT: u8 = 3;
/// Status codes of the protocol.
const UNSET: u8 = 0;
const ERROR: u8 = 2;

/// The execution that spans are of, as the API shows it: its roll-up, and `input`, `output`, `error`, `metadata`, `parent` and
/// `scores`.
pub struct Trace<'a> {
    project: &'a str,
    id: &'a str,
    shown: &'a Value,
    /// Its id, as the protocol writes it.
    hex: String,
    root: String,
    ends: u64,
}

impl<'a> Trace<'a> {
    /// Of an execution of a project.
    pub fn of(project: &'a str, shown: &'a Value) -> Self {
        let id = shown["id"].as_str().unwrap_or_default();
        let started = nanoseconds(&shown["started_at"]);
        // Nothing is known of it after its last batch.
        let known = if shown["ended_at"].is_null() { &shown["updated_at"] } else { &shown["ended_at"] };
        let ends = nanoseconds(known).max(started);
        Self { project, id, shown, hex: trace_id(project, id), root: root_id(project, id), ends }
    }

    /// A request of one line with these spans.
    pub fn request(&self, version: &str, spans: &[Value]) -> Value {
        let mut resource = Attributes::default();
        resource.text("service.name", &self.project.into());
        resource.text("service.version", &self.shown["release"]);
        resource.text("deployment.environment.name", &self.shown["environment"]);
        json!({
            "resourceSpans": [{
                "resource": { "attributes": resource.into_json() },
                "scopeSpans": [{ "scope": { "name": "stepseal", "version": version }, "spans": spans }],
            }],
        })
    }

    /// The span of the execution itself.
    pub fn root_span(&self) -> Value {
        let shown = self.shown;
        let mut attributes = Attributes::default();
        let name = match shown["agent"].as_str() {
            Some(agent) => {
                attributes.text("gen_ai.operation.name", &"invoke_agent".into());
                attributes.text("gen_ai.agent.name", &shown["agent"]);
                format!("invoke_agent {agent}")
            }
            None => shown["name"].as_str().unwrap_or(self.id).to_string(),
        };
        attributes.text("gen_ai.conversation.id", &shown["session"]);
        attributes.text("session.id", &shown["session"]);
        attributes.text("user.id", &shown["user"]);
        attributes.text("stepseal.execution.id", &self.id.into());
        attributes.text("stepseal.execution.name", &shown["name"]);
        attributes.text("stepseal.pipeline", &shown["pipeline"]);
        attributes.text("stepseal.status", &shown["status"]);
        attributes.text("stepseal.completeness", &shown["completeness"]);
        attributes.texts("stepseal.tags", &shown["tags"]);
        attributes.double("stepseal.cost_usd", &shown["cost_usd"]);
        attributes.double("stepseal.derived_cost_usd", &shown["derived_cost_usd"]);
        // Its tokens are its steps'; on this span too they would count twice.
        attributes.json("stepseal.input", &shown["input"]);
        attributes.json("stepseal.output", &shown["output"]);
        attributes.json("stepseal.metadata", &shown["metadata"]);
        let failed = shown["status"] == "failed";
        let mut events = fault(&mut attributes, &shown["error"], failed, self.ends);
        events.extend(shown["scores"].as_array().into_iter().flatten().map(|score| self.evaluation(score)));
        json!({
            "traceId": self.hex,
            "spanId": self.root,
            "flags": 0x101,
            "name": name,
            "kind": INTERNAL,
            "startTimeUnixNano": nanoseconds(&shown["started_at"]).to_string(),
            "endTimeUnixNano": self.ends.to_string(),
            "attributes": attributes.into_json(),
            "events": events,
            "links": self.links(),
            "status": status(failed, &shown["error"]),
        })
    }

    /// A score as the conventions have it.
    fn evaluation(&self, score: &Value) -> Value {
        let mut attributes = Attributes::default();
        attributes.text("gen_ai.evaluation.name", &score["name"]);
        match &score["value"] {
            Value::Bool(passed) => {
                attributes.double("gen_ai.evaluation.score.value", &u8::from(*passed).into());
                attributes.text("gen_ai.evaluation.score.label", &passed.to_string().into());
            }
            Value::String(_) => attributes.text("gen_ai.evaluation.score.label", &score["value"]),
            number => attributes.double("gen_ai.evaluation.score.value", number),
        }
        attributes.text("gen_ai.evaluation.explanation", &score["comment"]);
        attributes.text("stepseal.score.id", &score["id"]);
        attributes.text("stepseal.score.source", &score["source"]);
        if let Some(step) = score["step"].as_str() {
            attributes.text("stepseal.score.span_id", &span_id(self.project, self.id, step).into());
        }
        json!({
            "timeUnixNano": nanoseconds(&score["received_at"]).to_string(),
            "name": "gen_ai.evaluation.result",
            "attributes": attributes.into_json(),
        })
    }

    /// A link to the execution or step that began this one.
    fn links(&self) -> Vec<Value> {
        let parent = &self.shown["parent"];
        let Some(execution) = parent["x"].as_str() else { return Vec::new() };
        let span = match parent["step"].as_str() {
            Some(step) => span_id(self.project, execution, step),
            None => root_id(self.project, execution),
        };
        let mut attributes = Attributes::default();
        attributes.text("stepseal.execution.id", &parent["x"]);
        Vec::from([json!({
            "traceId": trace_id(self.project, execution),
            "spanId": span,
            "attributes": attributes.into_json(),
        })])
    }

    /// The span of a step: its event as recorded, messages in place of their ranges. Of one that only began: the `open`.
    pub fn step_span(&self, step: &Value) -> Value {
        let kind = Kind::of(step);
        let started = nanoseconds(&step["at"]);
        let unended = step["status"].is_null() || step["status"] == "running";
        let ended = if unended {
            self.ends.max(started)
        } else {
            started.saturating_add(nanoseconds(&step["duration_ms"]))
        };
        let mut attributes = Attributes::default();
        kind.describe(&mut attributes, step);
        attributes.text("stepseal.step.kind", &step["kind"]);
        attributes.text("stepseal.step.name", &step["name"]);
        let going_on = || if self.shown["status"] == "running" { "running" } else { "abandoned" };
        let state = if unended { Value::from(going_on()) } else { step["status"].clone() };
        attributes.text("stepseal.status", &state);
        attributes.double("stepseal.cost_usd", &step["cost_usd"]);
        attributes.double("stepseal.derived_cost_usd", &step["derived_cost_usd"]);
        attributes.json("stepseal.reasoning", &step["reasoning"]);
        attributes.json("stepseal.metadata", &step["metadata"]);
        let failed = step["status"] == "error";
        let events = fault(&mut attributes, &step["error"], failed, ended);
        let id = step["id"].as_str().unwrap_or_default();
        let parent = match step["parent"].as_str() {
            Some(parent) if !parent.is_empty() => span_id(self.project, self.id, parent),
            _ => self.root.clone(),
        };
        json!({
            "traceId": self.hex,
            "spanId": span_id(self.project, self.id, id),
            "parentSpanId": parent,
            "flags": 0x101,
            "name": kind.span_name(step),
            "kind": kind.span_kind(),
            "startTimeUnixNano": started.to_string(),
            "endTimeUnixNano": ended.to_string(),
            "attributes": attributes.into_json(),
            "events": events,
            "status": status(failed, &step["error"]),
        })
    }
}

/// What the conventions tell apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inference,
    Embeddings,
    Tool,
    Retrieval,
    Agent,
    Other,
}

impl Kind {
    fn of(step: &Value) -> Self {
        match step["kind"].as_str() {
            Some("llm") => Self::Inference,
            Some("embedding") => Self::Embeddings,
            Some("tool") => Self::Tool,
            Some("retrieval") => Self::Retrieval,
            Some("agent") => Self::Agent,
            _ => Self::Other,
        }
    }

    const fn operation(self) -> Option<&'static str> {
        match self {
            Self::Inference => Some("chat"),
            Self::Embeddings => Some("embeddings"),
            Self::Tool => Some("execute_tool"),
            Self::Retrieval => Some("retrieval"),
            Self::Agent => Some("invoke_agent"),
            Self::Other => None,
        }
    }

    const fn span_kind(self) -> u8 {
        match self {
            Self::Inference | Self::Embeddings | Self::Retrieval => CLIENT,
            Self::Tool | Self::Agent | Self::Other => INTERNAL,
        }
    }

    /// `{operation} {what it is done with}`, as the conventions want it.
    fn span_name(self, step: &Value) -> String {
        let name = step["name"].as_str().unwrap_or_default();
        let object = match self {
            Self::Inference | Self::Embeddings => step["model"].as_str(),
            Self::Tool => Some(tool_name(step)),
            Self::Agent => Some(name),
            Self::Retrieval | Self::Other => None,
        };
        match (self.operation(), object) {
            (Some(operation), Some(object)) => format!("{operation} {object}"),
            (Some(operation), None) => operation.to_string(),
            (None, _) => name.to_string(),
        }
    }

    fn describe(self, attributes: &mut Attributes, step: &Value) {
        if let Some(operation) = self.operation() {
            attributes.text("gen_ai.operation.name", &operation.into());
        }
        attributes.text("gen_ai.provider.name", &step["provider"]);
        attributes.text("gen_ai.request.model", &step["model"]);
        usage(attributes, &step["usage"]);
        if let Some(ms) = step["ttft_ms"].as_f64() {
            attributes.double("gen_ai.response.time_to_first_chunk", &(ms / 1e3).into());
        }
        let (input, output) = (&step["input"], &step["output"]);
        match self {
            Self::Inference | Self::Agent => {
                match input_messages(input) {
                    Some(messages) => attributes.json("gen_ai.input.messages", &messages),
                    None => attributes.json("stepseal.input", input),
                }
                match output_messages(output, step["status"] == "error") {
                    Some(messages) => attributes.json("gen_ai.output.messages", &messages),
                    None => attributes.json("stepseal.output", output),
                }
            }
            Self::Tool => {
                attributes.text("gen_ai.tool.name", &tool_name(step).into());
                attributes.text("gen_ai.tool.call.id", &step["tool"]["call_id"]);
                attributes.text("gen_ai.tool.type", &"function".into());
                attributes.json("gen_ai.tool.call.arguments", input);
                attributes.json("gen_ai.tool.call.result", output);
            }
            Self::Retrieval => {
                match input {
                    Value::String(_) => attributes.text("gen_ai.retrieval.query.text", input),
                    other => attributes.json("stepseal.input", other),
                }
                match output {
                    Value::Array(_) => attributes.json("gen_ai.retrieval.documents", output),
                    other => attributes.json("stepseal.output", other),
                }
            }
            Self::Embeddings | Self::Other => {
                attributes.json("stepseal.input", input);
                attributes.json("stepseal.output", output);
            }
        }
        if self == Self::Agent {
            attributes.text("gen_ai.agent.name", &step["name"]);
        }
    }
}

/// What a tool step does not name otherwise is its name, as in roll-ups.
fn tool_name(step: &Value) -> &str {
    step["tool"]["name"].as_str().or_else(|| step["name"].as_str()).unwrap_or_default()
}

/// Our buckets exclude each other; the conventions' sums contain the cached and the reasoning tokens.
fn usage(attributes: &mut Attributes, usage: &Value) {
    if !usage.is_object() {
        return;
    }
    let tokens = |bucket: &str| usage[bucket].as_u64().unwrap_or(0);
    let sum = |buckets: &[&str]| buckets.iter().map(|bucket| tokens(bucket)).fold(0, u64::saturating_add);
    attributes.int("gen_ai.usage.input_tokens", sum(&["input", "cache_read", "cache_write"]));
    attributes.int("gen_ai.usage.output_tokens", sum(&["output", "reasoning"]));
    for (bucket, name) in [
        ("cache_read", "gen_ai.usage.cache_read.input_tokens"),
        ("cache_write", "gen_ai.usage.cache_creation.input_tokens"),
        ("reasoning", "gen_ai.usage.reasoning.output_tokens"),
    ] {
        if tokens(bucket) > 0 {
            attributes.int(name, tokens(bucket));
        }
    }
}

/// The error as `error.type` and as the event of an exception.
fn fault(attributes: &mut Attributes, error: &Value, failed: bool, at: u64) -> Vec<Value> {
    if !failed {
        return Vec::new();
    }
    attributes.text("error.type", &error["type"].as_str().unwrap_or("_OTHER").into());
    if error.is_null() {
        return Vec::new();
    }
    let mut exception = Attributes::default();
    exception.text("exception.type", &error["type"]);
    exception.text("exception.message", &error["message"]);
    exception.text("exception.stacktrace", &error["stack"]);
    Vec::from([
        json!({ "timeUnixNano": at.to_string(), "name": "exception", "attributes": exception.into_json() }),
    ])
}

fn status(failed: bool, error: &Value) -> Value {
    if !failed {
        return json!({ "code": UNSET });
    }
    match text_of(&error["message"]) {
        Some(message) => json!({ "code": ERROR, "message": message }),
        None => json!({ "code": ERROR }),
    }
}

/// Milliseconds, perhaps with a fraction, as whole nanoseconds; what is beyond the year 2554 stays there.
fn nanoseconds(ms: &Value) -> u64 {
    let ms = ms.as_f64().filter(|ms| *ms > 0.0).unwrap_or(0.0);
    let (whole, rest) = (ms.trunc(), ms.fract());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and neither is negative"
    )]
    let (whole, rest) = (whole as u64, (rest * 1e6).round() as u64);
    whole.saturating_mul(1_000_000).saturating_add(rest)
}

/// The SDK's execution ids are `run_` and a trace id; others are hashed into one.
fn trace_id(project: &str, execution: &str) -> String {
    match execution.strip_prefix("run_") {
        Some(id) if is_hex(id, 32) => id.to_string(),
        _ => hashed(&["stepseal/otlp-trace/v1", project, execution], 16),
    }
}

/// The SDK's step ids are span ids; others are hashed into one.
fn span_id(project: &str, execution: &str, step: &str) -> String {
    if is_hex(step, 16) {
        return step.to_string();
    }
    hashed(&["stepseal/otlp-span/v1", project, execution, step], 8)
}

fn root_id(project: &str, execution: &str) -> String {
    hashed(&["stepseal/otlp-root/v1", project, execution], 8)
}

fn hashed(parts: &[&str], bytes: usize) -> String {
    let digest = sha256(&[parts.join("\0").as_bytes()]);
    hex_encode(&digest[..bytes])
}

/// Lower-case hex that is not all zeros, which no id may be.
fn is_hex(text: &str, len: usize) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == len && text.bytes().all(hex) && text.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use super::{Trace, nanoseconds, span_id, trace_id};
    use serde_json::{Value, json};

    fn shown() -> Value {
        json!({
            "id": "run_0af7651916cd43dd8448eb211c80319c", "name": "book", "agent": "travel", "status": "failed",
            "started_at": 1_790_000_000_000_u64, "ended_at": 1_790_000_000_040_u64, "updated_at": 1_790_000_001_000_u64,
            "tags": ["a"], "cost_usd": 0.5, "error": { "type": "Timeout", "message": "too late" },
            "parent": { "x": "run_ffffffffffffffffffffffffffffffff", "step": "b7ad6b7169203331" },
        })
    }

    fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
        let all = span["attributes"].as_array().unwrap();
        all.iter()
            .find(|attribute| attribute["key"] == key)
            .map_or(&Value::Null, |attribute| &attribute["value"])
    }

    #[test]
    fn an_execution_is_a_root_span_that_says_what_failed_and_links_to_what_began_it() {
        let shown = shown();
        let span = Trace::of("prj_a", &shown).root_span();
        assert_eq!(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span["name"], "invoke_agent travel");
        assert_eq!(span["parentSpanId"], Value::Null);
        assert_eq!(span["startTimeUnixNano"], "1790000000000000000");
        assert_eq!(span["endTimeUnixNano"], "1790000000040000000");
        assert_eq!(span["status"], json!({ "code": 2, "message": "too late" }));
        assert_eq!(attribute(&span, "error.type"), &json!({ "stringValue": "Timeout" }));
        assert_eq!(span["events"][0]["name"], "exception");
        assert_eq!(span["links"][0]["traceId"], "ffffffffffffffffffffffffffffffff");
        assert_eq!(span["links"][0]["spanId"], "b7ad6b7169203331");
    }

    #[test]
    fn scores_are_events_that_name_what_they_judge() {
        let mut shown = shown();
        shown["error"] = Value::Null;
        shown["scores"] = json!([
            { "id": "a", "name": "helpful", "value": 0.5, "comment": "so so", "received_at": 1_790_000_000_050_u64 },
            { "id": "b", "name": "safe", "value": true, "step": "00f067aa0ba902b7", "source": "ann", "received_at": 0 },
            { "id": "c", "name": "tone", "value": "kind", "received_at": 0 },
        ]);
        let span = Trace::of("prj_a", &shown).root_span();
        let attribute_of = |index: usize, key: &str| attribute(&span["events"][index], key).clone();
        assert_eq!(span["events"].as_array().unwrap().len(), 3);
        assert_eq!(span["events"][0]["name"], "gen_ai.evaluation.result");
        assert_eq!(span["events"][0]["timeUnixNano"], "1790000000050000000");
        for (index, key, value) in [
            (0, "gen_ai.evaluation.name", json!({ "stringValue": "helpful" })),
            (0, "gen_ai.evaluation.score.value", json!({ "doubleValue": 0.5 })),
            (0, "gen_ai.evaluation.score.label", Value::Null),
            (0, "gen_ai.evaluation.explanation", json!({ "stringValue": "so so" })),
            (1, "gen_ai.evaluation.score.value", json!({ "doubleValue": 1.0 })),
            (1, "gen_ai.evaluation.score.label", json!({ "stringValue": "true" })),
            (1, "stepseal.score.span_id", json!({ "stringValue": "00f067aa0ba902b7" })),
            (1, "stepseal.score.source", json!({ "stringValue": "ann" })),
            (2, "gen_ai.evaluation.score.value", Value::Null),
            (2, "gen_ai.evaluation.score.label", json!({ "stringValue": "kind" })),
        ] {
            assert_eq!(attribute_of(index, key), value, "{index} {key}");
        }
    }

    #[test]
    fn a_model_call_has_its_messages_and_the_conventions_sums() {
        let shown = shown();
        let step = json!({
            "id": "00f067aa0ba902b7", "kind": "llm", "name": "plan", "at": 1_790_000_000_001.5, "duration_ms": 12.5,
            "status": "ok", "model": "gpt-4o", "provider": "openai", "ttft_ms": 250,
            "usage": { "input": 1, "cache_read": 2, "cache_write": 4, "output": 8, "reasoning": 16 },
            "input": [{ "role": "user", "content": "hi" }], "output": "there",
        });
        let trace = Trace::of("prj_a", &shown);
        let span = trace.step_span(&step);
        assert_eq!((&span["name"], &span["kind"]), (&"chat gpt-4o".into(), &3.into()));
        assert_eq!(span["parentSpanId"], trace.root_span()["spanId"]);
        assert_eq!(span["startTimeUnixNano"], "1790000000001500000");
        assert_eq!(span["endTimeUnixNano"], "1790000000014000000");
        for (key, value) in [
            ("gen_ai.usage.input_tokens", json!({ "intValue": "7" })),
            ("gen_ai.usage.output_tokens", json!({ "intValue": "24" })),
            ("gen_ai.usage.cache_read.input_tokens", json!({ "intValue": "2" })),
            ("gen_ai.response.time_to_first_chunk", json!({ "doubleValue": 0.25 })),
            (
                "gen_ai.input.messages",
                json!({ "stringValue": r#"[{"role":"user","parts":[{"type":"text","content":"hi"}]}]"# }),
            ),
        ] {
            assert_eq!(attribute(&span, key), &value, "{key}");
        }
        assert_eq!(span["status"], json!({ "code": 0 }));
    }

    #[test]
    fn what_has_not_ended_ends_with_its_execution_and_says_so() {
        let mut shown = shown();
        shown["status"] = "running".into();
        shown["ended_at"] = Value::Null;
        let open =
            json!({ "id": "x", "kind": "tool", "name": "wait", "at": 1_790_000_000_002_u64, "parent": "s" });
        let trace = Trace::of("prj_a", &shown);
        let span = trace.step_span(&open);
        assert_eq!(span["endTimeUnixNano"], "1790000001000000000");
        assert_eq!(span["endTimeUnixNano"], trace.root_span()["endTimeUnixNano"]);
        assert_eq!(attribute(&span, "stepseal.status"), &json!({ "stringValue": "running" }));
        assert_eq!(
            span["parentSpanId"],
            span_id("prj_a", "run_0af7651916cd43dd8448eb211c80319c", "s").as_str()
        );
        shown["status"] = "abandoned".into();
        let span = Trace::of("prj_a", &shown).step_span(&open);
        assert_eq!(attribute(&span, "stepseal.status"), &json!({ "stringValue": "abandoned" }));
    }

    #[test]
    fn ids_are_valid_and_follow_from_what_was_recorded() {
        assert_eq!(trace_id("p", "run_00000000000000000000000000000000").len(), 32);
        assert_ne!(trace_id("p", "run_00000000000000000000000000000000"), "0".repeat(32));
        assert_eq!(trace_id("p", "backend-run-0000001"), trace_id("p", "backend-run-0000001"));
        assert_ne!(trace_id("p", "backend-run-0000001"), trace_id("q", "backend-run-0000001"));
        assert_eq!(span_id("p", "x", "first").len(), 16);
        assert_ne!(span_id("p", "x", "first"), span_id("p", "x", "second"));
        assert_ne!(span_id("p", "x", "first"), span_id("p", "y", "first"));
    }

    #[test]
    fn times_stay_exact_and_in_range() {
        assert_eq!(nanoseconds(&json!(1_790_000_000_001.25)), 1_790_000_000_001_250_000);
        assert_eq!(nanoseconds(&json!(8.64e15)), u64::MAX);
        assert_eq!(nanoseconds(&json!(-1)), 0);
        assert_eq!(nanoseconds(&Value::Null), 0);
    }
}
