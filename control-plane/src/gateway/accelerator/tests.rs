use serde_json::json;

use super::*;

fn pod(labels: &serde_json::Value, resource: Option<(&str, &serde_json::Value)>) -> Pod {
    let limits = resource.map(|(name, count)| json!({ name: count })).unwrap_or(json!({}));
    serde_json::from_value(json!({
        "metadata": { "name": "p", "labels": labels },
        "spec": { "containers": [{ "name": "a", "resources": { "limits": limits } }] },
    }))
    .expect("pod")
}

fn node(labels: &serde_json::Value) -> Node {
    serde_json::from_value(json!({ "metadata": { "name": "n", "labels": labels } })).expect("node")
}

fn show(accelerator: &Accelerator) -> String {
    format!("{} x{} {}", accelerator.class, accelerator.count, accelerator.memory_bytes >> 30)
}

#[test]
fn spellings_of_one_product_are_one_class() {
    for (spellings, class, gib) in [
        (
            &["NVIDIA-H100-80GB-HBM3", "nvidia-h100-80gb", "h100", "nvidia-h100-mega-80gb", "H100-PCIe"][..],
            "nvidia-h100-80gb",
            80,
        ),
        (&["NVIDIA-H100-NVL"], "nvidia-h100-94gb", 94),
        (&["NVIDIA-L4", "nvidia-l4", "l4", "L4"], "nvidia-l4", 24),
        (&["NVIDIA-L40S"], "nvidia-l40s", 48),
        (&["NVIDIA-A100-SXM4-40GB", "nvidia-tesla-a100", "a100"], "nvidia-a100-40gb", 40),
        (&["NVIDIA-A100-SXM4-80GB", "nvidia-a100-80gb", "NVIDIA-A100-80GB-PCIe"], "nvidia-a100-80gb", 80),
        (&["Tesla-T4", "nvidia-tesla-t4", "t4", "Tesla-T4-SHARED"], "nvidia-t4", 16),
        (&["Tesla-V100-SXM2-32GB"], "nvidia-v100-32gb", 32),
        (&["NVIDIA-H200", "nvidia-h200-141gb"], "nvidia-h200", 141),
        (&["NVIDIA-GH200-480GB"], "nvidia-gh200", 96),
        (&["AMD_Instinct_MI300X_OAM", "mi300x", "AMD-Instinct-MI300X"], "amd-mi300x", 192),
        (&["tpu-v5-lite-podslice", "tpu-v5-lite-device", "tpu-v5e", "TPU v5e"], "tpu-v5e", 16),
        (&["tpu-v5p-slice"], "tpu-v5p", 95),
        (&["tpu-v6e-slice"], "tpu-v6e", 32),
        (&["tpu7x"], "tpu-v7x", 192),
        (&["Max_1550", "Intel Data Center GPU Max 1550"], "intel-max1550", 128),
        (&["gaudi3", "HL-325L Gaudi3"], "intel-gaudi3", 128),
        (&["NVIDIA-Future-7", "nvidia future 7"], "nvidia-future-7", 0),
        (&["Acme NPU 64GB"], "acme-npu-64gb", 64),
        (&["NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"], "nvidia-a100-40gb-mig-1g.5gb", 5),
    ] {
        for spelling in spellings {
            let product = Product::read(spelling, None, None).expect(spelling);
            assert_eq!((product.class(), product.memory_bytes() >> 30), (class, gib), "{spelling}");
        }
    }
    assert_eq!(Product::read(" - ", None, None), None);
}

#[test]
fn classes_read_as_themselves() {
    for class in ["nvidia-h100-80gb", "nvidia-l4", "tpu-v5e", "amd-mi300x", "aws-trainium2", "intel-gaudi2"] {
        assert_eq!(Product::read(class, None, None).expect(class).class(), class);
    }
}

#[test]
fn sources_in_order_of_trust() {
    let one = json!("1");
    let gpu = Some(("nvidia.com/gpu", &one));
    let none = || json!({});
    let h100 = json!({ "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81559" });
    for (pod_labels, resource, node_labels, expected) in [
        (json!({ "signalbox.dev/accelerator": "l4" }), gpu, h100.clone(), "nvidia-l4 x1 24"),
        (json!({ "cloud.google.com/gke-accelerator": "nvidia-l4" }), gpu, h100.clone(), "nvidia-l4 x1 24"),
        (none(), gpu, h100.clone(), "nvidia-h100-80gb x1 79"),
        (none(), None, h100.clone(), "nvidia-h100-80gb x0 79"),
        (
            none(),
            gpu,
            json!({ "nvidia.com/gpu.product": "NVIDIA-A100", "nvidia.com/gpu.memory": "81920" }),
            "nvidia-a100-80gb x1 80",
        ),
        (none(), gpu, json!({ "node.kubernetes.io/instance-type": "p5.48xlarge" }), "nvidia-h100-80gb x1 80"),
        (
            none(),
            gpu,
            json!({ "node.kubernetes.io/instance-type": "a2-ultragpu-8g" }),
            "nvidia-a100-80gb x1 80",
        ),
        (
            none(),
            gpu,
            json!({ "node.kubernetes.io/instance-type": "Standard_NC40ads_H100_v5" }),
            "nvidia-h100-94gb x1 94",
        ),
        (none(), gpu, json!({ "node.kubernetes.io/instance-type": "m7i.large" }), "nvidia x1 0"),
        (
            none(),
            gpu,
            json!({ "karpenter.k8s.aws/instance-gpu-name": "l40s", "karpenter.k8s.aws/instance-gpu-memory": "45776" }),
            "nvidia-l40s x1 44",
        ),
        (
            none(),
            Some(("google.com/tpu", &json!(4))),
            json!({ "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice" }),
            "tpu-v5e x4 16",
        ),
        (
            none(),
            Some(("amd.com/gpu", &json!("8"))),
            json!({ "amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM" }),
            "amd-mi300x x8 192",
        ),
        (
            none(),
            Some(("habana.ai/gaudi", &one)),
            json!({ "habana.ai/hpu.type": "gaudi2" }),
            "intel-gaudi2 x1 96",
        ),
        (
            none(),
            Some(("aws.amazon.com/neuron", &one)),
            json!({ "node.kubernetes.io/instance-type": "trn2.48xlarge" }),
            "aws-trainium2 x1 96",
        ),
        // A node with devices of two vendors: the Pod's resource tells which it uses.
        (none(), Some(("gpu.intel.com/xe", &one)), h100.clone(), "intel x1 0"),
        (
            json!({}),
            Some(("nvidia.com/mig-1g.10gb", &json!("2"))),
            h100,
            "nvidia-h100-80gb-mig-1g.10gb x2 10",
        ),
        (json!({}), Some(("nvidia.com/mig-1g.10gb", &one)), json!({}), "nvidia-mig-1g.10gb x1 10"),
        (json!({}), Some(("cpu", &json!("8"))), json!({}), " x0 0"),
    ] {
        let shown = show(&accelerator(&pod(&pod_labels, resource), Some(&node(&node_labels))));
        assert_eq!(shown, expected, "{pod_labels} {resource:?} {node_labels}");
    }
}

#[test]
fn devices_of_all_containers_count_once_each() {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": "p", "annotations": { "signalbox.dev/accelerator": "H100" } },
        "spec": { "containers": [
            { "name": "a", "resources": { "limits": { "nvidia.com/gpu": "2" }, "requests": { "nvidia.com/gpu": 2 } } },
            { "name": "b", "resources": { "requests": { "nvidia.com/gpu": 1, "memory": "1Gi" } } },
        ] },
    }))
    .expect("pod");
    assert_eq!(show(&accelerator(&pod, None)), "nvidia-h100-80gb x3 80");
}
