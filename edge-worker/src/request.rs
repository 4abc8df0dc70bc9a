//! Reading requests: bodies never beyond their limit, headers as plain texts.

use crate::failure::{Doing, Outcome};
use stepseal_protocol::problem::{Code, Problem};
use worker::js_sys::futures::JsFuture;
use worker::js_sys::{Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::ReadableStreamDefaultReader;
use worker::{Request, Url};

/// A body that is longer than the limit is read and thrown away up to this much, so that the sender gets
/// its answer instead of a broken connection.
const DRAIN_MAX: usize = 16 * 1024 * 1024;

/// The whole body, if it has at most `limit` bytes.
pub(crate) async fn read_body(request: &mut Request, limit: usize) -> Outcome<Vec<u8>> {
    let announced = header(request, "content-length").and_then(|text| text.parse::<usize>().ok());
    match announced {
        // The platform reads exactly what was announced.
        Some(length) if length <= limit => Ok(request.bytes().await.doing("reading a body")?),
        Some(length) => {
            drain(request).await;
            Err(too_large(limit, &format!("{length} bytes")).into())
        }
        None => read_unannounced(request, limit).await,
    }
}

async fn read_unannounced(request: &mut Request, limit: usize) -> Outcome<Vec<u8>> {
    let Some(mut chunks) = Chunks::of(request) else { return Ok(Vec::new()) };
    let mut body = Vec::new();
    while let Some(chunk) = chunks.next().await? {
        if body.len() + chunk.len() > limit {
            chunks.drain(DRAIN_MAX).await;
            return Err(too_large(limit, "more").into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn too_large(limit: usize, found: &str) -> Problem {
    Problem::new(
        Code::BodyTooLarge,
        format!("The request's body has {found}; {limit} bytes are allowed. Cut it into smaller batches."),
    )
}

async fn drain(request: &mut Request) {
    if let Some(mut chunks) = Chunks::of(request) {
        chunks.drain(DRAIN_MAX).await;
    }
}

/// The body's stream, chunk by chunk.
struct Chunks(ReadableStreamDefaultReader);

impl Chunks {
    fn of(request: &Request) -> Option<Self> {
        let stream = request.inner().body()?;
        Some(Self(stream.get_reader().dyn_into().ok()?))
    }

    async fn next(&mut self) -> Outcome<Option<Vec<u8>>> {
        let doing = "reading a body's chunk";
        let failed = |cause: JsValue| format!("{cause:?}");
        let result = JsFuture::from(self.0.read()).await.map_err(failed).doing(doing)?;
        let member = |name: &str| Reflect::get(&result, &name.into()).map_err(failed).doing(doing);
        if member("done")?.is_truthy() {
            return Ok(None);
        }
        Ok(Some(Uint8Array::new(&member("value")?).to_vec()))
    }

    async fn drain(&mut self, most: usize) {
        let mut read = 0;
        while read < most {
            match self.next().await {
                Ok(Some(chunk)) => read += chunk.len(),
                Ok(None) | Err(_) => return,
            }
        }
    }
}

/// A header's text, if it is there.
pub(crate) fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}

/// The client's address as the platform reports it. One bucket for all where there is none (local runs).
pub(crate) fn client_address(request: &Request) -> String {
    header(request, "cf-connecting-ip").unwrap_or_else(|| "local".into())
}

/// The request's URL.
pub(crate) fn url(request: &Request) -> Outcome<Url> {
    Ok(request.url().doing("reading the request's URL")?)
}

/// The origin that the request was made to.
pub(crate) fn own_origin(request: &Request) -> Outcome<String> {
    Ok(url(request)?.origin().ascii_serialization())
}
