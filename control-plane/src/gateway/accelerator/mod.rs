//! What an endpoint computes on, from what Kubernetes already knows.
//!
//! ```text
//! signalbox.dev/accelerator on the Pod ▶ the Pod's labels ▶ the Node's labels ▶ the Node's instance type ▶ resources
//!            (annotation or label)        └──────── product name ─▶ product ─▶ class ────────┘          (vendor only)
//! ```
//!
//! The first source that names a product decides. Where the Pod requests devices of one vendor, sources that speak of
//! another vendor's are passed over: a node may have both. Count comes from the containers' resources, memory from a
//! label of the same object, else from the class.

mod class;
mod instance;
mod labels;
mod product;
mod resources;

#[cfg(test)]
mod tests;

use product::Product;

use super::ir::Accelerator;
use crate::api::{Node, Pod};

/// Says on the Pod, as annotation or label, what it computes on: any spelling that a vendor uses, or a class.
const EXPLICIT: &str = "signalbox.dev/accelerator";

/// The accelerator of a Pod on a node; the class is empty when nothing tells it.
pub fn accelerator(pod: &Pod, node: Option<&Node>) -> Accelerator {
    let devices = resources::requested(&pod.spec.containers);
    let count = devices.as_ref().map_or(0, |devices| devices.count);
    let explicit = pod.metadata.annotations.get(EXPLICIT).or_else(|| pod.metadata.labels.get(EXPLICIT));
    let explicit = explicit.and_then(|text| Product::read(text, None, None));
    let found = explicit.or_else(|| {
        let fits = |product: &Product| devices.as_ref().is_none_or(|d| product.vendor() == d.vendor);
        let node_labels = node.map(|node| &node.metadata.labels);
        let by_labels = [Some(&pod.metadata.labels), node_labels].into_iter().flatten();
        let product =
            by_labels.flat_map(labels::products).chain(node_labels.and_then(instance::product)).find(fits);
        match (product, devices.as_ref().and_then(|d| d.slice.as_deref())) {
            (product, Some(slice)) => Some(Product::slice_of(product, slice)),
            (product, None) => product,
        }
    });
    match (found, devices) {
        (Some(product), _) => {
            Accelerator { class: product.class().to_owned(), count, memory_bytes: product.memory_bytes() }
        }
        (None, Some(devices)) => {
            Accelerator { class: devices.vendor_class.to_owned(), count, memory_bytes: 0 }
        }
        (None, None) => Accelerator::default(),
    }
}
