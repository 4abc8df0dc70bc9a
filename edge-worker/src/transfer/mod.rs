//! What leaves as a file, page by page, and what comes back from one. Every export is a sequence of lines that depend on what is
//! stored and on nothing else: pages put together are the file, wherever it was cut.

mod batches;
mod import;
mod log;
mod page;
mod traces;
mod walk;

pub(crate) use batches::batches;
pub(crate) use import::import;
pub(crate) use log::log;
pub(crate) use page::Asked;
pub(crate) use traces::traces;
