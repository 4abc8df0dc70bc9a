//! Attributes as OTLP/JSON writes them: 64-bit integers as decimal text, other values by their type.

use serde_json::{Value, json};
use std::string::{String, ToString};
use std::vec::Vec;

/// Attributes of a span, an event, a link or a resource. What is null is left out.
#[derive(Default)]
pub(super) struct Attributes(Vec<Value>);

impl Attributes {
    fn push(&mut self, key: &str, value: &Value) {
        self.0.push(json!({ "key": key, "value": value }));
    }

    /// A text; what was shortened or taken out is no text any more and stands as JSON.
    pub(super) fn text(&mut self, key: &str, value: &Value) {
        if let Some(text) = text_of(value) {
            self.push(key, &json!({ "stringValue": text }));
        }
    }

    /// Several texts.
    pub(super) fn texts(&mut self, key: &str, values: &Value) {
        let texts = values.as_array().into_iter().flatten().filter_map(text_of);
        let values: Vec<Value> = texts.map(|text| json!({ "stringValue": text })).collect();
        if !values.is_empty() {
            self.push(key, &json!({ "arrayValue": { "values": values } }));
        }
    }

    pub(super) fn int(&mut self, key: &str, value: u64) {
        self.push(key, &json!({ "intValue": value.to_string() }));
    }

    pub(super) fn double(&mut self, key: &str, value: &Value) {
        if let Some(value) = value.as_f64() {
            self.push(key, &json!({ "doubleValue": value }));
        }
    }

    /// Any value as JSON text: what the conventions allow on spans for what has structure.
    pub(super) fn json(&mut self, key: &str, value: &Value) {
        if !value.is_null() {
            self.push(key, &json!({ "stringValue": value.to_string() }));
        }
    }

    pub(super) fn into_json(self) -> Value {
        Value::Array(self.0)
    }
}

/// A value as a text; none of null.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
