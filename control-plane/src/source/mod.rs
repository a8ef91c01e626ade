//! Where objects come from: turns a directory of manifests, or a cluster's watches, into [`Batch`]es.
//!
//! ```text
//! files:  directory ─▶ tree (walk) ─▶ manifest (bytes → objects + diagnostics) ─▶ collection ─▶ Batch
//!                                       └ yaml (positions) ─▶ decode (types) ─▶ check (what the CRDs forbid)
//! planned: the same files ─▶ Pods that their Deployments would run, too
//! cluster: API server ─▶ watches (list, watch, resume) ─▶ object (types) ─▶ groups, coalesce ─▶ Batch
//! ```
//!
//! Everything below `files` is pure: bytes in, objects and diagnostics out. A reload of files is all or nothing; in a
//! cluster each object stands for itself.

mod batch;
mod cache;
mod check;
pub mod cluster;
mod collection;
mod decode;
mod diagnostic;
mod field;
mod files;
mod kinds;
mod manifest;
mod object;
mod planned;
mod tree;
mod watch;
mod yaml;

pub use batch::{Batch, Change};
pub use collection::Loaded;
pub use diagnostic::{Diagnostic, Note};
pub use files::{FileSource, Reload};
pub use manifest::{Manifest, parse as parse_manifest};
pub use object::AnyObject;
pub use planned::{Planned, load_planned};
