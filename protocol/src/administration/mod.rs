//! What administrators ask for, checked: API keys, key generations, the deny-list and
//! deletion. Storing and publishing what was decided is the shell's.

mod deletions;
mod denials;
mod generations;
mod keys;

pub use deletions::{
    DeletionKind, DeletionRequest, RETENTION_DEFAULT_DAYS, TOMBSTONE_LIFE_MS, check_retention,
};
pub use denials::{Denial, DenialRequest, DeniedKind};
pub use generations::MINT_DELAY_MS;
pub use keys::{KeyRotation, NewKey};

use crate::problem::{Code, Problem};

/// Longest name of a project or key, in bytes.
pub const NAME_MAX: usize = 128;

/// Refuses names that are empty or too long.
pub fn check_name(name: &str) -> Result<(), Problem> {
    if (1..=NAME_MAX).contains(&name.len()) {
        return Ok(());
    }
    Err(malformed("name", "The name has 1 to 128 bytes."))
}

fn malformed(field: &str, detail: &str) -> Problem {
    Problem::new(Code::RequestMalformed, detail).of_field(field)
}

#[cfg(test)]
mod example {
    use crate::ingest::admission::Project;

    pub(super) fn project() -> Project {
        serde_json::from_str(
            r#"{"id":"prj_a","name":"a","status":"active","kids":["k1"],"origins":[],"publishable_key":"x",
            "limits":{"bytes_per_s":1,"bytes_burst":1,"steps_per_s":1,"steps_burst":1},"created_at":1}"#,
        )
        .unwrap()
    }
}
