//! The transparency log of a project: a Merkle tree (RFC 6962) over everything that was stored and deleted, and
//! signed checkpoints of it (C2SP tlog-checkpoint in a C2SP signed-note). Whoever keeps a checkpoint can later
//! prove that what it covers was altered or taken away, by anyone, this server's operator included.
//!
//! Leaves name a batch by its key and by a digest over its body's and its envelope's digests. The envelope
//! holds a signature that nobody can guess, so what is left of a deleted batch says nothing about its body.
//!
//! Signing (Ed25519) and storing are the shell's.

mod checkpoint;
mod leaf;
mod tree;

pub use checkpoint::{VerifierKey, checkpoint_text, origin, receipt_text, signed_note};
pub use leaf::{Leaf, content};
pub use tree::{Frontier, Hash};
