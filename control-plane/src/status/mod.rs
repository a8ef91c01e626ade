//! Status: what was found out about objects, and what Envoy acknowledged, as the API words it.
//!
//! ```text
//! Reports (gateway) ─┐
//! Facts (xds, infra) ┴▶ plan (pure) ─┬▶ times (keeps transition times) ─▶ files
//!                                    └▶ merge (with what the object has) ─▶ cluster (leader only)
//! ```

mod blame;
mod class;
pub mod cluster;
pub mod decisions;
mod features;
pub mod files;
mod merge;
pub mod overview;
mod plan;
mod planner;
mod times;

pub use blame::Refusal;
pub use class::ClassFacts;
pub use features::features;
pub use merge::{Current, Merged, merge};
pub use plan::{Facts, FleetProblem, Inputs, PickerState, Plan};
pub use planner::Planner;
pub use times::with_times;
