//! `GET /v1/steps`: steps of all executions. Facets choose the executions, before anything is opened.

use super::executions::ListQuery;
use super::filter::{Facet, Filter};
use super::parameters::{PageQuery, Pair, each, invalid};
use super::window::Bounds;
use crate::batch::Step;
use crate::problem::Problem;
use std::format;
use std::string::{String, ToString};

/// Shortest and longest text that is looked for, in characters.
const TEXT_MIN: usize = 3;
const TEXT_MAX: usize = 200;
const KINDS: [&str; 10] = [
    "llm",
    "tool",
    "retrieval",
    "embedding",
    "agent",
    "chain",
    "decision",
    "guardrail",
    "evaluator",
    "custom",
];
const STATUSES: [&str; 3] = ["ok", "error", "cancelled"];

/// `GET /v1/steps`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepsQuery {
    /// What the steps' executions have in common.
    filter: Filter,
    kind: Option<String>,
    name: Option<String>,
    model: Option<String>,
    tool: Option<String>,
    status: Option<String>,
    /// In lower case.
    text: Option<String>,
    /// Page size and cursor.
    pub page: PageQuery,
    bounds: Bounds,
}

impl StepsQuery {
    /// Reads the parameters, and refuses anything else.
    pub fn parse<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Result<Self, Problem> {
        let mut query = Self::default();
        let known = "`kind`, `name`, `model`, `tool`, `status`, `text`, facets of executions (`user`, `session`, `agent`, \
                     `pipeline`, `environment`, `release`, `tag`), `from`, `to`, `limit` and `cursor`";
        each(pairs, known, |name, value| query.take(name, value))?;
        query.bounds.check()?;
        Ok(query)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<bool, Problem> {
        match name {
            "kind" => self.kind = Some(one_of(name, value, &KINDS)?),
            "name" => self.name = Some(value.to_string()),
            "status" => {
                self.status = Some(one_of(name, value, &STATUSES)?);
                if value == "error" {
                    self.filter.take("error", "true")?;
                }
            }
            "text" => self.text = Some(text(name, value)?),
            "model" | "tool" => {
                let slot = if name == "model" { &mut self.model } else { &mut self.tool };
                *slot = Some(value.to_string());
                return self.filter.take(name, value);
            }
            "error" => return Ok(false),
            _ if Facet::parse(name).is_some() => return self.filter.take(name, value),
            _ => return Ok(self.bounds.take(name, value)? || self.page.take(name, value)?),
        }
        Ok(true)
    }

    /// The list of the executions whose steps are looked at, `limit` at a time.
    pub fn executions(&self, limit: u32) -> ListQuery {
        ListQuery::of(self.filter.clone(), self.bounds, limit)
    }

    /// Whether a step, recorded as `line`, is one of those.
    pub fn passes(&self, step: &Step<'_>, line: &str) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        // What a tool step does not name otherwise is its name, as in roll-ups.
        let is_tool = step.kind.as_str() == "tool";
        let tool = step.tool.as_deref().or_else(|| is_tool.then_some(&*step.name));
        is(&self.kind, Some(step.kind.as_str()))
            && is(&self.name, Some(&step.name))
            && is(&self.model, step.model.as_deref())
            && is(&self.tool, tool)
            && is(&self.status, Some(step.status.map_or("", |status| status.as_str())))
            && self.text.as_deref().is_none_or(|text| line.to_lowercase().contains(text))
    }

    /// The question in one spelling, for cursors.
    pub fn canonical(&self) -> String {
        let Self { filter, kind, name, model, tool, status, text, bounds, page: _ } = self;
        format!("search|{filter:?}|{kind:?}|{name:?}|{model:?}|{tool:?}|{status:?}|{text:?}|{bounds:?}")
    }
}

fn one_of(name: &str, value: &str, words: &[&str]) -> Result<String, Problem> {
    if words.contains(&value) {
        return Ok(value.to_string());
    }
    Err(invalid(name, format!("`{name}` is one of {}.", words.join(", "))))
}

fn text(name: &str, value: &str) -> Result<String, Problem> {
    if (TEXT_MIN..=TEXT_MAX).contains(&value.chars().count()) {
        return Ok(value.to_lowercase());
    }
    Err(invalid(name, format!("`{name}` has {TEXT_MIN} to {TEXT_MAX} characters.")))
}

#[cfg(test)]
mod tests {
    use super::StepsQuery;
    use crate::batch::{Batch, Kind};
    use crate::problem::Problem;
    use std::borrow::Cow;

    fn parse(pairs: &[(&'static str, &'static str)]) -> Result<StepsQuery, Problem> {
        StepsQuery::parse(pairs.iter().map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(*value))))
    }

    #[test]
    fn a_step_passes_by_all_that_is_asked() {
        let body = b"{\"v\":1,\"x\":\"run_0000000000000001\",\"k\":0,\"prev\":\"\",\"n\":0}\n\
            {\"t\":\"step\",\"n\":0,\"id\":\"s1\",\"kind\":\"tool\",\"name\":\"search\",\"at\":5,\"duration_ms\":1,\"status\":\"error\",\"output\":\"No Seats left\"}\n";
        let batch = Batch::parse(body).unwrap();
        let event = &batch.events[0];
        let Kind::Step(step) = &event.kind else { panic!("{event:?}") };
        for (pairs, passes) in [
            (&[][..], true),
            (&[("kind", "tool"), ("name", "search"), ("status", "error"), ("tool", "search")], true),
            (&[("text", "no seats")], true),
            (&[("text", "NO SEATS LEFT")], true),
            (&[("text", "two seats")], false),
            (&[("status", "ok")], false),
            (&[("model", "m")], false),
            (&[("kind", "llm")], false),
        ] {
            assert_eq!(parse(pairs).unwrap().passes(step, event.text), passes, "{pairs:?}");
        }
    }

    #[test]
    fn bad_parameters_are_named() {
        for (name, value) in
            [("kind", "thought"), ("status", "failed"), ("text", "ab"), ("error", "true"), ("sort", "cost")]
        {
            assert_eq!(parse(&[(name, value)]).unwrap_err().field.as_deref(), Some(name));
        }
    }
}
