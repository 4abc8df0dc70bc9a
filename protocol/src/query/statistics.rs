//! `GET /v1/stats` and `GET /v1/facets`: what is asked, and how sums and histograms become an answer.

use super::filter::{Facet, Filter};
use super::parameters::{PageQuery, Pair, each, invalid, truth};
use super::window::{Bounds, DAY_MS, Window};
use crate::batch::Usage;
use crate::problem::Problem;
use crate::rollup::STEP_TIME_PARTS;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::format;
use std::string::String;

const HOUR_MS: i64 = 3_600_000;
/// Widest windows, in days: an answer has at most so many buckets.
const HOURLY_DAYS_MAX: i64 = 31;
const DAILY_DAYS_MAX: i64 = 366;
/// Windows up to this many days are shown by the hour where nobody says otherwise.
const HOURLY_DAYS: i64 = 2;
/// Parts of a factor e that durations are told apart by.
const PARTS: f64 = 20.0;

/// `GET /v1/stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsQuery {
    /// What the executions have in common: facets only.
    pub filter: Filter,
    /// Also by each value of this.
    pub group_by: Option<Facet>,
    /// Also the scores.
    pub scores: bool,
    /// Also the steps, by name.
    pub steps: bool,
    hourly: Option<bool>,
    bounds: Bounds,
}

impl StatsQuery {
    /// Reads the parameters, and refuses anything else.
    pub fn parse<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Result<Self, Problem> {
        let mut query = Self::default();
        each(
            pairs,
            "the facets, `from`, `to`, `bucket`, `group_by`, `scores` and `steps`",
            |name, value| {
                match name {
                    "group_by" => query.group_by = Some(facet(name, value)?),
                    "scores" => query.scores = truth(name, value)?,
                    "steps" => query.steps = truth(name, value)?,
                    "bucket" => query.hourly = Some(hourly(name, value)?),
                    _ if Facet::parse(name).is_some() => return query.filter.take(name, value),
                    _ => return query.bounds.take(name, value),
                }
                Ok(true)
            },
        )?;
        if query.filter.sound {
            return Err(invalid(
                "error",
                "Statistics know `error=true` only; the failure rate says the rest.",
            ));
        }
        query.bounds.check()?;
        Ok(query)
    }

    /// The window, and the milliseconds of its buckets.
    pub fn window(&self, now: i64) -> Result<(Window, i64), Problem> {
        let window = self.bounds.window(now);
        let short = window.to.unwrap_or(now) - window.from <= HOURLY_DAYS * DAY_MS;
        let (days, bucket) =
            if self.hourly.unwrap_or(short) { (HOURLY_DAYS_MAX, HOUR_MS) } else { (DAILY_DAYS_MAX, DAY_MS) };
        window.refuse_beyond(days, now)?;
        Ok((window, bucket))
    }
}

/// `GET /v1/facets`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FacetsQuery {
    /// Only this one; paged.
    pub facet: Option<Facet>,
    /// Page size and cursor.
    pub page: PageQuery,
    bounds: Bounds,
}

impl FacetsQuery {
    /// Reads the parameters, and refuses anything else.
    pub fn parse<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Result<Self, Problem> {
        let mut query = Self::default();
        each(pairs, "`facet`, `from`, `to`, `limit` and `cursor`", |name, value| {
            if name == "facet" {
                query.facet = Some(facet(name, value)?);
                return Ok(true);
            }
            Ok(query.bounds.take(name, value)? || query.page.take(name, value)?)
        })?;
        query.bounds.check()?;
        if query.page.cursor.is_some() && query.facet.is_none() {
            return Err(invalid("cursor", "Only one `facet` is paged; name it."));
        }
        Ok(query)
    }

    /// The window.
    pub fn window(&self, now: i64) -> Result<Window, Problem> {
        let window = self.bounds.window(now);
        window.refuse_beyond(DAILY_DAYS_MAX, now)?;
        Ok(window)
    }

    /// The question in one spelling, for cursors.
    pub fn canonical(&self) -> String {
        format!("facets|{:?}|{:?}", self.facet, self.bounds)
    }
}

fn facet(name: &str, value: &str) -> Result<Facet, Problem> {
    Facet::parse(value).ok_or_else(|| {
        let words = Facet::ALL.map(Facet::as_str).join(", ");
        invalid(name, format!("`{name}` is one of {words}."))
    })
}

fn hourly(name: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "hour" => Ok(true),
        "day" => Ok(false),
        _ => Err(invalid(name, "`bucket` is hour or day.")),
    }
}

/// Sums over executions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    by_status: BTreeMap<String, u64>,
    steps: u64,
    error_steps: u64,
    usage: Usage,
    cost_nano_usd: u64,
    derived_cost_nano_usd: u64,
    price_versions: Option<(u64, u64)>,
    durations: Histogram,
    first_tokens: Histogram,
}

/// Ended executions of one status and one duration, summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of roll-ups")]
pub struct Sums {
    pub status: String,
    pub executions: u64,
    /// See [`Histogram`].
    pub duration: i64,
    pub steps: u64,
    pub error_steps: u64,
    pub usage: Usage,
    pub cost_nano_usd: u64,
    pub derived_cost_nano_usd: u64,
    pub price_versions: Option<(u64, u64)>,
}

/// Ended executions that started on one day, summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `Sums`")]
pub struct SumsOfDay {
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub steps: u64,
    pub error_steps: u64,
    pub usage: Usage,
    pub cost_nano_usd: u64,
    pub derived_cost_nano_usd: u64,
    pub price_versions: Option<(u64, u64)>,
    /// Counts by class.
    pub durations: BTreeMap<i64, u64>,
    pub first_tokens: BTreeMap<i64, u64>,
}

impl Tally {
    /// Adds a day.
    pub fn add_day(&mut self, day: &SumsOfDay) {
        for (status, count) in
            [("completed", day.completed), ("failed", day.failed), ("cancelled", day.cancelled)]
        {
            if count > 0 {
                self.add_status(status, count);
            }
        }
        for (class, count) in &day.durations {
            self.durations.add(*class, *count);
        }
        for (class, count) in &day.first_tokens {
            self.first_tokens.add(*class, *count);
        }
        self.add_amounts(&Sums {
            steps: day.steps,
            error_steps: day.error_steps,
            usage: day.usage,
            cost_nano_usd: day.cost_nano_usd,
            derived_cost_nano_usd: day.derived_cost_nano_usd,
            price_versions: day.price_versions,
            ..Sums::default()
        });
    }

    /// Adds ended executions.
    pub fn add(&mut self, sums: &Sums) {
        self.add_status(&sums.status, sums.executions);
        self.durations.add(sums.duration, sums.executions);
        self.add_amounts(sums);
    }

    fn add_amounts(&mut self, sums: &Sums) {
        self.steps += sums.steps;
        self.error_steps += sums.error_steps;
        self.usage.input += sums.usage.input;
        self.usage.cache_read += sums.usage.cache_read;
        self.usage.cache_write += sums.usage.cache_write;
        self.usage.output += sums.usage.output;
        self.usage.reasoning += sums.usage.reasoning;
        self.cost_nano_usd += sums.cost_nano_usd;
        self.derived_cost_nano_usd += sums.derived_cost_nano_usd;
        let versions = self.price_versions.into_iter().chain(sums.price_versions);
        self.price_versions = versions.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
    }

    /// Adds executions that have not ended: their other sums are not known yet.
    pub fn add_status(&mut self, status: &str, executions: u64) {
        *self.by_status.entry(status.into()).or_default() += executions;
    }

    /// Adds times to the first token.
    pub fn add_first_tokens(&mut self, ttft: i64, executions: u64) {
        self.first_tokens.add(ttft, executions);
    }

    /// Executions of any status.
    pub fn executions(&self) -> u64 {
        self.by_status.values().sum()
    }

    /// As the API shows it.
    #[expect(clippy::cast_precision_loss, reason = "sums stay below 2^53")]
    pub fn shown(&self) -> Map<String, Value> {
        let of = |status: &str| self.by_status.get(status).copied().unwrap_or_default();
        let ended: u64 = ["completed", "failed", "cancelled"].map(of).iter().sum();
        let failure_rate = (ended > 0).then(|| of("failed") as f64 / ended as f64);
        let shown = json!({
            "executions": self.executions(),
            "by_status": self.by_status,
            "failure_rate": failure_rate,
            "steps": self.steps,
            "error_steps": self.error_steps,
            "duration_ms": self.durations.shown(),
            "ttft_ms": self.first_tokens.shown(),
            "usage": self.usage,
            "cost_usd": usd(self.cost_nano_usd),
            "derived_cost_usd": usd(self.derived_cost_nano_usd),
            "price_versions": price_versions(self.price_versions),
        });
        if let Value::Object(members) = shown { members } else { Map::new() }
    }
}

/// Steps of one kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepTally {
    failed: u64,
    durations: Histogram,
}

impl StepTally {
    /// Adds steps of a class of duration, or failures.
    pub fn add(&mut self, class: Option<i64>, count: u64) {
        match class {
            Some(class) => self.durations.add(class, count),
            None => self.failed += count,
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.durations.0.values().sum()
    }

    /// As the API shows it.
    pub fn shown(&self, kind: &str, name: &str) -> Value {
        let [p50, p95] =
            [0.5, 0.95].map(|q| self.durations.class_at(q).map(|class| middle(class, STEP_TIME_PARTS)));
        json!({
            "kind": kind, "name": name, "steps": self.count(), "error_steps": self.failed,
            "duration_ms": { "p50": p50, "p95": p95 },
        })
    }
}

/// Sums over scores of one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreTally {
    count: u64,
    numbers: u64,
    sum: f64,
    bounds: Option<(f64, f64)>,
}

impl ScoreTally {
    /// Of so many scores, so many of which are numbers or booleans, their sum, smallest and largest.
    pub const fn of(count: u64, numbers: u64, sum: f64, bounds: Option<(f64, f64)>) -> Self {
        Self { count, numbers, sum, bounds }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.numbers += other.numbers;
        self.sum += other.sum;
        let bounds = self.bounds.into_iter().chain(other.bounds);
        self.bounds = bounds.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
    }

    /// As the API shows it.
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    pub fn shown(&self) -> Map<String, Value> {
        let mean = (self.numbers > 0).then(|| self.sum / self.numbers as f64);
        let (min, max) = self.bounds.unzip();
        let shown = json!({ "count": self.count, "mean": mean, "min": min, "max": max });
        if let Value::Object(members) = shown { members } else { Map::new() }
    }
}

/// Whole nano-dollars as dollars.
#[expect(clippy::cast_precision_loss, reason = "sums stay below 2^53 nano-dollars, 9 million dollars")]
pub fn usd(nano: u64) -> f64 {
    nano as f64 / 1e9
}

/// First and last version of the prices that costs were derived from, as the API shows them.
pub fn price_versions(versions: Option<(u64, u64)>) -> Value {
    versions.map_or(Value::Null, |(first, last)| json!({ "first": first, "last": last }))
}

/// Times in classes that are 5 % wide: class `c` holds the milliseconds `m` with `floor(20 ln(1 + m)) = c`. Quantiles
/// are within 2.5 %, and two histograms add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(BTreeMap<i64, u64>);

impl Histogram {
    fn add(&mut self, class: i64, count: u64) {
        *self.0.entry(class).or_default() += count;
    }

    /// The smallest time that the share `q` of all does not exceed, to the width of its class.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        self.class_at(q).map(|class| middle(class, PARTS))
    }

    fn class_at(&self, q: f64) -> Option<i64> {
        let all: u64 = self.0.values().sum();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count below 2^53"
        )]
        let rank = ((all as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        self.0.iter().find_map(|(class, count)| {
            seen += count;
            (seen >= rank).then_some(*class)
        })
    }

    fn shown(&self) -> Value {
        let [p50, p90, p95, p99] = [0.5, 0.9, 0.95, 0.99].map(|q| self.quantile(q));
        json!({ "p50": p50, "p90": p90, "p95": p95, "p99": p99 })
    }
}

/// The milliseconds in the middle of a class.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "classes are below 800, times below 2^53"
)]
fn middle(class: i64, parts: f64) -> u64 {
    (((class as f64 + 0.5) / parts).exp() - 1.0).round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::{DAY_MS, FacetsQuery, HOUR_MS, Histogram, StatsQuery, Sums, Tally};
    use crate::problem::Problem;
    use std::borrow::Cow;

    fn class(ms: f64) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "small")]
        let class = ((1.0 + ms).ln() * 20.0) as i64;
        class
    }

    fn stats(pairs: &[(&'static str, &'static str)]) -> Result<StatsQuery, Problem> {
        StatsQuery::parse(pairs.iter().map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(*value))))
    }

    #[test]
    fn quantiles_are_within_their_classes_of_the_exact_ones() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for ms in 0..10_000 {
            histogram.add(class(f64::from(ms)), 1);
        }
        for (q, exact) in [(0.5, 5_000.0), (0.9, 9_000.0), (0.95, 9_500.0), (0.99, 9_900.0)] {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let found = histogram.quantile(q).unwrap() as f64;
            assert!((found / exact - 1.0).abs() < 0.026, "{q}: {found}");
        }
        let mut one = Histogram::default();
        one.add(class(0.0), 1);
        assert_eq!(one.quantile(0.99), Some(0));
    }

    #[test]
    fn the_failure_rate_is_of_what_ended() {
        let mut tally = Tally::default();
        tally.add(&Sums { status: "completed".into(), executions: 3, ..Sums::default() });
        tally.add(&Sums { status: "failed".into(), executions: 1, cost_nano_usd: 5, ..Sums::default() });
        tally.add_status("running", 6);
        let shown = tally.shown();
        assert_eq!((&shown["failure_rate"], &shown["executions"]), (&0.25.into(), &10.into()));
        assert!(Tally::default().shown()["failure_rate"].is_null());
    }

    #[test]
    fn buckets_fit_their_window() {
        let now = 1_000 * DAY_MS;
        assert_eq!(stats(&[]).unwrap().window(now).unwrap().1, DAY_MS);
        assert_eq!(stats(&[("bucket", "hour")]).unwrap().window(now).unwrap().1, HOUR_MS);
        let wide = stats(&[("from", "0"), ("bucket", "day")]).unwrap();
        assert_eq!(wide.window(now).unwrap_err().field.as_deref(), Some("from"));
    }

    #[test]
    fn bad_parameters_are_named() {
        for (pair, field) in [
            (("bucket", "minute"), "bucket"),
            (("group_by", "color"), "group_by"),
            (("error", "false"), "error"),
            (("min_tokens", "4"), "min_tokens"),
            (("limit", "4"), "limit"),
        ] {
            assert_eq!(stats(&[pair]).unwrap_err().field.as_deref(), Some(field));
        }
        let unpaged = FacetsQuery::parse([(Cow::Borrowed("cursor"), Cow::Borrowed("x"))].into_iter());
        assert_eq!(unpaged.unwrap_err().field.as_deref(), Some("cursor"));
    }
}
