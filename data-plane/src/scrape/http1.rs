//! A response of HTTP/1.1, as bytes arrive. Sans-IO.
//!
//! ```text
//! Head ─▶ Length(n) ─────────────▶ Done
//!      ├▶ ChunkSize ⇄ ChunkData ─▶ Trailers ─▶ Done
//!      └▶ UntilClose ─ end of stream ─▶ Done
//! ```

/// Heads, chunk sizes and trailers beyond this are refused.
const LONGEST_HEAD: usize = 16 << 10;
/// Bodies beyond this are refused: 300 times the usual page.
const LARGEST_BODY: u64 = 16 << 20;

/// Why a response cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HttpError {
    #[error("not an HTTP/1 response")]
    Malformed,
    #[error("head of more than 16 KB")]
    LongHead,
    #[error("body of more than 16 MB")]
    LargeBody,
    #[error("the connection ended within the response")]
    Truncated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    /// The line end after a chunk.
    ChunkEnd,
    Trailers,
    UntilClose,
    Done,
}

/// The response being read.
#[derive(Debug)]
pub(super) struct Response {
    state: State,
    /// Bytes of a head or a line that is not complete.
    pending: Vec<u8>,
    status: u16,
    keep_alive: bool,
    body: u64,
}

impl Response {
    pub(super) fn new() -> Self {
        Self { state: State::Head, pending: Vec::new(), status: 0, keep_alive: false, body: 0 }
    }

    /// Starts the next response.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
        (self.state, self.status, self.keep_alive, self.body) = (State::Head, 0, false, 0);
    }

    /// The status, once the head is read.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Bytes of the body so far.
    pub(super) fn body_bytes(&self) -> u64 {
        self.body
    }

    /// Whether the connection may carry another request after this response.
    pub(super) fn keeps_alive(&self) -> bool {
        self.keep_alive && self.state == State::Done
    }

    /// Takes `data` in and hands pieces of the body to `sink`. Answers whether the response is complete.
    pub(super) fn feed(&mut self, mut data: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<bool, HttpError> {
        while !data.is_empty() {
            data = match self.state {
                State::Head => match self.until(data, b"\r\n\r\n")? {
                    Some(rest) => {
                        self.head()?;
                        rest
                    }
                    None => return Ok(false),
                },
                State::Length(left) => self.take(data, left, State::Done, State::Length, sink)?,
                State::ChunkData(left) => self.take(data, left, State::ChunkEnd, State::ChunkData, sink)?,
                State::UntilClose => self.take(data, u64::MAX, State::Done, |_| State::UntilClose, sink)?,
                State::ChunkSize | State::ChunkEnd | State::Trailers => match self.until(data, b"\r\n")? {
                    Some(rest) => {
                        self.line()?;
                        rest
                    }
                    None => return Ok(false),
                },
                // More than was asked for: the connection is out of step.
                State::Done => {
                    self.keep_alive = false;
                    return Ok(true);
                }
            };
        }
        Ok(self.state == State::Done)
    }

    /// The connection ended. Answers whether the response is complete.
    pub(super) fn end(&mut self) -> Result<(), HttpError> {
        self.keep_alive = false;
        match self.state {
            State::Done | State::UntilClose => Ok(()),
            _ => Err(HttpError::Truncated),
        }
    }

    /// Moves `data` up to `end` into `pending`; the rest, or none when `end` is not there.
    fn until<'a>(&mut self, data: &'a [u8], end: &[u8]) -> Result<Option<&'a [u8]>, HttpError> {
        let before = self.pending.len();
        // The end may lie across the border.
        let from = before.saturating_sub(end.len() - 1);
        let room = (LONGEST_HEAD + 1).saturating_sub(before).min(data.len());
        self.pending.extend_from_slice(&data[..room]);
        match memchr::memmem::find(&self.pending[from..], end) {
            Some(at) => {
                let used = from + at + end.len() - before;
                self.pending.truncate(from + at);
                Ok(Some(&data[used..]))
            }
            None if self.pending.len() > LONGEST_HEAD => Err(HttpError::LongHead),
            None => Ok(None),
        }
    }

    fn take<'a>(
        &mut self,
        data: &'a [u8],
        left: u64,
        then: State,
        more: impl FnOnce(u64) -> State,
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<&'a [u8], HttpError> {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
        let (piece, rest) = data.split_at(count);
        self.body += count as u64;
        if self.body > LARGEST_BODY {
            return Err(HttpError::LargeBody);
        }
        sink(piece);
        self.state = if count as u64 == left { then } else { more(left - count as u64) };
        Ok(rest)
    }

    /// `pending` is a head.
    fn head(&mut self) -> Result<(), HttpError> {
        let head = std::mem::take(&mut self.pending);
        let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let first = lines.next().unwrap_or_default();
        let version = first.get(..9).ok_or(HttpError::Malformed)?;
        if version != b"HTTP/1.1 " && version != b"HTTP/1.0 " {
            return Err(HttpError::Malformed);
        }
        let status = first.get(9..12).and_then(decimal).ok_or(HttpError::Malformed)?;
        self.status = u16::try_from(status).map_err(|_| HttpError::Malformed)?;
        self.keep_alive = version == b"HTTP/1.1 ";
        self.state = State::UntilClose;
        let mut chunked = false;
        for line in lines {
            let colon = memchr::memchr(b':', line).ok_or(HttpError::Malformed)?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                let length = decimal(value).ok_or(HttpError::Malformed)?;
                self.state = if length == 0 { State::Done } else { State::Length(length) };
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                chunked = value.to_ascii_lowercase().ends_with(b"chunked");
            } else if name.eq_ignore_ascii_case(b"connection") {
                self.keep_alive &= !value.eq_ignore_ascii_case(b"close");
            }
        }
        if chunked {
            self.state = State::ChunkSize;
        }
        if (100..200).contains(&self.status) {
            self.state = State::Head;
        } else if self.status == 204 || self.status == 304 {
            self.state = State::Done;
        }
        if matches!(self.state, State::Length(length) if length > LARGEST_BODY) {
            return Err(HttpError::LargeBody);
        }
        self.pending = head;
        self.pending.clear();
        Ok(())
    }

    /// `pending` is a chunk's size, the nothing behind a chunk, or a trailer.
    fn line(&mut self) -> Result<(), HttpError> {
        let line = std::mem::take(&mut self.pending);
        self.state = match self.state {
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailers if line.is_empty() => State::Done,
            State::Trailers => State::Trailers,
            State::ChunkSize => {
                let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                match hexadecimal(size).ok_or(HttpError::Malformed)? {
                    0 => State::Trailers,
                    size => State::ChunkData(size),
                }
            }
            _ => return Err(HttpError::Malformed),
        };
        self.pending = line;
        self.pending.clear();
        Ok(())
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

fn hexadecimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_hexdigit);
    u64::from_str_radix(std::str::from_utf8(text).ok().filter(|_| digits)?, 16).ok()
}
