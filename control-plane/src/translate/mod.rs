//! Turns the intermediate representation into Envoy resources; cannot fail.
//!
//! ```text
//! ir::Gateway ─┬─ Listener ───────▶ listener ─ hcm (filters, access_log, errors)   LDS  tcp-<port>
//!              │     └ VirtualHost ▶ virtual_host ─ route, models, model_scanner   RDS  http-<port>
//!              │                      └ route_parts, route_configuration           SRDS http-<port>, of many: /<part>
//!              └─ Cluster ────────▶ cluster                                        CDS  pool/… service/… picker/…
//! ir::EndpointSet ────────────────▶ endpoint                                       EDS  same names
//! ```
//!
//! A resource's version is the hash of the part of the representation that it is made from. `snapshot` shares every
//! resource whose version did not change, and a `Cache` keeps routes encoded, so that one changed route costs one
//! route's translation and a copy of bytes.

mod access_log;
mod bootstrap;
mod cache;
mod cluster;
mod endpoint;
mod errors;
mod extproc;
mod hcm;
mod header_changes;
mod lb_policy;
mod listener;
mod message;
mod model_scanner;
mod models;
mod names;
mod path_change;
mod redirect;
mod route;
mod route_configuration;
mod route_match;
mod route_parts;
mod settings;
mod snapshot;
mod tls;
mod value;
mod view;
mod virtual_host;

pub use bootstrap::{
    AdsMode, BootstrapParams, BootstrapTls, DRAIN_HEADER, Drain, OverloadLimits, bootstrap, sds_files,
};
pub use cache::Cache;
pub use endpoint::{endpoint_resource, version as endpoint_version};
pub use settings::{AccessLog, HeadersWithUnderscores, Settings};
pub use snapshot::snapshot;
pub use view::view;

/// Salt of every version; raised when the same representation translates to different resources.
const TRANSLATION_SALT: u64 = 2;
