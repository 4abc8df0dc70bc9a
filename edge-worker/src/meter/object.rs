//! The Durable Object of a project: token buckets, the month's use, counts. It is one place, so what it says is
//! exact: no more is ever admitted than the buckets allow, however many isolates ask.

use serde::{Deserialize, Serialize};
use stepseal_protocol::calendar::{day, month};
use stepseal_protocol::ingest::admission::Limits;
use stepseal_protocol::ingest::bucket::{Bucket, Exhausted};
use stepseal_protocol::ingest::budget::{Budget, Standing, Usage, stop_until};
use stepseal_protocol::ledger::Count;
use worker::{
    Date, DurableObject, Env, Request, Response, Result, SqlStorage, SqlStorageValue, State, durable_object,
};

const BUCKETS: &str = "buckets";
const SWEPT: &str = "swept";
/// How often sessions' buckets that are full again are forgotten, in milliseconds.
const SWEEP_MS: u64 = 60_000;
/// How long reports are remembered, so that one that comes twice counts once, in milliseconds.
const REPORT_LIFE_MS: u64 = 60_000;
/// Days after which counts by day are added up into one sum.
const DAYS_KEPT: u64 = 400;
const DAY_MS: u64 = 86_400_000;

/// What the object is asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    Take(Box<Take>),
    Report(Box<Report>),
    /// The month's use and the counts since a day.
    Show {
        since: String,
    },
    /// Counts of all days together.
    Sum,
}

/// Tokens that an isolate asks for. Limits and budget come along: the configuration is the isolate's to read.
#[derive(Serialize, Deserialize)]
pub(crate) struct Take {
    /// From the project's buckets; none where a lease covers it.
    pub(crate) project: Option<Need>,
    /// From a session's.
    pub(crate) session: Option<(String, Need)>,
    pub(crate) limits: Limits,
    pub(crate) session_limits: Limits,
    pub(crate) budget: Budget,
    /// What this isolate stored and has not reported yet.
    pub(crate) unreported: Usage,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Need {
    pub(crate) bytes: u64,
    pub(crate) steps: u64,
    /// Whether more is wanted, to be spent on what follows.
    pub(crate) lease: bool,
}

/// What an isolate stored and counted.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Random: a report that is sent again counts once.
    pub(crate) id: String,
    pub(crate) usage: Usage,
    /// The budget where something was stored.
    pub(crate) budget: Option<Budget>,
    pub(crate) counts: Vec<Count>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Taken {
        project: Option<Lent>,
        session: Option<Lent>,
        /// The month's use, what the isolate had not reported included.
        used: Usage,
    },
    Exhausted {
        retry_after_ms: u64,
        bucket: String,
    },
    OverBudget {
        stop_until: u64,
    },
    /// `crossed`: where the month stands now, if this report moved it.
    Reported {
        crossed: Option<Standing>,
    },
    Shown {
        month: String,
        used: Usage,
        counts: Vec<Count>,
    },
}

/// At least what was asked for.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Lent {
    pub(crate) bytes: u64,
    pub(crate) steps: u64,
    /// Left in the bucket.
    pub(crate) steps_left: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Buckets {
    bytes: Bucket,
    steps: Bucket,
}

impl Buckets {
    /// Takes what is needed and, where it is wanted, a lease beyond it, a share of the sustained rate.
    fn take(&mut self, limits: &Limits, now: u64, need: Need, lease: fn(u64) -> u64) -> Taking {
        let (in_bytes, in_steps) = (limits.bytes(), limits.steps());
        let lease = |rate| if need.lease { lease(rate) } else { 0 };
        let before = *self;
        let bytes = self
            .bytes
            .take(in_bytes, now, need.bytes, lease(in_bytes.rate))
            .map_err(|fault| (fault, "bytes"))?;
        match self.steps.take(in_steps, now, need.steps, lease(in_steps.rate)) {
            Ok(steps) => Ok(Lent { bytes, steps, steps_left: self.steps.level(in_steps) }),
            Err(fault) => {
                *self = before;
                Err((fault, "steps"))
            }
        }
    }

    fn full_at(&self, limits: &Limits) -> u64 {
        self.bytes.full_at(limits.bytes()).max(self.steps.full_at(limits.steps()))
    }
}

type Taking = std::result::Result<Lent, (Exhausted, &'static str)>;

/// Holds what one project uses.
#[durable_object]
pub struct Meter {
    state: State,
}

impl DurableObject for Meter {
    fn new(state: State, _env: Env) -> Self {
        Self { state }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let ask: Ask = request.json().await?;
        let now = Date::now().as_millis();
        let sql = self.state.storage().sql();
        sql.exec(include_str!("create_tables.sql"), None)?;
        let answer = match ask {
            Ask::Take(take) => self.take(&sql, *take, now).await?,
            Ask::Report(report) => Answer::Reported { crossed: take_report(&sql, &report, now)? },
            Ask::Show { since } => Answer::Shown {
                month: month(now),
                used: month_of(&sql, now)?.usage(),
                counts: sql.exec(include_str!("list_counts.sql"), vec![since.into()])?.to_array()?,
            },
            Ask::Sum => Answer::Shown {
                month: month(now),
                used: month_of(&sql, now)?.usage(),
                counts: sql.exec(include_str!("sum_counts.sql"), None)?.to_array()?,
            },
        };
        Response::from_json(&answer)
    }
}

impl Meter {
    async fn take(&self, sql: &SqlStorage, take: Take, now: u64) -> Result<Answer> {
        let used = month_of(sql, now)?.usage().plus(take.unreported);
        if take.budget.standing(&used) == Standing::Exhausted {
            return Ok(Answer::OverBudget { stop_until: stop_until(now) });
        }
        let storage = self.state.storage();
        // Storage is the state: an evicted object must not come back with full buckets. Reads are served
        // from memory, and no other request runs between a read and its write (input gates).
        let mut buckets: Buckets = storage.get(BUCKETS).await?.unwrap_or_default();
        let swept: u64 = storage.get(SWEPT).await?.unwrap_or_default();
        let exhausted = |(fault, bucket): (Exhausted, &str), whose: &str| Answer::Exhausted {
            retry_after_ms: fault.retry_after_ms,
            bucket: format!("{whose}{bucket}"),
        };
        let mut own = None;
        if let Some((name, need)) = &take.session {
            let mut of_session = read_session(sql, name)?;
            // Pages send every few seconds and mostly to one isolate: a lease of a second saves calls.
            match of_session.take(&take.session_limits, now, *need, |rate| rate) {
                Ok(lent) => own = Some((name, of_session, lent)),
                Err(fault) => return Ok(exhausted(fault, "session-")),
            }
        }
        let mut lent = None;
        if let Some(need) = take.project {
            // Enough to share one call among batches, little enough that isolates do not starve each other.
            match buckets.take(&take.limits, now, need, |rate| rate / 4) {
                Ok(tokens) => lent = Some(tokens),
                // The session's tokens were not written back.
                Err(fault) => return Ok(exhausted(fault, "")),
            }
        }
        if let Some((name, of_session, _)) = &own {
            write_session(sql, name, of_session, of_session.full_at(&take.session_limits))?;
        }
        if now >= swept + SWEEP_MS {
            sql.exec(include_str!("forget_full_buckets.sql"), vec![number(now)])?;
            storage.put(SWEPT, now).await?;
        }
        storage.put(BUCKETS, buckets).await?;
        Ok(Answer::Taken { project: lent, session: own.map(|(_, _, lent)| lent), used })
    }
}

#[expect(clippy::cast_possible_wrap, reason = "counts and times are below 2^53")]
fn number(value: u64) -> SqlStorageValue {
    (value as i64).into()
}

fn read_session(sql: &SqlStorage, name: &str) -> Result<Buckets> {
    #[derive(Deserialize)]
    struct Row {
        buckets: String,
    }
    let rows: Vec<Row> =
        sql.exec(include_str!("read_session_buckets.sql"), vec![name.to_owned().into()])?.to_array()?;
    Ok(rows.first().map(|row| serde_json::from_str(&row.buckets)).transpose()?.unwrap_or_default())
}

fn write_session(sql: &SqlStorage, name: &str, buckets: &Buckets, full_at: u64) -> Result<()> {
    let values = vec![name.to_owned().into(), serde_json::to_string(buckets)?.into(), number(full_at)];
    sql.exec(include_str!("write_session_buckets.sql"), values).map(|_| ())
}

/// A month's row.
#[derive(Default, Deserialize)]
struct Month {
    steps: u64,
    bytes: u64,
    cost_nano_usd: u64,
    /// The gravest standing that was told to anybody: 0 within, 1 warned, 2 exhausted.
    told: u8,
}

impl Month {
    const fn usage(&self) -> Usage {
        Usage { steps: self.steps, bytes: self.bytes, cost_nano_usd: self.cost_nano_usd }
    }
}

fn month_of(sql: &SqlStorage, now: u64) -> Result<Month> {
    let rows: Vec<Month> = sql.exec(include_str!("read_month.sql"), vec![month(now).into()])?.to_array()?;
    Ok(rows.into_iter().next().unwrap_or_default())
}

/// Adds a report, and says which standing it moved the month to. Everything here is one transaction: nothing
/// is awaited.
fn take_report(sql: &SqlStorage, report: &Report, now: u64) -> Result<Option<Standing>> {
    sql.exec(include_str!("forget_reports.sql"), vec![number(now.saturating_sub(REPORT_LIFE_MS))])?;
    let noted: Vec<serde_json::Value> =
        sql.exec(include_str!("note_report.sql"), vec![report.id.clone().into(), number(now)])?.to_array()?;
    if noted.is_empty() {
        return Ok(None);
    }
    for count in &report.counts {
        add_count(sql, count)?;
    }
    fold_old_days(sql, now)?;
    let Some(budget) = report.budget else { return Ok(None) };
    let before = month_of(sql, now)?;
    let usage = before.usage().plus(report.usage);
    let standing = budget.standing(&usage);
    let told = before.told.max(standing as u8);
    sql.exec(
        include_str!("write_month.sql"),
        vec![
            month(now).into(),
            number(usage.steps),
            number(usage.bytes),
            number(usage.cost_nano_usd),
            i64::from(told).into(),
        ],
    )?;
    Ok((told > before.told).then_some(standing))
}

fn add_count(sql: &SqlStorage, count: &Count) -> Result<()> {
    let values = vec![
        count.day.clone().into(),
        count.operation.clone().into(),
        count.outcome.clone().into(),
        number(count.requests),
        number(count.events),
        number(count.rejected),
    ];
    sql.exec(include_str!("add_count.sql"), values).map(|_| ())
}

/// Days long past go into the sum without a day, so that totals never fall.
fn fold_old_days(sql: &SqlStorage, now: u64) -> Result<()> {
    let oldest = day(now.saturating_sub(DAYS_KEPT * DAY_MS));
    sql.exec(include_str!("fold_old_counts.sql"), vec![oldest.clone().into()])?;
    sql.exec(include_str!("drop_old_counts.sql"), vec![oldest.into()]).map(|_| ())
}
