//! What executions are filtered by. What is a facet is found through an index; the rest is compared row by
//! row, of a bounded number of rows.

use super::Status;
use super::parameters::{invalid, number, truth};
use crate::at_rest::labels::{LabelIndex, OpenLabels};
use crate::problem::Problem;
use crate::rollup::{Completeness, label};
use crate::scores::stored_text;
use serde_json::Value;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};

/// What executions are found by. The order is the one in which an index is chosen: what few executions share
/// stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the protocol's own, SPEC.md explains them")]
pub enum Facet {
    Session,
    User,
    Tag,
    Score,
    Release,
    Tool,
    Name,
    Model,
    Agent,
    Pipeline,
    Error,
    Environment,
    Status,
}

impl Facet {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Session,
        Self::User,
        Self::Tag,
        Self::Score,
        Self::Release,
        Self::Tool,
        Self::Name,
        Self::Model,
        Self::Agent,
        Self::Pipeline,
        Self::Error,
        Self::Environment,
        Self::Status,
    ];

    /// The facet's word, in parameters and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::User => "user",
            Self::Tag => "tag",
            Self::Score => "score",
            Self::Release => "release",
            Self::Tool => "tool",
            Self::Name => "name",
            Self::Model => "model",
            Self::Agent => "agent",
            Self::Pipeline => "pipeline",
            Self::Error => "error",
            Self::Environment => "environment",
            Self::Status => "status",
        }
    }

    /// The facet of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|facet| facet.as_str() == word)
    }

    /// The column that its labels are indexed for; none for what stands plain.
    const fn indexed_for(self) -> Option<&'static str> {
        match self {
            Self::Error | Self::Status => None,
            Self::Tag => Some("tags"),
            Self::Model => Some("models"),
            Self::Tool => Some("tools"),
            other => Some(other.as_str()),
        }
    }

    /// The text that the store has for `value`.
    pub fn stored(self, labels: &LabelIndex, value: &str) -> String {
        match self.indexed_for() {
            Some(column) => labels.of_label(column, &label(value)),
            None => value.to_string(),
        }
    }

    /// The value of a stored text; none if nothing opened it.
    pub fn shown<'a>(self, labels: &'a OpenLabels, stored: &'a str) -> Option<&'a str> {
        if self.indexed_for().is_some() { labels.get(stored) } else { Some(stored) }
    }
}

/// A range, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// At least.
    pub min: Option<i64>,
    /// At most.
    pub max: Option<i64>,
}

impl Range {
    const fn is_open(&self) -> bool {
        self.min.is_none() && self.max.is_none()
    }
}

/// What all executions of an answer have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// What they are found by.
    pub facets: BTreeMap<Facet, String>,
    /// `false`: nothing in them failed. (`true` is a facet.)
    pub sound: bool,
    /// How long they took, ms.
    pub duration_ms: Range,
    /// Tokens of all buckets.
    pub tokens: Range,
    /// What they cost, nano-dollars.
    pub cost_nano_usd: Range,
    /// Whether their record is whole.
    pub completeness: Option<Completeness>,
    /// What a score of the facet's name says.
    pub scored: Scored,
}

/// What a score says: all that is given, of one score.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scored {
    /// At least; a number as text, so that questions can be compared.
    min: Option<String>,
    /// At most.
    max: Option<String>,
    /// This text, `true` or `false`.
    text: Option<String>,
}

impl Filter {
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool, Problem> {
        match name {
            "error" if !truth(name, value)? => self.sound = true,
            "completeness" => self.completeness = Some(completeness(name, value)?),
            "min_duration_ms" => self.duration_ms.min = Some(number(name, value)?),
            "max_duration_ms" => self.duration_ms.max = Some(number(name, value)?),
            "min_tokens" => self.tokens.min = Some(number(name, value)?),
            "max_tokens" => self.tokens.max = Some(number(name, value)?),
            "min_cost_usd" => self.cost_nano_usd.min = Some(nano_dollars(name, value)?),
            "min_score" => self.scored.min = Some(bound(name, value)?),
            "max_score" => self.scored.max = Some(bound(name, value)?),
            "score_value" if value.is_empty() => {
                return Err(invalid(name, "`score_value` is empty; leave it out."));
            }
            "score_value" => self.scored.text = Some(value.into()),
            "max_cost_usd" => self.cost_nano_usd.max = Some(nano_dollars(name, value)?),
            _ => {
                let Some(facet) = Facet::parse(name) else { return Ok(false) };
                check_word(facet, value)?;
                self.facets.insert(facet, value.into());
            }
        }
        Ok(true)
    }

    /// Refuses what a score should say where no score is named.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.facets.contains_key(&Facet::Score) {
            return Ok(());
        }
        let Scored { min, max, text } = &self.scored;
        let given = [("min_score", min), ("max_score", max), ("score_value", text)];
        match given.into_iter().find(|(_, given)| given.is_some()) {
            Some((name, _)) => {
                Err(invalid(name, format!("`{name}` is of the score that `score` names; name it.")))
            }
            None => Ok(()),
        }
    }

    /// Whether rows must be looked at beyond the index that finds them.
    pub fn looks_at_rows(&self) -> bool {
        self.facets.len() > 1
            || self.sound
            || self.completeness.is_some()
            || self.scored != Scored::default()
            || !(self.duration_ms.is_open() && self.tokens.is_open() && self.cost_nano_usd.is_open())
    }

    /// The facet whose index finds the fewest, and its value.
    pub fn leading(&self) -> Option<(Facet, &str)> {
        self.facets.first_key_value().map(|(facet, value)| (*facet, value.as_str()))
    }

    /// All facets with their values as the store has them, for SQL: a JSON array of pairs. A score's also says what it
    /// is to be: at least, at most, which text.
    pub fn stored_facets(&self, labels: &LabelIndex) -> String {
        self.stored_from(0, labels)
    }

    /// The same without the leading one, for questions whose index holds it; what its score must say stays.
    pub fn stored_facets_beside_leading(&self, labels: &LabelIndex) -> String {
        self.stored_from(1, labels)
    }

    fn stored_from(&self, first: usize, labels: &LabelIndex) -> String {
        let stored = |(facet, value): (&Facet, &String)| {
            let mut stored = std::vec![Value::from(facet.as_str()), facet.stored(labels, value).into()];
            if *facet == Facet::Score && self.scored != Scored::default() {
                let Scored { min, max, text } = &self.scored;
                let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<f64>().ok());
                let text = text.as_ref().map(|text| stored_text(labels, text));
                stored.extend([number(min).into(), number(max).into(), text.into()]);
            }
            Value::Array(stored)
        };
        let asked = |(index, (facet, _)): &(usize, (&Facet, &String))| {
            *index >= first || **facet == Facet::Score && self.scored != Scored::default()
        };
        let asked = self.facets.iter().enumerate().filter(asked).map(|(_, facet)| stored(facet));
        Value::Array(asked.collect()).to_string()
    }

    /// One spelling for the same filter, for cursors.
    pub(super) fn canonical(&self) -> String {
        format!("{self:?}")
    }
}

fn check_word(facet: Facet, value: &str) -> Result<(), Problem> {
    let name = facet.as_str();
    match facet {
        Facet::Status if !Status::ALL.iter().any(|status| status.as_str() == value) => {
            Err(invalid(name, "`status` is running, waiting, completed, failed, cancelled or abandoned."))
        }
        _ if value.is_empty() => Err(invalid(name, format!("`{name}` is empty; leave it out."))),
        _ => Ok(()),
    }
}

fn completeness(name: &str, value: &str) -> Result<Completeness, Problem> {
    match value {
        "open" => Ok(Completeness::Open),
        "complete" => Ok(Completeness::Complete),
        "incomplete" => Ok(Completeness::Incomplete),
        _ => Err(invalid(name, "`completeness` is open, complete or incomplete.")),
    }
}

/// A number that a score may be compared with.
fn bound(name: &str, value: &str) -> Result<String, Problem> {
    const MAX: f64 = 1e15;
    let number: Option<f64> = value.parse().ok().filter(|number: &f64| number.abs() <= MAX);
    Ok(number
        .ok_or_else(|| invalid(name, format!("`{name}` is a number from -10^15 to 10^15.")))?
        .to_string())
}

/// Dollars in decimal as whole nano-dollars.
fn nano_dollars(name: &str, value: &str) -> Result<i64, Problem> {
    const MAX_USD: f64 = 9e6;
    let decimal = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let dollars: Option<f64> = value.parse().ok().filter(|_| decimal);
    let dollars = dollars.filter(|dollars| (0.0..=MAX_USD).contains(dollars)).ok_or_else(|| {
        invalid(name, format!("`{name}` is an amount in dollars from 0 to 9000000, such as 0.25."))
    })?;
    #[expect(clippy::cast_possible_truncation, reason = "the range was just checked")]
    Ok((dollars * 1e9).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::{Facet, Filter};

    #[test]
    fn the_facet_that_finds_the_fewest_leads() {
        let mut filter = Filter::default();
        for (name, value) in [("status", "failed"), ("user", "ann"), ("model", "m")] {
            assert_eq!(filter.take(name, value), Ok(true));
        }
        assert_eq!(filter.leading(), Some((Facet::User, "ann")));
        assert!(filter.looks_at_rows());
    }

    #[test]
    fn what_is_no_value_of_a_parameter_names_it() {
        for (name, value) in [
            ("status", "gone"),
            ("error", "yes"),
            ("user", ""),
            ("min_cost_usd", "-1"),
            ("min_cost_usd", "1e3"),
            ("max_cost_usd", "NaN"),
            ("min_tokens", "1.5"),
            ("max_duration_ms", "99999999999999999999"),
            ("completeness", "whole"),
            ("min_score", "high"),
            ("min_score", "NaN"),
            ("max_score", "inf"),
            ("score_value", ""),
        ] {
            let problem = Filter::default().take(name, value).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some(name), "{name}={value}");
        }
        assert_eq!(Filter::default().take("offset", "1"), Ok(false));
    }

    #[test]
    fn dollars_become_whole_nano_dollars() {
        let mut filter = Filter::default();
        assert_eq!(filter.take("min_cost_usd", "0.000000001"), Ok(true));
        assert_eq!(filter.take("max_cost_usd", "1.25"), Ok(true));
        assert_eq!((filter.cost_nano_usd.min, filter.cost_nano_usd.max), (Some(1), Some(1_250_000_000)));
    }
}
