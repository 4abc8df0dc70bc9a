//! The store: D1 rows and KV values, and the statements that read and write them.

pub(crate) mod bodies;
pub(crate) mod cipher;
pub(crate) mod commit;
pub(crate) mod deletion;
pub(crate) mod executions;
pub(crate) mod labels;
pub(crate) mod listing;
pub(crate) mod log;
pub(crate) mod prices;
pub(crate) mod resealing;
pub(crate) mod scores;
pub(crate) mod segments;
pub(crate) mod silence;
mod statement;
pub(crate) mod statistics;
pub(crate) mod subject_keys;
pub(crate) mod text;
