//! Infrastructure in a cluster: Envoys for Gateways and pickers for pools, as Kubernetes objects.
//!
//! ```text
//! World ─▶ desired (pure) ─▶ plan (pure: what differs from what is observed) ─▶ apply (leader; server-side apply)
//!                                  ▲                                               │
//!                                  └── watches of what carries our label ◀─────────┘
//!                                             └─▶ state (pure): addresses, replicas, errors ─▶ status
//! ```

mod apply;
mod call;
mod config;
mod desired;
mod envoy;
mod manifest;
mod metadata;
mod names;
mod observed;
mod picker;
mod plan;
mod pods;
mod service;
mod state;

pub use apply::{Applier, Inputs, States};
pub use call::rights;
pub use config::{HostPort, IDENTITY_DIR, IdentityConfig, InfraConfig};
pub use desired::{Desired, Fleet, Managed, desired, is_ours};
pub use manifest::{Manifest, ManifestKey, ManifestKind};
pub use names::{
    INFRASTRUCTURE_LABEL, INSTALLATION_ANNOTATION, OWNER_ANNOTATION, Owner, REVISION_ANNOTATION, label_value,
    object_name,
};
pub use observed::Observed;
pub(super) use picker::ADMIN as PICKER_ADMIN;
pub use plan::{Action, plan};
pub use state::{InfraProblem, InfraState};
