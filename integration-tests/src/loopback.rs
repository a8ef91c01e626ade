//! Decides which loopback addresses a test uses, so that tests of one process and of several run side by side.
//!
//! Each [`Block`] is a /24 of 127.0.0.0/8, derived from the process id and a counter of this process.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The low /20 of the address space is left to examples and people; the rest is dealt out.
const FIRST: u32 = 16 << 8;
const BLOCKS: u32 = (256 << 8) - FIRST;

/// Blocks that one process has to itself before it may meet those of the next process id.
const BLOCKS_PER_PROCESS: u32 = 64;

/// 254 addresses of loopback that no other test uses at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block(u32);

impl Block {
    /// The next block in which nothing listens on [`Block::gateway`].
    pub fn claim() -> Self {
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let block = Self(FIRST + process::id().wrapping_mul(BLOCKS_PER_PROCESS).wrapping_add(n) % BLOCKS);
            if TcpListener::bind(SocketAddr::new(block.gateway(), 0)).is_ok() && !block.in_use() {
                return block;
            }
        }
    }

    fn in_use(self) -> bool {
        TcpListener::bind(SocketAddr::new(self.gateway(), Self::GATEWAY_PORT)).is_err()
    }

    /// The port of a test's Gateway; no privilege is needed for it.
    pub const GATEWAY_PORT: u16 = 8080;

    /// The address of the Gateway.
    pub fn gateway(self) -> IpAddr {
        self.address(1)
    }

    /// Address number `n` of the block.
    ///
    /// # Panics
    /// When `n` is 0 or 255.
    pub fn address(self, n: u8) -> IpAddr {
        assert!(n != 0 && n != 255, "a host number of a /24");
        let [_, _, high, low] = self.0.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(127, high, low, n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_distinct_and_usable() {
        let (a, b) = (Block::claim(), Block::claim());
        assert_ne!(a, b);
        assert!(a.address(254).is_loopback());
        TcpListener::bind(SocketAddr::new(a.address(17), 8000)).unwrap();
    }
}
