//! The composition root: chooses source, infrastructure and status sink for a mode, starts the tasks, ends them in order.
//!
//! ```text
//! standalone: FileSource ─▶ Engine (Pipeline) ─▶ Publisher (ADS), PoolPublisher (tier API)
//!                              ├─▶ Local (Envoys, picker)    └─▶ StatusFiles, overview.json, ready lines
//! ```

mod binaries;
mod engine;
mod ready;
mod run_dir;
mod standalone;

pub use standalone::{StandaloneConfig, standalone};
