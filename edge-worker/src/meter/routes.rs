//! What admins see of the counts: `…/usage` as JSON and `/v1/metrics` for Prometheus.

use super::object::{Answer, Ask};
use super::{DEPLOYMENT, ask, counts};
use crate::access::{Administrator, MetricsReader};
use crate::call::Call;
use crate::failure::{Fault, Outcome};
use crate::projects::store;
use crate::respond::Reply;
use serde_json::{Value, json};
use std::fmt::Write;
use stepseal_protocol::calendar::day;
use stepseal_protocol::ingest::budget::Usage;
use stepseal_protocol::ledger::{Count, Ledger};

const DAYS_SHOWN: u64 = 30;
const DAY_MS: u64 = 86_400_000;
/// Text exposition format of Prometheus.
pub(crate) const METRICS_TYPE: &str = "text/plain; version=0.0.4";

/// `GET …/usage`: the month against its budget, the last thirty days' outcomes and their ledger.
pub(crate) async fn usage(call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let project = store::read(&call.env, admin.project.as_str()).await?.ok_or_else(store::absent)?;
    counts::report_now(&call.env, &project.id).await?;
    let since = day(call.now.saturating_sub((DAYS_SHOWN - 1) * DAY_MS));
    let (month, used, counts) = shown(call, &project.id, &Ask::Show { since }).await?;
    Reply::ok(&json!({
        "month": month,
        "used": usage_shown(&used),
        "budget": project.budget,
        "standing": project.budget.standing(&used),
        "days": by_day(&counts),
        "ledger": Ledger::of(&counts),
    }))
}

#[expect(clippy::cast_precision_loss, reason = "nano-dollars are below 2^53")]
fn usage_shown(used: &Usage) -> Value {
    json!({ "steps": used.steps, "bytes": used.bytes, "cost_usd": used.cost_nano_usd as f64 / 1e9 })
}

async fn shown(call: &Call, owner: &str, asked: &Ask) -> Outcome<(String, Usage, Vec<Count>)> {
    match ask(&call.env, owner, asked).await? {
        Answer::Shown { month, used, counts } => Ok((month, used, counts)),
        _ => Err(Fault::internal("reading counts", "the meter answered something else").into()),
    }
}

/// Counts come ordered by day.
fn by_day(counts: &[Count]) -> Vec<Value> {
    counts
        .chunk_by(|one, next| one.day == next.day)
        .map(|of_day| {
            let outcomes: Vec<Value> = of_day
                .iter()
                .map(|count| {
                    json!({
                        "operation": count.operation, "outcome": count.outcome, "requests": count.requests,
                        "events": count.events, "rejected": count.rejected,
                    })
                })
                .collect();
            json!({ "day": of_day[0].day, "outcomes": outcomes, "ledger": Ledger::of(of_day) })
        })
        .collect()
}

/// `GET /v1/metrics`: sums since the beginning, which only ever grow.
pub(crate) async fn metrics(call: &Call, reader: &MetricsReader) -> Outcome<Reply> {
    let owner = match reader {
        MetricsReader::Project(project) => project.as_str(),
        MetricsReader::Deployment => DEPLOYMENT,
    };
    counts::report_now(&call.env, owner).await?;
    let (_, used, counts) = shown(call, owner, &Ask::Sum).await?;
    let project = if owner == DEPLOYMENT { "" } else { owner };
    Ok(Reply::text(METRICS_TYPE, exposition(project, &used, &counts)))
}

/// Labels are ids and words of ours: none needs escaping.
fn exposition(project: &str, used: &Usage, counts: &[Count]) -> String {
    let mut text = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    };
    line(format_args!("# HELP stepseal_requests_total Requests by operation and named outcome."));
    line(format_args!("# TYPE stepseal_requests_total counter"));
    for Count { operation, outcome, requests, .. } in counts {
        line(format_args!(
            "stepseal_requests_total{{project=\"{project}\",operation=\"{operation}\",outcome=\"{outcome}\"}} {requests}"
        ));
    }
    let ledger = Ledger::of(counts);
    for (what, fates) in [("batches", ledger.batches), ("events", ledger.events)] {
        line(format_args!("# HELP stepseal_{what}_total What became of the {what} that arrived."));
        line(format_args!("# TYPE stepseal_{what}_total counter"));
        for (fate, count) in
            [("stored", fates.stored), ("duplicate", fates.duplicate), ("rejected", fates.rejected)]
        {
            line(format_args!("stepseal_{what}_total{{project=\"{project}\",fate=\"{fate}\"}} {count}"));
        }
    }
    for (name, value) in [
        ("steps", used.steps.to_string()),
        ("bytes", used.bytes.to_string()),
        ("cost_nano_usd", used.cost_nano_usd.to_string()),
    ] {
        line(format_args!("# HELP stepseal_month_{name} Stored in this calendar month (UTC)."));
        line(format_args!("# TYPE stepseal_month_{name} gauge"));
        line(format_args!("stepseal_month_{name}{{project=\"{project}\"}} {value}"));
    }
    text
}
