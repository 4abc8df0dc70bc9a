//! What a handler is given beside its request.

use crate::meter::counts::Counted;
use std::cell::RefCell;
use worker::{Context, Env};

/// One request's surroundings.
pub(crate) struct Call {
    pub(crate) env: Env,
    pub(crate) context: Context,
    /// Start of the request, Unix ms. Workers' clocks stand still while code runs.
    pub(crate) now: u64,
    /// The origin beside our own whose page may read the reply; known once the project is.
    pub(crate) readable_by: RefCell<Option<String>>,
    /// What the request is counted as.
    pub(crate) counted: RefCell<Counted>,
}
