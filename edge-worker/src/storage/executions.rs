//! Reading executions' roll-ups.

use super::labels;
use super::statement::{Bind, bind};
use crate::failure::{Doing, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stepseal_protocol::at_rest::labels::OpenLabels;
use stepseal_protocol::batch::Usage;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::query::{Sort, price_versions, usd};
use stepseal_protocol::rollup::{Account, Rollup, read_key};
use worker::Env;

/// Start of an execution none of whose events carries a time yet: any real time is earlier.
pub(crate) const UNTIMED: i64 = 8_640_000_000_000_000;

/// A row of `executions`.
#[derive(Deserialize)]
pub(crate) struct Execution {
    pub(crate) id: String,
    pub(crate) subject: String,
    provenance: String,
    received_at: u64,
    updated_at: u64,
    pub(crate) started_at: i64,
    start_rank: Option<String>,
    pub(crate) start_writer: Option<String>,
    pub(crate) start_k: Option<u64>,
    name: Option<String>,
    agent: Option<String>,
    pipeline: Option<String>,
    user: Option<String>,
    session: Option<String>,
    environment: Option<String>,
    release: Option<String>,
    tags: String,
    state_rank: String,
    end_rank: Option<String>,
    pub(crate) end_writer: Option<String>,
    pub(crate) end_k: Option<u64>,
    end_status: Option<String>,
    ended_at: Option<i64>,
    batches: u64,
    events: u64,
    rejected: u64,
    steps: u64,
    error_steps: u64,
    input_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    cost_nano_usd: u64,
    models: String,
    tools: String,
    openers: u64,
    closers: u64,
    expected: u64,
    adopted_closers: u64,
    adopted_expected: u64,
    dropped: u64,
    first_token_at: Option<i64>,
    derived_cost_nano_usd: u64,
    price_version_first: Option<u64>,
    price_version_last: Option<u64>,
    /// Of lists and of what was stored before this was kept: none.
    #[serde(default)]
    step_times: Option<String>,
    labels: String,
    /// Of lists: none.
    #[serde(default)]
    step_names: String,
    status: String,
    tokens: i64,
}

/// A writer of an execution, and what it brought.
#[derive(Serialize, Deserialize)]
pub(crate) struct WriterShare {
    writer: String,
    batches: u64,
    events: u64,
    /// Batches that came from a file.
    imported: u64,
}

/// One execution of the project.
pub(crate) async fn one(env: &Env, project: &str, id: &str) -> Outcome<Option<Execution>> {
    let doing = "reading an execution";
    let database = env.d1("DB").doing(doing)?;
    let values = [Bind::Text(project), Bind::Text(id)];
    let statement = bind(&database, include_str!("one_execution.sql"), &values).doing(doing)?;
    Ok(statement.first(None).await.storing(doing)?)
}

/// Its writers.
pub(crate) async fn writers(env: &Env, project: &str, id: &str) -> Outcome<Vec<WriterShare>> {
    let doing = "reading an execution's writers";
    let database = env.d1("DB").doing(doing)?;
    let values = [Bind::Text(project), Bind::Text(id)];
    let result =
        bind(&database, include_str!("writers.sql"), &values).doing(doing)?.all().await.storing(doing)?;
    Ok(result.results().doing(doing)?)
}

impl Execution {
    /// Whether nobody expects more of it.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self.status.as_str(), "running" | "waiting")
    }

    /// What a list sorted by `sort` orders it by.
    pub(crate) fn sort_key(&self, sort: Sort) -> i64 {
        match sort {
            Sort::Start => self.started_at,
            Sort::Duration => self.duration_ms().unwrap_or_default(),
            Sort::Cost => i64::try_from(self.cost_nano_usd).unwrap_or(i64::MAX),
            Sort::Tokens => self.tokens,
        }
    }

    /// The labels of executions.
    pub(crate) async fn labels<'a>(
        env: &Env,
        project: &ProjectId,
        executions: impl IntoIterator<Item = &'a Self>,
    ) -> Outcome<OpenLabels> {
        labels::open(env, project, executions.into_iter().map(|one| one.labels.as_str())).await
    }

    fn duration_ms(&self) -> Option<i64> {
        self.ended_at.map(|ended_at| (ended_at - self.started_at).max(0))
    }

    fn account(&self) -> Account {
        Account {
            openers: self.openers,
            closers: self.closers,
            expected: self.expected,
            adopted_closers: self.adopted_closers,
            adopted_expected: self.adopted_expected,
            dropped: self.dropped,
        }
    }

    fn price_versions(&self) -> Option<(u64, u64)> {
        self.price_version_first.zip(self.price_version_last)
    }

    fn usage(&self) -> Usage {
        Usage {
            input: self.input_tokens,
            cache_read: self.cache_read_tokens,
            cache_write: self.cache_write_tokens,
            output: self.output_tokens,
            reasoning: self.reasoning_tokens,
        }
    }

    /// The execution as the API shows it.
    pub(crate) fn shown(&self, labels: &OpenLabels) -> Value {
        let untimed = self.started_at == UNTIMED;
        let started_at =
            if untimed { i64::try_from(self.received_at).unwrap_or(i64::MAX) } else { self.started_at };
        json!({
            "id": self.id,
            "name": labels.of(self.name.as_ref()),
            "agent": labels.of(self.agent.as_ref()),
            "pipeline": labels.of(self.pipeline.as_ref()),
            "user": labels.of(self.user.as_ref()),
            "session": labels.of(self.session.as_ref()),
            "environment": labels.of(self.environment.as_ref()),
            "release": labels.of(self.release.as_ref()),
            "tags": labels.of_set(&self.tags),
            "status": self.status,
            "started_at": started_at,
            "ended_at": self.ended_at,
            "duration_ms": self.duration_ms(),
            "ttft_ms": self.first_token_at.map(|first| (first - started_at).max(0)),
            "events": self.events,
            "rejected": self.rejected,
            "steps": self.steps,
            "error_steps": self.error_steps,
            "models": labels.of_set(&self.models),
            "tools": labels.of_set(&self.tools),
            "usage": self.usage(),
            "cost_usd": usd(self.cost_nano_usd),
            "derived_cost_usd": usd(self.derived_cost_nano_usd),
            "price_versions": price_versions(self.price_versions()),
            "completeness": self.account().completeness(self.events, self.end_status.is_some()),
            "subject": self.subject,
            "provenance": self.provenance,
            "received_at": self.received_at,
            "updated_at": self.updated_at,
        })
    }

    /// Whether the stored roll-up is the one that the batches, indexed, give. Only for all of an execution's
    /// batches.
    pub(crate) fn agrees_with(&self, rollup: &Rollup) -> bool {
        let start = rollup.start.as_ref();
        let end = rollup.end.as_ref();
        let tags = start.map_or_else(|| "[]".to_owned(), |start| start.tags.to_json());
        let label = |value: Option<&String>, stored: &Option<String>| value == stored.as_ref();
        self.started_at == rollup.first_at.unwrap_or(UNTIMED)
            && self.start_rank.as_deref() == start.map(|start| start.rank.as_str())
            && label(start.map(|start| &start.name), &self.name)
            && label(start.and_then(|start| start.agent.as_ref()), &self.agent)
            && label(start.and_then(|start| start.pipeline.as_ref()), &self.pipeline)
            && label(start.and_then(|start| start.user.as_ref()), &self.user)
            && label(start.and_then(|start| start.session.as_ref()), &self.session)
            && label(start.and_then(|start| start.environment.as_ref()), &self.environment)
            && label(start.and_then(|start| start.release.as_ref()), &self.release)
            && self.tags == tags
            && self.state_rank == rollup.state_rank
            && self.end_rank.as_deref() == end.map(|end| end.rank.as_str())
            && self.end_status.as_deref() == end.map(|end| end.status.as_str())
            && self.ended_at == end.map(|end| end.at)
            && self.counts() == rollup_counts(rollup)
            && self.price_versions() == rollup.price_versions
            && self.step_times.as_ref().is_none_or(|stored| *stored == rollup.step_times.to_json())
            && self.usage() == rollup.usage
            && self.models == rollup.models.to_json()
            && self.tools == rollup.tools.to_json()
            && self.account() == rollup.account
            // None too where it was stored before this was kept.
            && (self.first_token_at.is_none() || self.first_token_at == rollup.first_token_at)
    }

    /// Whether every label that it names can be read: without one it would be shown as if there were none.
    pub(crate) async fn labels_are_whole(&self, env: &Env, project: &ProjectId) -> Outcome<bool> {
        let labels = labels::open(env, project, [self.labels.as_str(), &self.step_names]).await?;
        let ones = [
            &self.name,
            &self.agent,
            &self.pipeline,
            &self.user,
            &self.session,
            &self.environment,
            &self.release,
        ];
        let mut named: Vec<String> = ones.into_iter().flatten().cloned().collect();
        for set in [&self.tags, &self.models, &self.tools] {
            named.extend(serde_json::from_str::<Vec<String>>(set).unwrap_or_default());
        }
        let step_times: Map<String, Value> =
            serde_json::from_str(self.step_times.as_deref().unwrap_or("{}")).unwrap_or_default();
        named.extend(step_times.keys().filter_map(|key| Some(read_key(key)?.1.to_owned())));
        Ok(named.iter().all(|index| labels.get(index).is_some()))
    }

    fn counts(&self) -> [u64; 7] {
        let Self {
            batches, events, rejected, steps, error_steps, cost_nano_usd, derived_cost_nano_usd, ..
        } = *self;
        [batches, events, rejected, steps, error_steps, cost_nano_usd, derived_cost_nano_usd]
    }
}

fn rollup_counts(rollup: &Rollup) -> [u64; 7] {
    let Rollup {
        batches, events, rejected, steps, error_steps, cost_nano_usd, derived_cost_nano_usd, ..
    } = *rollup;
    [batches, events, rejected, steps, error_steps, cost_nano_usd, derived_cost_nano_usd]
}
