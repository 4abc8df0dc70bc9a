//! Exports encrypted to a recipient's key, in the format of age (<https://age-encryption.org/v1>): an X25519 recipient, armored.
//!
//! Every page is an age file of its own, under a file key of its own, so that a page that is asked for again is never encrypted
//! twice under one nonce, whatever changed in between. Armor says where each ends: an encrypted export is its pages one after the
//! other, a cut one ends with its last whole page, and the plain texts put together are the plain export.
//!
//! The crate `age` would weigh 177 kB gzipped and bring 140 packages, for identities, plugins, passphrases and translations that a
//! page's encryption has no use for. The primitives are `RustCrypto`'s and dalek's; tests open the result with age's own authors'
//! implementation.

use crate::encoding::base64_encode;
use crate::problem::{Code, Problem};
use bech32::Bech32;
use bech32::primitives::decode::CheckedHrpstring;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::string::String;
use std::vec::Vec;
use x25519_dalek::{PublicKey, X25519_BASEPOINT_BYTES, x25519};

const VERSION: &str = "age-encryption.org/v1";
const STANZA: &str = "X25519";
/// Plain bytes of a chunk.
const CHUNK: usize = 64 * 1024;
/// Characters of a line of armor.
const COLUMNS: usize = 64;
const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----\n";
const END: &str = "-----END AGE ENCRYPTED FILE-----\n";

/// Somebody's public key, `age1…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

/// What must be random, and fresh for every file.
pub struct FileSecrets {
    /// The key of the file.
    pub file_key: [u8; 16],
    /// The ephemeral secret of its one stanza.
    pub ephemeral: [u8; 32],
    /// The nonce of its payload's key.
    pub nonce: [u8; 16],
}

impl Recipient {
    /// Reads `age1…`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let invalid = |detail: &str| Problem::new(Code::ParameterInvalid, detail).of_field("recipient");
        if text.starts_with("AGE-SECRET-KEY-") {
            return Err(invalid(
                "This is a secret key, which belongs into no request: destroy it, and give its recipient, `age1…`.",
            ));
        }
        let read = CheckedHrpstring::new::<Bech32>(text).ok().filter(|_| text.starts_with("age1"));
        let bytes: Vec<u8> = read
            .filter(|read| read.hrp().as_str() == "age")
            .map(|read| read.byte_iter().collect())
            .unwrap_or_default();
        let key = bytes.try_into().map_err(|_| {
            invalid("`recipient` is an X25519 recipient of age, `age1` and 58 characters, as `age-keygen` shows it.")
        })?;
        // A point of small order gives a shared secret that everybody knows.
        if x25519([1; 32], key) == [0; 32] {
            return Err(invalid("`recipient` is a key that protects nothing."));
        }
        Ok(Self(key))
    }

    /// `plain` as an armored age file that only this recipient opens.
    pub fn seal(&self, plain: &[u8], secrets: &FileSecrets) -> String {
        let mut file = self.header(secrets).into_bytes();
        file.extend_from_slice(&secrets.nonce);
        push_payload(&mut file, &derive(&secrets.file_key, &secrets.nonce, "payload"), plain);
        armored(&file)
    }

    fn header(&self, secrets: &FileSecrets) -> String {
        let share = PublicKey::from(x25519(secrets.ephemeral, X25519_BASEPOINT_BYTES));
        let salt = [share.as_bytes().as_slice(), &self.0].concat();
        let info = "age-encryption.org/v1/X25519";
        let wrap = derive(&x25519(secrets.ephemeral, self.0), &salt, info);
        let wrapped = seal_chunk(&wrap, [0; 12], &secrets.file_key);
        let mut header = String::new();
        for part in
            [VERSION, "\n-> ", STANZA, " ", &unpadded(share.as_bytes()), "\n", &unpadded(&wrapped), "\n---"]
        {
            header.push_str(part);
        }
        let mac = Hmac::<Sha256>::new_from_slice(&derive(&secrets.file_key, &[], "header"))
            .expect("HMAC takes keys of any length")
            .chain_update(header.as_bytes())
            .finalize()
            .into_bytes();
        header.push(' ');
        header.push_str(&unpadded(&mac));
        header.push('\n');
        header
    }
}

fn derive(secret: &[u8], salt: &[u8], info: &str) -> [u8; 32] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(info.as_bytes(), &mut key)
        .expect("32 bytes are within what HKDF gives");
    key
}

fn unpadded(bytes: &[u8]) -> String {
    let mut text = base64_encode(bytes);
    text.truncate(text.trim_end_matches('=').len());
    text
}

fn seal_chunk(key: &[u8; 32], nonce: [u8; 12], plain: &[u8]) -> Vec<u8> {
    ChaCha20Poly1305::new(&Key::from(*key))
        .encrypt(&Nonce::from(nonce), plain)
        .expect("a chunk is far below what ChaCha20 encrypts")
}

/// STREAM: a counter of 11 bytes and a last one that marks the last chunk, which is empty only in an empty file.
fn push_payload(file: &mut Vec<u8>, key: &[u8; 32], plain: &[u8]) {
    let last = plain.len().div_ceil(CHUNK).max(1) - 1;
    for index in 0..=last {
        let chunk = &plain[index * CHUNK..plain.len().min((index + 1) * CHUNK)];
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&(index as u64).to_be_bytes());
        nonce[11] = u8::from(index == last);
        file.extend_from_slice(&seal_chunk(key, nonce, chunk));
    }
}

fn armored(file: &[u8]) -> String {
    let text = base64_encode(file);
    let mut armor = String::with_capacity(text.len() + text.len() / COLUMNS + BEGIN.len() + END.len() + 1);
    armor.push_str(BEGIN);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(COLUMNS));
        armor.push_str(line);
        armor.push('\n');
        rest = behind;
    }
    armor.push_str(END);
    armor
}

#[cfg(test)]
mod tests {
    use super::{FileSecrets, Recipient};
    use crate::problem::Code;

    const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn a_file_is_armored_and_depends_on_its_secrets() {
        let recipient = Recipient::parse(RECIPIENT).unwrap();
        let secrets = |byte| FileSecrets { file_key: [byte; 16], ephemeral: [byte; 32], nonce: [byte; 16] };
        let sealed = recipient.seal(&std::vec![7; 200_000], &secrets(1));
        assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3Yx"));
        assert!(sealed.ends_with("-----END AGE ENCRYPTED FILE-----\n"));
        assert!(sealed.lines().all(|line| line.len() <= 64));
        assert_ne!(sealed, recipient.seal(&std::vec![7; 200_000], &secrets(2)));
    }

    #[test]
    fn what_is_no_recipient_is_refused() {
        for text in [
            "",
            "age1",
            "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q",
            "AGE1QL3Z7HJY54PW3HYWW5AYYFG7ZQGVC7W3J2ELW8ZMRJ2KG5SFN9AQMCAC8P",
            "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX",
            "ssh-ed25519 AAAA",
            "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        ] {
            let problem = Recipient::parse(text).unwrap_err();
            assert_eq!((problem.code, problem.field.as_deref()), (Code::ParameterInvalid, Some("recipient")));
        }
    }
}
