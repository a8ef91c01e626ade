//! Resolves Gateways: from objects to decisions and reports.

pub mod ir;
pub mod report;
