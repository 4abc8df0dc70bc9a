//! Identifiers and their grammars.
//!
//! Each identifier is a type of its own that can only be made by parsing, so a value of the type is
//! known to be safe in a token, a key of the store or a log line. None may contain a dot, a space, a
//! NUL or a line break: these separate fields on the wire.

use alloc::string::String;
use core::fmt;

/// A text that does not fit the grammar of its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId {
    /// Which identifier was meant, in the words of the wire ("execution id").
    pub what: &'static str,
    /// The grammar it must fit, as a regular expression.
    pub grammar: &'static str,
}

fn is_identifier(text: &str, min: usize, max: usize) -> bool {
    (min..=max).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal, $min:literal..=$max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Accepts `text` if it fits the grammar.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                if is_identifier(text, $min, $max) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId {
                        what: $what,
                        grammar: concat!("^[A-Za-z0-9_-]{", $min, ",", $max, "}$"),
                    })
                }
            }

            /// The identifier as it stands on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(
    /// A project: the tenant that everything stored belongs to.
    ProjectId, "project id", 1..=64
);
identifier!(
    /// A key generation, `<root>` or `<root>-<generation>`.
    KeyId, "key id", 1..=32
);
identifier!(
    /// An execution: one run of an agent. The SDK's are `run_` and 32 hex digits (a W3C trace id).
    ExecutionId, "execution id", 16..=64
);
identifier!(
    /// A batch, stable over retries.
    BatchId, "batch id", 16..=64
);

impl KeyId {
    /// The name of the root that this generation derives from: the part before the first `-`.
    pub fn root_name(&self) -> &str {
        self.0.split_once('-').map_or(self.0.as_str(), |(root, _)| root)
    }
}

/// One place that writes events of an execution. The empty one is the only writer of its execution.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WriterId(String);

impl WriterId {
    /// Accepts up to 32 letters, digits, `_` and `-`; empty is the only writer.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if is_identifier(text, 0, 32) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId { what: "writer id", grammar: "^[A-Za-z0-9_-]{0,32}$" })
        }
    }

    /// The identifier as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{BatchId, ExecutionId, KeyId, ProjectId, WriterId};

    #[test]
    fn grammars_accept_their_edges_and_nothing_beyond() {
        assert!(ProjectId::parse("p").is_ok());
        assert!(ProjectId::parse("").is_err());
        assert!(ProjectId::parse(&"p".repeat(64)).is_ok());
        assert!(ProjectId::parse(&"p".repeat(65)).is_err());
        assert!(BatchId::parse("bat_000000000001").is_ok());
        assert!(BatchId::parse("bat_00000000001").is_err());
        for bad in ["bat_0000000000.01", "bat_0000000000 01", "bat_0000000000\n01", "bat_0000000000é1"] {
            assert!(BatchId::parse(bad).is_err(), "{bad}");
        }
        assert!(ExecutionId::parse("run_0123456789abcdef0123456789abcdef").is_ok());
        assert_eq!(WriterId::parse("").unwrap(), WriterId::default());
        assert!(WriterId::parse("a/b").is_err());
    }

    #[test]
    fn a_generation_names_its_root() {
        assert_eq!(KeyId::parse("k1").unwrap().root_name(), "k1");
        assert_eq!(KeyId::parse("k1-3").unwrap().root_name(), "k1");
    }
}
