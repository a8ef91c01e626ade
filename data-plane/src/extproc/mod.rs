//! The ext_proc protocol: sans-IO session, replies, and the gRPC server.
//!
//! ```text
//! connection (h2, one task) ─▶ stream ─ Message ─▶ session ─ Reply ─▶ stream ─▶ connection (one write per batch)
//!                                                    │ Decide
//!                                                    ▼
//!                                     decide: parse → admit → rewrite → pick
//! ```
//!
//! | setting | where | what it does |
//! |---|---|---|
//! | `x-gateway-model-name-rewrite`, `x-llm-d-model-name-rewrite` | request header | the model to send, where no rewrite rule matches |
//! | `llm-d.ai/role` | label of Pods | who answers, who prefills for others: see `pool::Role` |
//! | `x-prefiller-host-port` | header to the model server | who computes the prompt: see [`prefiller`] |
//! | `--read-answers` | flag of the picker | percent of answers read for usage, where bodies are not sent here anyway |
//! | `x-signalbox-explain: true` | request header | where `--explain-header` or the pool says so, the decision is recorded for sure: see `decisions` |
//! | `x-signalbox-decision` | response header | with `--explain-header answer`: the decision in one line |
//! | `allow_mode_override` | Envoy's ext_proc filter | without it, buffered pools show rewritten names in answers, and `--read-answers` does nothing |

pub mod connection;
pub mod decide;
pub mod grpc;
pub mod guards;
pub mod health;
pub mod io;
pub mod lane;
pub mod message;
pub mod metadata;
mod open;
pub mod prefiller;
pub mod question;
pub mod recording;
pub mod refused;
pub mod reply;
pub mod server;
pub mod session;
pub mod stream;
pub mod wire;

/// The time, as the runtime has it.
fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
