//! Chat messages in the conventions' form: a role and parts. What providers' own forms have in common is understood; a part that is
//! not stays as it is, under its own type, and what is no messages at all is not called so.

use super::attributes::text_of;
use serde_json::{Map, Value, json};
use std::string::ToString;
use std::vec::Vec;

/// What a model was sent; none if that were no messages.
pub(super) fn input_messages(input: &Value) -> Option<Value> {
    if let Value::String(text) = input {
        return Some(json!([{ "role": "user", "parts": [text_part(text)] }]));
    }
    let messages = messages_of(input)?;
    Some(messages.iter().map(|message| shown(message, "user")).collect())
}

/// What it answered; none if that were no messages.
pub(super) fn output_messages(output: &Value, failed: bool) -> Option<Value> {
    let unknown = if failed { "error" } else { "unknown" };
    let finished = |message: &Value, reason: &Value| {
        let mut shown = shown(message, "assistant");
        let own = [reason, &message["finish_reason"], &message["stop_reason"]];
        shown["finish_reason"] = own.into_iter().find_map(Value::as_str).unwrap_or(unknown).into();
        shown
    };
    if let Value::String(text) = output {
        return Some(json!([{ "role": "assistant", "parts": [text_part(text)], "finish_reason": unknown }]));
    }
    if let Some(choices) = output["choices"].as_array() {
        let answers = choices.iter().map(|choice| finished(&choice["message"], &choice["finish_reason"]));
        return Some(answers.collect());
    }
    if is_message(output) {
        return Some(json!([finished(output, &Value::Null)]));
    }
    let messages = messages_of(output)?;
    Some(messages.iter().map(|message| finished(message, &Value::Null)).collect())
}

fn is_message(value: &Value) -> bool {
    value["role"].is_string()
        && (value.get("content").is_some() || value["parts"].is_array() || value["tool_calls"].is_array())
}

/// A list of which something is a message, by itself or as the member `messages`.
fn messages_of(value: &Value) -> Option<&Vec<Value>> {
    let list = value.as_array().or_else(|| value["messages"].as_array())?;
    list.iter().any(is_message).then_some(list)
}

fn text_part(text: &str) -> Value {
    json!({ "type": "text", "content": text })
}

fn shown(message: &Value, role: &str) -> Value {
    if message["role"].is_string() && message["parts"].is_array() {
        return message.clone();
    }
    if !message.is_object() || !is_message(message) {
        return json!({ "role": role, "parts": [{ "type": "unknown", "content": message }] });
    }
    let content = &message["content"];
    let mut parts = match (message["tool_call_id"].as_str(), content) {
        (Some(id), response) => {
            Vec::from([json!({ "type": "tool_call_response", "id": id, "response": response })])
        }
        (None, Value::Null) => Vec::new(),
        (None, Value::String(text)) => Vec::from([text_part(text)]),
        (None, Value::Array(parts)) => parts.iter().map(part).collect(),
        (None, other) => Vec::from([json!({ "type": "unknown", "content": other })]),
    };
    parts.extend(message["tool_calls"].as_array().into_iter().flatten().map(tool_call));
    json!({ "role": message["role"], "parts": parts })
}

fn part(part: &Value) -> Value {
    match (part["type"].as_str(), part) {
        (_, Value::String(text)) => text_part(text),
        (Some("text" | "input_text" | "output_text"), _) => {
            text_part(&text_of(&part["text"]).or_else(|| text_of(&part["content"])).unwrap_or_default())
        }
        (Some("tool_use"), _) => {
            json!({ "type": "tool_call", "id": part["id"], "name": part["name"], "arguments": part["input"] })
        }
        (Some("tool_result"), _) => {
            json!({ "type": "tool_call_response", "id": part["tool_use_id"], "response": part["content"] })
        }
        (Some(_), _) => part.clone(),
        (None, _) => json!({ "type": "unknown", "content": part }),
    }
}

/// Arguments are often JSON in a text; the conventions want what it says.
fn tool_call(call: &Value) -> Value {
    let function = if call["function"].is_object() { &call["function"] } else { call };
    let arguments = match &function["arguments"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
        other => other.clone(),
    };
    let mut shown = Map::new();
    shown.insert("type".into(), "tool_call".into());
    shown.insert("id".into(), call["id"].clone());
    shown.insert("name".into(), function["name"].as_str().unwrap_or_default().to_string().into());
    shown.insert("arguments".into(), arguments);
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::{input_messages, output_messages};
    use serde_json::{Value, json};

    #[test]
    fn messages_of_providers_become_roles_and_parts() {
        let input = json!([
            { "role": "system", "content": "be kind" },
            { "role": "user", "content": [{ "type": "text", "text": "hi" }, { "type": "image_url", "image_url": "u" }] },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "c1", "type": "function", "function": { "name": "search", "arguments": "{\"q\":1}" } },
            ] },
            { "role": "tool", "tool_call_id": "c1", "content": "none" },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "c2", "content": "x" }] },
            { "$missing": { "message": 5 } },
        ]);
        let expected = json!([
            { "role": "system", "parts": [{ "type": "text", "content": "be kind" }] },
            { "role": "user", "parts": [{ "type": "text", "content": "hi" }, { "type": "image_url", "image_url": "u" }] },
            { "role": "assistant", "parts": [{ "type": "tool_call", "id": "c1", "name": "search", "arguments": { "q": 1 } }] },
            { "role": "tool", "parts": [{ "type": "tool_call_response", "id": "c1", "response": "none" }] },
            { "role": "user", "parts": [{ "type": "tool_call_response", "id": "c2", "response": "x" }] },
            { "role": "user", "parts": [{ "type": "unknown", "content": { "$missing": { "message": 5 } } }] },
        ]);
        assert_eq!(input_messages(&input), Some(expected.clone()));
        assert_eq!(input_messages(&json!({ "messages": input, "temperature": 1 })), Some(expected));
    }

    #[test]
    fn answers_say_why_they_ended() {
        let answer = |reason: &str| json!([{ "role": "assistant", "parts": [{ "type": "text", "content": "hi" }], "finish_reason": reason }]);
        assert_eq!(output_messages(&json!("hi"), false), Some(answer("unknown")));
        assert_eq!(output_messages(&json!("hi"), true), Some(answer("error")));
        let choices = json!({ "choices": [{ "message": { "role": "assistant", "content": "hi" }, "finish_reason": "stop" }] });
        assert_eq!(output_messages(&choices, false), Some(answer("stop")));
        let message = json!({ "role": "assistant", "content": "hi", "stop_reason": "end_turn" });
        assert_eq!(output_messages(&message, false), Some(answer("end_turn")));
    }

    #[test]
    fn what_is_no_messages_is_not_called_so() {
        for value in [Value::Null, json!({ "q": 1 }), json!([1, 2]), json!([]), json!({ "role": 5 })] {
            assert_eq!(input_messages(&value), None, "{value}");
            assert_eq!(output_messages(&value, false), None, "{value}");
        }
    }
}
