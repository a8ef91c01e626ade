//! The composition root: chooses source, infrastructure and status sink for a mode, starts the tasks, ends them in order.
//!
//! ```text
//! standalone: FileSource ─▶ Engine (Pipeline) ─▶ Publisher (ADS), PoolPublisher (tier API)
//!                              ├─▶ Local (Envoys, picker)    └─▶ StatusFiles, overview.json, ready lines
//!
//! controller: source::cluster ─▶ ClusterEngine (Pipeline) ─▶ Publisher (ADS), PoolPublisher (tier API)
//!                                  └─▶ Applier (fleets, pickers), certificates, StatusWriter: the leader changes
//!             replicas: what the Envoys of the others say ─▶ ClusterEngine of the leader
//! ```

mod binaries;
mod cluster_engine;
mod controller;
mod engine;
mod issued;
mod process;
mod ready;
mod run_dir;
mod standalone;
mod steady;
mod tell;
mod tiers;
mod write_gate;

pub(crate) use binaries::picker as picker_binary;
pub use controller::{ControllerConfig, controller};

pub use standalone::{StandaloneConfig, standalone};
