//! Finding one's way in text that is known to be valid, compact JSON, without parsing it.

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

/// Where the value of `key` begins in the object that begins at `at`. Not where it ends: that may be a megabyte away.
pub(super) fn member(text: &[u8], at: usize, key: &[u8]) -> Option<usize> {
    let mut at = at + 1;
    while text[at] == b'"' {
        let key_end = end_of_string(text, at);
        if &text[at + 1..key_end - 1] == key {
            return Some(key_end + 1);
        }
        let end = end_of_value(text, key_end + 1);
        at = end + 1;
        if text[end] == b'}' {
            break;
        }
    }
    None
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
        at += plain_len(&text[at..]);
        match text[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// How many bytes at the beginning are no quote, backslash or control character, as far as they come in eights: every recorded byte
/// passes here.
#[inline(never)]
pub(super) fn plain_len(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    // The high bit of the first byte that is less is set, for taking away from it borrows; those before it have none.
    let less = |bytes: u64, than: u8| bytes.wrapping_sub(ONES * u64::from(than)) & !bytes & ONES << 7;
    let mut at = 0;
    while let Some(chunk) = text[at..].first_chunk() {
        let bytes = u64::from_le_bytes(*chunk);
        let equal = |byte: u8| less(bytes ^ (ONES * u64::from(byte)), 1);
        let found = less(bytes, b' ') | equal(b'"') | equal(b'\\');
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::{end_of_value, member, plain_len};
    use alloc::vec::Vec;
    use proptest::prelude::{prop_assert_eq, proptest};

    #[test]
    fn members_are_found_at_their_own_level_only() {
        let text = br#"{"a":{"input":1},"b\"":"x,\"}","input":[1,{"y":"]"}],"z":2}"#;
        assert_eq!(&text[member(text, 0, b"input").unwrap()..], br#"[1,{"y":"]"}],"z":2}"#);
        assert_eq!(&text[member(text, 0, b"z").unwrap()..], b"2}");
        assert_eq!(member(text, 0, b"y"), None);
        assert_eq!(member(b"{}", 0, b"y"), None);
    }

    #[test]
    fn a_value_ends_where_it_ends() {
        for (text, end) in
            [("12", 2), ("\"a\\\\\",", 5), ("[1,[2]],", 7), ("{\"b\":\"]\"},", 9), ("-1.5}", 4), ("null]", 4)]
        {
            assert_eq!(end_of_value(text.as_bytes(), 0), end, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_plain_ends_at_the_first_byte_that_is_not(bytes: Vec<u8>, plain in "[a-z \u{7f}-\u{ff}!#\\[\\]]{0,24}") {
            let text = [plain.as_bytes(), &bytes].concat();
            let len = plain_len(&text);
            match text.iter().position(|byte| *byte < b' ' || b"\"\\".contains(byte)) {
                Some(end) if end < text.len() / 8 * 8 => prop_assert_eq!(len, end),
                _ => prop_assert_eq!(len, text.len() / 8 * 8),
            }
        }
    }
}
