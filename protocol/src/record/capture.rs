//! What every event's text passes before it is numbered.
//!
//! Here the text becomes fit for the wire whatever the host handed over: it is one JSON object without
//! white space, no deeper than the server reads, and every string in it is Unicode. Redaction belongs
//! here too, because this is the one place that every recorded value passes before it is kept.

use super::line;
use super::shrink::shorten;
use crate::limits::DEPTH_MAX;
use alloc::vec::Vec;

/// What stands for an array or object that lies deeper than the server reads.
const TOO_DEEP: &[u8] = br#"{"$bad":"too_deep"}"#;
/// What stands for half a surrogate pair, which is no character (Unicode 16, §3.9: U+FFFD).
const REPLACEMENT: &[u8] = br"\ufffd";
/// Length of a `\uXXXX` escape.
const UNICODE_ESCAPE: usize = 6;

/// An event's fields: the text of one valid, compact JSON object of at most [`DEPTH_MAX`] levels.
pub(super) struct Fields(Vec<u8>);

/// A text that is not one compact JSON object.
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

/// Makes `text` fit for the wire.
pub(super) fn capture(text: &str) -> Result<Fields, Malformed> {
    let mut copier = Copier { text: text.as_bytes(), at: 0, copied: 0, out: Vec::with_capacity(text.len()) };
    if copier.peek() != Some(b'{') {
        return Err(Malformed);
    }
    copier.value(1)?;
    if copier.at != text.len() {
        return Err(Malformed);
    }
    copier.copy_up_to(copier.at);
    Ok(Fields(copier.out))
}

/// Reads JSON and copies it in spans as long as nothing has to change.
struct Copier<'a> {
    text: &'a [u8],
    at: usize,
    copied: usize,
    out: Vec<u8>,
}

impl Copier<'_> {
    fn value(&mut self, depth: usize) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'{' | b'[') if depth >= DEPTH_MAX => self.replace_container(),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Malformed> {
        self.at += 1;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.string()?;
            self.expect(b':')?;
            self.value(depth + 1)?;
            if !self.take(b',') {
                return self.expect(b'}');
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Malformed> {
        self.at += 1;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            if !self.take(b',') {
                return self.expect(b']');
            }
        }
    }

    /// Its inside need not be valid: none of it is kept.
    fn replace_container(&mut self) -> Result<(), Malformed> {
        self.copy_up_to(self.at);
        let mut open = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => self.string()?,
                Some(byte) => {
                    self.at += 1;
                    match byte {
                        b'{' | b'[' => open += 1,
                        b'}' | b']' => open -= 1,
                        _ => {}
                    }
                }
                None => return Err(Malformed),
            }
            if open == 0 {
                break;
            }
        }
        self.replace_up_to(self.at, TOO_DEEP);
        Ok(())
    }

    fn string(&mut self) -> Result<(), Malformed> {
        self.expect(b'"')?;
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                0..=0x1f => return Err(Malformed),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => self.unicode_escape(),
            _ => Err(Malformed),
        }
    }

    fn unicode_escape(&mut self) -> Result<(), Malformed> {
        match self.code_unit()? {
            0xd800..=0xdbff if self.low_surrogate_follows() => self.at += UNICODE_ESCAPE,
            0xd800..=0xdfff => {
                self.copy_up_to(self.at - UNICODE_ESCAPE);
                self.replace_up_to(self.at, REPLACEMENT);
            }
            _ => {}
        }
        Ok(())
    }

    fn low_surrogate_follows(&self) -> bool {
        // `\uDC00` to `\uDFFF` in either case of hex.
        matches!(
            self.text.get(self.at..self.at + UNICODE_ESCAPE),
            Some([b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', a, b])
                if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()
        )
    }

    fn code_unit(&mut self) -> Result<u32, Malformed> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16).ok_or(Malformed)?;
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Malformed> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(Malformed) } else { Ok(()) }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Malformed> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(())
    }

    fn copy_up_to(&mut self, end: usize) {
        self.out.extend_from_slice(&self.text[self.copied..end]);
        self.copied = end;
    }

    fn replace_up_to(&mut self, end: usize, value: &[u8]) {
        self.out.extend_from_slice(value);
        self.copied = end;
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Malformed> {
        let byte = self.peek().ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) { Ok(()) } else { Err(Malformed) }
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
    fn anything_but_one_compact_object_is_refused() {
        for text in [
            "",
            "{",
            "}",
            "[]",
            "1",
            "null",
            "{}{}",
            "{} ",
            " {}",
            "{\"a\": 1}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":1e}",
            "{\"a\":-}",
            "{\"a\":tru}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12g4\"}",
            "{\"a\":\"",
            "{\"a\":[1}",
            "{\"a\":[1,]}",
            "{\"a\":\"\\",
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
        let deepest = nest(62, "1");
        assert_eq!(captured(&deepest).as_deref(), Ok(deepest.as_str()));
        assert_eq!(captured(&nest(62, "[1]")), Ok(nest(62, r#"{"$bad":"too_deep"}"#)));
        let very_deep = nest(100_000, "\"]}\"");
        assert_eq!(captured(&very_deep), Ok(nest(62, r#"{"$bad":"too_deep"}"#)));
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
        fn what_passes_is_json(text in "[\\[\\]{}\",:0-9a\\\\ue.tru-]{0,24}") {
            if let Ok(kept) = captured(&text) {
                assert!(serde_json::from_str::<serde_json::Value>(&kept).is_ok(), "{text}");
            }
        }
    }
}
