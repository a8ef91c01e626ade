//! Signalbox's endpoint picker: asked by Envoy over ext_proc which endpoint of a pool serves a request.
//!
//! ```text
//! Envoy ─ ext_proc ─▶ extproc (server → session) ─▶ request (parse) ─▶ flow ─▶ picker ─▶ reply, outcome
//! control-plane ─ tier API ─▶ pool (snapshot, board) ◀─ scrape (/metrics of each endpoint), peers (other pickers)
//! ```
//!
//! `picker`, `flow`, `accelerator`, `request` and the session of `extproc` are the core: synchronous, without I/O, time
//! is an argument. `tests/layering.rs` holds the table of who may use whom.

pub mod accelerator;
pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod decisions;
pub mod events;
pub mod extproc;
pub mod flow;
pub mod learned;
pub mod metrics;
pub mod outcome;
pub mod peers;
pub mod picker;
pub mod pool;
pub mod prefix;
pub mod request;
pub mod scrape;
pub mod simulate;
pub mod spans;
pub mod tasks;
pub mod telemetry;
pub mod tls;
pub mod tokenizer;
