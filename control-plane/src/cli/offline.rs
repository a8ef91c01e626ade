//! Runs the pipeline on a batch without running anything else: for `check`, `translate` and golden tests.

use std::net::{Ipv4Addr, SocketAddr};

use crate::{
    config::CONTROLLER_NAME,
    gateway,
    infra::{desired::desired, services::add_managed_pickers},
    pipeline::{Output, Pipeline},
    source::Batch,
    translate,
    world::World,
};

/// Where managed pickers would listen: GIE's port for pickers.
const PICKER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9002);

/// What `signalbox standalone` would publish for these objects.
pub fn resolve(mut batch: Batch) -> (Pipeline, Output) {
    let options = gateway::Options::new(CONTROLLER_NAME);
    let (preview, _) = World::default().apply(&batch);
    add_managed_pickers(&mut batch, &preview, &desired(&preview, &options), PICKER);
    let mut pipeline = Pipeline::new(options, translate::Settings::default());
    let output = pipeline.apply(&batch);
    (pipeline, output)
}
