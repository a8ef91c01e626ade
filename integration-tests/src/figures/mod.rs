//! Measures the product: every figure that the documentation names, each beside what it has to be compared with.
//!
//! ```text
//! catalog ─▶ guide · weights · extproc · scrape · path · live · change · overload · simulate · cluster · bench ─▶ Figure ─▶ stdout, results
//!               └─ installation, manifests, tier, page_server (what is measured)   └─ closed_loop, process, samples (how)
//! ```
//!
//! A measurement that fails is told with its reason; nothing is estimated. All parts are children of the run and listen
//! on loopback.

mod bench;
pub mod catalog;
mod change;
mod child;
mod closed_loop;
mod cluster;
mod context;
mod extproc;
mod figure;
mod guide;
mod installation;
mod line;
mod live;
mod machine;
mod manifests;
mod overload;
mod page_server;
mod path;
mod process;
mod results;
mod samples;
mod scrape;
mod simulate;
mod tier;
mod weights;

pub use self::{
    cluster::run as cluster_scenario,
    context::Context,
    figure::Figure,
    live::{COMPARED_POLICY, Compared},
    machine::Machine,
    results::Results,
};
