//! Key generations of a project: rotating its secret without touching other projects.
//!
//! A rotation that loses no batch has three steps: add a generation (both are accepted from now on), give
//! the new secret to the backends, and retire the old one when the last session under it has expired.
//! Whatever waits in a page by then is signed anew under its next session, which is of the new generation.

use crate::ids::KeyId;
use crate::ingest::admission::Project;
use crate::problem::{Code, Problem};
use std::format;
use std::string::ToString;

/// How long after it was added the worker begins to mint under a generation, in milliseconds: by then every
/// isolate has read the configuration that accepts it.
pub const MINT_DELAY_MS: u64 = 120_000;
/// Most generations accepted at once.
const ACCEPTED_MAX: usize = 8;

impl Project {
    /// Adds the next generation of the root called `root`, at `now` (Unix ms).
    pub fn add_generation(&mut self, root: &str, now: u64) -> Result<KeyId, Problem> {
        if self.kids.len() >= ACCEPTED_MAX {
            return Err(Problem::new(
                Code::ListFull,
                format!("The project accepts {ACCEPTED_MAX} generations at most. Retire one first."),
            ));
        }
        let number = self.generation + 1;
        let kid = KeyId::parse(&format!("{root}-{number}")).map_err(|_| {
            Problem::new(Code::ListFull, "The root's name leaves no room for another generation's number.")
        })?;
        self.generation = number;
        self.kids.push(kid.to_string());
        self.newest_kid_at = now;
        Ok(kid)
    }

    /// Accepts a generation no longer. Its number is never used again.
    pub fn retire_generation(&mut self, kid: &str) -> Result<(), Problem> {
        let at = self.kids.iter().position(|accepted| accepted == kid).ok_or_else(|| {
            Problem::new(Code::GenerationNotFound, "The project accepts no generation of this key id.")
        })?;
        if self.kids.len() == 1 {
            return Err(Problem::new(
                Code::LastGeneration,
                "This is the only generation that the project accepts. Add another first, or pause the project.",
            ));
        }
        self.kids.remove(at);
        Ok(())
    }

    /// The generation that the worker mints sessions under: the newest that every isolate knows.
    pub fn minting_kid(&self, now: u64) -> Option<KeyId> {
        let fresh = usize::from(self.kids.len() > 1 && now < self.newest_kid_at + MINT_DELAY_MS);
        self.kids.iter().rev().nth(fresh).and_then(|kid| KeyId::parse(kid).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::{ACCEPTED_MAX, MINT_DELAY_MS};
    use crate::administration::example::project;
    use crate::ingest::admission::Project;
    use crate::problem::Code;
    use std::string::ToString;

    #[test]
    fn minting_follows_once_every_isolate_knows() {
        let mut project = project();
        let minting = |project: &Project, now| project.minting_kid(now).map(|kid| kid.to_string());
        assert_eq!(project.add_generation("k1", 1_000).unwrap().as_str(), "k1-2");
        assert_eq!(project.kids, ["k1", "k1-2"]);
        assert_eq!(minting(&project, 1_000 + MINT_DELAY_MS - 1).as_deref(), Some("k1"));
        assert_eq!(minting(&project, 1_000 + MINT_DELAY_MS).as_deref(), Some("k1-2"));
        project.retire_generation("k1").unwrap();
        assert_eq!(minting(&project, 1_001).as_deref(), Some("k1-2"));
    }

    #[test]
    fn a_number_is_never_used_again_and_the_last_one_stays() {
        let mut project = project();
        project.add_generation("k1", 1).unwrap();
        project.retire_generation("k1-2").unwrap();
        assert_eq!(project.add_generation("k2", 2).unwrap().as_str(), "k2-3");
        project.retire_generation("k1").unwrap();
        assert_eq!(project.retire_generation("k2-3").unwrap_err().code, Code::LastGeneration);
        assert_eq!(project.retire_generation("k1").unwrap_err().code, Code::GenerationNotFound);
        for _ in 1..ACCEPTED_MAX {
            project.add_generation("k2", 3).unwrap();
        }
        assert_eq!(project.add_generation("k2", 3).unwrap_err().code, Code::ListFull);
    }
}
