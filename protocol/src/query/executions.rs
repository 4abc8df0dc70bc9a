//! `GET /v1/executions`: which executions, in which order, from where on, and what is shown of them.

use super::filter::Filter;
use super::parameters::{Pair, each, invalid};
use super::window::Bounds;
use super::{PageQuery, Window};
use crate::problem::Problem;
use crate::search::Text;
use std::format;
use std::string::String;
use std::vec::Vec;

/// The parameters, for the refusal of any other.
const KNOWN: &str =
    "the filters of the OpenAPI document, `text`, `from`, `to`, `sort`, `fields`, `limit` and `cursor`";

/// Days of a window that is sorted by anything but the start: each is read on its own.
const SORTED_DAYS_MAX: i64 = 32;

/// Members of an execution in lists.
pub const FIELDS: [&str; 29] = [
    "id",
    "name",
    "agent",
    "pipeline",
    "user",
    "session",
    "environment",
    "release",
    "tags",
    "status",
    "started_at",
    "ended_at",
    "duration_ms",
    "ttft_ms",
    "events",
    "rejected",
    "steps",
    "error_steps",
    "models",
    "tools",
    "usage",
    "cost_usd",
    "derived_cost_usd",
    "price_versions",
    "completeness",
    "subject",
    "provenance",
    "received_at",
    "updated_at",
];

/// What a list is sorted by, largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Newest start.
    #[default]
    Start,
    /// Longest. Of what has ended.
    Duration,
    /// Dearest. Of what has ended.
    Cost,
    /// Most tokens. Of what has ended.
    Tokens,
}

/// `GET /v1/executions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// What they have in common.
    pub filter: Filter,
    /// Their order.
    pub sort: Sort,
    /// Words that are all in it.
    pub text: Option<Text>,
    /// The members to show, in their own order; none shows all.
    pub fields: Option<Vec<&'static str>>,
    /// Page size and cursor.
    pub page: PageQuery,
    bounds: Bounds,
}

/// Where a page begins: the window as it was on the first page, and the last row before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The window's beginning.
    pub from: i64,
    /// What is sorted by: start, duration, cost or tokens.
    pub key: i64,
    /// Id of the execution; after every id on the first page.
    pub id: String,
}

impl ListQuery {
    /// Reads the list's parameters, and refuses anything else.
    pub fn parse<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Result<Self, Problem> {
        let mut query = Self::default();
        each(pairs, KNOWN, |name, value| {
            match name {
                "sort" => query.sort = sort(name, value)?,
                "text" => query.text = Some(Text::parse(name, value)?),
                "fields" => query.fields = Some(fields(name, value)?),
                _ => {
                    return Ok(query.filter.take(name, value)?
                        || query.bounds.take(name, value)?
                        || query.page.take(name, value)?);
                }
            }
            Ok(true)
        })?;
        query.bounds.check()?;
        if query.text.is_some() && query.sort != Sort::Start {
            return Err(invalid("sort", "What is found by `text` is sorted by start."));
        }
        query.filter.check()?;
        Ok(query)
    }

    pub(super) fn of(filter: Filter, bounds: Bounds, limit: u32) -> Self {
        Self { filter, bounds, page: PageQuery { limit, cursor: None }, ..Self::default() }
    }

    /// The window that is meant at `now` (Unix ms): whole days where the sort goes day by day.
    pub fn window(&self, now: i64) -> Result<Window, Problem> {
        let window = self.bounds.window(now);
        if self.sort == Sort::Start {
            return Ok(window);
        }
        let window = Window { to: Some(window.to.unwrap_or(now + 1)), ..window }.of_whole_days();
        window.refuse_beyond(SORTED_DAYS_MAX, now)?;
        Ok(window)
    }

    /// The question in one spelling, for cursors. What is shown and how much of it may change between pages.
    pub fn canonical(&self) -> String {
        format!("executions|{:?}|{:?}|{:?}|{}", self.sort, self.bounds, self.text, self.filter.canonical())
    }
}

/// `GET /v1/sessions` and `GET /v1/users`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedQuery {
    /// Page size and cursor.
    pub page: PageQuery,
    bounds: Bounds,
}

impl SharedQuery {
    /// Reads the parameters, and refuses anything else.
    pub fn parse<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Result<Self, Problem> {
        let mut query = Self::default();
        each(pairs, "`from`, `to`, `limit` and `cursor`", |name, value| {
            Ok(query.bounds.take(name, value)? || query.page.take(name, value)?)
        })?;
        query.bounds.check()?;
        Ok(query)
    }

    /// The window that is meant at `now` (Unix ms).
    pub fn window(&self, now: i64) -> Window {
        self.bounds.window(now)
    }

    /// The question in one spelling, for cursors.
    pub fn canonical(&self) -> String {
        format!("{:?}", self.bounds)
    }
}

impl Position {
    /// Before every row.
    pub fn first(window: Window) -> Self {
        // 2^53 is beyond every key and exact in a JavaScript number; ids are ASCII.
        Self { from: window.from, key: 1 << 53, id: "\u{7f}".into() }
    }

    /// As text, for a cursor.
    pub fn to_text(&self) -> String {
        format!("{}|{}|{}", self.from, self.key, self.id)
    }

    /// Of a cursor's text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '|');
        let mut next = || parts.next();
        Some(Self { from: next()?.parse().ok()?, key: next()?.parse().ok()?, id: next()?.into() })
    }
}

fn sort(name: &str, value: &str) -> Result<Sort, Problem> {
    match value {
        "start" => Ok(Sort::Start),
        "duration" => Ok(Sort::Duration),
        "cost" => Ok(Sort::Cost),
        "tokens" => Ok(Sort::Tokens),
        _ => Err(invalid(name, "`sort` is start, duration, cost or tokens, each largest first.")),
    }
}

fn fields(name: &str, value: &str) -> Result<Vec<&'static str>, Problem> {
    value
        .split(',')
        .map(|wanted| {
            FIELDS.into_iter().find(|field| *field == wanted).ok_or_else(|| {
                invalid(
                    name,
                    format!("Executions have no such field; `fields` is a list of {}.", FIELDS.join(", ")),
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{FIELDS, ListQuery, Position, Sort};
    use crate::problem::{Code, Problem};
    use crate::query::{DAY_MS, Window};
    use std::borrow::Cow;

    fn parse(pairs: &[(&'static str, &'static str)]) -> Result<ListQuery, Problem> {
        ListQuery::parse(pairs.iter().map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(*value))))
    }

    #[test]
    fn a_question_is_one_whatever_the_order_of_its_parameters() {
        let one = parse(&[("status", "failed"), ("user", "a"), ("sort", "cost"), ("limit", "3")]).unwrap();
        let same = parse(&[("sort", "cost"), ("user", "a"), ("status", "failed"), ("fields", "id")]).unwrap();
        assert_eq!(one.canonical(), same.canonical());
        for other in [&[("user", "a")][..], &[("user", "a"), ("status", "failed")], &[]] {
            assert_ne!(parse(other).unwrap().canonical(), one.canonical());
        }
    }

    #[test]
    fn bad_parameters_are_named() {
        for (pairs, code, field) in [
            (&[("offset", "3")][..], Code::ParameterUnknown, "offset"),
            (&[("status", "failed"), ("status", "failed")], Code::ParameterInvalid, "status"),
            (&[("sort", "name")], Code::ParameterInvalid, "sort"),
            (&[("fields", "id,input")], Code::ParameterInvalid, "fields"),
            (&[("fields", "")], Code::ParameterInvalid, "fields"),
            (&[("limit", "0")], Code::ParameterInvalid, "limit"),
            (&[("from", "5"), ("to", "5")], Code::ParameterInvalid, "to"),
            (&[("min_score", "0.5")], Code::ParameterInvalid, "min_score"),
            (&[("score_value", "good"), ("user", "ann")], Code::ParameterInvalid, "score_value"),
            (&[("from", "yesterday")], Code::ParameterInvalid, "from"),
        ] {
            let problem = parse(pairs).unwrap_err();
            assert_eq!((problem.code, problem.field.as_deref()), (code, Some(field)));
        }
    }

    #[test]
    fn sorted_windows_are_whole_days_and_not_too_many() {
        let now = 100 * DAY_MS + 5;
        let query = parse(&[("sort", "duration")]).unwrap();
        assert_eq!(query.sort, Sort::Duration);
        assert_eq!(query.window(now), Ok(Window { from: 93 * DAY_MS, to: Some(101 * DAY_MS) }));
        let wide = parse(&[("sort", "tokens"), ("from", "0")]).unwrap();
        assert_eq!(wide.window(now).unwrap_err().field.as_deref(), Some("from"));
        assert!(parse(&[("from", "0")]).unwrap().window(now).is_ok());
    }

    #[test]
    fn positions_survive_their_text() {
        let position = Position { from: 3, key: -5, id: "run_1".into() };
        assert_eq!(Position::parse(&position.to_text()), Some(position));
        assert_eq!(Position::parse("3|x|run_1"), None);
    }

    #[test]
    fn fields_stand_once() {
        let mut fields = FIELDS.to_vec();
        fields.sort_unstable();
        fields.dedup();
        assert_eq!(fields.len(), FIELDS.len());
    }
}
