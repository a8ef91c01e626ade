//! One kept-open connection to a model server's metrics.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::http1::{HttpError, Response};

/// Socket reads ask for this much: a usual page in one.
const READ: usize = 64 << 10;

thread_local! {
    /// Borrowed only between a read and the end of its scan, never over an await; so one serves all connections.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// A request for `target`, a path with its query.
pub(super) fn get(target: &str, host: SocketAddr, accept: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: signalbox-picker\r\naccept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// Why a request gave no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("the connection ended before the response")]
    Closed,
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// A connection that is opened when it is needed.
#[derive(Debug)]
pub(super) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    response: Response,
}

impl Connection {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, response: Response::new() }
    }

    /// Sends `request` and hands the body to `sink`; the status and the bytes of the body. The connection stays open if
    /// both sides can. A kept connection that the server closed meanwhile is opened again once.
    ///
    /// Cancel safe in that a request that was dropped half way closes the connection.
    pub(super) async fn get(
        &mut self,
        request: &[u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(u16, u64), FetchError> {
        if let Some(mut stream) = self.stream.take() {
            match exchange(&mut stream, &mut self.response, request, &mut sink).await {
                Err(FetchError::Broken(_) | FetchError::Closed) if self.response.status() == 0 => {}
                end => return self.settle(stream, end),
            }
        }
        let mut stream = TcpStream::connect(self.address).await.map_err(FetchError::Connect)?;
        stream.set_nodelay(true).map_err(FetchError::Connect)?;
        let end = exchange(&mut stream, &mut self.response, request, &mut sink).await;
        self.settle(stream, end)
    }

    fn settle(&mut self, stream: TcpStream, end: Result<(), FetchError>) -> Result<(u16, u64), FetchError> {
        end?;
        if self.response.keeps_alive() {
            self.stream = Some(stream);
        }
        Ok((self.response.status(), self.response.body_bytes()))
    }
}

async fn exchange(
    stream: &mut TcpStream,
    response: &mut Response,
    request: &[u8],
    sink: &mut impl FnMut(&[u8]),
) -> Result<(), FetchError> {
    response.clear();
    stream.write_all(request).await.map_err(FetchError::Broken)?;
    let mut received = false;
    loop {
        stream.readable().await.map_err(FetchError::Broken)?;
        let read = BUFFER.with_borrow_mut(|buffer| match stream.try_read(buffer) {
            Ok(0) => Ok(None),
            Ok(count) => response.feed(&buffer[..count], sink).map(Some).map_err(FetchError::Http),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some(false)),
            Err(error) => Err(FetchError::Broken(error)),
        })?;
        match read {
            Some(true) => return Ok(()),
            Some(false) => received = true,
            None if !received && response.status() == 0 => return Err(FetchError::Closed),
            None => return Ok(response.end()?),
        }
    }
}
