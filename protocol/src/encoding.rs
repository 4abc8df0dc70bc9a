//! The three encodings of the wire: base64, unpadded base64url (both RFC 4648, canonical only) and hex.
//!
//! Decoding is strict: a second spelling of the same bytes is refused, because a signed text must have
//! one reading.

use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64, Base64UrlUnpadded, Encoding};

/// A text that is not the canonical encoding of any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidEncoding;

/// Standard base64 with padding, as signatures and secrets are written.
pub fn base64_encode(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// Reads [`base64_encode`]'s text.
pub fn base64_decode(text: &str) -> Result<Vec<u8>, InvalidEncoding> {
    Base64::decode_vec(text).map_err(|_| InvalidEncoding)
}

/// Unpadded base64url, as claims and digests are written.
pub fn base64url_encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Reads [`base64url_encode`]'s text.
pub fn base64url_decode(text: &str) -> Result<Vec<u8>, InvalidEncoding> {
    Base64UrlUnpadded::decode_vec(text).map_err(|_| InvalidEncoding)
}

/// Appends `bytes` in standard base64 (RFC 4648, section 4) or unpadded base64url (section 5). Only for what everybody
/// may see: it branches on what it writes, which the encoders above, seven times as large, do not.
pub(crate) fn push_base64(out: &mut Vec<u8>, bytes: &[u8], url: bool) {
    let (mut bits, mut held) = (0_u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        while held >= 6 {
            held -= 6;
            out.extend_from_slice(&[base64_digit(bits >> held, url)]);
        }
    }
    if held > 0 {
        out.extend_from_slice(&[base64_digit(bits << (6 - held), url)]);
        if !url {
            out.extend_from_slice(if held == 4 { b"=" } else { b"==" });
        }
    }
}

fn base64_digit(bits: u32, url: bool) -> u8 {
    let value = (bits & 63) as u8;
    match value {
        0..=25 => b'A' + value,
        26..=51 => b'a' - 26 + value,
        52..=61 => value - 4,
        62 => b"+-"[usize::from(url)],
        _ => b"/_"[usize::from(url)],
    }
}

/// Lower-case hex.
pub fn hex_encode(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Reads [`hex_encode`]'s text.
pub fn hex_decode(text: &str) -> Result<Vec<u8>, InvalidEncoding> {
    base16ct::lower::decode_vec(text).map_err(|_| InvalidEncoding)
}

/// Reads hex of either case, such as the store's `hex()` gives.
pub fn hex_decode_any_case(text: &str) -> Result<Vec<u8>, InvalidEncoding> {
    base16ct::mixed::decode_vec(text).map_err(|_| InvalidEncoding)
}

#[cfg(test)]
mod tests {
    use super::{base64_encode, base64url_encode, push_base64};
    use alloc::string::String;
    use alloc::vec::Vec;
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn the_small_encoders_write_what_the_others_do(bytes in prop::collection::vec(any::<u8>(), 0..70)) {
            let written = |push: &dyn Fn(&mut Vec<u8>)| {
                let mut out = Vec::new();
                push(&mut out);
                String::from_utf8(out).unwrap()
            };
            prop_assert_eq!(written(&|out| push_base64(out, &bytes, false)), base64_encode(&bytes));
            prop_assert_eq!(written(&|out| push_base64(out, &bytes, true)), base64url_encode(&bytes));
        }
    }
}
