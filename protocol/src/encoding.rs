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
