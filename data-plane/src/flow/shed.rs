//! Why a request is not let through, and what its client is told.
//!
//! | outcome | status | reason | Retry-After |
//! |---|---|---|---|
//! | queue full | 429 | `queue_full` | by drain rate |
//! | queue full, priority below 0 | 429 | `saturated` | by drain rate |
//! | waited, made place for others | 429 | `displaced` | by drain rate |
//! | was in flight, made place for others | 429 | `evicted` | by drain rate |
//! | waited as long as the pool lets requests wait | 503 | `queue_timeout` | by drain rate |
//! | waited as long as its client said it would | 503 | `client_deadline` | by drain rate |
//! | the pool has no endpoint, or got none in time | 503 | `no_endpoints` | by drain rate |
//! | bound on requests in flight, where nothing waits | 429 | `full`, `saturated` | 1 |
//! | the picker ends | 503 | `shutting_down` | 1 |

use std::time::Duration;

/// Why a request is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Shed {
    /// Nothing waits in this pool, and too many requests are in flight.
    #[error("The pool has {in_flight} requests in flight, its bound is {bound}. Retry later.")]
    Full {
        /// Requests in flight.
        in_flight: usize,
        /// The bound.
        bound: usize,
    },
    /// The queue is full.
    #[error(
        "All model servers of the pool are busy and {waiting} requests wait already. Retry in {retry_after} s."
    )]
    QueueFull {
        /// Requests that wait.
        waiting: usize,
        /// Seconds.
        retry_after: u32,
    },
    /// The queue is full for requests of a priority below 0, or nothing waits and they are held back.
    #[error(
        "All model servers of the pool are busy, and it sheds requests of a priority below 0. \
         Retry in {retry_after} s."
    )]
    Saturated {
        /// Seconds.
        retry_after: u32,
    },
    /// It waited, and the queue filled up with more important requests, or with those of tenants that had fewer.
    #[error(
        "All model servers of the pool are busy, and requests that come first filled the queue. Retry in {retry_after} s."
    )]
    Displaced {
        /// Seconds.
        retry_after: u32,
    },
    /// It was in flight with a priority below 0, and a more important request waited.
    #[error(
        "All model servers of the pool are busy, and this request of a priority below 0 made room for a more important \
         one. Retry in {retry_after} s."
    )]
    Evicted {
        /// Seconds.
        retry_after: u32,
    },
    /// It waited for room as long as requests may.
    #[error("All model servers of the pool are busy; the request waited {} ms. Retry in {retry_after} s.", waited.as_millis())]
    Expired {
        /// How long it waited.
        waited: Duration,
        /// Seconds.
        retry_after: u32,
    },
    /// It waited for room as long as its client said it would.
    #[error(
        "All model servers of the pool are busy; the request waited {} ms, which is its own limit. \
         Retry in {retry_after} s.",
        waited.as_millis()
    )]
    ClientDeadline {
        /// How long it waited.
        waited: Duration,
        /// Seconds.
        retry_after: u32,
    },
    /// The pool has no endpoint.
    #[error("no model server of this pool is ready{}", after(waited))]
    NoEndpoints {
        /// How long it waited.
        waited: Duration,
        /// Seconds.
        retry_after: u32,
    },
    /// The picker ends.
    #[error("The gateway's endpoint picker is being replaced. Retry now.")]
    ShuttingDown,
}

fn after(waited: &Duration) -> String {
    if waited.is_zero() { String::new() } else { format!("; the request waited {} ms", waited.as_millis()) }
}

impl Shed {
    /// The reason's name in headers, metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Full { .. } => "full",
            Self::QueueFull { .. } => "queue_full",
            Self::Saturated { .. } => "saturated",
            Self::Displaced { .. } => "displaced",
            Self::Evicted { .. } => "evicted",
            Self::Expired { .. } => "queue_timeout",
            Self::ClientDeadline { .. } => "client_deadline",
            Self::NoEndpoints { .. } => "no_endpoints",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// The reason in the words of other pickers.
    #[must_use]
    pub fn dropped_reason(&self) -> &'static str {
        match self {
            Self::Full { .. } | Self::QueueFull { .. } | Self::Saturated { .. } | Self::Displaced { .. } => {
                "rejected-saturated"
            }
            Self::Evicted { .. } => "evicted",
            Self::Expired { .. } | Self::ClientDeadline { .. } => "rejected-ttl-expired",
            Self::NoEndpoints { .. } => "rejected-no-endpoints",
            Self::ShuttingDown => "rejected-shutting-down",
        }
    }

    /// The HTTP status: 429 for who should send less, 503 for who could not be helped in time.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Full { .. }
            | Self::QueueFull { .. }
            | Self::Saturated { .. }
            | Self::Displaced { .. }
            | Self::Evicted { .. } => 429,
            Self::Expired { .. }
            | Self::ClientDeadline { .. }
            | Self::NoEndpoints { .. }
            | Self::ShuttingDown => 503,
        }
    }

    /// Seconds after which a retry may succeed.
    #[must_use]
    pub fn retry_after(&self) -> u32 {
        match self {
            Self::Full { .. } | Self::ShuttingDown => 1,
            Self::QueueFull { retry_after, .. }
            | Self::Saturated { retry_after }
            | Self::Displaced { retry_after }
            | Self::Evicted { retry_after }
            | Self::Expired { retry_after, .. }
            | Self::ClientDeadline { retry_after, .. }
            | Self::NoEndpoints { retry_after, .. } => *retry_after,
        }
    }
}
