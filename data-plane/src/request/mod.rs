//! Requests: bounded bodies and the fields that matter.
//!
//! ```text
//! headers ─▶ Head          chunks ─▶ Body (bounded) ─▶ parse ─▶ Inference { model, prompt, … }
//!              ├─ objective ─▶ priority, policy                     └─ rewrite ─▶ body with another model
//!              └─ tenant, patience ─▶ its place in the queue
//! answer ─ pieces ─▶ answer (the client's model name put back, usage)
//! ```

pub mod answer;
mod body;
mod head;
pub mod objective;
pub mod parse;
pub mod patience;
pub mod rewrite;
pub mod tenant;
pub mod tokens;
mod traceparent;

pub use body::{Body, TooLarge};
pub use head::Head;
pub use traceparent::Traceparent;
