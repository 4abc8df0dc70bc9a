//! What a handler is given beside its request.

use worker::{Context, Env};

/// One request's surroundings.
pub(crate) struct Call {
    pub(crate) env: Env,
    pub(crate) context: Context,
    /// Start of the request, Unix ms. Workers' clocks stand still while code runs.
    pub(crate) now: u64,
}
