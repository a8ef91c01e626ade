//! Decides who is who: the certificates of control plane, Envoys and pickers, how they rotate, and what they may ask for.
//!
//! ```text
//! signalbox-ca ─▶ authority (now) ─┬▶ plan (now, wanted, observed) ─▶ writes, deletes ─▶ secrets (kube edge)
//!                                  └▶ own server certificate ─▶ ServerTls ─ swap ─▶ Incoming (ADS, tier API)
//! client certificate ─ URI SAN ─▶ Peer ─▶ authorize: one Gateway, the pools of one picker, or the control plane itself
//! ```
//!
//! `server`, `files` and `secrets` are edges; the rest is synchronous and takes the time as an argument.

mod authority;
mod authorize;
mod certificate;
mod files;
mod metrics;
mod peer;
mod plan;
pub mod secrets;
mod server;
mod subject;
mod trust;

pub use authority::{Advance, Authority, AuthorityReason, Data, Leaf, advance, keys};
pub use authorize::{Denied, is_replica, may_follow, pools_of};
pub use certificate::{Certificate, Lifetime};

pub use files::{follow_directory, read_directory};
pub use metrics::Metrics;
pub use peer::Peer;
pub use plan::{LeafReason, Observed, Plan, Step, Write, plan};

pub use server::{Credentials, Incoming, ServerTls, Verified, accept};
pub use subject::{Holder, Identity, Owner, Wanted, secret_name};
pub use trust::Trust;
