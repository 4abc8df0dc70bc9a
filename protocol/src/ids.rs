//! Identifiers and their grammars.
//!
//! Each identifier is a type of its own that can only be made by parsing, so a value of the type is
//! known to be safe in a token, a key of the store or a log line. None may contain a dot, a space, a
//! NUL or a line break: these separate fields on the wire.

use core::fmt;

/// A text that does not fit the grammar of its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId {
    /// Which identifier was meant, in the words of the wire ("execution id").
    pub what: &'static str,
    /// The grammar it must fit, as a regular expression.
    pub grammar: &'static str,
}

/// The longest identifier.
const LEN_MAX: usize = 64;

/// An identifier in place, because they are copied and compared all the time. One type for all lengths, because the page pays
/// for each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Text {
    bytes: [u8; LEN_MAX],
    len: u8,
}

impl Text {
    pub(crate) const EMPTY: Self = Self { bytes: [0; LEN_MAX], len: 0 };

    /// `None` if there are fewer than `min` characters, more than `max`, or others than the grammar's.
    #[inline(never)]
    pub(crate) fn parse(text: &[u8], min: usize, max: usize) -> Option<Self> {
        if text.len() < min || text.len() > max {
            return None;
        }
        let mut parsed = Self { len: u8::try_from(text.len()).ok()?, ..Self::EMPTY };
        for (into, byte) in parsed.bytes.iter_mut().zip(text) {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
                return None;
            }
            *into = *byte;
        }
        Some(parsed)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).expect("identifiers are ASCII")
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal, $min:literal..=$max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Text);

        impl $name {
            /// Accepts `text` if it fits the grammar.
            #[inline]
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                Self::read(text.as_bytes()).ok_or(InvalidId {
                    what: $what,
                    grammar: concat!("^[A-Za-z0-9_-]{", $min, ",", $max, "}$"),
                })
            }

            /// The same, for those who need not say what is wrong.
            #[inline]
            pub fn read(text: &[u8]) -> Option<Self> {
                Text::parse(text, $min, $max).map(Self)
            }

            /// The identifier as it stands on the wire.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// The same, as bytes.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
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

identifier!(
    /// One place that writes events of an execution. The empty one is the only writer of its execution.
    WriterId, "writer id", 0..=32
);

impl KeyId {
    /// The name of the root that this generation derives from: the part before the first `-`.
    pub fn root_name(&self) -> &str {
        let name = self.as_str();
        name.split_once('-').map_or(name, |(root, _)| root)
    }
}

impl Default for WriterId {
    fn default() -> Self {
        Self(Text::EMPTY)
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
