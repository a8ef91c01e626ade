//! A connection's bytes, read and written in large pieces.
//!
//! ```text
//! socket ─ one read ─▶ inbox ─▶ h2 (reads frame by frame)
//! socket ◀─ one write ─ outbox ◀─ h2 (writes frame by frame, its flushes are not passed on)
//!              └ Handle::flush, once per turn of the connection
//! ```
//! h2 writes each larger DATA frame with a system call of its own. A copy of 50 KB costs 2 µs, a call costs 5.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at most by one call.
const INBOX: usize = 128 * 1024;
/// Bytes gathered before h2 has to wait for the socket.
const OUTBOX: usize = 256 * 1024;

#[derive(Debug)]
struct Shared<T> {
    inner: T,
    inbox: Box<[u8]>,
    unread: std::ops::Range<usize>,
    outbox: BytesMut,
    received: u64,
}

/// h2's side of a connection.
#[derive(Debug)]
pub struct Io<T>(Rc<RefCell<Shared<T>>>);

/// The connection loop's side.
#[derive(Debug)]
pub struct Handle<T>(Rc<RefCell<Shared<T>>>);

/// Both sides of `inner`.
pub fn split<T: AsyncRead + AsyncWrite + Unpin>(inner: T) -> (Io<T>, Handle<T>) {
    let shared = Rc::new(RefCell::new(Shared {
        inner,
        inbox: vec![0; INBOX].into_boxed_slice(),
        unread: 0..0,
        outbox: BytesMut::with_capacity(16 * 1024),
        received: 0,
    }));
    (Io(Rc::clone(&shared)), Handle(shared))
}

impl<T: AsyncWrite + Unpin> Shared<T> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.outbox))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbox.advance(sent);
        }
        if self.outbox.capacity() < 16 * 1024 {
            self.outbox.reserve(OUTBOX / 4);
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }
}

impl<T: AsyncWrite + Unpin> Handle<T> {
    /// Writes what was gathered.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_send(cx)
    }

    /// Bytes received since the connection was opened.
    pub fn received(&self) -> u64 {
        self.0.borrow().received
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Io<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, dst: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let shared = &mut *self.0.borrow_mut();
        if shared.unread.is_empty() {
            let mut inbox = ReadBuf::new(&mut shared.inbox);
            ready!(Pin::new(&mut shared.inner).poll_read(cx, &mut inbox))?;
            shared.unread = 0..inbox.filled().len();
            shared.received += shared.unread.len() as u64;
        }
        let n = shared.unread.len().min(dst.remaining());
        dst.put_slice(&shared.inbox[shared.unread.start..shared.unread.start + n]);
        shared.unread.start += n;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Io<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, src: &[u8]) -> Poll<io::Result<usize>> {
        let shared = &mut *self.0.borrow_mut();
        if shared.outbox.len() >= OUTBOX {
            ready!(shared.poll_send(cx))?;
        }
        shared.outbox.extend_from_slice(src);
        Poll::Ready(Ok(src.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        srcs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let shared = &mut *self.0.borrow_mut();
        if shared.outbox.len() >= OUTBOX {
            ready!(shared.poll_send(cx))?;
        }
        srcs.iter().for_each(|src| shared.outbox.extend_from_slice(src));
        Poll::Ready(Ok(srcs.iter().map(|src| src.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &mut *self.0.borrow_mut();
        ready!(shared.poll_send(cx))?;
        Pin::new(&mut shared.inner).poll_shutdown(cx)
    }
}
