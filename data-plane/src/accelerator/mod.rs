//! Accelerator classes: what an endpoint computes on, and how many seconds work takes there.
//!
//! ```text
//! (class, count, memory) ─ datasheet ─▶ Profile ─ estimate(work, load) ─▶ seconds
//! ```
//!
//! Every speed that the picker uses comes through `Endpoint::profile`, seeded by [`profile_of`], so that measured values
//! can take the place of the table's without a change elsewhere.

mod datasheet;
pub mod estimate;
mod profile;

pub use profile::{Hardware, Profile, profile_of};
