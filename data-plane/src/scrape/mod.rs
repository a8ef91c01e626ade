//! Scrapes of model servers: metrics with their time.
//!
//! ```text
//! task ─ due ─▶ target ─▶ client (one kept-open connection) ─ bytes ─▶ http1 ─ body ─▶ scanner ─▶ tally
//!   ▲                                                                                              │
//!   └─ next due: 50 ms busy … 1 s idle ◀──────────────── slot ◀──────────── Reading ◀──────────────┘
//! ```
//!
//! Once a minute the server is asked for its [`models`] too, for their context.
//!
//! Twenty pages of 54 KB per endpoint and second are read to find eight numbers, so nothing is kept of a page: the
//! scanner sees each chunk where the socket put it, and one buffer per thread serves all endpoints.

mod client;
mod counters;
mod engines;
mod http1;
mod models;
mod scanner;
mod tally;
mod target;
mod task;
#[cfg(test)]
mod tests;

pub use counters::{ScrapeCollector, ScrapeCounters};
pub use engines::{Engine, engine_named};
pub use scanner::Scanner;
pub use task::{ScrapeConfig, run};
