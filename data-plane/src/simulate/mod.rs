//! The picker in virtual time, against a queueing model of its endpoints: what tells whether the policy is good.
//!
//! ```text
//! trace (shape, load, seed) ─ arrival ─▶ policy ─▶ engine (slots, prompts in line, pace by batch, KV, prefix cache)
//!                                          ▲          │ every 50 ms: a reading, as a scrape gives it
//!                                          └──────────┴ first token, end ─▶ outcome          ─▶ Report
//! ```
//!
//! Several pickers may serve the pool, each of them a part of the requests at random, and tell each other what they do as
//! those that serve do (see [`peers`](crate::peers)).
//!
//! Everything that is decided is decided by the code that serves requests: pools, slots, calibration, the prefix index and pick. Runs are
//! a function of their seed. The traces are synthetic and follow the published shapes that [`Shape`] names.

mod cache;
mod comparison;
mod content;
mod engine;
mod exchange;
mod fleet;
mod plan;
mod policy;
mod recorded;
mod report;
mod run;
mod table;
#[cfg(test)]
mod tests;
mod trace;

pub use comparison::comparison;
pub use content::{Piece, Request};
pub use engine::{Engine, Speeds};
pub use fleet::Fleet;
pub use plan::Plan;
pub use policy::{Policy, Seeds, least_by, scorer_sum};
pub use recorded::{Invalid, read};
pub use report::{Class, Quantiles, Report, Targets};
pub use run::{Pickers, Run, capacity, run};
pub use table::{json, table};
pub use trace::{Shape, trace};
