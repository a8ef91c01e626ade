//! Machine types of clouds whose family tells the accelerator.

use std::collections::BTreeMap;

use super::{class, product::Product};

const LABELS: [&str; 2] = ["node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"];

/// Families of AWS (before the dot) and Google Cloud (before the size), and what is in them.
const FAMILIES: &[(&str, &str)] = &[
    ("p3", "nvidia-v100-16gb"),
    ("p3dn", "nvidia-v100-32gb"),
    ("p4d", "nvidia-a100-40gb"),
    ("p4de", "nvidia-a100-80gb"),
    ("p5", "nvidia-h100-80gb"),
    ("p5e", "nvidia-h200"),
    ("p5en", "nvidia-h200"),
    ("p6-b200", "nvidia-b200"),
    ("p6-b300", "nvidia-b300"),
    ("p6e-gb200", "nvidia-gb200"),
    ("g4dn", "nvidia-t4"),
    ("g5", "nvidia-a10g"),
    ("g5g", "nvidia-t4g"),
    ("g6", "nvidia-l4"),
    ("gr6", "nvidia-l4"),
    ("g6e", "nvidia-l40s"),
    ("trn1", "aws-trainium"),
    ("trn1n", "aws-trainium"),
    ("trn2", "aws-trainium2"),
    ("inf1", "aws-inferentia"),
    ("inf2", "aws-inferentia2"),
    ("dl1", "intel-gaudi"),
    ("a2-highgpu", "nvidia-a100-40gb"),
    ("a2-megagpu", "nvidia-a100-40gb"),
    ("a2-ultragpu", "nvidia-a100-80gb"),
    ("a3-highgpu", "nvidia-h100-80gb"),
    ("a3-megagpu", "nvidia-h100-80gb"),
    ("a3-edgegpu", "nvidia-h100-80gb"),
    ("a3-ultragpu", "nvidia-h200"),
    ("a4-highgpu", "nvidia-b200"),
    ("a4x-highgpu", "nvidia-gb200"),
    ("g2-standard", "nvidia-l4"),
    ("ct4p-hightpu", "tpu-v4"),
    ("ct5l-hightpu", "tpu-v5e"),
    ("ct5lp-hightpu", "tpu-v5e"),
    ("ct5p-hightpu", "tpu-v5p"),
    ("ct6e-standard", "tpu-v6e"),
    ("tpu7x-standard", "tpu-v7x"),
];

/// The product of a node's machine type.
pub(super) fn product(labels: &BTreeMap<String, String>) -> Option<Product> {
    let machine = LABELS.iter().find_map(|label| labels.get(*label))?.to_ascii_lowercase();
    let family = match machine.split_once('.') {
        Some((family, _)) => family,
        None => machine.rsplit_once('-').map_or(machine.as_str(), |(family, _)| family),
    };
    let known = FAMILIES.iter().find(|(name, _)| *name == family).map(|(_, class)| *class);
    known.map_or_else(|| azure(&machine), |class| Product::read(class, None, None))
}

/// Azure writes the product into the name: `Standard_ND96isr_H100_v5`.
fn azure(machine: &str) -> Option<Product> {
    let words = machine.strip_prefix("standard_")?;
    let (size, words) = words.split_once('_')?;
    let model = words.split('_').find(|word| class::find(word).is_some())?;
    // The NC series carries the NVL form of the H100; every A100 that is named has 80 GB.
    let named = match model {
        "h100" if size.starts_with("nc") => "h100-nvl",
        "a100" => "a100-80gb",
        model => model,
    };
    Product::read(named, None, None)
}
