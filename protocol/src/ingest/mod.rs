//! What the worker decides while it takes a batch: who may write it, whether the limits allow it, and
//! what the sender gets in return.

pub mod admission;
pub mod bucket;
pub mod budget;
pub mod receipt;
