//! Queries: parameters of the reading routes, read by an allow-list, and cursors bound to them.

mod audit;
mod csv;
mod cursor;
mod executions;
mod filter;
mod live;
mod parameters;
mod statistics;
mod steps;
mod window;

pub use audit::{AuditQuery, AuditVerifyQuery};
pub use csv::{csv_header, csv_line};
pub use cursor::Cursors;
pub use executions::{FIELDS, ListQuery, Position, SharedQuery, Sort};
pub use filter::{Facet, Filter, Range};
pub use live::{CONNECTION_MS, LiveQuery, Subscription};
pub(crate) use parameters::invalid;
pub use parameters::{PageQuery, Status};
pub use statistics::{
    FacetsQuery, Histogram, ScoreTally, StatsQuery, StepTally, Sums, SumsOfDay, Tally, price_versions, usd,
};
pub use steps::StepsQuery;
pub use window::{DAY_MS, DaySplit, Window};
