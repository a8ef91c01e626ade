//! Infrastructure: who runs the Envoys and the pickers.
//!
//! ```text
//! World ─▶ desired (pure) ─▶ local: loopback addresses, one Envoy per Gateway, one picker, as supervised children
//!       └▶ cluster: a Deployment and a Service for each Gateway and each managed picker
//! ```

pub mod addresses;
mod admin_interface;
pub mod cluster;
pub mod crd;
pub mod desired;
pub mod envoy_admin;
pub mod local;
pub mod picker_admin;
pub mod services;
pub mod supervisor;
