//! Scores: what somebody thinks of an execution or of one of its steps.
//!
//! Sessions write them as `score` events, keys by `POST /v1/executions/{execution}/scores`. Both become rows that can be
//! found and summed. An event's row is a function of the signed bytes, so verification compares it; a key's row is
//! named by its writer, so a retry is a no-op. Names and texts are sealed like labels: equal ones can be found.

use crate::at_rest::labels::{Indexing, LabelIndex, OpenLabels};
use crate::batch::{Batch, Kind, Score};
use crate::problem::{Code, Problem};
use crate::rollup::label;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Scores of one batch that become rows, at most: the first. All stay in the signed bytes.
pub const SCORES_OF_BATCH_MAX: usize = 64;
/// Scores that keys give one execution, at most.
pub const SCORES_OF_EXECUTION_MAX: u64 = 1_000;
/// Longest comment, in bytes; longer ones of sessions are cut at a character.
const COMMENT_MAX: usize = 4_096;
const ID_MAX: usize = 64;
const SCORE_TEXT: &str = "score_text";
const SCORE_COMMENT: &str = "score_comment";
/// Largest number, so that sums of them stay numbers.
const NUMBER_MAX: f64 = 1e15;

/// A judgement.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum ScoreValue {
    /// Passed or not; counts as 1 or 0.
    Boolean(bool),
    /// On some scale.
    Number(f64),
    /// A word for it.
    Text(String),
}

/// One score.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreFacts {
    /// Its id within the execution.
    pub id: String,
    /// What is judged.
    pub name: String,
    /// The judgement.
    pub value: ScoreValue,
    /// Id of the step that is judged; none is the execution.
    pub step: Option<String>,
    /// Why.
    pub comment: Option<String>,
    /// Who or what judges, as its writer calls them.
    pub source: Option<String>,
}

/// A score as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of `ScoreFacts`, sealed")]
pub struct StoredScore {
    pub id: String,
    pub name: String,
    /// `boolean`, `number` or `text`.
    pub kind: String,
    /// Of numbers, and 1 or 0 of booleans.
    pub number: Option<f64>,
    /// Of texts, and `true` or `false` of booleans.
    pub text: Option<String>,
    pub step: Option<String>,
    pub comment: Option<String>,
    pub source: Option<String>,
}

/// The scores of a batch that become rows. What carries no value that can be summed or found carries none.
pub fn scores_of(batch: &Batch<'_>) -> Vec<ScoreFacts> {
    let writer = batch.header.writer.as_str();
    let found = batch.events.iter().filter_map(|event| match &event.kind {
        // Ids of keys have no dot.
        Kind::Score(score) => ScoreFacts::of(format!("{writer}.{}", event.n), score),
        _ => None,
    });
    found.take(SCORES_OF_BATCH_MAX).collect()
}

impl ScoreFacts {
    fn of(id: String, score: &Score<'_>) -> Option<Self> {
        let text = |raw: Option<&RawValue>| serde_json::from_str::<String>(raw?.get()).ok();
        let value =
            serde_json::from_str::<ScoreValue>(score.value.get()).ok().filter(ScoreValue::can_be_summed)?;
        let comment =
            text(score.comment).map(|text| text[..text.floor_char_boundary(COMMENT_MAX)].to_string());
        Some(Self {
            id,
            name: label(&score.name),
            value: value.labelled(),
            step: text(score.step).map(|text| label(&text)),
            comment,
            source: text(score.source).map(|text| label(&text)),
        })
    }

    /// As the store keeps it. A comment's index is of its row alone: that two are equal is not to be seen.
    pub fn indexed(&self, execution: &str, index: &mut Indexing<'_>) -> StoredScore {
        let (kind, number, text) = match &self.value {
            ScoreValue::Boolean(value) => {
                ("boolean", Some(f64::from(u8::from(*value))), Some(value.to_string()))
            }
            ScoreValue::Number(value) => ("number", Some(*value), None),
            ScoreValue::Text(value) => ("text", None, Some(value.clone())),
        };
        let mut of = |column: &str, text: Option<&String>| text.map(|text| index(column, text));
        StoredScore {
            id: self.id.clone(),
            kind: kind.into(),
            number,
            text: of(SCORE_TEXT, text.as_ref()),
            step: of("score_step", self.step.as_ref()),
            comment: of(&comment_column(execution, &self.id), self.comment.as_ref()),
            source: of("score_source", self.source.as_ref()),
            name: index("score", &self.name),
        }
    }
}

impl ScoreValue {
    fn can_be_summed(&self) -> bool {
        !matches!(self, Self::Number(number) if number.abs() > NUMBER_MAX)
    }

    fn labelled(self) -> Self {
        match self {
            Self::Text(text) => Self::Text(label(&text)),
            other => other,
        }
    }
}

/// Whether a column is one of comments: they are long, and read with their score alone.
pub fn is_comment(column: &str) -> bool {
    column.starts_with(SCORE_COMMENT)
}

fn comment_column(execution: &str, id: &str) -> String {
    format!("{SCORE_COMMENT}\0{execution}\0{id}")
}

/// What the store has for a text or boolean to look for.
pub fn stored_text(labels: &LabelIndex, text: &str) -> String {
    labels.of_label(SCORE_TEXT, &label(text))
}

impl StoredScore {
    /// The indexes that it holds.
    pub fn indexes(&self) -> impl Iterator<Item = &str> {
        let rest = [&self.text, &self.step, &self.comment, &self.source];
        core::iter::once(&self.name).chain(rest.into_iter().flatten()).map(String::as_str)
    }

    /// As the API shows it, without who gave it and when.
    pub fn shown(&self, labels: &OpenLabels) -> Value {
        json!({
            "id": self.id,
            "name": labels.get(&self.name),
            "value": self.value(labels),
            "step": labels.of(self.step.as_ref()),
            "comment": labels.of(self.comment.as_ref()),
            "source": labels.of(self.source.as_ref()),
        })
    }

    fn value(&self, labels: &OpenLabels) -> Value {
        match (self.kind.as_str(), self.number, &self.text) {
            ("boolean", Some(number), _) => (number > 0.0).into(),
            ("number", Some(number), _) => number.into(),
            (_, _, text) => labels.of(text.as_ref()).into(),
        }
    }
}

/// `POST /v1/executions/{execution}/scores`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreRequest {
    id: String,
    name: String,
    value: ScoreValue,
    step: Option<String>,
    comment: Option<String>,
    source: Option<String>,
}

impl ScoreRequest {
    /// The score that is asked for.
    pub fn check(self) -> Result<ScoreFacts, Problem> {
        let Self { id, name, value, step, comment, source } = self;
        let grammar = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=ID_MAX).contains(&id.len()) || !id.bytes().all(grammar) {
            return Err(malformed(
                "id",
                "An id has 1 to 64 letters, digits, `_` or `-`. A retry has the same.",
            ));
        }
        check_label("name", &name)?;
        if let ScoreValue::Text(text) = &value {
            check_label("value", text)?;
        }
        if !value.can_be_summed() {
            return Err(malformed("value", "A number is from -10^15 to 10^15."));
        }
        for (field, text) in [("step", &step), ("source", &source)] {
            text.as_ref().map_or(Ok(()), |text| check_label(field, text))?;
        }
        if comment.as_ref().is_some_and(|comment| comment.len() > COMMENT_MAX) {
            return Err(malformed("comment", &format!("A comment has at most {COMMENT_MAX} bytes.")));
        }
        Ok(ScoreFacts { id, name, value, step, comment, source })
    }
}

fn check_label(field: &str, text: &str) -> Result<(), Problem> {
    if text.is_empty() || label(text).len() != text.len() {
        return Err(malformed(field, &format!("`{field}` has 1 to {} bytes.", crate::rollup::LABEL_MAX)));
    }
    Ok(())
}

fn malformed(field: &str, detail: &str) -> Problem {
    Problem::new(Code::RequestMalformed, detail).of_field(field)
}

#[cfg(test)]
mod tests {
    use super::{SCORES_OF_BATCH_MAX, ScoreRequest, ScoreValue, scores_of};
    use crate::at_rest::labels::{LabelIndex, LabelKey, OpenLabels, SealedLabels};
    use crate::batch::Batch;
    use crate::ids::ProjectId;
    use crate::keys::Root;
    use serde_json::json;
    use std::fmt::Write;
    use std::format;
    use std::string::String;

    fn body(scores: &[&str]) -> String {
        let mut body = String::from(r#"{"v":1,"x":"run_0000000000000001","w":"w1","k":0,"prev":"","n":0}"#);
        for (n, score) in scores.iter().enumerate() {
            write!(body, "\n{{\"t\":\"score\",\"n\":{n},{score}}}").unwrap();
        }
        body + "\n"
    }

    #[test]
    fn events_become_scores_where_they_have_a_value() {
        let body = body(&[
            r#""name":"helpful","value":true,"step":"s1","comment":"good","source":"ann""#,
            r#""name":"stars","value":4.5,"step":7,"comment":{},"source":null"#,
            r#""name":"mood","value":"happy""#,
            r#""name":"odd","value":[1]"#,
            r#""name":"none","value":null"#,
        ]);
        let batch = Batch::parse(body.as_bytes()).unwrap();
        // As before anybody read scores: one without a value is none, whatever value another has.
        assert_eq!(batch.verdicts.len(), 1);
        let scores = scores_of(&batch);
        let ids: std::vec::Vec<_> = scores.iter().map(|score| score.id.as_str()).collect();
        assert_eq!(ids, ["w1.0", "w1.1", "w1.2"]);
        assert_eq!(scores[0].step.as_deref(), Some("s1"));
        assert_eq!(
            (&scores[1].value, &scores[1].step, &scores[1].comment),
            (&ScoreValue::Number(4.5), &None, &None)
        );
    }

    #[test]
    fn a_batch_gives_a_bounded_number_of_rows() {
        let body = body(&[r#""name":"a","value":1"#; 100]);
        assert_eq!(scores_of(&Batch::parse(body.as_bytes()).unwrap()).len(), SCORES_OF_BATCH_MAX);
    }

    #[test]
    fn what_is_stored_says_nothing_and_comments_have_an_index_for_each_row() {
        let root = Root::from_bytes(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
        let project = ProjectId::parse("prj_a").unwrap();
        let (labels, key) = (LabelIndex::of(&root, &project), LabelKey::of_project("k1", &root, &project));
        let request = json!({ "id": "a", "name": "helpful", "value": "very", "step": "s1", "comment": "it was very helpful", "source": "ann" });
        let facts = serde_json::from_value::<ScoreRequest>(request.clone()).unwrap().check().unwrap();
        let mut sealed = SealedLabels::default();
        let mut seal = |column: &str, label: &str| {
            let index = labels.of_label(column, label);
            sealed.add(&key, &index, label);
            index
        };
        let stored = facts.indexed("run_1", &mut seal);
        let elsewhere = facts.indexed("run_2", &mut |column, label| labels.of_label(column, label));
        let text = format!("{}{}", serde_json::to_string(&stored).unwrap(), sealed.to_json());
        for word in ["helpful", "very", "s1\"", "ann"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
        let mut open = OpenLabels::default();
        open.open(&sealed, &[key]);
        assert_eq!(stored.shown(&open), request);
        assert_eq!((&stored.name, &stored.text), (&elsewhere.name, &elsewhere.text));
        assert_ne!(stored.comment, elsewhere.comment);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = "x".repeat(257);
        for (field, value) in [
            ("id", json!("")),
            ("id", json!("a.b")),
            ("id", json!("x".repeat(65))),
            ("name", json!("")),
            ("name", json!(long)),
            ("value", json!(long)),
            ("value", json!(1e16)),
            ("step", json!("")),
            ("source", json!(long)),
            ("comment", json!("x".repeat(4_097))),
        ] {
            let mut request = json!({ "id": "a", "name": "n", "value": 1 });
            request[field] = value;
            let problem = serde_json::from_value::<ScoreRequest>(request).unwrap().check().unwrap_err();
            assert_eq!(problem.field.as_deref(), Some(field));
        }
        for value in [json!(null), json!([]), json!({})] {
            let request = json!({ "id": "a", "name": "n", "value": value });
            assert!(serde_json::from_value::<ScoreRequest>(request).is_err(), "{}", format!("{value}"));
        }
    }
}
