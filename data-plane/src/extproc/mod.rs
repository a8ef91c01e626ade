//! The ext_proc protocol: sans-IO session, replies, and the gRPC server.
//!
//! ```text
//! connection (h2, one task) ─▶ stream ─ Message ─▶ session ─ Reply ─▶ stream ─▶ connection (one write per batch)
//!                                                    │ Decide
//!                                                    ▼
//!                                     decide: parse → admit → rewrite → pick
//! ```

pub mod connection;
pub mod decide;
pub mod grpc;
pub mod health;
pub mod io;
pub mod lane;
pub mod message;
pub mod metadata;
pub mod prefiller;
pub mod refused;
pub mod reply;
pub mod server;
pub mod session;
pub mod stream;
pub mod wire;
