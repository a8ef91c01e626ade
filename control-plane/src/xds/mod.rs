//! The xDS server: snapshots, sans-IO sessions for delta and SotW ADS, and the gRPC edge.

mod resource;
mod snapshot;

pub use resource::{Resource, ResourceType, Version};
pub use snapshot::Snapshot;
