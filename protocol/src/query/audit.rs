//! Parameters of the audit log's routes.

use super::PageQuery;
use super::parameters::{Pair, each, invalid, time};
use crate::audit::Action;
use crate::problem::Problem;
use std::format;
use std::string::String;

/// `GET /v1/audit`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only this action.
    pub action: Option<Action>,
    /// Only of this actor.
    pub actor: Option<String>,
    /// Only to this target.
    pub target: Option<String>,
    /// At or after, Unix ms.
    pub from: Option<i64>,
    /// Before, Unix ms.
    pub to: Option<i64>,
    /// Page size and cursor.
    pub page: PageQuery,
}

impl AuditQuery {
    /// Reads the log's parameters, and refuses anything else.
    pub fn parse<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Result<Self, Problem> {
        let mut query = Self::default();
        let known = "`action`, `actor`, `target`, `from`, `to`, `limit` and `cursor`";
        each(pairs, known, |name, value| {
            match name {
                "action" => {
                    let action = Action::ALL.iter().find(|action| action.as_str() == value);
                    query.action = Some(*action.ok_or_else(|| invalid(name, "There is no such action."))?);
                }
                "actor" => query.actor = Some(value.into()),
                "target" => query.target = Some(value.into()),
                "from" => query.from = Some(time(name, value)?),
                "to" => query.to = Some(time(name, value)?),
                _ => return query.page.take(name, value),
            }
            Ok(true)
        })?;
        Ok(query)
    }

    /// The filters in one spelling, for cursors.
    pub fn canonical(&self) -> String {
        format!("audit|{:?}|{:?}|{:?}|{:?}|{:?}", self.action, self.actor, self.target, self.from, self.to)
    }
}

/// `GET /v1/audit/verify`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditVerifyQuery {
    /// An entry that was noted earlier: its number and hash.
    pub noted: Option<(u64, String)>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

impl AuditVerifyQuery {
    /// Reads `seq`, `hash` and `cursor`, and refuses anything else.
    pub fn parse<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Result<Self, Problem> {
        let (mut seq, mut hash, mut cursor) = (None, None, None);
        each(pairs, "`seq`, `hash` and `cursor`", |name, value| {
            match name {
                "seq" => {
                    let number = value.parse::<u64>().ok().filter(|number| *number > 0);
                    seq = Some(number.ok_or_else(|| invalid(name, "`seq` is an entry's number."))?);
                }
                "hash" => hash = Some(String::from(value)),
                "cursor" => cursor = Some(String::from(value)),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let noted = match (seq, hash) {
            (Some(seq), Some(hash)) => Some((seq, hash)),
            (None, None) => None,
            _ => return Err(invalid("seq", "`seq` and `hash` are given together.")),
        };
        Ok(Self { noted, cursor })
    }
}
