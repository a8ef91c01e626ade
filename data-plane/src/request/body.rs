//! A body that is received piece by piece, up to a limit.

use bytes::{Bytes, BytesMut};

/// The body is longer than its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is longer than {limit} bytes")]
pub struct TooLarge {
    /// The limit in bytes.
    pub limit: usize,
}

/// What is reserved on a client's word alone.
const TRUSTED: usize = 1 << 20;

/// A body. One piece is kept as it came; several are joined as they come.
#[derive(Debug)]
pub struct Body {
    limit: usize,
    expected: usize,
    pieces: Pieces,
}

#[derive(Debug)]
enum Pieces {
    One(Bytes),
    Joined(BytesMut),
}

impl Body {
    /// An empty body that may have `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self { limit, expected: 0, pieces: Pieces::One(Bytes::new()) }
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Reserves room for a declared length when pieces are joined; at most 1 MiB of it is believed.
    pub fn expect(&mut self, content_length: Option<usize>) {
        self.expected = content_length.unwrap_or(0).min(self.limit).min(TRUSTED);
    }

    /// Appends a piece. A body that is too large is given up: what was received is dropped.
    pub fn push(&mut self, piece: &Bytes) -> Result<(), TooLarge> {
        let len = match &self.pieces {
            Pieces::One(one) => one.len(),
            Pieces::Joined(joined) => joined.len(),
        };
        if len + piece.len() > self.limit {
            self.take();
            return Err(TooLarge { limit: self.limit });
        }
        match &mut self.pieces {
            _ if piece.is_empty() => {}
            Pieces::One(one) if one.is_empty() => *one = piece.clone(),
            Pieces::One(one) => {
                let mut joined = BytesMut::with_capacity(self.expected.max((len + piece.len()) * 2));
                joined.extend_from_slice(one);
                joined.extend_from_slice(piece);
                self.pieces = Pieces::Joined(joined);
            }
            Pieces::Joined(joined) => joined.extend_from_slice(piece),
        }
        Ok(())
    }

    /// The whole body; this one is empty afterwards.
    pub fn take(&mut self) -> Bytes {
        match std::mem::replace(&mut self.pieces, Pieces::One(Bytes::new())) {
            Pieces::One(one) => one,
            Pieces::Joined(joined) => joined.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_piece_is_not_copied_and_several_are_joined() {
        let piece = Bytes::from(vec![1; 100]);
        let mut body = Body::with_limit(250);
        for part in [Bytes::new(), piece.clone(), Bytes::new()] {
            body.push(&part).unwrap();
        }
        assert_eq!(body.take().as_ptr(), piece.as_ptr());
        for part in [&piece, &piece] {
            body.push(part).unwrap();
        }
        assert_eq!(body.take(), [1u8; 200][..]);
    }

    #[test]
    fn the_limit_is_inclusive_and_an_excess_frees_what_was_held() {
        let mut body = Body::with_limit(4);
        assert_eq!(body.push(&Bytes::from_static(b"1234")), Ok(()));
        assert_eq!(body.push(&Bytes::from_static(b"5")), Err(TooLarge { limit: 4 }));
        assert!(body.take().is_empty());
    }
}
