//! The Durable Object that holds a project's readers. Sockets hibernate: what it must know of one is attached to the
//! socket. Streams of server-sent events live as long as the object stays awake, and resume by themselves.

use super::SUBSCRIPTION;
use super::announce::{Audience, QUIET_MS};
use super::message::Message;
use crate::failure::{Doing, Failure, Outcome};
use crate::projects::key_store;
use crate::storage::{cipher, log};
use futures_channel::mpsc::{Sender, channel};
use serde::Deserialize;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use stepseal_protocol::at_rest::Labels;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::query::{Filter, LiveQuery, Subscription};
use worker::{
    Date, DurableObject, Env, Error, Headers, Request, Response, Result, State, Url, WebSocket,
    WebSocketIncomingMessage, WebSocketPair, durable_object,
};

/// Entries that are read at once.
const PAGE: u32 = 100;
/// Messages that wait for a stream's reader, at most.
const STREAM_BUFFER: usize = 256;
/// While isolates may not know yet that there are readers, the log is asked this often.
const BRIDGE_EVERY: Duration = Duration::from_millis(100);
/// Otherwise this often, for readers whose time is over, keys that were revoked and announcements that were lost.
const LOOK_EVERY: Duration = Duration::from_secs(10);
const BRIDGE_MS: u64 = QUIET_MS + 1_000;
/// Close codes of ours (RFC 6455, section 7.4.2, leaves 4000 to 4999 to applications).
const ENDED: u16 = 4_001;
const REVOKED: u16 = 4_002;
const SLOW: u16 = 4_003;

/// Holds the readers of one project.
#[durable_object]
pub struct LiveFeed {
    state: State,
    env: Env,
    streams: RefCell<Vec<Stream>>,
    bridge_until: Cell<u64>,
    pumping: Cell<bool>,
    /// An announcement came while the log was being read.
    again: Cell<bool>,
}

/// A reader of server-sent events.
struct Stream {
    to: Sender<Result<Vec<u8>>>,
    subscription: Subscription,
}

#[derive(Deserialize)]
struct Acknowledgement {
    #[serde(rename = "ack")]
    _cursor: u64,
}

impl DurableObject for LiveFeed {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            streams: RefCell::default(),
            bridge_until: Cell::new(0),
            pumping: Cell::new(false),
            again: Cell::new(false),
        }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let Some(text) = request.headers().get(SUBSCRIPTION)? else {
            self.pump().await?;
            return Response::from_json(&Audience { readers: self.readers() });
        };
        let subscription: Subscription = serde_json::from_str(&text)?;
        self.bridge_until.set(Date::now().as_millis() + BRIDGE_MS);
        self.state.storage().set_alarm(BRIDGE_EVERY).await?;
        if request.headers().has("upgrade")? { self.socket(&subscription) } else { self.events(subscription) }
    }

    async fn alarm(&self) -> Result<Response> {
        let now = Date::now().as_millis();
        let bridging = now < self.bridge_until.get();
        if !bridging {
            self.end_readers(now).await?;
        }
        self.pump().await?;
        if self.readers() > 0 {
            self.state.storage().set_alarm(if bridging { BRIDGE_EVERY } else { LOOK_EVERY }).await?;
        }
        Response::empty()
    }

    async fn websocket_message(&self, socket: WebSocket, message: WebSocketIncomingMessage) -> Result<()> {
        let WebSocketIncomingMessage::String(text) = message else { return Ok(()) };
        if serde_json::from_str::<Acknowledgement>(&text).is_ok()
            && let Some(subscription) = socket.deserialize_attachment::<Subscription>()?
        {
            socket.serialize_attachment(Subscription { unacknowledged: 0, ..subscription })?;
        }
        Ok(())
    }

    async fn websocket_close(&self, socket: WebSocket, code: usize, _: String, _: bool) -> Result<()> {
        // Codes that a close frame must not carry say that there was none.
        let code = u16::try_from(code)
            .ok()
            .filter(|code| (1_000..5_000).contains(code) && !matches!(code, 1_004..=1_006));
        socket.close(code, Some("")).or(Ok(()))
    }

    async fn websocket_error(&self, _: WebSocket, _: Error) -> Result<()> {
        Ok(())
    }
}

impl LiveFeed {
    fn readers(&self) -> usize {
        self.state.get_websockets().len() + self.streams.borrow().len()
    }

    fn socket(&self, subscription: &Subscription) -> Result<Response> {
        let WebSocketPair { client, server } = WebSocketPair::new()?;
        self.state.accept_web_socket(&server);
        server.serialize_attachment(subscription)?;
        Response::from_websocket(client)
    }

    fn events(&self, subscription: Subscription) -> Result<Response> {
        let (mut to, from) = channel(STREAM_BUFFER);
        // A first byte, so that the reader knows it is connected; and how soon to come back.
        let _ = to.try_send(Ok(b"retry: 1000\n\n".to_vec()));
        self.streams.borrow_mut().push(Stream { to, subscription });
        let headers = Headers::new();
        headers.set("Content-Type", "text/event-stream")?;
        headers.set("Cache-Control", "no-store")?;
        headers.set("X-Content-Type-Options", "nosniff")?;
        Ok(Response::from_stream(from)?.with_headers(headers))
    }

    /// Hands out what the log has and readers have not. One at a time: readers get entries in order.
    async fn pump(&self) -> Result<()> {
        self.again.set(true);
        if self.pumping.replace(true) {
            return Ok(());
        }
        let mut outcome = Ok(());
        while outcome.is_ok() && self.again.replace(false) {
            outcome = self.hand_out().await;
        }
        self.pumping.set(false);
        outcome.map_err(|failure| match failure {
            Failure::Fault(fault) => Error::RustError(format!("{}: {}", fault.doing, fault.cause)),
            Failure::Refused(refusal) => Error::RustError(refusal.problem.detail),
        })
    }

    async fn hand_out(&self) -> Outcome<()> {
        let doing = "handing out a log";
        loop {
            let Some((project, next)) = self.slowest()? else { return Ok(()) };
            let page = log::export(&self.env, &project, next, u64::MAX >> 11, PAGE).await?;
            let id = ProjectId::parse(&project).map_err(|_| "a project id").doing(doing)?;
            let labels = cipher::labels(&self.env, &id)?;
            for entry in &page {
                if let Some(message) = Message::of(&self.env, &project, &labels, entry).await? {
                    self.send(&message, &labels)?;
                }
            }
            if page.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    /// The project, and the first entry that some reader has not had.
    fn slowest(&self) -> Outcome<Option<(String, u64)>> {
        let doing = "reading a socket's subscription";
        let mut slowest: Option<(String, u64)> = None;
        let mut consider = |subscription: &Subscription| {
            if slowest.as_ref().is_none_or(|(_, next)| subscription.next < *next) {
                slowest = Some((subscription.project.clone(), subscription.next));
            }
        };
        for socket in self.state.get_websockets() {
            if let Some(subscription) = socket.deserialize_attachment::<Subscription>().doing(doing)? {
                consider(&subscription);
            }
        }
        self.streams.borrow().iter().for_each(|stream| consider(&stream.subscription));
        Ok(slowest)
    }

    fn send(&self, message: &Message, labels: &Labels) -> Outcome<()> {
        let doing = "sending to a reader";
        for socket in self.state.get_websockets() {
            let Some(mut subscription) = socket.deserialize_attachment::<Subscription>().doing(doing)? else {
                continue;
            };
            if !advance(&mut subscription, message, labels) {
                socket.serialize_attachment(subscription).doing(doing)?;
                continue;
            }
            if subscription.count_message() {
                // It may be gone already; then nobody is left to be told.
                let _ = socket.send_with_str(told("slow"));
                let _ = socket.close(Some(SLOW), Some("too slow: acknowledge what you have read"));
                continue;
            }
            let _ = socket.send_with_str(&message.text);
            socket.serialize_attachment(subscription).doing(doing)?;
        }
        self.streams.borrow_mut().retain_mut(|stream| stream.send(message, labels));
        Ok(())
    }

    /// Ends connections whose time is over or whose key was revoked.
    async fn end_readers(&self, now: u64) -> Result<()> {
        for socket in self.state.get_websockets() {
            let Some(subscription) = socket.deserialize_attachment::<Subscription>()? else { continue };
            if let Some((code, word)) = self.reason_to_end(&subscription, now).await? {
                let _ = socket.send_with_str(told(word));
                let _ = socket.close(Some(code), Some(word));
            }
        }
        let subscriptions: Vec<Subscription> =
            self.streams.borrow().iter().map(|stream| stream.subscription.clone()).collect();
        for subscription in subscriptions {
            let reason = self.reason_to_end(&subscription, now).await?;
            self.streams.borrow_mut().retain_mut(|stream| {
                let ends = stream.subscription.key == subscription.key
                    && stream.subscription.ends_at == subscription.ends_at;
                match reason {
                    Some((_, word)) if ends => stream.tell_end(word),
                    // A comment keeps the connection warm, and finds out if its reader is gone.
                    _ if ends => stream.to.try_send(Ok(b":\n\n".to_vec())).is_ok(),
                    _ => true,
                }
            });
        }
        Ok(())
    }

    async fn reason_to_end(
        &self,
        subscription: &Subscription,
        now: u64,
    ) -> Result<Option<(u16, &'static str)>> {
        if subscription.has_ended(now) {
            return Ok(Some((ENDED, "ended")));
        }
        // A store that does not answer ends nobody's connection: the time above does.
        let Ok(key) = key_store::one(&self.env, &subscription.project, &subscription.key).await else {
            return Ok(None);
        };
        let alive = key.is_some_and(|key| !key.is_revoked() && key.record().is_alive(now));
        Ok((!alive).then_some((REVOKED, "revoked")))
    }
}

/// Moves a reader past a message, and says whether it is to be told of it.
fn advance(subscription: &mut Subscription, message: &Message, labels: &Labels) -> bool {
    if message.seq < subscription.next {
        return false;
    }
    subscription.next = message.seq + 1;
    filter_of(&subscription.question).is_none_or(|filter| message.passes(&filter, labels))
}

/// The filter of a query string that was read before.
fn filter_of(question: &str) -> Option<Filter> {
    let url = Url::parse(&format!("https://feed/?{question}")).ok()?;
    Some(LiveQuery::parse(url.query_pairs()).ok()?.filter)
}

fn told(word: &str) -> String {
    format!("{{\"type\":\"{word}\"}}")
}

impl Stream {
    /// Sends a message if it is for this reader, and says whether the reader stays.
    fn send(&mut self, message: &Message, labels: &Labels) -> bool {
        if !advance(&mut self.subscription, message, labels) {
            return true;
        }
        let event = format!("id: {}\ndata: {}\n\n", message.seq, message.text);
        if self.to.try_send(Ok(event.into_bytes())).is_ok() { true } else { self.tell_end("slow") }
    }

    /// Tells the reader why it is dropped. A sender of its own has room for one more message.
    fn tell_end(&mut self, word: &str) -> bool {
        let event = format!("event: {word}\ndata: {}\n\n", told(word));
        let _ = self.to.clone().try_send(Ok(event.into_bytes()));
        false
    }
}
