//! Signalbox's control plane: Gateway API objects to Envoy xDS, status, and pool snapshots for pickers.
//!
//! ```text
//! source ─▶ world ─▶ gateway (resolve → ir + reports) ─▶ translate ─▶ xds (snapshot, session) ─▶ Envoy
//!                         └─▶ pools (snapshots for pickers)    └─▶ status (report → plan → sink)
//! ```
//!
//! `api`, `world`, `gateway`, `translate` and the sans-IO parts of `xds` are the core: synchronous, without I/O. The
//! other modules are edges; only `app` chooses among them. `tests/layering.rs` holds the table of who may use whom.

pub mod admin;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod gateway;
pub mod identity;
pub mod infra;
pub mod kept;
pub mod leader;
pub mod pipeline;
pub mod pools;
mod process_metrics;
pub mod replicas;
pub mod source;
pub mod status;
pub mod tasks;
pub mod telemetry;
pub mod translate;
pub mod world;
pub mod xds;
