//! Accelerator classes: what an endpoint computes on, and how many seconds work takes there.
//!
//! ```text
//! (class, count, memory) ─ datasheet ─▶ seed ─▶ Group (class, count, model, engine, role)
//!                                                 │ prior        ▲ samples
//! scrapes, outcomes ─ samples ─▶ Calibration (endpoint) ─▶ Profile ─ estimate(work, load) ─▶ seconds
//! ```
//!
//! Every speed that the picker uses comes through `Endpoint::profile`.

mod backlog;
mod book;
mod calibration;
mod datasheet;
pub mod estimate;
mod group;
mod line;
pub mod policy;
mod profile;
mod totals;
mod usual;
mod window;

pub use book::{Book, Learned};
pub use calibration::Calibration;
pub use group::{GroupKey, SavedGroup};
pub use policy::{Optimize, Policy, Wishes, policy_from};
pub use profile::{Hardware, Profile, profile_for, profile_of};
pub use totals::{Sum, Totals};
pub use usual::Usual;
pub use window::Look;
