//! Deletion and retention: one execution at once, a person's or a project's in slices, and what has
//! outlived its retention by the clock. What outlasts a request goes on in the background
//! (`crate::chores`).

mod jobs;
mod routes;

pub(crate) use jobs::advance_open;
pub(crate) use routes::{delete_execution, delete_project, list, order};
