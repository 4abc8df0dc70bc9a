//! The platform's cryptography.

use crate::failure::{Doing, Outcome};
use web_sys::SubtleCrypto;
use worker::js_sys::global;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::WorkerGlobalScope;

/// Web Crypto.
pub(crate) fn subtle() -> Outcome<SubtleCrypto> {
    let scope: WorkerGlobalScope = global().unchecked_into();
    Ok(scope.crypto().map_err(text).doing("asking for the platform's cryptography")?.subtle())
}

/// What the platform threw, for the log.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(crate) fn text(cause: JsValue) -> String {
    format!("{cause:?}")
}
