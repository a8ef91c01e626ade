//! The little of ZMTP 3.0 that a subscriber and a dealer need, with the NULL mechanism.
//!
//! ```text
//! greeting (64 bytes each way) ─▶ READY (each way) ─▶ frames: flags, length (1 or 8 bytes), body
//! ```
//! Of our own because the length is the peer's word: the `zeromq` crate makes room for whatever eight bytes of a Pod ask
//! for, and reconnects by itself without telling, so that a restart of the engine goes unseen. It is what the tests
//! publish with.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Largest message: a step of an engine stores at most a few 10,000 tokens, of 5 bytes.
const LARGEST: u64 = 16 << 20;
const MOST_PARTS: usize = 8;

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sub,
    Dealer,
}

/// A connection to one peer.
#[derive(Debug)]
pub(super) struct Socket(BufReader<TcpStream>);

impl Socket {
    /// Connects; a subscriber is subscribed to everything.
    pub(super) async fn connect(to: SocketAddr, kind: Kind) -> io::Result<Self> {
        let mut stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let mut greeting = [0; 64];
        (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
        greeting[12..16].copy_from_slice(b"NULL");
        stream.write_all(&greeting).await?;
        let mut theirs = [0; 64];
        stream.read_exact(&mut theirs).await?;
        if theirs[0] != 0xff || theirs[9] & 1 == 0 || theirs[10] < 3 || !theirs[12..].starts_with(b"NULL\0") {
            return Err(invalid("the peer does not speak ZMTP 3 without encryption"));
        }
        let mut socket = Self(BufReader::with_capacity(64 << 10, stream));
        let name: &[u8] = match kind {
            Kind::Sub => b"SUB",
            Kind::Dealer => b"DEALER",
        };
        let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
        ready.push(name.len() as u8);
        ready.extend_from_slice(name);
        socket.write(COMMAND, &ready).await?;
        match socket.frame().await? {
            (flags, body) if flags & COMMAND != 0 && body.starts_with(b"\x05READY") => {}
            _ => return Err(invalid("the peer did not say READY")),
        }
        if kind == Kind::Sub {
            socket.send(&[b"\x01"]).await?;
        }
        Ok(socket)
    }

    /// Sends a message of these parts.
    pub(super) async fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for (place, part) in parts.iter().enumerate() {
            self.write(if place + 1 < parts.len() { MORE } else { 0 }, part).await?;
        }
        Ok(())
    }

    /// The next message. Not to be called again after it was dropped halfway.
    pub(super) async fn receive(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut parts = Vec::new();
        loop {
            let (flags, body) = self.frame().await?;
            if flags & COMMAND != 0 {
                continue;
            }
            parts.push(body);
            if flags & MORE == 0 {
                return Ok(parts);
            }
            if parts.len() == MOST_PARTS {
                return Err(invalid("a message has too many parts"));
            }
        }
    }

    async fn frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let flags = self.0.read_u8().await?;
        let length =
            if flags & LONG == 0 { self.0.read_u8().await?.into() } else { self.0.read_u64().await? };
        if length > LARGEST {
            return Err(invalid("a message is too large"));
        }
        // Room is made as bytes come, not as they are promised.
        let mut body = Vec::new();
        (&mut self.0).take(length).read_to_end(&mut body).await?;
        if body.len() as u64 == length { Ok((flags, body)) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    async fn write(&mut self, flags: u8, body: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(9 + body.len());
        match u8::try_from(body.len()) {
            Ok(length) => frame.extend([flags, length]),
            Err(_) => {
                frame.push(flags | LONG);
                frame.extend((body.len() as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(body);
        self.0.get_mut().write_all(&frame).await
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
