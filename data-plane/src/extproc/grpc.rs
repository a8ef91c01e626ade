//! gRPC over HTTP/2, as far as a server needs it: message frames, and how streams end.
//!
//! Specification: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use smallvec::SmallVec;

/// The gRPC status codes that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The call ended as it should.
    Ok = 0,
    /// Bytes that are not a message.
    InvalidArgument = 3,
    /// No such thing, for example a health service that is not known.
    NotFound = 5,
    /// A message that is too long.
    ResourceExhausted = 8,
    /// No such method.
    Unimplemented = 12,
    /// Try another picker.
    Unavailable = 14,
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The HTTP response that opens a stream of messages.
pub fn open() -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The HTTP response of a call that has no messages.
pub fn failure(code: Code, message: &str) -> Response<()> {
    let mut response = open();
    response.headers_mut().extend(trailers(code, message));
    response
}

/// The trailers that end a call.
pub fn trailers(code: Code, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(GRPC_STATUS, HeaderValue::from(code as u16));
    if !message.is_empty() {
        let ascii = |c: char| if c.is_ascii() && !c.is_ascii_control() && c != '%' { c } else { '?' };
        let message: String = message.chars().map(ascii).collect();
        trailers.insert(GRPC_MESSAGE, HeaderValue::try_from(message).expect("visible ASCII only"));
    }
    trailers
}

/// One gRPC frame around `message`.
pub fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("messages of our own are small"));
    frame.put_slice(message);
    frame.freeze()
}

/// A message that is longer than is read, or compressed although no encoding was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadFrame {
    /// Longer than the limit.
    Oversized,
    /// Compressed, or not a frame.
    Compressed,
}

/// Cuts DATA into messages. A message inside one DATA frame is a slice of it; others are joined.
#[derive(Debug)]
pub struct Deframer {
    limit: usize,
    head: SmallVec<[u8; 5]>,
    joined: BytesMut,
    data: Bytes,
}

/// What is reserved on a peer's word alone.
const TRUSTED: usize = 1 << 20;

impl Deframer {
    /// Messages may have `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, head: SmallVec::new(), joined: BytesMut::new(), data: Bytes::new() }
    }

    /// Takes the payload of a DATA frame; everything before it must have been drained by [`Deframer::message`].
    pub fn push(&mut self, data: Bytes) {
        debug_assert!(self.data.is_empty(), "drained before");
        self.data = data;
    }

    /// The next whole message, or None when more DATA is needed.
    pub fn message(&mut self) -> Result<Option<Bytes>, BadFrame> {
        let missing = (5 - self.head.len()).min(self.data.len());
        self.head.extend_from_slice(&self.data[..missing]);
        self.data.advance(missing);
        let Ok(head) = <[u8; 5]>::try_from(&self.head[..]) else { return Ok(None) };
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if head[0] != 0 {
            return Err(BadFrame::Compressed);
        }
        if len > self.limit {
            return Err(BadFrame::Oversized);
        }
        if self.joined.is_empty() && self.data.len() >= len {
            self.head.clear();
            return Ok(Some(self.data.split_to(len)));
        }
        if self.joined.is_empty() {
            self.joined.reserve(len.min(TRUSTED));
        }
        let missing = (len - self.joined.len()).min(self.data.len());
        self.joined.extend_from_slice(&self.data[..missing]);
        self.data.advance(missing);
        if self.joined.len() < len {
            return Ok(None);
        }
        self.head.clear();
        Ok(Some(std::mem::take(&mut self.joined).freeze()))
    }
}

/// Bytes of several frames, sent as one piece of DATA.
#[derive(Debug, Default)]
pub struct Frames {
    parts: SmallVec<[Bytes; 6]>,
    first: usize,
    remaining: usize,
}

impl Extend<Bytes> for Frames {
    fn extend<I: IntoIterator<Item = Bytes>>(&mut self, parts: I) {
        for part in parts.into_iter().filter(|p| !p.is_empty()) {
            self.remaining += part.len();
            self.parts.push(part);
        }
    }
}

impl Buf for Frames {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.parts.get(self.first).map_or(&[], |p| p)
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let parts = self.parts[self.first..].iter();
        dst.iter_mut().zip(parts).map(|(slot, part)| *slot = IoSlice::new(part)).count()
    }

    fn advance(&mut self, mut count: usize) {
        self.remaining -= count;
        while count > 0 {
            let part = &mut self.parts[self.first];
            let step = count.min(part.len());
            part.advance(step);
            count -= step;
            self.first += usize::from(part.is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_do_not_depend_on_how_data_is_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            cuts in prop::collection::vec(0usize..300, 0..12),
        ) {
            let wire = Bytes::from(messages.iter().flat_map(|m| frame(m)).collect::<Vec<u8>>());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(wire.len())).chain([0, wire.len()]).collect();
            cuts.sort_unstable();
            let mut deframer = Deframer::new(40);
            let mut read: Vec<Vec<u8>> = Vec::new();
            for cut in cuts.windows(2) {
                deframer.push(wire.slice(cut[0]..cut[1]));
                while let Some(message) = deframer.message().unwrap() {
                    read.push(message.to_vec());
                }
            }
            prop_assert_eq!(read, messages);
        }

        #[test]
        fn frames_are_one_run_of_bytes(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9),
            step in 1usize..7,
        ) {
            let mut frames = Frames::default();
            frames.extend(parts.iter().cloned().map(Bytes::from));
            let mut read = Vec::new();
            while frames.has_remaining() {
                let n = step.min(frames.remaining());
                read.extend_from_slice(&frames.copy_to_bytes(n));
            }
            prop_assert_eq!(read, parts.concat());
        }
    }

    #[test]
    fn too_long_and_compressed_messages_are_told() {
        for (head, bad) in [([0, 0, 0, 0, 9], BadFrame::Oversized), ([1, 0, 0, 0, 1], BadFrame::Compressed)] {
            let mut deframer = Deframer::new(8);
            deframer.push(Bytes::copy_from_slice(&head));
            assert_eq!(deframer.message(), Err(bad));
        }
    }

    #[test]
    fn status_messages_are_header_safe() {
        let trailers = trailers(Code::Unavailable, "pool \"é\"\n100%");
        assert_eq!(trailers["grpc-status"], "14");
        assert_eq!(trailers["grpc-message"], "pool \"?\"?100?");
    }
}
