//! Pools: snapshots from the control plane, and live load per endpoint.
//!
//! ```text
//! source (tier | files) ─ WatchResponse ─▶ Pools::apply ─ decode ─▶ Snapshot (dense, immutable)
//!                                             │                       │ one per endpoint
//!                                           Board (address → slot) ─▶ Slot ◀─ scrape, outcome; read by picker
//! ```

mod board;
pub mod collector;
mod decode;
mod key;
mod load;
mod others;
mod pools;
mod proof;
mod publisher;
mod reading;
mod role;
mod sent;
mod slot;
mod snapshot;
pub mod source;
#[cfg(test)]
mod tests;
mod work;

pub use key::{InvalidPoolKey, PoolKey};
pub use load::Load;
pub use others::Standing;
pub use pools::{Pool, PoolCounters, Pools};
pub use publisher::{InvalidPort, Publisher};
pub use reading::{Adapters, Freshness, Reading};
pub use role::Role;
pub use sent::Sent;
pub use slot::Slot;
pub use snapshot::{Endpoint, EndpointIx, Objective, RewriteRule, Snapshot};
pub use work::Work;
