//! The xDS server: snapshots, sans-IO sessions for delta and SotW ADS, and the gRPC edge.
//!
//! ```text
//! translate ─▶ Publisher ─ watch ─▶ stream ─▶ Session ─▶ Response ─▶ encode ─▶ Envoy
//!                                     │ └──────── requests ◀───────────────────┘
//!                                     └─▶ Nodes (who holds what) ─▶ status, metrics
//! ```

pub mod encode;
mod metrics;
mod nodes;
mod order;
mod park;
mod publish;
mod release;
mod resource;
mod server;
mod session;
mod snapshot;
mod subscription;

pub use metrics::Metrics;
pub use nodes::{GatewayState, Identity, Nack, NodeState, Nodes};
pub use order::Timing;
pub use publish::Publisher;
pub use release::Release;
pub use resource::{Resource, ResourceType, Version};
pub use server::{Limits, serve, serve_tls};
pub use session::{
    Asks, Event, Observation, Protocol, Rejection, Request, Response, Session, Standing, Step,
};
pub use snapshot::Snapshot;
