//! Protobuf on the wire, without generated messages: what is not read costs nothing.
//!
//! ```text
//! bytes ─▶ Fields (tag, Value) ─▶ caller keeps slices        Writer: written back to front, so that every
//!                                                            nested length is known when its prefix is written
//! ```
//!
//! Encoding: <https://protobuf.dev/programming-guides/encoding>.

use bytes::{Buf, Bytes};

/// Bytes that are not a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf")]
pub struct Malformed;

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0: integers, enums and booleans.
    Varint(u64),
    /// Wire type 2: strings, bytes and messages.
    Bytes(&'a [u8]),
    /// Wire types 1 and 5: skipped, no field that is read has them.
    Fixed,
}

impl<'a> Value<'a> {
    /// The bytes of a length-delimited field; empty for another wire type.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(b) => b,
            Self::Varint(_) | Self::Fixed => &[],
        }
    }

    /// A boolean; false for another wire type.
    pub fn bool(self) -> bool {
        matches!(self, Self::Varint(v) if v != 0)
    }
}

/// The fields of one message, in wire order.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Reads `message`.
    pub fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The next field, or None at the end.
    pub fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let tag = u32::try_from(key >> 3).map_err(|_| Malformed)?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        Ok(Some((tag, value)))
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (i, &byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

/// Writes one message from its last byte to its first.
///
/// `tail` bytes may follow the written ones without being copied here (a body): lengths count them.
#[derive(Debug)]
pub struct Writer {
    buf: Vec<u8>,
    start: usize,
    tail: usize,
}

impl Writer {
    /// A message whose last `tail` bytes are sent from elsewhere.
    pub fn with_tail(capacity: usize, tail: usize) -> Self {
        Self { buf: vec![0; capacity], start: capacity, tail }
    }

    fn len(&self) -> usize {
        self.buf.len() - self.start + self.tail
    }

    /// Puts `bytes` before everything written so far.
    pub fn prepend(&mut self, bytes: &[u8]) {
        if self.start < bytes.len() {
            let (used, size) = (self.buf.len() - self.start, self.buf.len());
            let mut grown = vec![0; (size * 2).max(used + bytes.len() + 64)];
            let start = grown.len() - used;
            grown[start..].copy_from_slice(&self.buf[self.start..]);
            (self.buf, self.start) = (grown, start);
        }
        self.start -= bytes.len();
        self.buf[self.start..self.start + bytes.len()].copy_from_slice(bytes);
    }

    fn varint(&mut self, mut value: u64) {
        let mut bytes = [0u8; 10];
        let mut n = 0;
        loop {
            bytes[n] = (value & 0x7f) as u8 | 0x80;
            value >>= 7;
            n += 1;
            if value == 0 {
                break;
            }
        }
        bytes[n - 1] &= 0x7f;
        self.prepend(&bytes[..n]);
    }

    /// An integer, enum or boolean field.
    pub fn number(&mut self, tag: u32, value: u64) {
        self.varint(value);
        self.varint(u64::from(tag) << 3);
    }

    /// A string or bytes field.
    pub fn bytes(&mut self, tag: u32, value: &[u8]) {
        self.prepend(value);
        self.prefix(tag, value.len());
    }

    /// The prefix of a field whose `len` bytes are already behind it.
    pub fn prefix(&mut self, tag: u32, len: usize) {
        self.varint(len as u64);
        self.varint(u64::from(tag) << 3 | 2);
    }

    /// A message field; `fields` writes its fields, last one first.
    pub fn message(&mut self, tag: u32, fields: impl FnOnce(&mut Self)) {
        let before = self.len();
        fields(self);
        self.prefix(tag, self.len() - before);
    }

    /// A message field whose last field is the tail.
    pub fn message_with_tail(&mut self, tag: u32, fields: impl FnOnce(&mut Self)) {
        fields(self);
        self.prefix(tag, self.len());
    }

    /// The message as one gRPC frame (flag, length, message), without the tail.
    pub fn into_frame(mut self) -> Bytes {
        let len = u32::try_from(self.len()).expect("bodies are limited far below 4 GiB");
        self.prepend(&len.to_be_bytes());
        self.prepend(&[0]);
        let mut bytes = Bytes::from(self.buf);
        bytes.advance(self.start);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut w = Writer::with_tail(4, 0);
        w.bytes(3, b"last");
        w.message(2, |w| w.number(1, 300));
        w.number(1, u64::MAX);
        let frame = w.into_frame();
        assert_eq!(frame[..5], [0, 0, 0, 0, (frame.len() - 5) as u8]);
        let mut fields = Fields::of(&frame[5..]);
        assert_eq!(fields.field(), Ok(Some((1, Value::Varint(u64::MAX)))));
        assert_eq!(fields.field(), Ok(Some((2, Value::Bytes(&[8, 0xac, 2])))));
        assert_eq!(fields.field(), Ok(Some((3, Value::Bytes(b"last")))));
        assert_eq!(fields.field(), Ok(None));
    }

    #[test]
    fn broken_messages_are_told_not_trusted() {
        for bad in [&[0x08][..], &[0x0a, 5, 1], &[0x0f], &[0x80; 11], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
            assert_eq!(Fields::of(bad).field(), Err(Malformed), "{bad:?}");
        }
    }
}
