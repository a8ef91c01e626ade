//! Where pools come from: the control plane, or a file.

pub mod files;
pub mod tier;
