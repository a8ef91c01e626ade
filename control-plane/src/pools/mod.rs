//! Pool snapshots for pickers: each InferencePool, resolved, streamed over the tier API.
//!
//! ```text
//! World + EndpointSet ─▶ snapshot (pure) ─▶ PoolSet ─ watch ─▶ server: one diff per stream ─▶ picker
//! ```
//!
//! A pool's snapshot and Envoy's EDS resource of the same pool are made from the same endpoint set in the same step, so
//! picker and proxy agree about endpoints.

mod server;
mod set;
mod snapshot;

pub use server::{serve, serve_tls};
pub use set::{PoolPublisher, PoolSet};
pub use snapshot::snapshot;
