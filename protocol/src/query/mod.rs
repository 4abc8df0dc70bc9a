//! Queries: parameters of the reading routes, read by an allow-list, and cursors bound to them.

mod audit;
mod cursor;
mod parameters;

pub use audit::{AuditQuery, AuditVerifyQuery};
pub use cursor::Cursors;
pub use parameters::{ListQuery, PageQuery, Status};
