//! Envoy's ProcessingRequest, reduced to what a picker reads.
//!
//! ```text
//! gRPC message ─ decode ─▶ Message { event, metadata, modes }     bodies and header values are slices, not copies
//! ```
//!
//! Field numbers: envoy/service/ext_proc/v3/external_processor.proto and envoy/config/core/v3/base.proto.

use bytes::Bytes;

use super::metadata::Metadata;
use super::wire::{Fields, Malformed, Value};
use crate::request::Head;

/// One message of a stream.
#[derive(Debug, PartialEq)]
pub struct Message {
    /// What happened to the HTTP exchange.
    pub event: Event,
    /// Metadata that came with it.
    pub metadata: Metadata,
    /// How bodies are processed; only on the first message of a stream (Envoy 1.34 and later).
    pub modes: Option<Modes>,
}

/// One step of the HTTP exchange.
#[expect(
    clippy::large_enum_variant,
    reason = "one per message, taken apart at once; a box would be an allocation"
)]
#[derive(Debug, PartialEq)]
pub enum Event {
    /// The request's headers.
    RequestHeaders {
        /// The headers that matter.
        head: Head,
        /// The request has neither body nor trailers.
        end_of_stream: bool,
    },
    /// A piece of the request's body.
    RequestBody(Chunk),
    /// The request's trailers: the end of a request whose body had no end of stream.
    RequestTrailers,
    /// The response's headers.
    ResponseHeaders {
        /// HTTP status; 0 when Envoy did not send one.
        status: u16,
        /// What its body is.
        content: Content,
        /// The response has neither body nor trailers.
        end_of_stream: bool,
    },
    /// A piece of the response's body.
    ResponseBody(Chunk),
    /// The response's trailers.
    ResponseTrailers,
    /// A message of a kind that a later Envoy may send.
    Unknown,
}

/// What the body of a response is, by `content-type` and `content-encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// JSON, not compressed.
    Json,
    /// Server-sent events, not compressed.
    Events,
    /// Anything else; it is not read.
    Other,
}

impl Content {
    fn of(media_type: &[u8]) -> Self {
        let media_type = media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if media_type.eq_ignore_ascii_case(b"application/json") {
            Self::Json
        } else if media_type.eq_ignore_ascii_case(b"text/event-stream") {
            Self::Events
        } else {
            Self::Other
        }
    }
}

/// A piece of a body.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Bytes; may be empty.
    pub data: Bytes,
    /// Nothing follows, not even trailers.
    pub end_of_stream: bool,
}

/// How bodies reach the picker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modes {
    /// The request's body.
    pub request: BodyMode,
    /// The response's body.
    pub response: BodyMode,
}

/// ProcessingMode.BodySendMode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyMode {
    /// Bodies are not sent.
    None,
    /// Each piece is sent and waits for its answer.
    Streamed,
    /// One message with the whole body (BUFFERED), or with as much as Envoy may hold (BUFFERED_PARTIAL).
    Buffered,
    /// Pieces are sent without waiting, and the picker sends the body back (also modes of later Envoys).
    FullDuplex,
}

impl BodyMode {
    fn from_wire(value: u64) -> Self {
        match value {
            0 => Self::None,
            1 => Self::Streamed,
            2 | 3 => Self::Buffered,
            _ => Self::FullDuplex,
        }
    }
}

impl Message {
    /// Reads one ProcessingRequest. Fields that are not known are skipped. `tenant_header` names the tenant, instead of
    /// the usual headers.
    pub fn decode(bytes: &Bytes, tenant_header: Option<&str>) -> Result<Self, Malformed> {
        let mut message = Self { event: Event::Unknown, metadata: Metadata::default(), modes: None };
        let mut fields = Fields::of(bytes);
        while let Some((tag, value)) = fields.field()? {
            match tag {
                2 => message.event = request_headers(bytes, value.bytes(), tenant_header)?,
                3 => message.event = response_headers(value.bytes())?,
                4 => message.event = Event::RequestBody(chunk(bytes, value.bytes())?),
                5 => message.event = Event::ResponseBody(chunk(bytes, value.bytes())?),
                6 => message.event = Event::RequestTrailers,
                7 => message.event = Event::ResponseTrailers,
                8 => message.metadata.read(value.bytes())?,
                11 => message.modes = Some(modes(value.bytes())?),
                _ => {}
            }
        }
        Ok(message)
    }
}

fn request_headers(message: &Bytes, bytes: &[u8], tenant_header: Option<&str>) -> Result<Event, Malformed> {
    let mut head = Head::default();
    let end_of_stream =
        headers(bytes, |name, value| head.take(name, value, tenant_header, |v| message.slice_ref(v)))?;
    Ok(Event::RequestHeaders { head, end_of_stream })
}

fn response_headers(bytes: &[u8]) -> Result<Event, Malformed> {
    let (mut status, mut content, mut encoded) = (0, Content::Other, false);
    let end_of_stream = headers(bytes, |name, value| match name {
        b":status" => status = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).unwrap_or(0),
        b"content-type" => content = Content::of(value),
        b"content-encoding" => encoded = !value.eq_ignore_ascii_case(b"identity"),
        _ => {}
    })?;
    let content = if encoded { Content::Other } else { content };
    Ok(Event::ResponseHeaders { status, content, end_of_stream })
}

/// Visits the headers of an HttpHeaders message; answers its end of stream.
fn headers<'a>(bytes: &'a [u8], mut visit: impl FnMut(&'a [u8], &'a [u8])) -> Result<bool, Malformed> {
    let mut end_of_stream = false;
    let mut fields = Fields::of(bytes);
    while let Some((tag, value)) = fields.field()? {
        match (tag, value) {
            (1, Value::Bytes(map)) => {
                let mut map = Fields::of(map);
                while let Some((tag, value)) = map.field()? {
                    if tag == 1 {
                        let (name, value) = header(value.bytes())?;
                        visit(name, value);
                    }
                }
            }
            (3, value) => end_of_stream = value.bool(),
            _ => {}
        }
    }
    Ok(end_of_stream)
}

/// Name and value of a HeaderValue; `raw_value` wins, Envoy fills only one of the two.
fn header(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut name, mut text, mut raw): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    let mut fields = Fields::of(bytes);
    while let Some((tag, value)) = fields.field()? {
        match tag {
            1 => name = value.bytes(),
            2 => text = value.bytes(),
            3 => raw = value.bytes(),
            _ => {}
        }
    }
    Ok((name, if raw.is_empty() { text } else { raw }))
}

fn chunk(message: &Bytes, bytes: &[u8]) -> Result<Chunk, Malformed> {
    let mut chunk = Chunk { data: Bytes::new(), end_of_stream: false };
    let mut fields = Fields::of(bytes);
    while let Some((tag, value)) = fields.field()? {
        match tag {
            1 if !value.bytes().is_empty() => chunk.data = message.slice_ref(value.bytes()),
            2 => chunk.end_of_stream = value.bool(),
            _ => {}
        }
    }
    Ok(chunk)
}

fn modes(bytes: &[u8]) -> Result<Modes, Malformed> {
    let mut modes = Modes { request: BodyMode::None, response: BodyMode::None };
    let mut fields = Fields::of(bytes);
    while let Some((tag, value)) = fields.field()? {
        match (tag, value) {
            (1, Value::Varint(v)) => modes.request = BodyMode::from_wire(v),
            (2, Value::Varint(v)) => modes.response = BodyMode::from_wire(v),
            _ => {}
        }
    }
    Ok(modes)
}

#[cfg(test)]
#[path = "message/tests.rs"]
mod tests;
