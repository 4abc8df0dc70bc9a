//! A project's monthly budget: what it may store in a calendar month (UTC). At its end the project's batches
//! are refused until the next month, or until somebody raises it.
//!
//! What counts is what was stored, once: refused batches and retries cost nothing. Use is known after a
//! commit, so the batch that crosses the limit is still taken, and so are those that were under way with it.

use crate::calendar::next_month;
use crate::problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::format;

/// Longest time for which a sender is told to stop, in milliseconds: a budget raised meanwhile takes hold
/// within it.
const STOP_MAX_MS: u64 = 3_600_000;
const NANO_USD_MAX: u64 = 1_000_000 * NANO;
const NANO: u64 = 1_000_000_000;
const COUNT_MAX: u64 = 1_000_000_000_000;

/// What a project may store in a month. What is absent is not limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Events.
    #[serde(default)]
    pub steps: Option<u64>,
    /// Bytes as sent.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Cost, reported or derived from prices; in JSON as US dollars.
    #[serde(default, rename = "cost_usd", with = "usd")]
    pub cost_nano_usd: Option<u64>,
    /// Share of a limit at which the project is warned, in percent.
    #[serde(default = "default_warning")]
    pub warn_at_percent: u8,
}

const fn default_warning() -> u8 {
    80
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: None, bytes: None, cost_nano_usd: None, warn_at_percent: default_warning() }
    }
}

/// What was stored in a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Events.
    pub steps: u64,
    /// Bytes as sent.
    pub bytes: u64,
    /// Cost, reported or derived.
    pub cost_nano_usd: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            bytes: self.bytes + other.bytes,
            cost_nano_usd: self.cost_nano_usd.saturating_add(other.cost_nano_usd),
        }
    }
}

/// Where a project stands with its budget, in order of gravity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Below the warning.
    #[default]
    Within,
    /// Beyond the warning, below the limit.
    Warned,
    /// At the limit or beyond.
    Exhausted,
}

impl Budget {
    /// Where `usage` stands.
    pub fn standing(&self, usage: &Usage) -> Standing {
        [(self.steps, usage.steps), (self.bytes, usage.bytes), (self.cost_nano_usd, usage.cost_nano_usd)]
            .into_iter()
            .filter_map(|(limit, used)| Some(self.standing_of(limit?, used)))
            .max()
            .unwrap_or_default()
    }

    fn standing_of(&self, limit: u64, used: u64) -> Standing {
        if used >= limit {
            Standing::Exhausted
        } else if u128::from(used) * 100 >= u128::from(limit) * u128::from(self.warn_at_percent) {
            Standing::Warned
        } else {
            Standing::Within
        }
    }

    /// Refuses budgets that are no numbers to count with.
    pub fn check(&self) -> Result<(), Problem> {
        let refuse = |field: &str, detail: &str| {
            Err(Problem::new(Code::RequestMalformed, detail).of_field(format!("budget.{field}")))
        };
        let counts = [("steps", self.steps), ("bytes", self.bytes)];
        if let Some((field, _)) =
            counts.into_iter().find(|(_, limit)| limit.is_some_and(|limit| limit > COUNT_MAX))
        {
            return refuse(field, "At most 1,000,000,000,000; leave it out for no limit.");
        }
        if self.cost_nano_usd.is_some_and(|limit| limit > NANO_USD_MAX) {
            return refuse("cost_usd", "0 to 1,000,000 US dollars; leave it out for no limit.");
        }
        if !(1..=100).contains(&self.warn_at_percent) {
            return refuse("warn_at_percent", "`warn_at_percent` is 1 to 100.");
        }
        Ok(())
    }
}

/// Until when a sender stops, Unix ms, when a budget is used up at `now`.
pub fn stop_until(now: u64) -> u64 {
    next_month(now).min(now + STOP_MAX_MS)
}

/// Money in JSON as dollars, here as whole nano-dollars: sums of fractions depend on their order.
mod usd {
    use super::{NANO, NANO_USD_MAX};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "serde passes the field by reference")]
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    pub(super) fn serialize<S: Serializer>(nano: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        nano.map(|nano| nano as f64 / NANO as f64).serialize(serializer)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        let Some(dollars) = Option::<f64>::deserialize(deserializer)? else { return Ok(None) };
        let nano = dollars * NANO as f64;
        if !(0.0..=NANO_USD_MAX as f64).contains(&nano) {
            return Err(D::Error::custom("`cost_usd` is 0 to 1,000,000 US dollars"));
        }
        // Adding a half and cutting rounds without the standard library's floats.
        Ok(Some((nano + 0.5) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Standing, Usage, stop_until};

    fn budget(json: &str) -> Budget {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_gravest_limit_decides() {
        let budget = budget(r#"{"steps":100,"cost_usd":2.5,"warn_at_percent":50}"#);
        let standing =
            |steps, cost_nano_usd| budget.standing(&Usage { steps, bytes: u64::MAX, cost_nano_usd });
        assert_eq!(standing(49, 0), Standing::Within);
        assert_eq!(standing(50, 0), Standing::Warned);
        assert_eq!(standing(0, 1_250_000_000), Standing::Warned);
        assert_eq!(standing(99, 2_499_999_999), Standing::Warned);
        assert_eq!(standing(100, 0), Standing::Exhausted);
        assert_eq!(standing(0, 2_500_000_000), Standing::Exhausted);
        assert_eq!(
            Budget::default().standing(&Usage { steps: u64::MAX, ..Usage::default() }),
            Standing::Within
        );
    }

    #[test]
    fn money_keeps_its_value_through_json() {
        for text in ["0.1", "12.345678901", "1000000.0"] {
            let budget = budget(&std::format!(r#"{{"cost_usd":{text}}}"#));
            let again: Budget = serde_json::from_str(&serde_json::to_string(&budget).unwrap()).unwrap();
            assert_eq!(again, budget);
        }
        assert_eq!(budget(r#"{"cost_usd":0.1}"#).cost_nano_usd, Some(100_000_000));
        for wrong in [r#"{"cost_usd":-1}"#, r#"{"cost_usd":1e7}"#, r#"{"tokens":1}"#, r#"{"steps":-1}"#] {
            assert!(serde_json::from_str::<Budget>(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            budget(r#"{"warn_at_percent":0}"#).check().unwrap_err().field.as_deref(),
            Some("budget.warn_at_percent")
        );
        assert!(budget(r#"{"steps":0}"#).check().is_ok());
        assert!(budget(r#"{"bytes":1000000000001}"#).check().is_err());
    }

    #[test]
    fn a_stop_lasts_an_hour_and_never_beyond_the_month() {
        assert_eq!(stop_until(1_795_219_200_000), 1_795_219_200_000 + 3_600_000);
        let last_minute = 1_767_225_600_000 - 60_000;
        assert_eq!(stop_until(last_minute), 1_767_225_600_000);
    }
}
