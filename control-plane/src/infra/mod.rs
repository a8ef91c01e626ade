//! Infrastructure: who runs the Envoys and the pickers.
//!
//! ```text
//! World ─▶ desired (pure) ─▶ local: loopback addresses, one Envoy per Gateway, one picker, as supervised children
//! ```

pub mod addresses;
pub mod desired;
pub mod envoy_admin;
pub mod local;
pub mod services;
pub mod supervisor;
