//! Labels of Pods and Nodes that name a product.

use std::collections::BTreeMap;

use super::product::Product;

/// A label with a product's name, the vendor it speaks of, and the label with the memory of one device in MiB.
struct Source {
    label: &'static str,
    vendor: Option<&'static str>,
    memory_mib: Option<&'static str>,
}

const SOURCES: [Source; 7] = [
    Source {
        label: "nvidia.com/gpu.product",
        vendor: Some("nvidia"),
        memory_mib: Some("nvidia.com/gpu.memory"),
    },
    Source { label: "cloud.google.com/gke-accelerator", vendor: Some("nvidia"), memory_mib: None },
    Source { label: "cloud.google.com/gke-tpu-accelerator", vendor: Some("tpu"), memory_mib: None },
    Source { label: "amd.com/gpu.product-name", vendor: Some("amd"), memory_mib: None },
    Source { label: "gpu.intel.com/product", vendor: Some("intel"), memory_mib: None },
    Source { label: "beta.amd.com/gpu.product-name", vendor: Some("amd"), memory_mib: None },
    Source {
        label: "karpenter.k8s.aws/instance-gpu-name",
        vendor: None,
        memory_mib: Some("karpenter.k8s.aws/instance-gpu-memory"),
    },
];

/// The products that labels name, in order of trust.
pub(super) fn products(labels: &BTreeMap<String, String>) -> Vec<Product> {
    let named = SOURCES.iter().filter_map(|source| {
        let memory = source.memory_mib.and_then(|label| labels.get(label)?.parse::<u64>().ok());
        Product::read(labels.get(source.label)?, source.vendor, memory.map(|mib| mib << 20))
    });
    named.chain(gaudi(labels)).collect()
}

/// Habana's labels differ by release; any that names a Gaudi does.
fn gaudi(labels: &BTreeMap<String, String>) -> Option<Product> {
    let habana = labels.range("habana.ai/".to_owned()..).take_while(|(key, _)| key.starts_with("habana.ai/"));
    let named = habana.map(|(_, value)| value.to_ascii_lowercase()).find(|value| value.contains("gaudi"))?;
    Product::read(&named, Some("intel"), None)
}
