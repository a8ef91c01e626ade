//! Status: what was found out about objects, and what Envoy acknowledged, as the API words it.
//!
//! ```text
//! Reports (gateway) ─┐
//! Facts (xds, infra) ┴▶ plan (pure) ─▶ times (keeps transition times) ─▶ files
//! ```

pub mod files;
pub mod overview;
mod plan;
mod times;

pub use plan::{Facts, Plan, plan};
pub use times::with_times;
