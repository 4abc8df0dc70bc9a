//! Roll-ups: what lists show of an execution, kept beside its segments.
//!
//! A [`Rollup`] is what one batch adds. Adding does not depend on the order of arrival: counts add,
//! money is whole nano-dollars, the start is a minimum, among several `start`s the earliest wins and
//! among several `end`s one not written by an adopter, then the latest, then the larger digest; capped
//! sets keep their smallest members. The store merges the same way in SQL (`storage/merge_rollup.sql` of
//! the worker); [`Rollup::merge`] is the reference that verification compares with.

mod step_times;

pub use step_times::{STEP_NAME, STEP_TIME_PARTS, StepTimes, read_key};

use crate::at_rest::labels::Indexing;
use crate::batch::{Batch, End, EndStatus, Event, Kind, Start, Step, StepKind, StepStatus, Usage};
use crate::digest::BodyDigest;
use crate::prices::PriceTable;
use serde::Serialize;
use std::collections::BTreeSet;
use std::format;
use std::string::String;

/// Longest label a roll-up keeps, in bytes; longer ones are cut at a character. The stored bytes keep all.
pub const LABEL_MAX: usize = 256;
/// Most members of a capped set (tags, models, tools).
pub const SET_MAX: usize = 32;

/// What a batch, or several, add to their execution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    /// The earliest `start`.
    pub start: Option<StartFacts>,
    /// The `end` that counts.
    pub end: Option<EndFacts>,
    /// Rank of the latest `state`: its time, then `1` if it waits; empty if there is none.
    pub state_rank: String,
    /// Earliest time of any event, Unix ms.
    pub first_at: Option<i64>,
    /// When the first token of any model came, Unix ms.
    pub first_token_at: Option<i64>,
    /// Batches.
    pub batches: u64,
    /// Events stored, sound or not.
    pub events: u64,
    /// Events stored but left out of everything below.
    pub rejected: u64,
    /// Ended steps.
    pub steps: u64,
    /// Steps that ended in an error.
    pub error_steps: u64,
    /// Tokens of the steps that call a model.
    pub usage: Usage,
    /// Their cost: what they report, and what is derived from prices where they report none.
    pub cost_nano_usd: u64,
    /// The derived part of it.
    pub derived_cost_nano_usd: u64,
    /// First and last version of the prices that it is derived from.
    pub price_versions: Option<(u64, u64)>,
    /// How long steps took, by kind and name.
    pub step_times: StepTimes,
    /// Models named by steps.
    pub models: CappedSet,
    /// Tools named by steps.
    pub tools: CappedSet,
    /// Who began and who finished, for completeness.
    pub account: Account,
}

/// Counts from which completeness follows without reading a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Writers whose first batch is here.
    pub openers: u64,
    /// Writers that said their last number themselves.
    pub closers: u64,
    /// Events these announced: the sum of last number + 1.
    pub expected: u64,
    /// Ends that an adopter wrote for a page that died.
    pub adopted_closers: u64,
    /// Events these announced.
    pub adopted_expected: u64,
    /// Numbers that `drop` events account for beside their own.
    pub dropped: u64,
}

/// What a `start` says, for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFacts {
    /// Orders several: smaller wins.
    pub rank: String,
    /// Writer and index of the batch that holds it.
    pub place: (String, u64),
    /// Name of what runs.
    pub name: String,
    /// Agent.
    pub agent: Option<String>,
    /// Pipeline.
    pub pipeline: Option<String>,
    /// End user.
    pub user: Option<String>,
    /// Conversation or visit.
    pub session: Option<String>,
    /// Deployment environment.
    pub environment: Option<String>,
    /// Release.
    pub release: Option<String>,
    /// Tags.
    pub tags: CappedSet,
}

/// What an `end` says, for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndFacts {
    /// Orders several: larger wins.
    pub rank: String,
    /// Writer and index of the batch that holds it.
    pub place: (String, u64),
    /// How it ended.
    pub status: EndStatus,
    /// When, Unix ms.
    pub at: i64,
}

/// A set of labels that keeps its [`SET_MAX`] smallest members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CappedSet(BTreeSet<String>);

impl CappedSet {
    fn insert(&mut self, text: &str) {
        self.0.insert(label(text));
        while self.0.len() > SET_MAX {
            self.0.pop_last();
        }
    }

    fn merge(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
        while self.0.len() > SET_MAX {
            self.0.pop_last();
        }
    }

    /// The set of what `change` makes of its members.
    fn map(&self, change: impl FnMut(&str) -> String) -> Self {
        Self(self.0.iter().map(String::as_str).map(change).collect())
    }

    /// Its members as a JSON array, smallest first.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

/// Whether the record of an execution is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Completeness {
    /// It has not ended.
    Open,
    /// Every number of every writer is stored or accounted for.
    Complete,
    /// It ended and numbers are missing.
    Incomplete,
}

impl Completeness {
    /// The word that the API has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
        }
    }
}

impl Account {
    /// Judges an execution of `events` stored events.
    pub const fn completeness(&self, events: u64, ended: bool) -> Completeness {
        let accounted = events + self.dropped;
        let by_themselves = self.closers == self.openers && self.expected == accounted;
        let with_adopters = self.closers + self.adopted_closers == self.openers
            && self.expected + self.adopted_expected == accounted;
        match (ended, by_themselves || with_adopters) {
            (false, _) => Completeness::Open,
            (true, true) => Completeness::Complete,
            (true, false) => Completeness::Incomplete,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.openers += other.openers;
        self.closers += other.closers;
        self.expected += other.expected;
        self.adopted_closers += other.adopted_closers;
        self.adopted_expected += other.adopted_expected;
        self.dropped += other.dropped;
    }
}

impl Rollup {
    /// What `batch` adds where nothing has a price.
    pub fn of(batch: &Batch<'_>) -> Self {
        Self::priced(batch, &PriceTable::default())
    }

    /// What `batch` adds under these prices.
    pub fn priced(batch: &Batch<'_>, prices: &PriceTable) -> Self {
        let mut rollup = Self {
            batches: 1,
            events: batch.count(),
            rejected: batch.verdicts.len() as u64,
            ..Self::default()
        };
        rollup.account.openers = u64::from(batch.header.k == 0);
        for event in &batch.events {
            rollup.add_event(batch, event, prices);
        }
        if batch.header.fin && rollup.account.closers == 0 {
            rollup.account.closers = 1;
            rollup.account.expected = batch.header.n + batch.count();
        }
        rollup
    }

    /// The same with the indexes of its labels, as the store keeps it; those of steps' names are of the column [`STEP_NAME`].
    /// Sets are capped by index, so this is done to a batch's roll-up before it is merged.
    #[must_use]
    pub fn indexed(mut self, index: &mut Indexing<'_>) -> Self {
        self.start = self.start.map(|start| start.indexed(index));
        self.step_times = self.step_times.indexed(index);
        self.models = self.models.map(|model| index("models", model));
        self.tools = self.tools.map(|tool| index("tools", tool));
        self
    }

    /// Adds what other batches of the same execution brought.
    pub fn merge(&mut self, other: &Self) {
        self.take_start(other.start.clone());
        self.take_end(other.end.clone());
        if other.state_rank > self.state_rank {
            self.state_rank.clone_from(&other.state_rank);
        }
        self.first_at = self.first_at.into_iter().chain(other.first_at).min();
        self.first_token_at = self.first_token_at.into_iter().chain(other.first_token_at).min();
        self.batches += other.batches;
        self.events += other.events;
        self.rejected += other.rejected;
        self.steps += other.steps;
        self.error_steps += other.error_steps;
        self.add_usage(&other.usage, other.cost_nano_usd);
        self.derived_cost_nano_usd += other.derived_cost_nano_usd;
        self.saw_versions(other.price_versions);
        self.step_times.merge(&other.step_times);
        self.models.merge(&other.models);
        self.tools.merge(&other.tools);
        self.account.merge(&other.account);
    }

    fn add_event(&mut self, batch: &Batch<'_>, event: &Event<'_>, prices: &PriceTable) {
        match &event.kind {
            Kind::Start(start) => {
                self.saw(start.at);
                self.take_start(Some(StartFacts::of(start, batch)));
            }
            Kind::State { at, waiting } => {
                self.saw(*at);
                let rank = format!("{at:016}{}", u8::from(*waiting));
                if rank > self.state_rank {
                    self.state_rank = rank;
                }
            }
            Kind::Open(step) => self.saw(step.at),
            Kind::Step(step) => self.add_step(step, prices),
            Kind::Log { at } => self.saw(*at),
            Kind::Drop { range: Some((from, to)), .. } => self.account.dropped += to - from + 1,
            Kind::End(end) => self.add_end(end, batch, event.n),
            Kind::Message { .. } | Kind::Score(_) | Kind::Drop { range: None, .. } | Kind::Unknown => {}
        }
    }

    fn add_step(&mut self, step: &Step<'_>, prices: &PriceTable) {
        self.saw(step.at);
        self.first_token_at = self.first_token_at.into_iter().chain(step.first_token_at).min();
        self.steps += 1;
        self.step_times.add_step(step);
        self.error_steps += u64::from(step.status == Some(StepStatus::Error));
        if step.is_leaf() {
            self.add_usage(&step.usage, step.cost_nano_usd.unwrap_or_default());
        }
        if let Some(derived) = prices.derive(step) {
            self.cost_nano_usd += derived;
            self.derived_cost_nano_usd += derived;
            self.saw_versions(Some((prices.version, prices.version)));
        }
        if let Some(model) = &step.model {
            self.models.insert(model);
        }
        match &step.tool {
            Some(tool) => self.tools.insert(tool),
            None if step.kind == StepKind::Tool => self.tools.insert(&step.name),
            None => {}
        }
    }

    fn add_usage(&mut self, usage: &Usage, cost_nano_usd: u64) {
        self.usage.input += usage.input;
        self.usage.cache_read += usage.cache_read;
        self.usage.cache_write += usage.cache_write;
        self.usage.output += usage.output;
        self.usage.reasoning += usage.reasoning;
        self.cost_nano_usd += cost_nano_usd;
    }

    fn saw_versions(&mut self, versions: Option<(u64, u64)>) {
        let both = self.price_versions.into_iter().chain(versions);
        self.price_versions = both.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
    }

    fn add_end(&mut self, end: &End<'_>, batch: &Batch<'_>, n: u64) {
        self.saw(end.at);
        if end.adopted {
            self.account.adopted_closers += 1;
            self.account.adopted_expected += n + 1;
        } else {
            self.account.closers += 1;
            self.account.expected += n + 1;
        }
        self.take_end(Some(EndFacts {
            rank: format!("{}{:016}{}", u8::from(!end.adopted), end.at, batch.digest.to_hex()),
            place: place(batch),
            status: end.status,
            at: end.at,
        }));
    }

    fn saw(&mut self, at: i64) {
        self.first_at = Some(self.first_at.map_or(at, |first| first.min(at)));
    }

    fn take_start(&mut self, other: Option<StartFacts>) {
        if let Some(other) = other
            && self.start.as_ref().is_none_or(|start| other.rank < start.rank)
        {
            self.start = Some(other);
        }
    }

    fn take_end(&mut self, other: Option<EndFacts>) {
        if let Some(other) = other
            && self.end.as_ref().is_none_or(|end| other.rank > end.rank)
        {
            self.end = Some(other);
        }
    }
}

impl StartFacts {
    fn of(start: &Start<'_>, batch: &Batch<'_>) -> Self {
        let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_deref().map(label);
        let mut tags = CappedSet::default();
        start.tags.iter().for_each(|tag| tags.insert(tag));
        Self {
            rank: start_rank(start.at, &batch.digest),
            place: place(batch),
            name: label(&start.name),
            agent: text(&start.agent),
            pipeline: text(&start.pipeline),
            user: text(&start.user),
            session: text(&start.session),
            environment: text(&start.environment),
            release: text(&start.release),
            tags,
        }
    }
}

impl StartFacts {
    fn indexed(self, index: &mut Indexing<'_>) -> Self {
        let mut of = |column: &str, label: Option<String>| label.map(|label| index(column, &label));
        Self {
            agent: of("agent", self.agent),
            pipeline: of("pipeline", self.pipeline),
            user: of("user", self.user),
            session: of("session", self.session),
            environment: of("environment", self.environment),
            release: of("release", self.release),
            name: index("name", &self.name),
            tags: self.tags.map(|tag| index("tags", tag)),
            ..self
        }
    }
}

fn start_rank(at: i64, digest: &BodyDigest) -> String {
    format!("{at:016}{}", digest.to_hex())
}

fn place(batch: &Batch<'_>) -> (String, u64) {
    (batch.header.writer.as_str().into(), batch.header.k)
}

/// A text as a label: at most [`LABEL_MAX`] bytes, cut at a character.
pub fn label(text: &str) -> String {
    text[..text.floor_char_boundary(LABEL_MAX)].into()
}
