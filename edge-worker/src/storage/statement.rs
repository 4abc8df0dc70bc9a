//! Binding D1 parameters. Every statement is a constant; whatever varies is bound.

use worker::wasm_bindgen::JsValue;
use worker::{D1Database, D1PreparedStatement};

/// A value to bind.
pub(super) enum Bind<'a> {
    Text(&'a str),
    /// Counts and times: below 2^53, so a JavaScript number carries them exactly. Into a column of
    /// INTEGER affinity they are stored as integers.
    Number(u64),
    Signed(i64),
    MaybeText(Option<&'a str>),
    MaybeNumber(Option<u64>),
    MaybeSigned(Option<i64>),
}

impl Bind<'_> {
    #[expect(clippy::cast_precision_loss, reason = "protocol limits keep every number below 2^53")]
    fn to_js(&self) -> JsValue {
        match self {
            Self::Text(text) | Self::MaybeText(Some(text)) => JsValue::from_str(text),
            Self::Number(number) | Self::MaybeNumber(Some(number)) => JsValue::from_f64(*number as f64),
            Self::Signed(number) | Self::MaybeSigned(Some(number)) => JsValue::from_f64(*number as f64),
            // `undefined` would be refused.
            Self::MaybeText(None) | Self::MaybeNumber(None) | Self::MaybeSigned(None) => JsValue::NULL,
        }
    }
}

/// `sql` with `values` bound to ?1, ?2, …
pub(super) fn bind(
    database: &D1Database,
    sql: &str,
    values: &[Bind<'_>],
) -> worker::Result<D1PreparedStatement> {
    let values: Vec<JsValue> = values.iter().map(Bind::to_js).collect();
    database.prepare(sql).bind(&values)
}
