//! Tests on real parts: the stack harness, the model-server simulator, and load.
//!
//! ```text
//! stack ──▶ signalbox standalone DIR (child) ──▶ Envoy, picker (its children)
//!   ├─ simulator: model servers on loopback addresses ◀── requests, scrapes
//!   └─ load: open- and closed-loop clients ──▶ the Gateway's address
//! figures ──▶ the same parts, measured
//! ```

pub mod client;
pub mod cluster;
pub mod envoy;
pub mod figures;
pub mod load;
pub mod loopback;
pub mod simulator;
pub mod stack;
