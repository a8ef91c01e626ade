//! Simulated model servers: as many as needed in one process, with the batching, caches, metrics and faults that an
//! inference gateway has to cope with, in the words of vLLM's API.
//!
//! ```text
//! Fleet ─ one per Pod ─▶ server (HTTP/1.1, h2c) ─▶ api ─▶ Pod ─▶ engine (sans-IO) ─ blocks, adapters, speed
//!                            ▲                       └─ metrics page
//!                         faults ◀── /admin/faults, x-sim-fault
//! ```

mod adapters;
mod api;
mod blocks;
pub mod config;
pub mod engine;
pub mod faults;
mod fleet;
mod histogram;
mod metrics;
mod pod;
mod server;
pub mod speed;
pub mod tokens;
mod wire;

pub use self::{
    api::{body_hash, echo::Echo},
    config::PodConfig,
    faults::Faults,
    fleet::Fleet,
    pod::Pod,
};
