//! The transparency log of a project: its signing key ([`signer`]), and what customers read of it. Commits append
//! to the log (`storage/insert_leaf.sql`), `chores/checkpoints.rs` signs it.

mod routes;
pub(crate) mod signer;

pub(crate) use routes::{key, latest, list, none_yet};
