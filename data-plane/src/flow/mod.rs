//! Admission: which requests are let through, and which are shed.
//!
//! ```text
//! request ─ admit(priority) ─▶ Ticket (counts until dropped)
//!                └─▶ Shed: Full (any priority), Saturated (priority below 0)
//! ```
//! Nothing waits: a request is let through or told to come back.

mod gate;

pub use gate::{Gate, Limits, Shed, Ticket};
