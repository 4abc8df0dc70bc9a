//! The store: D1 rows and KV values, and the statements that read and write them.

mod bodies;
pub(crate) mod commit;
pub(crate) mod executions;
pub(crate) mod segments;
mod statement;
