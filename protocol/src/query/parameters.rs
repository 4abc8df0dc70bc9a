//! Parameters of the reading routes. An unknown name is an error, not a filter that silently does
//! nothing.

use crate::problem::{Code, Problem};
use std::borrow::Cow;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Rows of a page where nobody says otherwise, and at most.
const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;
/// What `Date` can hold, in milliseconds.
const TIME_MAX_MS: i64 = 8_640_000_000_000_000;

/// Status of an execution as lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Going on.
    Running,
    /// Waits for a person.
    Waiting,
    /// Ended well.
    Completed,
    /// Ended in an error.
    Failed,
    /// Ended before its time.
    Cancelled,
    /// Silent for so long that nobody expects an end.
    Abandoned,
}

impl Status {
    pub(super) const ALL: [Self; 6] =
        [Self::Running, Self::Waiting, Self::Completed, Self::Failed, Self::Cancelled, Self::Abandoned];

    /// The status's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Page size and cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageQuery {
    /// Rows of a page, 1 to 200.
    pub limit: u32,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

impl Default for PageQuery {
    fn default() -> Self {
        Self { limit: LIMIT_DEFAULT, cursor: None }
    }
}

pub(super) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

pub(crate) fn invalid(name: &str, detail: impl Into<String>) -> Problem {
    Problem::new(Code::ParameterInvalid, detail).of_field(name)
}

/// Hands every pair to `take`, which says whether it knows the name; a name may stand once.
pub(super) fn each<'a>(
    pairs: impl Iterator<Item = Pair<'a>>,
    known: &str,
    mut take: impl FnMut(&str, &str) -> Result<bool, Problem>,
) -> Result<(), Problem> {
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in pairs {
        if seen.iter().any(|earlier| *earlier == name) {
            return Err(invalid(&name, format!("Parameter `{name}` stands more than once.")));
        }
        if !take(&name, &value)? {
            return Err(Problem::new(
                Code::ParameterUnknown,
                format!("This route has no parameter `{name}`; it has {known}."),
            )
            .of_field(name.to_string()));
        }
        seen.push(name.into_owned());
    }
    Ok(())
}

impl PageQuery {
    /// Reads `limit` and `cursor`, and refuses anything else.
    pub fn parse<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Result<Self, Problem> {
        let mut page = Self::default();
        each(pairs, "`limit` and `cursor`", |name, value| page.take(name, value))?;
        Ok(page)
    }

    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool, Problem> {
        match name {
            "limit" => {
                self.limit =
                    value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
                        invalid(name, format!("`limit` is a whole number from 1 to {LIMIT_MAX}."))
                    })?;
            }
            "cursor" => self.cursor = Some(value.into()),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

pub(super) fn time(name: &str, value: &str) -> Result<i64, Problem> {
    value
        .parse()
        .ok()
        .filter(|time| (0..=TIME_MAX_MS).contains(time))
        .ok_or_else(|| invalid(name, format!("`{name}` is a Unix time in whole milliseconds.")))
}

/// A whole number from 0 to 2^53 - 1: what JSON carries exactly.
pub(super) fn number(name: &str, value: &str) -> Result<i64, Problem> {
    value
        .parse()
        .ok()
        .filter(|number| (0..1 << 53).contains(number))
        .ok_or_else(|| invalid(name, format!("`{name}` is a whole number from 0 to 2^53 - 1.")))
}

/// `true` or `false`.
pub(super) fn truth(name: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(invalid(name, format!("`{name}` is `true` or `false`."))),
    }
}
