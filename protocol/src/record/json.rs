//! Finding one's way in text that is known to be valid, compact JSON, without parsing it.

use alloc::vec::Vec;
use core::ops::Range;

/// Where the value that begins at `at` ends.
pub(super) fn end_of_value(text: &[u8], at: usize) -> usize {
    match text[at] {
        b'"' => end_of_string(text, at),
        b'{' | b'[' => end_of_container(text, at),
        _ => {
            at + text[at..]
                .iter()
                .position(|byte| matches!(byte, b',' | b'}' | b']'))
                .unwrap_or(text.len() - at)
        }
    }
}

/// Where the value of `key` stands in the object that begins at `at`.
pub(super) fn member(text: &[u8], at: usize, key: &[u8]) -> Option<Range<usize>> {
    let mut at = at + 1;
    while text[at] == b'"' {
        let key_end = end_of_string(text, at);
        let value = key_end + 1..end_of_value(text, key_end + 1);
        if &text[at + 1..key_end - 1] == key {
            return Some(value);
        }
        at = value.end + 1;
        if text[value.end] == b'}' {
            break;
        }
    }
    None
}

/// Where the elements of the array that begins at `at` stand.
pub(super) fn elements(text: &[u8], at: usize) -> Vec<Range<usize>> {
    let mut elements = Vec::new();
    let mut at = at + 1;
    while text[at] != b']' {
        let end = end_of_value(text, at);
        elements.push(at..end);
        at = end + usize::from(text[end] == b',');
    }
    elements
}

fn end_of_container(text: &[u8], at: usize) -> usize {
    let mut open = 0_usize;
    let mut at = at;
    loop {
        match text[at] {
            b'"' => {
                at = end_of_string(text, at);
                continue;
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' => open -= 1,
            _ => {}
        }
        at += 1;
        if open == 0 {
            return at;
        }
    }
}

fn end_of_string(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        match text[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{elements, end_of_value, member};
    use alloc::vec::Vec;

    #[test]
    fn members_are_found_at_their_own_level_only() {
        let text = br#"{"a":{"input":1},"b\"":"x,\"}","input":[1,{"y":"]"}],"z":2}"#;
        assert_eq!(&text[member(text, 0, b"input").unwrap()], br#"[1,{"y":"]"}]"#);
        assert_eq!(&text[member(text, 0, b"z").unwrap()], b"2");
        assert_eq!(member(text, 0, b"y"), None);
        assert_eq!(member(b"{}", 0, b"y"), None);
    }

    #[test]
    fn elements_are_found_whatever_is_in_them() {
        let text = br#"["a\\",[1,[2]],{"b":"]"},-1.5,null]"#;
        let found: Vec<&[u8]> = elements(text, 0).into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, [&b"\"a\\\\\""[..], b"[1,[2]]", br#"{"b":"]"}"#, b"-1.5", b"null"]);
        assert!(elements(b"[]", 0).is_empty());
        assert_eq!(end_of_value(b"12", 0), 2);
    }
}
