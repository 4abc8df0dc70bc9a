//! `GET /v1/stats` and `GET /v1/facets`: sums, and what executions can be grouped and found by.

mod scores;
mod step_times;

use crate::access::{self, Reader};
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use crate::request::url;
use crate::respond::Reply;
use crate::storage::labels;
use crate::storage::statistics::{self, Answer, COUNTED_MAX, DayRow, EndedRow, FacetValue, Question};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use stepseal_protocol::at_rest::labels::OpenLabels;
use stepseal_protocol::batch::Usage;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::query::{Cursors, Facet, FacetsQuery, StatsQuery, Sums, SumsOfDay, Tally};
use worker::Request;

/// Values that an answer is grouped by, at most.
const GROUPS_MAX: u64 = 100;
/// Values of each facet where all facets are shown.
const VALUES_OF_EACH: u64 = 20;

/// Sums executions up: in all, by time, and by the values of a facet.
pub(crate) async fn stats(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let query = StatsQuery::parse(url(request)?.query_pairs())?;
    let (window, bucket_ms) = query.window(now(call)?)?;
    let index = labels::index(&call.env, &reader.project)?;
    let project = reader.project.as_str();
    let facets = query.filter.stored_facets(&index);
    let leading = query.filter.leading().map(|(facet, value)| (facet.as_str(), facet.stored(&index, value)));
    let of_leading = leading.as_ref().map(|(facet, value)| (*facet, json!([value]).to_string()));
    let facets_beside = query.filter.stored_facets_beside_leading(&index);
    let question = Question { project, window, bucket_ms, values: of_leading, facets, facets_beside };
    let answer = statistics::ask(&call.env, &question).await?;
    let (total, buckets) = by_time(&answer)?;
    let mut reply = json!({
        "window": { "from": window.from, "to": window.to },
        "bucket_ms": bucket_ms,
        "complete": answer.complete,
        "total": total.shown(),
        "buckets": shown_buckets(&buckets, bucket_ms),
    });
    let mut read = answer.rows_read;
    if let Some(facet) = query.group_by {
        let (groups, more, rows) = groups(call, &reader.project, &question, facet).await?;
        reply["groups"] = groups;
        reply["more_groups"] = more.into();
        read += rows;
    }
    if query.steps {
        let leading = leading.as_ref().map(|(facet, value)| (*facet, value.as_str()));
        read += step_times::add(call, &reader.project, &question, leading, &mut reply).await?;
    }
    if query.scores {
        read += scores::add(call, &reader.project, &question, &mut reply).await?;
    }
    state_cost(&mut reply, &reader, read);
    Reply::ok(&reply)
}

/// Sums by the values of a facet, most executions first, and whether it has more values than an answer shows.
async fn groups(
    call: &Call,
    project: &ProjectId,
    question: &Question<'_>,
    facet: Facet,
) -> Outcome<(Value, bool, usize)> {
    let word = facet.as_str();
    let (mut found, mut rows) =
        statistics::facet_values(&call.env, question.project, &[word], "", question.window, GROUPS_MAX + 1)
            .await?;
    let mut values = found.pop().unwrap_or_default();
    let more = values.len() as u64 > GROUPS_MAX;
    values.truncate(usize::try_from(GROUPS_MAX).unwrap_or(usize::MAX));
    let values: Vec<&str> =
        values.iter().filter(|value| value.executions > 0).map(|value| value.value.as_str()).collect();
    let question = Question {
        values: Some((word, json!(values).to_string())),
        facets: question.facets.clone(),
        facets_beside: question.facets.clone(),
        ..*question
    };
    let answer = statistics::ask(&call.env, &question).await?;
    rows += answer.rows_read;
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for row in &answer.ended {
        let value = row.value.and_then(|place| values.get(place)).copied().unwrap_or_default();
        let tally = tallies.entry(value).or_default();
        tally.add(&sums(row));
        each_first_token(row, |class| tally.add_first_tokens(class, 1));
    }
    let mut groups: Vec<(&str, Tally)> = tallies.into_iter().collect();
    groups.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.executions()));
    let named: Vec<_> = groups.iter().map(|(stored, _)| (facet, *stored)).collect();
    let (labels, read) = labels::of_values(&call.env, project, &named).await?;
    let shown = groups.iter().map(|(stored, tally)| {
        let mut shown: Map<String, Value> = Map::new();
        shown.insert("value".into(), facet.shown(&labels, stored).into());
        shown.extend(tally.shown());
        Value::Object(shown)
    });
    Ok((shown.collect(), more, rows + read))
}

fn by_time(answer: &Answer) -> Outcome<(Tally, BTreeMap<i64, Tally>)> {
    let (mut total, mut buckets) = (Tally::default(), BTreeMap::<i64, Tally>::new());
    for row in &answer.days {
        let sums = sums_of_day(row)?;
        total.add_day(&sums);
        buckets.entry(row.day).or_default().add_day(&sums);
    }
    for row in &answer.ended {
        let sums = sums(row);
        total.add(&sums);
        let bucket = buckets.entry(row.bucket).or_default();
        bucket.add(&sums);
        each_first_token(row, |class| {
            total.add_first_tokens(class, 1);
            bucket.add_first_tokens(class, 1);
        });
    }
    for row in &answer.going_on {
        total.add_status(&row.status, row.executions);
        buckets.entry(row.bucket).or_default().add_status(&row.status, row.executions);
    }
    Ok((total, buckets))
}

fn sums_of_day(row: &DayRow) -> Outcome<SumsOfDay> {
    let doing = "reading a day's sums";
    let classes = |text: &str| serde_json::from_str::<BTreeMap<i64, u64>>(text).doing(doing);
    let versions: BTreeMap<String, u64> = serde_json::from_str(&row.price_versions).doing(doing)?;
    let versions = versions.iter().filter(|(_, count)| **count > 0).filter_map(|(versions, _)| {
        let (first, last) = versions.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
    });
    Ok(SumsOfDay {
        completed: row.completed,
        failed: row.failed,
        cancelled: row.cancelled,
        steps: row.steps,
        error_steps: row.error_steps,
        usage: Usage {
            input: row.input_tokens,
            cache_read: row.cache_read_tokens,
            cache_write: row.cache_write_tokens,
            output: row.output_tokens,
            reasoning: row.reasoning_tokens,
        },
        cost_nano_usd: row.cost_nano_usd,
        derived_cost_nano_usd: row.derived_cost_nano_usd,
        price_versions: versions.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))),
        durations: classes(&row.durations)?,
        first_tokens: classes(&row.first_tokens)?,
    })
}

fn shown_buckets(buckets: &BTreeMap<i64, Tally>, bucket_ms: i64) -> Vec<Value> {
    let shown = |(bucket, tally): (&i64, &Tally)| {
        let mut shown: Map<String, Value> = Map::new();
        shown.insert("at".into(), (bucket * bucket_ms).into());
        shown.extend(tally.shown());
        Value::Object(shown)
    };
    buckets.iter().map(shown).collect()
}

fn each_first_token(row: &EndedRow, mut visit: impl FnMut(i64)) {
    let classes = row.first_tokens.as_deref().unwrap_or_default().split(',');
    classes.filter_map(|class| class.parse().ok()).for_each(&mut visit);
}

fn sums(row: &EndedRow) -> Sums {
    Sums {
        status: row.status.clone(),
        executions: row.executions,
        duration: row.duration,
        steps: row.steps,
        error_steps: row.error_steps,
        usage: Usage {
            input: row.input,
            cache_read: row.cache_read,
            cache_write: row.cache_write,
            output: row.output,
            reasoning: row.reasoning,
        },
        cost_nano_usd: row.cost_nano_usd,
        derived_cost_nano_usd: row.derived_cost_nano_usd,
        price_versions: row.price_version_first.zip(row.price_version_last),
    }
}

/// The values of one facet, page by page, or the first ones of each.
pub(crate) async fn facets(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let query = FacetsQuery::parse(url(request)?.query_pairs())?;
    let mut window = query.window(now(call)?)?;
    let root = Secrets::of(&call.env)?.oldest_root()?;
    let cursors = Cursors::of(&root, &reader.project, query.canonical());
    let (facets, limit) = match query.facet {
        Some(facet) => (vec![facet], u64::from(query.page.limit)),
        None => (Facet::ALL.to_vec(), VALUES_OF_EACH),
    };
    let mut after = String::new();
    if let Some(cursor) = &query.page.cursor {
        (window.from, after) = position(&cursors.open(cursor)?)?;
    }
    let words: Vec<&str> = facets.iter().map(|facet| facet.as_str()).collect();
    let project = reader.project.as_str();
    let (mut found, mut read) =
        statistics::facet_values(&call.env, project, &words, &after, window, limit + 1).await?;
    let more: Vec<bool> = found.iter().map(|values| values.len() as u64 > limit).collect();
    for values in &mut found {
        values.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let named = facets.iter().zip(&found).flat_map(|(facet, values)| {
        let counted = values.iter().filter(|value| value.executions > 0);
        counted.map(|value| (*facet, value.value.as_str()))
    });
    let (labels, rows) = labels::of_values(&call.env, &reader.project, &named.collect::<Vec<_>>()).await?;
    read += rows;
    let mut shown = Map::new();
    let mut next_cursor = None;
    for ((facet, values), more) in facets.into_iter().zip(found).zip(more) {
        next_cursor = values
            .last()
            .filter(|_| more && query.facet.is_some())
            .map(|last| cursors.seal(&format!("{}|{}", window.from, last.value)));
        let shown_values = shown_values(facet, &labels, values);
        shown.insert(facet.as_str().into(), json!({ "values": shown_values, "more": more }));
    }
    let mut reply = json!({
        "window": { "from": window.from, "to": window.to }, "facets": shown, "next_cursor": next_cursor,
    });
    state_cost(&mut reply, &reader, read);
    Reply::ok(&reply)
}

/// Those that the window has, most executions first.
fn shown_values(facet: Facet, labels: &OpenLabels, mut values: Vec<FacetValue>) -> Vec<Value> {
    values.retain(|value| value.executions > 0);
    values.sort_by_key(|value| std::cmp::Reverse(value.executions));
    let shown = values.iter().filter_map(|value| {
        let at_least = value.executions >= COUNTED_MAX;
        let name = facet.shown(labels, &value.value)?;
        Some(json!({ "value": name, "executions": value.executions, "at_least": at_least }))
    });
    shown.collect()
}

fn position(text: &str) -> Outcome<(i64, String)> {
    let doing = "opening a cursor";
    let (from, after) = text.split_once('|').ok_or("a cursor of ours").doing(doing)?;
    Ok((from.parse::<i64>().doing(doing)?, after.to_owned()))
}

fn now(call: &Call) -> Outcome<i64> {
    Ok(i64::try_from(call.now).doing("telling the time")?)
}

/// Admins are told how many rows their question cost, where that is known: `worker` 0.8.7 cannot read what D1 says of a database
/// beyond 4 GiB, whose size it takes for 32 bits. No question reads none.
pub(crate) fn state_cost(reply: &mut Value, reader: &Reader, rows_read: usize) {
    if reader.is_admin && rows_read > 0 {
        reply["rows_read"] = rows_read.into();
    }
}
