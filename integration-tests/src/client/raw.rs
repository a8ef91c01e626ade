//! Requests as bytes, for what no client library sends: bad framing, silence, early ends.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What came back on a raw connection.
#[derive(Debug)]
pub struct RawReply {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Why reading ended.
    pub end: End,
}

/// How a raw connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed it.
    Closed,
    /// The peer reset it.
    Reset,
    /// It was still open at the deadline.
    Open,
}

impl RawReply {
    /// The bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The status of the first answer.
    pub fn status(&self) -> Option<u16> {
        self.text().strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }
}

/// Sends bytes and reads what comes back, for as long as `wait`.
///
/// # Errors
/// When the address cannot be connected to.
pub async fn exchange(address: SocketAddr, request: &[u8], wait: Duration) -> io::Result<RawReply> {
    let mut stream = TcpStream::connect(address).await?;
    let deadline = tokio::time::Instant::now() + wait;
    let mut bytes = Vec::new();
    let talk = async {
        stream.write_all(request).await?;
        stream.read_to_end(&mut bytes).await
    };
    let end = match tokio::time::timeout_at(deadline, talk).await {
        Err(_) => End::Open,
        Ok(Ok(_)) => End::Closed,
        Ok(Err(_)) => End::Reset,
    };
    Ok(RawReply { bytes, end })
}

/// A POST with a body and `connection: close`.
pub fn post(host: SocketAddr, path: &str, extra_headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nconnection: close\r\n\
         {extra_headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
