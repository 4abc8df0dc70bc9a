//! Envelopes: the signed frame around a batch's bytes.
//!
//! A page sends `b1 <token> <batch id> <ts> v1,<signature>\n` and the body. A backend that holds the
//! project secret sends the body alone, with the three headers of Standard Webhooks 1.0 and
//! `stepseal-key`; its envelope is kept as `w1 <project>.<kid> <batch id> <ts> <signatures>`, a line
//! that never travels. Either line beside the body's bytes re-verifies them at any time.

use crate::ids::BatchId;
use crate::keys::{BatchKey, SessionKey, decimal};
use alloc::vec::Vec;

/// Prefix of a sealed batch, wire version 1. It fixes every algorithm; there is no algorithm field.
const SEALED_V1: &str = "b1";

/// Appends a sealed batch to `out`: first line, line break, body.
pub fn seal(out: &mut Vec<u8>, token: &str, batch_id: &BatchId, ts: u64, key: &SessionKey, body: &[u8]) {
    for part in [SEALED_V1.as_bytes(), token.as_bytes(), batch_id.as_bytes(), decimal(ts, &mut [0; 20])] {
        out.extend_from_slice(part);
        out.extend_from_slice(b" ");
    }
    key.push_signature(out, batch_id, ts, body);
    out.extend_from_slice(b"\n");
    out.extend_from_slice(body);
}

#[cfg(feature = "read")]
pub use read::{ServerHeaders, Signer, Unverified, Verified};

#[cfg(feature = "read")]
mod read {
    use super::SEALED_V1;
    use crate::ids::{BatchId, KeyId, ProjectId};
    use crate::keys::{BatchKey, ProjectSecret, Signature};
    use crate::limits::{ENVELOPE_LINE_MAX, WINDOW_S};
    use crate::problem::{Code, Problem};
    use crate::token::{Claims, UnverifiedToken};
    use crate::transfer::Attested;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    /// Prefix of a server batch's envelope as it is stored.
    const SERVER_V1: &str = "w1";
    /// Signatures that one `webhook-signature` header may list; senders rotate between two.
    const SIGNATURES_MAX: usize = 4;

    /// The headers of a server batch (Standard Webhooks 1.0, and ours that names the key).
    #[derive(Clone, Copy, Debug)]
    pub struct ServerHeaders<'a> {
        /// `stepseal-key`: `<project>.<kid>`.
        pub key: &'a str,
        /// `webhook-id`: the batch id.
        pub id: &'a str,
        /// `webhook-timestamp`: Unix seconds of the attempt.
        pub timestamp: &'a str,
        /// `webhook-signature`: signatures separated by spaces.
        pub signature: &'a str,
    }

    /// Under whose key a batch says it was signed.
    #[derive(Clone, Debug)]
    pub enum Signer<'a> {
        /// A page's session.
        Session(UnverifiedToken<'a>),
        /// A backend with the project secret.
        Server {
            /// The project.
            project: ProjectId,
            /// The key generation.
            kid: KeyId,
        },
    }

    /// A batch as received: its frame is well-formed, nothing is proven.
    #[derive(Clone, Debug)]
    pub struct Unverified<'a> {
        signer: Signer<'a>,
        batch_id: BatchId,
        ts: u64,
        signatures: Vec<Signature>,
        body: &'a [u8],
    }

    /// A batch whose MAC verified, or that was imported on an attestation that holds. Only [`Unverified::verify`] and
    /// [`Unverified::attested`] make one.
    #[derive(Clone, Debug)]
    pub struct Verified<'a> {
        inner: Unverified<'a>,
    }

    fn malformed(detail: impl Into<String>) -> Problem {
        Problem::new(Code::EnvelopeMalformed, detail)
    }

    impl<'a> Unverified<'a> {
        /// Splits a request to `/v1/batches` into its frame and its body.
        pub fn from_sealed(request: &'a [u8]) -> Result<Self, Problem> {
            let head = &request[..request.len().min(ENVELOPE_LINE_MAX)];
            let end = head.iter().position(|byte| *byte == b'\n').ok_or_else(|| {
                malformed(format!(
                    "No line break within the first {ENVELOPE_LINE_MAX} bytes; line 1 is the envelope."
                ))
            })?;
            let line =
                core::str::from_utf8(&head[..end]).map_err(|_| malformed("The first line is not ASCII."))?;
            Self::from_sealed_line(line, &request[end + 1..])
        }

        /// The same, with line 1 and body apart already.
        fn from_sealed_line(line: &'a str, body: &'a [u8]) -> Result<Self, Problem> {
            let [version, token, id, ts, signature] = fields(line)?;
            if version != SEALED_V1 {
                return Err(match version.strip_prefix('b').map(str::parse::<u16>) {
                    Some(Ok(_)) => Problem::new(
                        Code::VersionUnsupported,
                        format!("This server speaks {SEALED_V1}. Update whichever side is older."),
                    ),
                    _ => malformed("The first line reads `b1 <token> <batch id> <ts> v1,<signature>`."),
                });
            }
            let signer = Signer::Session(UnverifiedToken::parse(token)?);
            Self::assemble(signer, id, ts, signature, body)
        }

        /// Frames a request to `/v1/server/batches`.
        pub fn from_server(headers: ServerHeaders<'_>, body: &'a [u8]) -> Result<Self, Problem> {
            let (project, kid) = headers
                .key
                .split_once('.')
                .ok_or_else(|| malformed("Header `stepseal-key` reads `<project>.<kid>`."))?;
            let signer = Signer::Server {
                project: ProjectId::parse(project).map_err(|_| malformed("The project id is malformed."))?,
                kid: KeyId::parse(kid).map_err(|_| malformed("The key id is malformed."))?,
            };
            Self::assemble(signer, headers.id, headers.timestamp, headers.signature, body)
        }

        /// Reads an envelope as [`Verified::envelope_line`] wrote it, beside the body it was stored with.
        pub fn from_stored(line: &'a str, body: &'a [u8]) -> Result<Self, Problem> {
            let Some(rest) = line.strip_prefix(SERVER_V1).and_then(|rest| rest.strip_prefix(' ')) else {
                return Self::from_sealed_line(line, body);
            };
            let mut parts = rest.splitn(4, ' ');
            let mut next =
                || parts.next().ok_or_else(|| malformed("The stored envelope has too few fields."));
            let (key, id, timestamp, signature) = (next()?, next()?, next()?, next()?);
            Self::from_server(ServerHeaders { key, id, timestamp, signature }, body)
        }

        fn assemble(
            signer: Signer<'a>,
            id: &str,
            ts: &str,
            signatures: &str,
            body: &'a [u8],
        ) -> Result<Self, Problem> {
            let batch_id = BatchId::parse(id)
                .map_err(|fault| malformed(format!("The {} must match {}.", fault.what, fault.grammar)))?;
            let ts = parse_ts(ts).ok_or_else(|| malformed("The timestamp is Unix seconds, ten digits."))?;
            let signatures = signatures
                .split(' ')
                .take(SIGNATURES_MAX)
                .filter_map(|text| Signature::parse(text).ok())
                .collect::<Vec<_>>();
            if signatures.is_empty() {
                return Err(malformed("A signature reads `v1,` and the base64 of 32 bytes."));
            }
            Ok(Self { signer, batch_id, ts, signatures, body })
        }

        /// Under whose key it says it was signed.
        pub fn signer(&self) -> &Signer<'a> {
            &self.signer
        }

        /// The project it says it belongs to.
        pub fn project(&self) -> &ProjectId {
            match &self.signer {
                Signer::Session(token) => token.project(),
                Signer::Server { project, .. } => project,
            }
        }

        /// The key generation it says it was signed under.
        pub fn kid(&self) -> &KeyId {
            match &self.signer {
                Signer::Session(token) => token.kid(),
                Signer::Server { kid, .. } => kid,
            }
        }

        /// Refuses an attempt whose time is outside the window around `now`, or whose session is not
        /// alive (Unix seconds). Cheap, so it comes before any cryptography; it proves nothing yet.
        pub fn check_time(&self, now: u64) -> Result<(), Problem> {
            let apart = self.ts.abs_diff(now);
            if apart > WINDOW_S {
                let side = if self.ts < now { "behind" } else { "ahead of" };
                return Err(Problem::new(
                    Code::TimestampOutsideWindow,
                    format!(
                        "The timestamp is {apart} s {side} this server's time; {WINDOW_S} s are tolerated. \
                         Correct the clock by `server_time` and sign again."
                    ),
                ));
            }
            match &self.signer {
                Signer::Session(token) => token.unverified_claims().check_life(now),
                Signer::Server { .. } => Ok(()),
            }
        }

        /// Checks the MAC over the raw bytes, with the key that `secret` leads to.
        pub fn verify(self, secret: &ProjectSecret) -> Result<Verified<'a>, Problem> {
            let authentic = match &self.signer {
                Signer::Session(token) => self.signed_under(&secret.session_key(token.as_str())),
                Signer::Server { .. } => self.signed_under(secret),
            };
            if authentic {
                Ok(Verified { inner: self })
            } else {
                Err(Problem::new(
                    Code::SignatureInvalid,
                    "The signature does not match these bytes under the key they name. Sign \
                     `<batch id>.<ts>.<body>` with HMAC-SHA256, over the body exactly as sent.",
                ))
            }
        }

        /// Takes an attestation that holds in place of the MAC: of an imported batch whose root this server does not hold.
        pub fn attested(self, _proof: &Attested) -> Verified<'a> {
            Verified { inner: self }
        }

        fn signed_under(&self, key: &impl BatchKey) -> bool {
            self.signatures
                .iter()
                .any(|signature| key.verifies(&self.batch_id, self.ts, self.body, signature))
        }
    }

    impl<'a> Verified<'a> {
        /// The session's claims; none for a server batch.
        pub fn claims(&self) -> Option<&Claims> {
            match &self.inner.signer {
                Signer::Session(token) => Some(token.unverified_claims()),
                Signer::Server { .. } => None,
            }
        }

        /// The project it belongs to.
        pub fn project(&self) -> &ProjectId {
            self.inner.project()
        }

        /// The key generation it is signed under.
        pub fn kid(&self) -> &KeyId {
            self.inner.kid()
        }

        /// The batch's id.
        pub fn batch_id(&self) -> &BatchId {
            &self.inner.batch_id
        }

        /// Time of the attempt, Unix seconds.
        pub fn ts(&self) -> u64 {
            self.inner.ts
        }

        /// The body's bytes as sent, gzip or NDJSON.
        pub fn body(&self) -> &'a [u8] {
            self.inner.body
        }

        /// The envelope as one line without its line break, to be stored beside the body.
        pub fn envelope_line(&self) -> String {
            let Unverified { signer, batch_id, ts, signatures, .. } = &self.inner;
            let signatures =
                signatures.iter().map(|signature| format!("{signature}")).collect::<Vec<_>>().join(" ");
            match signer {
                Signer::Session(token) => {
                    format!("{SEALED_V1} {} {batch_id} {ts} {signatures}", token.as_str())
                }
                Signer::Server { project, kid } => {
                    format!("{SERVER_V1} {project}.{kid} {batch_id} {ts} {signatures}")
                }
            }
        }
    }

    fn fields(line: &str) -> Result<[&str; 5], Problem> {
        let mut parts = line.split(' ');
        let all: [&str; 5] = core::array::from_fn(|_| parts.next().unwrap_or_default());
        if parts.next().is_some() || all.contains(&"") {
            return Err(malformed(
                "The first line has five fields separated by single spaces: \
                 `b1 <token> <batch id> <ts> v1,<signature>`.",
            ));
        }
        Ok(all)
    }

    /// `^[1-9][0-9]{9}$`: one spelling a number, so that a MAC has one reading.
    fn parse_ts(text: &str) -> Option<u64> {
        let canonical =
            text.len() == 10 && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
        if canonical { text.parse().ok() } else { None }
    }
}
