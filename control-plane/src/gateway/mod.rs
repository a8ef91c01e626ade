//! Resolves Gateways: from objects to decisions and reports.
//!
//! Everything here is a pure function of the [`World`](crate::world::World): no clock, no I/O, no state. A user's
//! mistake is a report, never an error.
//!
//! ```text
//! class ─▶ listener ─▶ attach ─▶ route (matches, filters, timeouts, backends ─▶ service, pool, grant)
//!                         │            │
//!                         │            └─▶ precedence ─▶ virtual_host ─▶ models ─▶ ir::Gateway
//!                         └────────────────────────────────▶ status ─▶ Reports
//! endpoints (with accelerator) and pool_objects are resolved apart, so that they change without the Gateway.
//! ```

mod accelerator;
mod attach;
mod backend_tls;
mod base_models;
mod certificate;
mod class;
mod condition;
mod endpoints;
mod expression;
mod fault;
mod grant;
mod hostname;
pub mod ir;
mod kept_hosts;
mod listener;
mod memo;
mod models;
mod options;
mod parameters;
mod placed_route;
mod pool;
mod pool_objects;
mod precedence;
pub mod quantity;
pub mod report;
mod resolve;
mod route;
mod service;
mod status;
mod virtual_host;

#[cfg(test)]
mod tests;

pub use accelerator::accelerator;
pub use class::{class_reports, is_ours};
pub use endpoints::{KeptEndpoints, endpoints};
pub use memo::Memo;
pub use options::{Options, PortMap};
pub use parameters::{Fleet, FleetPort, fleet};
pub use pool::speaks_tls_to_picker;
pub use pool_objects::{Objective, Rewrite, pool_objects};
pub use resolve::{Resolved, resolve, resolve_again};
