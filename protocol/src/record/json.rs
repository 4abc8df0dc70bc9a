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
        match text[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{end_of_value, member};

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
}
