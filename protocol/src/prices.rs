//! Prices: what a step cost that says which model it called and how many tokens that took, but not what it cost.
//!
//! A project's table has a version. An edit makes the next one and leaves the others as they were, so a batch that was
//! priced under a version can be priced under it again: verification does. Amounts are whole nano-dollars for a million
//! tokens; a step's sum is rounded once. A price holds for what began while it was valid, by the step's own time, which
//! stands in the signed bytes.

use crate::batch::{Step, Usage};
use crate::problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::format;
use std::string::String;
use std::vec::Vec;

/// Most prices of a table: it travels with the project's configuration.
const PRICES_MAX: usize = 200;
/// Longest name of a model, in bytes.
const MODEL_MAX: usize = 128;
/// Dearest million tokens, in dollars.
const USD_MAX: f64 = 10_000.0;
/// Dearest step, in nano-dollars: the same as of what steps report.
const STEP_NANO_USD_MAX: u128 = 1_000_000_000_000_000;
const MILLION: u128 = 1_000_000;
/// Unix ms that a JSON number carries and a `Date` holds.
const TIME_MAX_MS: i64 = 8_640_000_000_000_000;

/// One version of a project's prices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceTable {
    /// Counted from 1; 0 is the empty table that every project begins with.
    pub version: u64,
    /// When it was made, Unix ms.
    pub made_at: u64,
    /// The prices.
    pub prices: Vec<Price>,
}

/// What the tokens of a model cost while the price is valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Name of a model; stands for its dated snapshots too. With `*` at its end: whatever begins so.
    pub model: String,
    /// For steps that began then or later, Unix ms.
    pub valid_from: Option<i64>,
    /// For steps that began before, Unix ms.
    pub valid_until: Option<i64>,
    /// Nano-dollars for a million tokens of each bucket.
    pub rates: Rates,
}

/// Nano-dollars for a million tokens. Buckets exclude each other, so no token is paid twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the buckets are those of `Usage`")]
pub struct Rates {
    pub input: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub output: u64,
    pub reasoning: u64,
}

impl PriceTable {
    /// What a step cost, in nano-dollars, if it is one to be priced: it reports no cost of its own, tokens that are not
    /// its children's, and a model that has a price.
    pub fn derive(&self, step: &Step<'_>) -> Option<u64> {
        if step.cost_nano_usd.is_some() || !step.is_leaf() || step.usage == Usage::default() {
            return None;
        }
        let price = self.find(step.model.as_deref()?, step.at)?;
        Some(price.rates.cost(&step.usage))
    }

    /// The price of a model at a time: of its own name, else of the name that it is a dated snapshot of, else of the
    /// longest beginning.
    fn find(&self, model: &str, at: i64) -> Option<&Price> {
        let valid = self.prices.iter().filter(|price| price.is_valid(at));
        valid
            .filter_map(|price| Some((price.rank(model)?, price)))
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, price)| price)
    }

    /// As the API shows it.
    pub fn shown(&self) -> Value {
        json!({
            "version": self.version,
            "made_at": (self.version > 0).then_some(self.made_at),
            "prices": self.prices.iter().map(Price::shown).collect::<Vec<_>>(),
        })
    }
}

impl Price {
    fn is_valid(&self, at: i64) -> bool {
        self.valid_from.is_none_or(|from| at >= from) && self.valid_until.is_none_or(|until| at < until)
    }

    /// How well it fits a model; none if it does not.
    fn rank(&self, model: &str) -> Option<usize> {
        if let Some(beginning) = self.model.strip_suffix('*') {
            return model.starts_with(beginning).then_some(beginning.len());
        }
        match () {
            () if self.model == model => Some(usize::MAX),
            () if undated(model) == Some(self.model.as_str()) => Some(usize::MAX - 1),
            () => None,
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let begins_before_end = |one: &Self, other: &Self| match (one.valid_from, other.valid_until) {
            (Some(from), Some(until)) => from < until,
            _ => true,
        };
        self.model == other.model && begins_before_end(self, other) && begins_before_end(other, self)
    }

    fn shown(&self) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "at most 10,000 dollars")]
        let usd = |nano: u64| nano as f64 / 1e9;
        let Rates { input, cache_read, cache_write, output, reasoning } = self.rates;
        json!({
            "model": self.model,
            "valid_from": self.valid_from,
            "valid_until": self.valid_until,
            "usd_per_million": {
                "input": usd(input), "cache_read": usd(cache_read), "cache_write": usd(cache_write),
                "output": usd(output), "reasoning": usd(reasoning),
            },
        })
    }
}

impl Rates {
    fn cost(&self, usage: &Usage) -> u64 {
        let of = |tokens: u64, rate: u64| u128::from(tokens) * u128::from(rate);
        let sum = of(usage.input, self.input)
            + of(usage.cache_read, self.cache_read)
            + of(usage.cache_write, self.cache_write)
            + of(usage.output, self.output)
            + of(usage.reasoning, self.reasoning);
        let nano = ((sum + MILLION / 2) / MILLION).min(STEP_NANO_USD_MAX);
        u64::try_from(nano).unwrap_or(u64::MAX)
    }
}

/// The model that a dated snapshot is of: `gpt-4o-2024-08-06`, `claude-3-5-sonnet-20241022`, `claude-3-5-sonnet@20241022`.
fn undated(model: &str) -> Option<&str> {
    let bytes = model.as_bytes();
    let fits = |pattern: &[u8]| {
        let start = bytes.len().checked_sub(pattern.len()).filter(|start| *start > 0)?;
        let fit = bytes[start..].iter().zip(pattern).all(|(byte, wanted)| match wanted {
            b'#' => byte.is_ascii_digit(),
            b'~' => matches!(byte, b'-' | b'@'),
            other => byte == other,
        });
        // What stands before is whole characters, because what follows is ASCII.
        fit.then(|| &model[..start])
    };
    fits(b"-20##-##-##").or_else(|| fits(b"~20######"))
}

/// `PUT …/prices`: the whole table, and the version that it follows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricesRequest {
    expected_version: u64,
    prices: Vec<WantedPrice>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedPrice {
    model: String,
    valid_from: Option<i64>,
    valid_until: Option<i64>,
    usd_per_million: WantedRates,
}

/// What is left out costs what it is a kind of: read or written by a cache as input, reasoning as output.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedRates {
    input: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    output: f64,
    reasoning: Option<f64>,
}

impl PricesRequest {
    /// The table that follows `current`, made at `now` (Unix ms).
    pub fn follow(&self, current: &PriceTable, now: u64) -> Result<PriceTable, Problem> {
        let prices = self.prices()?;
        if self.expected_version != current.version {
            let detail = format!(
                "The table is at version {}, not {}. Read it again and repeat what is still wanted.",
                current.version, self.expected_version
            );
            return Err(Problem::new(Code::ChangedMeanwhile, detail).of_field("expected_version"));
        }
        Ok(PriceTable { version: current.version + 1, made_at: now, prices })
    }

    fn prices(&self) -> Result<Vec<Price>, Problem> {
        if self.prices.len() > PRICES_MAX {
            return Err(malformed("prices", format!("A table has at most {PRICES_MAX} prices.")));
        }
        let mut prices: Vec<Price> = Vec::with_capacity(self.prices.len());
        for (index, wanted) in self.prices.iter().enumerate() {
            let price = wanted.check(index)?;
            if let Some(earlier) = prices.iter().position(|other| other.overlaps(&price)) {
                let detail =
                    format!("It is valid at the same time as prices[{earlier}], for the same model.");
                return Err(malformed(format!("prices[{index}]"), detail));
            }
            prices.push(price);
        }
        Ok(prices)
    }
}

impl WantedPrice {
    fn check(&self, index: usize) -> Result<Price, Problem> {
        let field = |name: &str| format!("prices[{index}].{name}");
        let stem = self.model.strip_suffix('*').unwrap_or(&self.model);
        if !(1..=MODEL_MAX).contains(&self.model.len()) || stem.contains('*') {
            let detail = format!("A model's name has 1 to {MODEL_MAX} bytes; `*` stands at its end only.");
            return Err(malformed(field("model"), detail));
        }
        for (name, time) in [("valid_from", self.valid_from), ("valid_until", self.valid_until)] {
            if time.is_some_and(|time| !(0..=TIME_MAX_MS).contains(&time)) {
                return Err(malformed(field(name), "It is a Unix time in whole milliseconds."));
            }
        }
        if self.valid_from.zip(self.valid_until).is_some_and(|(from, until)| from >= until) {
            return Err(malformed(field("valid_until"), "It must be later than `valid_from`."));
        }
        let wanted = &self.usd_per_million;
        let nano = |name: &str, usd: f64| {
            if !(0.0..=USD_MAX).contains(&usd) {
                let field = field(&format!("usd_per_million.{name}"));
                return Err(malformed(field, format!("A million tokens cost 0 to {USD_MAX} US dollars.")));
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the range was just checked"
            )]
            Ok((usd * 1e9).round() as u64)
        };
        let rates = Rates {
            input: nano("input", wanted.input)?,
            cache_read: nano("cache_read", wanted.cache_read.unwrap_or(wanted.input))?,
            cache_write: nano("cache_write", wanted.cache_write.unwrap_or(wanted.input))?,
            output: nano("output", wanted.output)?,
            reasoning: nano("reasoning", wanted.reasoning.unwrap_or(wanted.output))?,
        };
        let (valid_from, valid_until) = (self.valid_from, self.valid_until);
        Ok(Price { model: self.model.clone(), valid_from, valid_until, rates })
    }
}

fn malformed(field: impl Into<String>, detail: impl Into<String>) -> Problem {
    Problem::new(Code::RequestMalformed, detail).of_field(field)
}

#[cfg(test)]
mod tests {
    use super::{PriceTable, PricesRequest, STEP_NANO_USD_MAX, undated};
    use crate::batch::{Batch, Usage};
    use crate::problem::{Code, Problem};
    use serde_json::{Value, json};
    use std::format;

    fn table(prices: &Value) -> Result<PriceTable, Problem> {
        let request: PricesRequest =
            serde_json::from_value(json!({ "expected_version": 0, "prices": prices })).unwrap();
        request.follow(&PriceTable::default(), 7)
    }

    fn price(model: &str, input: f64) -> Value {
        json!({ "model": model, "usd_per_million": { "input": input, "output": 10.0 } })
    }

    fn derived(table: &PriceTable, fields: &str) -> Option<u64> {
        let body = format!(
            "{{\"v\":1,\"x\":\"run_0000000000000001\",\"k\":0,\"prev\":\"\",\"n\":0}}\n\
             {{\"t\":\"step\",\"n\":0,\"id\":\"s\",\"name\":\"s\",\"at\":50,\"duration_ms\":1,\"status\":\"ok\",{fields}}}\n"
        );
        let batch = Batch::parse(body.as_bytes()).unwrap();
        match &batch.events[0].kind {
            crate::batch::Kind::Step(step) => table.derive(step),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_bucket_is_paid_once_and_what_is_left_out_as_what_it_is() {
        let two = table(&json!([price("m", 2.5)])).unwrap();
        let usage = Usage {
            input: 1_000_000,
            cache_read: 1_000_000,
            cache_write: 0,
            output: 100_000,
            reasoning: 100_000,
        };
        assert_eq!(two.prices[0].rates.cost(&usage), 7_000_000_000);
        let all = json!([{ "model": "m", "usd_per_million": { "input": 1, "cache_read": 0.1, "cache_write": 2, "output": 4, "reasoning": 8 } }]);
        let usage = Usage { cache_write: 500_000, ..usage };
        assert_eq!(table(&all).unwrap().prices[0].rates.cost(&usage), 3_300_000_000);
    }

    #[test]
    fn sums_are_rounded_once_and_bounded() {
        let rates = table(&json!([price("m", 0.000_000_001)])).unwrap().prices[0].rates;
        let cost = |input| rates.cost(&Usage { input, ..Usage::default() });
        assert_eq!([cost(499_999), cost(500_000), cost(1_500_000)], [0, 1, 2]);
        let dear = table(&json!([price("m", 10_000.0)])).unwrap().prices[0].rates;
        assert_eq!(u128::from(dear.cost(&Usage { input: 1 << 40, ..Usage::default() })), STEP_NANO_USD_MAX);
    }

    #[test]
    fn the_name_that_fits_best_counts() {
        let table = table(&json!([
            price("gpt-4o", 1.0),
            price("gpt-4o-2024-05-13", 2.0),
            price("gpt-4*", 3.0),
            price("gpt-4o-*", 4.0),
            price("*", 5.0),
        ]))
        .unwrap();
        let input = |model: &str| table.find(model, 0).map(|price| price.rates.input / 1_000_000_000);
        for (model, expected) in [
            ("gpt-4o", 1),
            ("gpt-4o-2024-08-06", 1),
            ("gpt-4o-20240806", 1),
            ("gpt-4o@20240806", 1),
            ("gpt-4o-2024-05-13", 2),
            ("gpt-4-turbo", 3),
            ("gpt-4o-mini", 4),
            ("gpt-4o-mini-2024-07-18", 4),
            ("o3", 5),
        ] {
            assert_eq!(input(model), Some(expected), "{model}");
        }
        assert_eq!(undated("-2024-08-06"), None);
        assert_eq!(undated("é20240806"), None);
    }

    #[test]
    fn a_price_holds_from_its_beginning_to_before_its_end() {
        let valid = |from: Value, until: Value, input: f64| {
            let mut price = price("m", input);
            price["valid_from"] = from;
            price["valid_until"] = until;
            price
        };
        let table =
            table(&json!([valid(Value::Null, json!(10), 1.0), valid(json!(10), json!(20), 2.0)])).unwrap();
        let input = |at| table.find("m", at).map(|price| price.rates.input / 1_000_000_000);
        assert_eq!([input(9), input(10), input(19), input(20)], [Some(1), Some(2), Some(2), None]);
    }

    #[test]
    fn only_what_reports_tokens_of_its_own_and_no_cost_is_priced() {
        let table = table(&json!([price("m", 1.0)])).unwrap();
        for (fields, expected) in [
            (r#""kind":"llm","model":"m","usage":{"input":1000}"#, Some(1_000_000)),
            (r#""kind":"llm","model":"m","usage":{"input":1000},"cost_usd":null"#, Some(1_000_000)),
            (r#""kind":"llm","model":"m","usage":{"input":1000},"cost_usd":0"#, None),
            (r#""kind":"llm","model":"m","usage":{"input":0}"#, None),
            (r#""kind":"llm","model":"m""#, None),
            (r#""kind":"llm","usage":{"input":1000}"#, None),
            (r#""kind":"llm","model":"n","usage":{"input":1000}"#, None),
            (r#""kind":"agent","model":"m","usage":{"input":1000}"#, None),
            (r#""kind":"chain","model":"m","usage":{"input":1000}"#, None),
        ] {
            assert_eq!(derived(&table, fields), expected, "{fields}");
        }
    }

    #[test]
    fn a_table_follows_the_version_that_was_read() {
        let one = table(&json!([price("m", 1.0)])).unwrap();
        assert_eq!((one.version, one.made_at), (1, 7));
        let again: PricesRequest =
            serde_json::from_value(json!({ "expected_version": 0, "prices": [] })).unwrap();
        let problem = again.follow(&one, 8).unwrap_err();
        assert_eq!(
            (problem.code, problem.field.as_deref()),
            (Code::ChangedMeanwhile, Some("expected_version"))
        );
        let stored = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<PriceTable>(&stored).unwrap(), one);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |name: &str, value: Value| {
            let mut price = price("m", 1.0);
            price[name] = value;
            json!([price])
        };
        let negative = json!({ "input": 1, "output": 1, "cache_read": -0.5 });
        for (prices, field) in [
            (with("model", json!("")), "prices[0].model"),
            (with("model", json!("a*b")), "prices[0].model"),
            (with("model", json!("m".repeat(129))), "prices[0].model"),
            (with("valid_from", json!(-1)), "prices[0].valid_from"),
            (
                json!([{ "model": "m", "valid_from": 5, "valid_until": 5, "usd_per_million": { "input": 1, "output": 1 } }]),
                "prices[0].valid_until",
            ),
            (with("usd_per_million", negative), "prices[0].usd_per_million.cache_read"),
            (json!([price("m", 10_000.5)]), "prices[0].usd_per_million.input"),
            (json!([price("m", 1.0), price("n", 1.0), price("m", 2.0)]), "prices[2]"),
            (Value::Array(std::vec![price("m", 1.0); 201]), "prices"),
        ] {
            let problem = table(&prices).unwrap_err();
            assert_eq!((problem.code, problem.field.as_deref()), (Code::RequestMalformed, Some(field)));
        }
    }
}
