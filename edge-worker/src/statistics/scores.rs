//! Scores in statistics: by name, in all and by time, and how their values are distributed.

use crate::call::Call;
use crate::failure::Outcome;
use crate::storage::labels;
use crate::storage::statistics::Question;
use crate::storage::statistics::scores::{self, Scores, ScoresByValue};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use stepseal_protocol::at_rest::labels::OpenLabels;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::query::{Facet, ScoreTally};

/// What is known of one name.
#[derive(Default)]
struct Named<'a> {
    total: ScoreTally,
    buckets: BTreeMap<i64, ScoreTally>,
    values: Vec<&'a ScoresByValue>,
}

/// Adds `scores` and whether they are all; says how many rows that read.
pub(super) async fn add(
    call: &Call,
    project: &ProjectId,
    question: &Question<'_>,
    reply: &mut Value,
) -> Outcome<usize> {
    let found = scores::ask(&call.env, question).await?;
    // Every name has a row here, so the one of each says both.
    let known_by = found.by_value.iter().map(|row| (row.execution.as_str(), row.id.as_str())).collect();
    let (labels, rows) = labels::of_scores(&call.env, project, &known_by).await?;
    reply["scores"] = shown(&found, question.bucket_ms, &labels);
    reply["scores_complete"] = found.complete.into();
    Ok(found.rows_read + rows)
}

fn shown(found: &Scores, bucket_ms: i64, labels: &OpenLabels) -> Value {
    let mut by_name: BTreeMap<&str, Named<'_>> = BTreeMap::new();
    for row in &found.by_time {
        let tally = ScoreTally::of(row.scores, row.numbers, row.sum, row.min.zip(row.max));
        let of_name = by_name.entry(&row.name).or_default();
        of_name.total.add(&tally);
        of_name.buckets.insert(row.bucket, tally);
    }
    for row in &found.by_value {
        by_name.entry(&row.name).or_default().values.push(row);
    }
    let shown = by_name.into_iter().map(|(stored, named)| {
        let mut shown: Map<String, Value> = Map::new();
        shown.insert("name".into(), Facet::Score.shown(labels, stored).into());
        shown.extend(named.total.shown());
        shown.insert("values".into(), texts(&named.values, labels));
        shown.insert("distribution".into(), parts(&named.values));
        shown.insert("buckets".into(), buckets(&named.buckets, bucket_ms));
        Value::Object(shown)
    });
    shown.collect()
}

/// Texts and booleans, most first.
fn texts(rows: &[&ScoresByValue], labels: &OpenLabels) -> Value {
    let texts = rows.iter().filter_map(|row| {
        let text = labels.of(row.text.as_ref())?;
        Some(json!({ "value": text, "count": row.scores }))
    });
    texts.collect()
}

/// Numbers, in ten parts of their range; parts without any are left out.
fn parts(rows: &[&ScoresByValue]) -> Value {
    let mut parts: Vec<(u8, Value)> = rows
        .iter()
        .filter_map(|row| {
            let (part, low, high) = (row.part?, row.low?, row.high?);
            let bound = |part: u8| low + (high - low) * f64::from(part) / 10.0;
            Some((part, json!({ "from": bound(part), "to": bound(part + 1), "count": row.scores })))
        })
        .collect();
    parts.sort_by_key(|(part, _)| *part);
    parts.into_iter().map(|(_, shown)| shown).collect()
}

fn buckets(buckets: &BTreeMap<i64, ScoreTally>, bucket_ms: i64) -> Value {
    let shown = buckets.iter().map(|(bucket, tally)| {
        let mut shown: Map<String, Value> = Map::new();
        shown.insert("at".into(), (bucket * bucket_ms).into());
        shown.extend(tally.shown());
        Value::Object(shown)
    });
    shown.collect()
}
