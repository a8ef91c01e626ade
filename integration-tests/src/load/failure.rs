//! Decides of what kind a failed request is.

use std::{error::Error, fmt, io};

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// Another status than was expected.
    Status(u16),
    /// No connection.
    Connect,
    /// The connection was reset or closed before the answer.
    Reset,
    /// The answer broke off.
    Truncated,
    /// The answer is whole, but not what it should be.
    Content,
    /// No answer in time.
    Timeout,
    /// Anything else.
    Other,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Connect => f.write_str("no connection"),
            Self::Reset => f.write_str("connection reset"),
            Self::Truncated => f.write_str("answer broke off"),
            Self::Content => f.write_str("wrong content"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Other => f.write_str("failure"),
        }
    }
}

impl Failure {
    /// The kind of an error; `answering` once the answer's headers are here.
    pub(super) fn of(error: &anyhow::Error, answering: bool) -> Self {
        for cause in error.chain() {
            if cause.is::<tokio::time::error::Elapsed>() {
                return Self::Timeout;
            }
            if cause
                .downcast_ref::<hyper_util::client::legacy::Error>()
                .is_some_and(|error| error.is_connect())
            {
                return Self::Connect;
            }
        }
        if answering {
            return Self::Truncated;
        }
        if error.chain().any(is_lost_connection) { Self::Reset } else { Self::Other }
    }
}

fn is_lost_connection(cause: &(dyn Error + 'static)) -> bool {
    let closed = cause
        .downcast_ref::<hyper::Error>()
        .is_some_and(|error| error.is_incomplete_message() || error.is_closed() || error.is_canceled());
    let lost = cause.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
        )
    });
    closed || lost
}
