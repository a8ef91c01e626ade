//! Requests: bounded bodies and the fields that matter.
//!
//! ```text
//! headers ─▶ Head          chunks ─▶ Body (bounded) ─▶ parse ─▶ Inference { model, prompt, … }
//!              ├─ objective ─▶ priority                             └─ rewrite ─▶ body with another model
//!              └─ tenant, patience ─▶ its place in the queue
//! ```

mod body;
mod head;
pub mod objective;
pub mod parse;
pub mod patience;
pub mod rewrite;
pub mod tenant;

pub use body::{Body, TooLarge};
pub use head::Head;
