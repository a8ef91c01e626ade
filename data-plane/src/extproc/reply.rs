//! Replies to Envoy, and their encoding as ProcessingResponse frames.
//!
//! `clear_route_cache` stays false: the picker changes nothing that routes match, and re-routing after the pick could
//! send the request to another pool. (The control plane sets `route_cache_action: RETAIN` for pickers that set it.)

use bytes::Bytes;

use super::metadata::{DESTINATION, LB};
use super::prefiller::{PREFILLER, Prefiller};
use super::refused::Refused;
use super::wire::Writer;
use crate::decisions::ANSWER;

/// What is replied to; the value is the field of ProcessingResponse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Part {
    /// The request's headers.
    RequestHeaders = 1,
    /// The response's headers.
    ResponseHeaders = 2,
    /// The request's body.
    RequestBody = 3,
    /// The response's body.
    ResponseBody = 4,
    /// The request's trailers.
    RequestTrailers = 5,
    /// The response's trailers.
    ResponseTrailers = 6,
}

/// One ProcessingResponse.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Goes on unchanged.
    Continue(Part),
    /// Goes on to one of `endpoints`.
    Destination {
        /// The request's headers (full duplex, no body) or body (buffered), or trailers (buffered, no body).
        part: Part,
        /// "ip:port", in order of preference, separated by commas.
        endpoints: String,
        /// Who computes the prompt.
        prefiller: Prefiller,
        /// Length of the body that follows, where the client's content-length does not hold any more.
        content_length: Option<usize>,
        /// The body to send instead of the buffered one.
        body: Option<Bytes>,
    },
    /// The response's headers go on with something else than they came with.
    Response {
        /// The pieces of the body are wanted, although the mode does not send them.
        pull: bool,
        /// The body may get another length: content-length is taken away.
        rewrites: bool,
        /// The value of `x-signalbox-decision`.
        told: Option<String>,
    },
    /// A piece of the response's body goes on with other bytes (not full duplex).
    Replaced(Bytes),
    /// A piece of a body that goes on (full duplex).
    Streamed {
        /// The request's or the response's body.
        part: Part,
        /// At most [`super::session::CHUNK`] bytes.
        data: Bytes,
        /// Nothing follows, not even trailers.
        end_of_stream: bool,
    },
    /// The client is answered at once.
    Immediate(Refused),
}

impl Reply {
    /// Appends the reply's gRPC frame to `frames`; bodies are appended, not copied.
    pub fn encode(self, frames: &mut impl Extend<Bytes>) {
        match self {
            Self::Continue(part) => frames.extend([Bytes::from_static(go_on(part))]),
            Self::Destination { part, endpoints, prefiller, content_length, body } => {
                frames.extend([destination(part, &endpoints, &prefiller, content_length, body.as_deref())]);
            }
            Self::Streamed { part, data, end_of_stream } => {
                frames.extend([streamed(part, data.len(), end_of_stream)]);
                frames.extend([data]);
            }
            Self::Response { pull, rewrites, told } => {
                frames.extend([response(pull, rewrites, told.as_deref())]);
            }
            Self::Replaced(body) => frames.extend([replaced(&body)]),
            Self::Immediate(refused) => frames.extend([immediate(&refused)]),
        }
    }
}

/// Frames of empty answers: flag, length 2, field, length 0.
fn go_on(part: Part) -> &'static [u8] {
    match part {
        Part::RequestHeaders => &[0, 0, 0, 0, 2, 0x0a, 0],
        Part::ResponseHeaders => &[0, 0, 0, 0, 2, 0x12, 0],
        Part::RequestBody => &[0, 0, 0, 0, 2, 0x1a, 0],
        Part::ResponseBody => &[0, 0, 0, 0, 2, 0x22, 0],
        Part::RequestTrailers => &[0, 0, 0, 0, 2, 0x2a, 0],
        Part::ResponseTrailers => &[0, 0, 0, 0, 2, 0x32, 0],
    }
}

fn destination(
    part: Part,
    endpoints: &str,
    prefiller: &Prefiller,
    content_length: Option<usize>,
    body: Option<&[u8]>,
) -> Bytes {
    let mut w = Writer::with_tail(256 + 4 * endpoints.len() + body.map_or(0, <[u8]>::len), 0);
    // ProcessingResponse.dynamic_metadata: {"envoy.lb": {DESTINATION: endpoints}}
    w.message(8, |w| {
        struct_field(w, LB, |w| {
            w.message(5, |w| struct_field(w, DESTINATION, |w| w.bytes(3, endpoints.as_bytes())));
        });
    });
    w.message(part as u32, |w| {
        if part == Part::RequestTrailers {
            return;
        }
        w.message(1, |w| {
            if let Some(body) = body {
                w.message(3, |w| w.bytes(1, body));
            }
            w.message(2, |w| {
                match prefiller {
                    Prefiller::Untold => {}
                    Prefiller::Itself => w.bytes(2, PREFILLER.as_bytes()),
                    Prefiller::Other(address) => set_header(w, PREFILLER, address.as_bytes()),
                }
                if let Some(length) = content_length {
                    set_header(w, "content-length", length.to_string().as_bytes());
                }
                set_header(w, DESTINATION, endpoints.as_bytes());
            });
        });
    });
    w.into_frame()
}

/// `mode_override` counts where the filter has `allow_mode_override`; elsewhere Envoy leaves it, and the body passes as it
/// is. Trailers stay wanted, or the stream would end with the headers.
fn response(pull: bool, rewrites: bool, told: Option<&str>) -> Bytes {
    let mut w = Writer::with_tail(96 + told.map_or(0, str::len), 0);
    if pull {
        w.message(9, |w| {
            w.number(6, 1);
            w.number(4, 1);
            w.number(2, 1);
            w.number(1, 1);
        });
    }
    w.message(Part::ResponseHeaders as u32, |w| {
        if !rewrites && told.is_none() {
            return;
        }
        w.message(1, |w| {
            w.message(2, |w| {
                if rewrites {
                    w.bytes(2, b"content-length");
                }
                if let Some(told) = told {
                    set_header(w, ANSWER, told.as_bytes());
                }
            });
        });
    });
    w.into_frame()
}

/// CommonResponse.body_mutation.body.
fn replaced(body: &[u8]) -> Bytes {
    let mut w = Writer::with_tail(64 + body.len(), 0);
    w.message(Part::ResponseBody as u32, |w| w.message(1, |w| w.message(3, |w| w.bytes(1, body))));
    w.into_frame()
}

/// The frame of a streamed body up to its bytes, which follow as they are.
fn streamed(part: Part, len: usize, end_of_stream: bool) -> Bytes {
    let mut w = Writer::with_tail(40, len);
    w.message_with_tail(part as u32, |w| {
        w.message_with_tail(1, |w| {
            w.message_with_tail(3, |w| {
                w.message_with_tail(3, |w| {
                    if len > 0 {
                        w.prefix(1, len);
                    }
                    if end_of_stream {
                        w.number(2, 1);
                    }
                });
            });
        });
    });
    w.into_frame()
}

fn immediate(refused: &Refused) -> Bytes {
    let body = refused.body();
    let mut w = Writer::with_tail(512 + body.len(), 0);
    w.message(7, |w| {
        w.bytes(5, refused.reason.as_bytes());
        w.bytes(3, body.as_bytes());
        w.message(2, |w| {
            if let Some(seconds) = refused.retry_after {
                set_header(w, "retry-after", seconds.to_string().as_bytes());
            }
            set_header(w, "x-llm-d-request-dropped-reason", refused.dropped_reason.as_bytes());
            set_header(w, "x-signalbox-reason", refused.reason.as_bytes());
            set_header(w, "content-type", b"application/json");
        });
        w.message(1, |w| w.number(1, u64::from(refused.status)));
    });
    w.into_frame()
}

/// HeaderMutation.set_headers with OVERWRITE_IF_EXISTS_OR_ADD; its default would append.
fn set_header(w: &mut Writer, name: &str, value: &[u8]) {
    w.message(1, |w| {
        w.number(3, 2);
        w.message(1, |w| {
            w.bytes(3, value);
            w.bytes(1, name.as_bytes());
        });
    });
}

/// One entry of a `google.protobuf.Struct`.
fn struct_field(w: &mut Writer, name: &str, value: impl FnOnce(&mut Writer)) {
    w.message(1, |w| {
        w.message(2, value);
        w.bytes(1, name.as_bytes());
    });
}

#[cfg(test)]
#[path = "reply/tests.rs"]
mod tests;
