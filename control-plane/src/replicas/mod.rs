//! What the replicas of the control plane tell each other: all serve Envoys, one writes status.
//!
//! ```text
//! a follower:  Nodes ─▶ report (what differs, at most every 50 ms) ─▶ server, beside the tier API ─┐
//! the leader:  EndpointSlices of our Service ─▶ addresses ─▶ lead: one follow per replica ◀────────┘
//!                                                             └▶ Known ─┬▶ merge ─▶ status
//!              its own Nodes ───────────────────────────────────────────┘
//! ```
//!
//! What a replica says of a Gateway carries the hash of the configuration that it is about, so that an acknowledgement
//! of anything else than what the leader holds itself does not count. A replica that cannot be reached is left out:
//! its Envoys go to another one when it is gone.

mod addresses;
mod follow;
mod known;
mod lead;
mod merge;
mod metrics;
mod report;
mod server;
mod wire;

pub use addresses::addresses;
pub use known::{Gateways, Heard, Known};
pub use lead::{Config, run};
pub use merge::{Merged, Reported, merge};
pub use metrics::Metrics;
pub use server::{Reports, Service};
