//! Queries: parameters of the reading routes, read by an allow-list, and cursors bound to them.

mod cursor;
mod parameters;

pub use cursor::Cursors;
pub use parameters::{ListQuery, PageQuery, Status};
