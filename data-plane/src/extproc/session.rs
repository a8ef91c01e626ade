//! One ext_proc stream as a state machine without I/O: messages in, replies out.
//!
//! ```text
//!                     header-only, or body mode NONE / STREAMED
//! Headers ─────────────────────────────────────────────────────────▶ Deciding ─▶ Decided
//!    │ BUFFERED: headers are answered at once        end, or trailers   ▲  │
//!    └─▶ Body (accumulates) ────────────────────────────────────────────┘  └─▶ Refused (immediate response)
//!          └─ over the limit ─▶ Refused
//! ```
//! FULL_DUPLEX answers the headers with the decision and sends the whole body back after it, with one end of stream
//! (none when trailers follow). BUFFERED answers the body message with it.
//!
//! The response passes through. Where its body is sent here anyway, usage is read from it. When the model was rewritten,
//! the client's name is put back: its pieces are then asked for, if the mode does not send them.

use bytes::Bytes;
use smallvec::SmallVec;

use super::message::{BodyMode, Chunk, Content, Event, Message, Modes};
use super::metadata::Metadata;
use super::refused::Refused;
use super::reply::{Part, Reply};
use crate::request::answer::{Reader, Restore, Usage};
use crate::request::{Body, Head};

pub use super::question::{Answer, Question};

/// Largest piece of a body in one reply: its message fits HTTP/2's default window of 65,535 bytes.
pub const CHUNK: usize = 62_000;

/// What the edge does after a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Send the replies and read on.
    Read,
    /// Decide [`Session::question`] and give the result to [`Session::decided`].
    Decide,
    /// Send the replies and end the stream.
    Finish,
}

/// What is learnt about the request's fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The endpoint that served it.
    Served(std::net::SocketAddr),
    /// The first byte of the response: its headers when bodies are not sent here, else the first piece of body.
    FirstByte,
    /// The response is a server error.
    Failed(u16),
    /// What the model server reports; before the end.
    Usage(Usage),
    /// The response ended.
    Ended,
}

/// What one message leads to.
#[derive(Debug, Default)]
pub struct Turn {
    /// To send, in this order.
    pub replies: SmallVec<[Reply; 4]>,
    /// To account for, in this order.
    pub seen: SmallVec<[Seen; 4]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Headers,
    Body,
    Deciding(Part),
    Decided,
    Refused,
}

/// The state of one stream.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    modes: Modes,
    head: Head,
    body: Body,
    whole: Bytes,
    metadata: Metadata,
    restore: Option<Restore>,
    /// The decision, for the response's headers.
    told: Option<String>,
    /// Usage is wanted, also where bodies are not sent here.
    sampled: bool,
    /// Reads the response's body. Boxed: most streams have none.
    reader: Option<Box<Reader>>,
    answers: bool,
    first_byte: bool,
    ended: bool,
}

impl Session {
    /// A stream whose request body may have `body_limit` bytes.
    ///
    /// A stream that does not say how bodies are processed is taken as FULL_DUPLEX, the mode that the endpoint picker
    /// protocol requires.
    pub fn new(body_limit: usize) -> Self {
        Self {
            phase: Phase::Headers,
            modes: Modes { request: BodyMode::FullDuplex, response: BodyMode::FullDuplex },
            head: Head::default(),
            body: Body::with_limit(body_limit),
            whole: Bytes::new(),
            metadata: Metadata::default(),
            restore: None,
            told: None,
            sampled: false,
            reader: None,
            answers: false,
            first_byte: false,
            ended: false,
        }
    }

    /// Asks for the response's body to read its usage, if `sampled`.
    #[must_use]
    pub fn reading(mut self, sampled: bool) -> Self {
        self.sampled = sampled;
        self
    }

    /// Takes one message.
    pub fn on(&mut self, message: Message, turn: &mut Turn) -> Next {
        let served = self.metadata.served;
        self.metadata.merge(message.metadata);
        if let Some(addr) = self.metadata.served.filter(|_| self.metadata.served != served) {
            turn.seen.push(Seen::Served(addr));
        }
        self.modes = message.modes.unwrap_or(self.modes);
        if self.phase == Phase::Refused {
            return Next::Finish;
        }
        match message.event {
            Event::RequestHeaders { head, end_of_stream } => self.on_headers(head, end_of_stream, turn),
            Event::RequestBody(chunk) => self.on_body(&chunk, turn),
            Event::RequestTrailers => self.on_trailers(turn),
            Event::ResponseHeaders { status, content, end_of_stream } => {
                self.on_response_headers(status, content, end_of_stream, turn)
            }
            Event::ResponseBody(chunk) => self.on_response_body(chunk, turn),
            Event::ResponseTrailers => {
                if self.modes.response == BodyMode::FullDuplex
                    && let Some(reader) = &mut self.reader
                {
                    stream(Part::ResponseBody, reader.finish(), false, turn);
                }
                turn.replies.push(Reply::Continue(Part::ResponseTrailers));
                self.end(turn);
                Next::Read
            }
            Event::Unknown => Next::Read,
        }
    }

    /// Takes a message that is longer than any that is read: only a body can be that long.
    pub fn on_oversized(&mut self, turn: &mut Turn) -> Next {
        self.refuse(Refused::too_large(self.body.limit()), turn)
    }

    /// Ends a request that was decided, and whose response has not begun or may be cut.
    pub fn evict(&mut self, refused: Refused, turn: &mut Turn) -> Next {
        match self.phase {
            Phase::Decided => self.refuse(refused, turn),
            _ => Next::Read,
        }
    }

    /// The headers of the response have come.
    pub fn answers(&self) -> bool {
        self.answers
    }

    /// The most bytes that the request's body may have.
    pub fn body_limit(&self) -> usize {
        self.body.limit()
    }

    /// What is to be decided, after [`Next::Decide`].
    pub fn question(&self) -> Question<'_> {
        Question {
            head: &self.head,
            body: &self.whole,
            subset: self.metadata.subset.as_deref(),
            counted: None,
        }
    }

    /// Takes the decision.
    pub fn decided(&mut self, decision: Result<Answer, Refused>, turn: &mut Turn) -> Next {
        let Phase::Deciding(end) = self.phase else { return Next::Read };
        let Answer { endpoints, prefiller, body, restore, told } = match decision {
            Ok(answer) => answer,
            Err(refused) => return self.refuse(refused, turn),
        };
        self.phase = Phase::Decided;
        self.restore = restore;
        self.told = told;
        // Header values are slices of received messages: kept, each stream would hold on to them until it ends.
        self.head = Head::default();
        let whole = std::mem::take(&mut self.whole);
        if self.modes.request != BodyMode::FullDuplex || end == Part::RequestHeaders {
            // Envoy answers 503 to a body of another length than the content-length that it holds.
            let content_length = body.as_ref().map(Bytes::len);
            turn.replies.push(Reply::Destination { part: end, endpoints, prefiller, content_length, body });
            return Next::Read;
        }
        let whole = body.unwrap_or(whole);
        let by_trailers = end == Part::RequestTrailers;
        turn.replies.push(Reply::Destination {
            part: Part::RequestHeaders,
            endpoints,
            prefiller,
            content_length: (!by_trailers).then_some(whole.len()),
            body: None,
        });
        stream(Part::RequestBody, whole, !by_trailers, turn);
        if by_trailers {
            turn.replies.push(Reply::Continue(Part::RequestTrailers));
        }
        Next::Read
    }

    fn on_headers(&mut self, head: Head, end_of_stream: bool, turn: &mut Turn) -> Next {
        if self.phase != Phase::Headers {
            return Next::Read;
        }
        self.body.expect(head.content_length);
        self.head = head;
        match self.modes.request {
            _ if end_of_stream => self.decide(Part::RequestHeaders),
            BodyMode::None | BodyMode::Streamed => self.decide(Part::RequestHeaders),
            BodyMode::Buffered => {
                self.phase = Phase::Body;
                turn.replies.push(Reply::Continue(Part::RequestHeaders));
                Next::Read
            }
            BodyMode::FullDuplex => {
                self.phase = Phase::Body;
                Next::Read
            }
        }
    }

    fn on_body(&mut self, chunk: &Chunk, turn: &mut Turn) -> Next {
        let duplex = self.modes.request == BodyMode::FullDuplex;
        if self.phase != Phase::Body {
            // Envoy may repeat the end of stream (envoy #46237): in full duplex nothing more may be sent, in the
            // other modes every piece waits for its answer.
            if !duplex {
                turn.replies.push(Reply::Continue(Part::RequestBody));
            }
            return Next::Read;
        }
        if self.body.push(&chunk.data).is_err() {
            return self.refuse(Refused::too_large(self.body.limit()), turn);
        }
        if chunk.end_of_stream || !duplex { self.decide(Part::RequestBody) } else { Next::Read }
    }

    fn on_trailers(&mut self, turn: &mut Turn) -> Next {
        if self.phase == Phase::Body {
            return self.decide(Part::RequestTrailers);
        }
        turn.replies.push(Reply::Continue(Part::RequestTrailers));
        Next::Read
    }

    fn on_response_headers(
        &mut self,
        status: u16,
        content: Content,
        end_of_stream: bool,
        turn: &mut Turn,
    ) -> Next {
        self.answers = true;
        let sent_here = self.modes.response != BodyMode::None;
        let restore = self.restore.take();
        let wanted = sent_here || restore.is_some() || self.sampled;
        let reads = !end_of_stream && content != Content::Other && wanted;
        let (pull, rewrites) = (reads && !sent_here, reads && restore.is_some());
        turn.replies.push(match self.told.take() {
            None if !pull && !rewrites => Reply::Continue(Part::ResponseHeaders),
            told => Reply::Response { pull, rewrites, told },
        });
        if reads {
            self.reader = Some(Box::new(Reader::new(restore, content == Content::Events)));
        }
        if status >= 500 {
            turn.seen.push(Seen::Failed(status));
        }
        // Also when the body was asked for: it may not come.
        if end_of_stream || !sent_here {
            self.first_byte(turn);
        }
        if end_of_stream {
            self.end(turn);
        }
        Next::Read
    }

    fn on_response_body(&mut self, chunk: Chunk, turn: &mut Turn) -> Next {
        if !chunk.data.is_empty() {
            self.first_byte(turn);
        }
        let replaced = self.read(&chunk);
        if self.modes.response != BodyMode::FullDuplex {
            turn.replies.push(replaced.map_or(Reply::Continue(Part::ResponseBody), Reply::Replaced));
        } else if !self.ended {
            let data = replaced.unwrap_or(chunk.data);
            stream(Part::ResponseBody, data, chunk.end_of_stream, turn);
        }
        if chunk.end_of_stream {
            self.end(turn);
        }
        Next::Read
    }

    /// Reads a piece of the response; answers what to send instead, if anything else.
    fn read(&mut self, chunk: &Chunk) -> Option<Bytes> {
        let reader = self.reader.as_mut()?;
        let replaced = reader.push(&chunk.data);
        if !chunk.end_of_stream {
            return replaced;
        }
        let held = reader.finish();
        if held.is_empty() {
            return replaced;
        }
        // Only a piece that was replaced leaves something held back, or one that is empty.
        Some([&replaced.unwrap_or_default()[..], &held[..]].concat().into())
    }

    fn decide(&mut self, end: Part) -> Next {
        self.phase = Phase::Deciding(end);
        self.whole = self.body.take();
        Next::Decide
    }

    fn refuse(&mut self, refused: Refused, turn: &mut Turn) -> Next {
        self.phase = Phase::Refused;
        self.body.take();
        self.whole = Bytes::new();
        turn.replies.push(Reply::Immediate(refused));
        Next::Finish
    }

    fn first_byte(&mut self, turn: &mut Turn) {
        if !std::mem::replace(&mut self.first_byte, true) {
            turn.seen.push(Seen::FirstByte);
        }
    }

    fn end(&mut self, turn: &mut Turn) {
        if !std::mem::replace(&mut self.ended, true) {
            turn.seen.extend(self.reader.take().and_then(|reader| reader.usage()).map(Seen::Usage));
            turn.seen.push(Seen::Ended);
        }
    }
}

/// Sends `data` on in pieces; an end of stream is on the last one, which is empty when there is no data.
fn stream(part: Part, mut data: Bytes, end_of_stream: bool, turn: &mut Turn) {
    loop {
        let piece = data.split_to(data.len().min(CHUNK));
        let last = data.is_empty();
        if !piece.is_empty() || (last && end_of_stream) {
            turn.replies.push(Reply::Streamed { part, data: piece, end_of_stream: last && end_of_stream });
        }
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
