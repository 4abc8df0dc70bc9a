//! The Durable Object that holds a project's readers. Sockets hibernate: what it must know of one is attached to the
//! socket. Streams of server-sent events live as long as the object stays awake, and resume by themselves.

use super::SUBSCRIPTION;
use super::announce::{Audience, QUIET_MS};
use super::message::Message;
use crate::failure::{Doing, Failure, Outcome};
use crate::projects::key_store;
use crate::storage::log;
use futures_channel::mpsc::{Sender, channel};
use serde::Deserialize;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::task::{Context, Waker};
use std::time::Duration;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::query::{LiveQuery, Subscription};
use worker::{
    Date, Delay, DurableObject, Env, Error, Headers, Request, Response, Result, State, Url, WebSocket,
    WebSocketIncomingMessage, WebSocketPair, durable_object,
};

/// Entries that are read at once.
const PAGE: u32 = 100;
/// Messages that wait for a stream's reader, at most: few, because one may have a megabyte.
const STREAM_BUFFER: usize = 16;
/// While isolates may not know yet that there are readers, and while a reader has no room, the log is asked this often.
const BRIDGE_EVERY: Duration = Duration::from_millis(100);
/// How often, and how many times, a stream without room is looked at before the alarm does.
const ROOM_LOOK_EVERY: Duration = Duration::from_millis(5);
const ROOM_LOOKS: usize = 20;
/// Otherwise this often, for readers whose time is over, keys that were revoked and announcements that were lost, in
/// milliseconds.
const LOOK_MS: u64 = 10_000;
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
    /// When readers are asked for whose time is over, next.
    look_at: Cell<u64>,
    pumping: Cell<bool>,
    /// An announcement came while the log was being read.
    again: Cell<bool>,
}

/// A reader of server-sent events.
struct Stream {
    to: Sender<Result<Vec<u8>>>,
    subscription: Subscription,
}

/// What a reader asks: the query string, and what finds its words.
type Asked = (String, Option<String>);

#[derive(Deserialize)]
struct Acknowledgement {
    ack: u64,
}

impl DurableObject for LiveFeed {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            streams: RefCell::default(),
            bridge_until: Cell::new(0),
            look_at: Cell::new(0),
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
        self.drop_slow(now)?;
        let bridging = now < self.bridge_until.get();
        if !bridging && now >= self.look_at.get() {
            self.look_at.set(now + LOOK_MS);
            self.end_readers(now).await?;
        }
        self.pump().await?;
        if self.readers() > 0 && !self.has_stalled()? {
            let next = if bridging { BRIDGE_EVERY } else { Duration::from_millis(LOOK_MS) };
            self.state.storage().set_alarm(next).await?;
        }
        Response::empty()
    }

    async fn websocket_message(&self, socket: WebSocket, message: WebSocketIncomingMessage) -> Result<()> {
        let WebSocketIncomingMessage::String(text) = message else { return Ok(()) };
        let Ok(Acknowledgement { ack }) = serde_json::from_str(&text) else { return Ok(()) };
        let Some(mut subscription) = socket.deserialize_attachment::<Subscription>()? else { return Ok(()) };
        let was_stalled = subscription.is_stalled();
        subscription.acknowledge(ack);
        socket.serialize_attachment(&subscription)?;
        if was_stalled && subscription.is_reading() { self.pump().await } else { Ok(()) }
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
            if self.room_soon().await {
                self.again.set(true);
            }
        }
        self.pumping.set(false);
        if self.has_stalled()? {
            self.state.storage().set_alarm(BRIDGE_EVERY).await?;
        }
        outcome.map_err(|failure| match failure {
            Failure::Fault(fault) => Error::RustError(format!("{}: {}", fault.doing, fault.cause)),
            Failure::Refused(refusal) => Error::RustError(refusal.problem.detail),
        })
    }

    /// Waits a moment for a stream that has no room to get some, which is what one does that is read; but not when there is
    /// something new for others.
    async fn room_soon(&self) -> bool {
        for _ in 0..ROOM_LOOKS {
            if self.again.get()
                || !self.streams.borrow().iter().any(|stream| stream.subscription.is_stalled())
            {
                return false;
            }
            let has_room = |stream: &mut Stream| stream.subscription.is_stalled() && stream.has_room();
            if self.streams.borrow_mut().iter_mut().any(has_room) {
                return true;
            }
            Delay::from(ROOM_LOOK_EVERY).await;
        }
        false
    }

    async fn hand_out(&self) -> Outcome<()> {
        self.streams.borrow_mut().iter_mut().for_each(Stream::go_on);
        loop {
            let Some(ends) = self.ends()? else { return Ok(()) };
            // Who has far to go does not keep those waiting who are up to date.
            let mut is_done = self.hand_out_from(&ends.project, ends.ahead).await?;
            if ends.behind != ends.ahead {
                // All others are at or after it. Nobody may ever be where `ahead` is: a cursor may be from beyond the log.
                is_done = self.hand_out_from(&ends.project, ends.behind).await?;
            }
            if is_done {
                return Ok(());
            }
        }
    }

    /// Hands out a page of the log from the entry `start` on, and says whether it was the last.
    async fn hand_out_from(&self, project: &str, start: u64) -> Outcome<bool> {
        let page = log::export(&self.env, project, start, u64::MAX >> 11, PAGE).await?;
        let id = ProjectId::parse(project).map_err(|_| "a project id").doing("handing out a log")?;
        for entry in &page {
            let seq = entry.leaf.seq;
            let message = Message::of(&self.env, &id, entry).await?;
            let concerned = self.concerned(&id, start, seq, message.as_ref()).await?;
            if !self.offer(start, seq, message.as_ref(), &concerned)? {
                return Ok(false);
            }
        }
        Ok(page.len() < PAGE as usize)
    }

    /// Which entries the readers wait for that have room: the first and the last of them.
    fn ends(&self) -> Outcome<Option<Ends>> {
        let mut ends: Option<Ends> = None;
        let mut consider = |Subscription { project, next, .. }: &Subscription| {
            let ends =
                ends.get_or_insert_with(|| Ends { project: project.clone(), behind: *next, ahead: *next });
            ends.behind = ends.behind.min(*next);
            ends.ahead = ends.ahead.max(*next);
        };
        for (_, subscription) in self.sockets().doing("reading a socket's subscription")? {
            if subscription.is_reading() {
                consider(&subscription);
            }
        }
        self.streams
            .borrow()
            .iter()
            .map(|stream| &stream.subscription)
            .filter(|one| one.is_reading())
            .for_each(consider);
        Ok(ends)
    }

    /// The questions of the readers that an entry is offered to, and whether those who ask them are told of it.
    async fn concerned(
        &self,
        project: &ProjectId,
        start: u64,
        seq: u64,
        message: Option<&Message>,
    ) -> Outcome<HashMap<Asked, bool>> {
        let mut concerned = HashMap::new();
        let mut ask = |reader: &Subscription| {
            if waits_for(reader, start, seq) {
                concerned.insert(asked(reader), false);
            }
        };
        for (_, reader) in self.sockets().doing("reading a socket's subscription")? {
            ask(&reader);
        }
        self.streams.borrow().iter().for_each(|stream| ask(&stream.subscription));
        if let Some(message) = message {
            for ((question, expression), is_told) in &mut concerned {
                let Some(query) = query_of(question) else { continue };
                *is_told = message.concerns(&self.env, project, &query, expression.as_deref()).await?;
            }
        }
        Ok(concerned)
    }

    /// Takes every reader past the entry `seq` that has come as far as `start` and has room for the entry's message; says
    /// whether any of those is to be taken on from there. Who asks what was not known when `concerned` was made came since, and
    /// is taken next time.
    fn offer(
        &self,
        start: u64,
        seq: u64,
        message: Option<&Message>,
        concerned: &HashMap<Asked, bool>,
    ) -> Outcome<bool> {
        let doing = "sending to a reader";
        let now = Date::now().as_millis();
        let mut anyone_goes_on = false;
        for (socket, mut reader) in self.sockets().doing(doing)? {
            if !waits_for(&reader, start, seq) {
                continue;
            }
            let Some(is_told) = concerned.get(&asked(&reader)) else { continue };
            let told = message.filter(|_| *is_told);
            if told.is_some() && !reader.has_room() {
                reader.stall(now);
            } else {
                reader.next = seq + 1;
                if let Some(message) = told {
                    reader.sent(seq, message.text.len());
                    // It may be gone already; then nobody is left to be told.
                    let _ = socket.send_with_str(&message.text);
                }
            }
            anyone_goes_on |= waits_for(&reader, start, seq + 1);
            socket.serialize_attachment(&reader).doing(doing)?;
        }
        self.streams.borrow_mut().retain_mut(|Stream { to, subscription: reader }| {
            if !waits_for(reader, start, seq) {
                return true;
            }
            let Some(is_told) = concerned.get(&asked(reader)) else { return true };
            if let Some(message) = message.filter(|_| *is_told) {
                let event = format!("id: {seq}\ndata: {}\n\n", message.text);
                if let Err(error) = to.try_send(Ok(event.into_bytes())) {
                    reader.stall(now);
                    return error.is_full();
                }
            }
            reader.next = seq + 1;
            anyone_goes_on = true;
            true
        });
        Ok(anyone_goes_on)
    }

    fn sockets(&self) -> Result<Vec<(WebSocket, Subscription)>> {
        let mut sockets = Vec::new();
        for socket in self.state.get_websockets() {
            if let Some(subscription) = socket.deserialize_attachment::<Subscription>()? {
                sockets.push((socket, subscription));
            }
        }
        Ok(sockets)
    }

    fn has_stalled(&self) -> Result<bool> {
        Ok(self.streams.borrow().iter().any(|stream| stream.subscription.is_stalled())
            || self.sockets()?.iter().any(|(_, subscription)| subscription.is_stalled()))
    }

    /// Ends readers that have had no room for too long.
    fn drop_slow(&self, now: u64) -> Result<()> {
        for (socket, mut subscription) in self.sockets()? {
            if subscription.is_too_slow(now) {
                end(&socket, &mut subscription, SLOW, "slow")?;
            }
        }
        self.streams
            .borrow_mut()
            .retain_mut(|stream| !stream.subscription.is_too_slow(now) || stream.tell_end("slow"));
        Ok(())
    }

    /// Ends connections whose time is over or whose key was revoked.
    async fn end_readers(&self, now: u64) -> Result<()> {
        for (socket, mut subscription) in self.sockets()? {
            if subscription.is_over() {
                continue;
            }
            if let Some((code, word)) = self.reason_to_end(&subscription, now).await? {
                end(&socket, &mut subscription, code, word)?;
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
                    _ if ends => {
                        stream.to.try_send(Ok(b":\n\n".to_vec())).err().is_none_or(|error| error.is_full())
                    }
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

/// The entries of the log that readers with room wait for.
struct Ends {
    project: String,
    behind: u64,
    ahead: u64,
}

/// Whether a reader is to be taken past the entry `seq` of a page that begins at `start`.
fn waits_for(reader: &Subscription, start: u64, seq: u64) -> bool {
    reader.is_reading() && (start..=seq).contains(&reader.next)
}

fn asked(reader: &Subscription) -> Asked {
    (reader.question.clone(), reader.expression.clone())
}

/// Tells a socket why it ends, once: it stays among the sockets until its reader closes it too.
fn end(socket: &WebSocket, subscription: &mut Subscription, code: u16, word: &str) -> Result<()> {
    subscription.end();
    socket.serialize_attachment(subscription)?;
    // It may be gone already; then nobody is left to be told.
    let _ = socket.send_with_str(told(word));
    let _ = socket.close(Some(code), Some(word));
    Ok(())
}

/// The question of a query string that was read before.
fn query_of(question: &str) -> Option<LiveQuery> {
    let url = Url::parse(&format!("https://feed/?{question}")).ok()?;
    LiveQuery::parse(url.query_pairs()).ok()
}

fn told(word: &str) -> String {
    format!("{{\"type\":\"{word}\"}}")
}

impl Stream {
    /// Whether it takes more, or is gone, which the next message finds out.
    fn has_room(&mut self) -> bool {
        self.to.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Goes on if there is room again.
    fn go_on(&mut self) {
        if self.has_room() {
            self.subscription.go_on();
        }
    }

    /// Tells the reader why it is dropped. A sender of its own has room for one more message.
    fn tell_end(&mut self, word: &str) -> bool {
        let event = format!("event: {word}\ndata: {}\n\n", told(word));
        let _ = self.to.clone().try_send(Ok(event.into_bytes()));
        false
    }
}
