//! A response body made of frames that a stream's task hands over.

use std::{
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame as HttpFrame};
use tokio::sync::mpsc;
use tonic::Status;

use crate::xds::encode::Frame;

/// Frames that may wait for the connection. Beyond it the stream's task waits, and snapshots coalesce.
pub(super) const WAITING: usize = 16;

/// Frames until the stream ends, then its status.
pub(super) type Frames = mpsc::Receiver<Result<Frame, Status>>;

/// The body. HTTP/2 polls it only when the client has room.
pub(super) struct FrameBody {
    frames: Frames,
    chunks: vec::IntoIter<Bytes>,
    ended: bool,
}

impl FrameBody {
    pub(super) fn new(frames: Frames) -> Self {
        Self { frames, chunks: Frame::new().into_iter(), ended: false }
    }
}

impl Body for FrameBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<HttpFrame<Bytes>, Status>>> {
        loop {
            if let Some(chunk) = self.chunks.next() {
                return Poll::Ready(Some(Ok(HttpFrame::data(chunk))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let status = match std::task::ready!(self.frames.poll_recv(cx)) {
                Some(Ok(frame)) => {
                    self.chunks = frame.into_iter();
                    continue;
                }
                Some(Err(status)) => status,
                None => Status::unavailable("the stream has ended; connect again"),
            };
            self.ended = true;
            let mut trailers = HeaderMap::new();
            status.add_header(&mut trailers)?;
            return Poll::Ready(Some(Ok(HttpFrame::trailers(trailers))));
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn chunks_come_in_order_and_the_status_last() {
        let (sender, frames) = mpsc::channel(WAITING);
        sender.send(Ok(vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")])).await.unwrap();
        sender.send(Ok(vec![Bytes::from_static(b"c")])).await.unwrap();
        sender.send(Err(Status::invalid_argument("no node"))).await.unwrap();
        let collected = FrameBody::new(frames).collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap();
        assert_eq!(collected.to_bytes(), "abc");
        assert_eq!(Status::from_header_map(&trailers).unwrap().message(), "no node");
    }
}
