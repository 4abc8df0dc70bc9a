//! What every event's text passes before it is numbered.
//!
//! Here the text becomes fit for the wire: no deeper than the server reads, and every string in it is Unicode. That it
//! is one JSON object without white space is its host's to see to, which has a JSON writer; what would break the line is
//! refused. What must not leave the host has been taken out before.

use super::json::plain_len;
use super::line;
use super::shrink::shorten;
use crate::limits::DEPTH_MAX;
use alloc::vec::Vec;

/// So many levels of an event's fields are kept: what stands for a string at the last of them may need two more.
const LEVELS_MAX: usize = DEPTH_MAX - 2;
/// What stands for an array or object that lies deeper than the server reads.
const TOO_DEEP: &[u8] = br#"{"$bad":"too_deep"}"#;
/// What stands for half a surrogate pair, which is no character (Unicode 16, §3.9: U+FFFD).
const REPLACEMENT: &[u8] = br"\ufffd";
/// An event's fields: the text of one valid, compact JSON object of at most [`LEVELS_MAX`] levels.
pub(super) struct Fields(Vec<u8>);

/// A text that is no JSON object on one line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Fields {
    /// The object's text, braces included.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text between the braces.
    pub(super) fn members(&self) -> &[u8] {
        &self.0[1..self.0.len() - 1]
    }

    /// The text of an object that this crate wrote.
    pub(super) fn own(text: Vec<u8>) -> Self {
        Self(text)
    }

    /// Shortens the largest values until the text has at most `max` bytes; says whether it has.
    pub(super) fn shorten(&mut self, max: usize) -> bool {
        shorten(&mut self.0, max)
    }

    /// Puts `value`, which is valid JSON no deeper than what stood there, in the place of a part of the text.
    pub(super) fn replace(&mut self, range: core::ops::Range<usize>, value: &[u8]) {
        line::replace(&mut self.0, range, value);
    }
}

/// Makes `text` fit for the wire. It is copied in spans as long as nothing has to change.
pub(super) fn capture(text: &str) -> Result<Fields, Malformed> {
    let text = text.as_bytes();
    let mut out = Vec::new();
    let (mut at, mut copied) = (0, 0);
    let (mut depth, mut in_string) = (0_usize, false);
    loop {
        if in_string {
            at += plain_len(text.get(at..).unwrap_or_default());
        }
        let start = at;
        let Some(byte) = text.get(at) else { break };
        at += 1;
        match byte {
            0..=0x1f => return Err(Malformed),
            b'"' => in_string = !in_string,
            b'\\' => match surrogate(&text[at..]) {
                Surrogate::None => at += 1,
                Surrogate::Pair => at += 11,
                Surrogate::Half => {
                    at += 5;
                    if depth <= LEVELS_MAX {
                        line::bytes(&mut out, &text[copied..start]);
                        line::bytes(&mut out, REPLACEMENT);
                        copied = at;
                    }
                }
            },
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth == LEVELS_MAX + 1 {
                    line::bytes(&mut out, &text[copied..start]);
                    line::bytes(&mut out, TOO_DEEP);
                }
            }
            b'}' | b']' if !in_string => {
                if depth == LEVELS_MAX + 1 {
                    copied = at;
                }
                depth = depth.checked_sub(1).ok_or(Malformed)?;
            }
            _ => {}
        }
    }
    if text.first() != Some(&b'{') || text.last() != Some(&b'}') || depth != 0 || in_string {
        return Err(Malformed);
    }
    line::bytes(&mut out, &text[copied..]);
    Ok(Fields(out))
}

/// Whether an escape is one of a surrogate pair.
enum Surrogate {
    None,
    Pair,
    Half,
}

/// What follows a backslash.
fn surrogate(rest: &[u8]) -> Surrogate {
    match rest {
        [
            b'u',
            b'd' | b'D',
            b'8' | b'9' | b'a' | b'b' | b'A' | b'B',
            _,
            _,
            b'\\',
            b'u',
            b'd' | b'D',
            b'c'..=b'f' | b'C'..=b'F',
            _,
            _,
            ..,
        ] => Surrogate::Pair,
        [b'u', b'd' | b'D', b'8'..=b'f', _, _, ..] => Surrogate::Half,
        _ => Surrogate::None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Malformed, capture};
    use alloc::string::String;
    use alloc::string::ToString;
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

    fn captured(text: &str) -> Result<String, Malformed> {
        capture(text).map(|fields| String::from_utf8(fields.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn valid_objects_pass_unchanged() {
        for text in [
            "{}",
            r#"{"a":1}"#,
            r#"{"a":-0.5e+10,"b":[true,false,null,[],{}],"c":"\"\\\/\b\f\n\r\t\u00e9 é"}"#,
            r#"{"pair":"\ud83d\ude00"}"#,
        ] {
            assert_eq!(captured(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_would_break_the_line_is_refused() {
        for text in [
            "",
            "!",
            "{",
            "}",
            "[]",
            "1",
            "null",
            "{} ",
            " {}",
            "{}}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"",
            "{\"a\":[1}",
            "{\"a\":\"\\",
            "{\"a\":\"\\ud83d",
        ] {
            assert_eq!(captured(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_becomes_the_replacement_character() {
        assert_eq!(
            captured(r#"{"a":"x\ud83dy","b":"\ude00","c":"\ud83d\ud83d\ude00"}"#).as_deref(),
            Ok(r#"{"a":"x\ufffdy","b":"\ufffd","c":"\ufffd\ud83d\ude00"}"#)
        );
    }

    #[test]
    fn what_lies_too_deep_becomes_a_marker_at_the_last_level() {
        let nest = |levels: usize, inner: &str| {
            let mut text = String::from("{\"a\":");
            text.push_str(&"[".repeat(levels));
            text.push_str(inner);
            text.push_str(&"]".repeat(levels));
            text.push('}');
            text
        };
        let deepest = nest(61, "1");
        assert_eq!(captured(&deepest).as_deref(), Ok(deepest.as_str()));
        assert_eq!(captured(&nest(61, "[1]")), Ok(nest(61, r#"{"$bad":"too_deep"}"#)));
        let very_deep = nest(100_000, "\"]}\"");
        assert_eq!(captured(&very_deep), Ok(nest(61, r#"{"$bad":"too_deep"}"#)));
        assert_eq!(captured(&very_deep[..100_000]), Err(Malformed));
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            (-1e9..1e9).prop_map(|number: f64| number.into()),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_a_json_writer_writes_passes_unchanged(value in json()) {
            let text = serde_json::json!({ "v": value }).to_string();
            assert_eq!(captured(&text), Ok(text));
        }

        #[test]
        fn whatever_comes_is_taken_or_refused(text in "[\\[\\]{}\",:0-9a\\\\ud8c.tru-]{0,24}") {
            if let Ok(kept) = captured(&text) {
                assert!(kept.starts_with('{') && kept.ends_with('}'), "{text}");
            }
        }
    }
}
