//! Reads server-sent events as they come, with the time of each.

use anyhow::{Context, Result};
use bytes::{Buf, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::Instant;

use super::DEADLINE;

/// The `data:` of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// The text after `data: `.
    pub data: String,
    /// When it was complete.
    pub at: Instant,
}

/// An answer that is read event by event.
pub struct Events {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    body: Incoming,
    buffer: BytesMut,
}

impl Events {
    /// Reads from a response whose headers are here.
    pub fn new(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body, buffer: BytesMut::new() }
    }

    /// The next event; `None` at a clean end.
    ///
    /// # Errors
    /// When the answer breaks off, or ends within an event.
    pub async fn next(&mut self) -> Result<Option<SseEvent>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let event = self.buffer.split_to(end);
                self.buffer.advance(2);
                let text = String::from_utf8_lossy(&event);
                let data = text.strip_prefix("data: ").context("an event without data")?.to_owned();
                return Ok(Some(SseEvent { data, at: Instant::now() }));
            }
            let frame =
                tokio::time::timeout(DEADLINE, self.body.frame()).await.context("no event in time")?;
            match frame {
                Some(frame) => {
                    if let Ok(data) = frame.context("the answer broke off")?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => anyhow::bail!("the answer ended within an event: {:?}", self.buffer),
            }
        }
    }

    /// All events up to the end.
    ///
    /// # Errors
    /// As [`Events::next`].
    pub async fn collect(mut self) -> Result<Vec<SseEvent>> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }
}

impl SseEvent {
    /// The data as JSON; null for `[DONE]`.
    ///
    /// # Panics
    /// When it is neither.
    pub fn json(&self) -> Value {
        if self.data == "[DONE]" {
            return Value::Null;
        }
        serde_json::from_str(&self.data)
            .unwrap_or_else(|error| panic!("{:?} is not JSON: {error}", self.data))
    }
}
