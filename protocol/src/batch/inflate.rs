//! Gzip, bounded: a small body must not become a large one.

use crate::limits::{INFLATED_MAX, INFLATED_RATIO_MAX};
use crate::problem::{Code, Problem};
use flate2::bufread::GzDecoder;
use std::borrow::Cow;
use std::format;
use std::io::Read;
use std::vec::Vec;

/// RFC 1952, section 2.3.1: ID1 and ID2. No NDJSON begins so.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Small bodies may inflate to this many bytes whatever their ratio: a page of spaces is no bomb.
const RATIO_FREE: usize = 64 * 1024;

/// The NDJSON of a body as sent: inflated if the signed bytes begin as gzip, else as they are.
pub fn inflate(body: &[u8]) -> Result<Cow<'_, [u8]>, Problem> {
    if !body.starts_with(&GZIP_MAGIC) {
        return Ok(Cow::Borrowed(body));
    }
    let bound = INFLATED_MAX.min((body.len() * INFLATED_RATIO_MAX).max(RATIO_FREE));
    let mut decoder = GzDecoder::new(body);
    let mut ndjson = Vec::with_capacity(bound.min(body.len() * 8));
    decoder.by_ref().take(bound as u64 + 1).read_to_end(&mut ndjson).map_err(|fault| {
        Problem::new(Code::BodyMalformed, format!("The gzip body cannot be read: {fault}."))
    })?;
    if ndjson.len() > bound {
        return Err(Problem::new(
            Code::InflatedTooLarge,
            format!(
                "The body of {} bytes inflates to more than {bound}; at most {INFLATED_MAX} bytes and \
                 {INFLATED_RATIO_MAX} times its size are allowed. Send smaller batches.",
                body.len()
            ),
        ));
    }
    if !decoder.into_inner().is_empty() {
        return Err(Problem::new(Code::BodyMalformed, "Bytes follow the end of the gzip body."));
    }
    Ok(Cow::Owned(ndjson))
}

#[cfg(test)]
mod tests {
    use super::inflate;
    use crate::problem::Code;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;
    use std::vec;
    use std::vec::Vec;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_and_plain_bodies_give_the_same_text() {
        assert_eq!(inflate(b"{}\n").unwrap().as_ref(), b"{}\n");
        assert_eq!(inflate(&gzip(b"{}\n")).unwrap().as_ref(), b"{}\n");
    }

    #[test]
    fn a_bomb_is_refused_by_ratio_and_by_size() {
        let bomb = gzip(&vec![b' '; 2_000_000]);
        assert!(bomb.len() * 100 < 2_000_000);
        assert_eq!(inflate(&bomb).unwrap_err().code, Code::InflatedTooLarge);
    }

    #[test]
    fn a_cut_body_and_trailing_bytes_are_refused() {
        let mut body = gzip(b"{\"v\":1}\n");
        assert_eq!(inflate(&body[..body.len() - 1]).unwrap_err().code, Code::BodyMalformed);
        body.push(0);
        assert_eq!(inflate(&body).unwrap_err().code, Code::BodyMalformed);
    }
}
