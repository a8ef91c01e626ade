//! What vendors publish about accelerators: dense 16-bit FLOPS, memory bandwidth and memory per device.
//!
//! The table holds the makers' datasheet figures (without sparsity) and two efficiencies, because the share of the
//! datasheet that inference servers reach differs by maker and generation. The efficiencies are estimates: they are
//! chosen so that the ratios between classes agree with published serving figures (prefill H100 : A100 : L40S about
//! 1 : 1.8 : 3.7 and decode about 1 : 1.6 : 2.4 in llm-d-inference-sim's latency profiles; MI300X faster than H100 in
//! prefill and slower in decode at batch 1; 15,928 prefill tokens/s for a 32B model on two H100 in llm-d-router).

/// One device of a class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Datasheet {
    /// Canonical class, lower case.
    pub(super) class: &'static str,
    /// Dense bf16 (fp16 where bf16 is missing) TFLOPS.
    pub(super) tflops: f32,
    /// Memory bandwidth in GB/s.
    pub(super) bandwidth: f32,
    /// Memory in GB.
    pub(super) memory: f32,
    /// Share of `tflops` reached in prefill.
    pub(super) prefill_share: f32,
    /// Share of `bandwidth` reached in decode at batch 1.
    pub(super) decode_share: f32,
}

const fn sheet(
    class: &'static str,
    tflops: f32,
    bandwidth: f32,
    memory: f32,
    prefill_share: f32,
    decode_share: f32,
) -> Datasheet {
    Datasheet { class, tflops, bandwidth, memory, prefill_share, decode_share }
}

/// Sorted by class, for binary search.
const CLASSES: &[Datasheet] = &[
    sheet("amd-mi210", 181.0, 1638.0, 64.0, 0.30, 0.50),
    sheet("amd-mi250", 362.0, 3277.0, 128.0, 0.28, 0.45),
    sheet("amd-mi300x", 1307.0, 5300.0, 192.0, 0.38, 0.44),
    sheet("amd-mi325x", 1307.0, 6000.0, 256.0, 0.38, 0.44),
    sheet("amd-mi355x", 2300.0, 8000.0, 288.0, 0.38, 0.44),
    sheet("aws-inferentia2", 190.0, 820.0, 32.0, 0.35, 0.50),
    sheet("aws-trainium1", 190.0, 820.0, 32.0, 0.40, 0.50),
    sheet("aws-trainium2", 667.0, 2900.0, 96.0, 0.40, 0.50),
    sheet("gaudi2", 432.0, 2450.0, 96.0, 0.40, 0.60),
    sheet("gaudi3", 1678.0, 3700.0, 128.0, 0.30, 0.60),
    sheet("intel-max-1550", 832.0, 3277.0, 128.0, 0.25, 0.45),
    sheet("nvidia-a10", 125.0, 600.0, 24.0, 0.45, 0.75),
    sheet("nvidia-a100-40gb", 312.0, 1555.0, 40.0, 0.60, 0.75),
    sheet("nvidia-a100-80gb", 312.0, 2039.0, 80.0, 0.60, 0.75),
    sheet("nvidia-a10g", 70.0, 600.0, 24.0, 0.55, 0.75),
    sheet("nvidia-b200", 2250.0, 8000.0, 180.0, 0.40, 0.65),
    sheet("nvidia-b300", 2250.0, 8000.0, 270.0, 0.40, 0.65),
    sheet("nvidia-gb200", 2500.0, 8000.0, 186.0, 0.40, 0.65),
    sheet("nvidia-gh200", 990.0, 4000.0, 96.0, 0.45, 0.72),
    sheet("nvidia-h100-80gb", 990.0, 3350.0, 80.0, 0.45, 0.72),
    sheet("nvidia-h100-nvl", 835.0, 3900.0, 94.0, 0.45, 0.72),
    sheet("nvidia-h100-pcie", 756.0, 2000.0, 80.0, 0.45, 0.75),
    sheet("nvidia-h20", 148.0, 4000.0, 96.0, 0.70, 0.72),
    sheet("nvidia-h200", 990.0, 4800.0, 141.0, 0.45, 0.72),
    sheet("nvidia-l4", 121.0, 300.0, 24.0, 0.45, 0.80),
    sheet("nvidia-l40", 181.0, 864.0, 48.0, 0.45, 0.80),
    sheet("nvidia-l40s", 362.0, 864.0, 48.0, 0.33, 0.80),
    sheet("nvidia-rtx-4090", 165.0, 1008.0, 24.0, 0.50, 0.80),
    sheet("nvidia-rtx-pro-6000", 500.0, 1792.0, 96.0, 0.40, 0.75),
    sheet("nvidia-t4", 65.0, 320.0, 16.0, 0.40, 0.70),
    sheet("nvidia-v100", 125.0, 900.0, 32.0, 0.40, 0.70),
    sheet("tpu-v4", 275.0, 1228.0, 32.0, 0.45, 0.60),
    sheet("tpu-v5e", 197.0, 819.0, 16.0, 0.45, 0.60),
    sheet("tpu-v5p", 459.0, 2765.0, 95.0, 0.45, 0.60),
    sheet("tpu-v6e", 918.0, 1640.0, 32.0, 0.40, 0.60),
    sheet("tpu-v7", 2307.0, 7380.0, 192.0, 0.35, 0.55),
];

/// A class without a row gets the slowest device that is common from its maker, so that a guess never attracts traffic
/// that the device cannot serve. Checked in order.
const MAKERS: &[(&str, &str)] = &[
    ("nvidia", "nvidia-l4"),
    ("amd", "amd-mi210"),
    ("tpu", "tpu-v5e"),
    ("google", "tpu-v5e"),
    ("gaudi", "gaudi2"),
    ("habana", "gaudi2"),
    ("aws", "aws-inferentia2"),
    ("neuron", "aws-inferentia2"),
    ("intel", "intel-max-1550"),
];

/// The assumption for a class, or an absence of one, that tells nothing.
const UNKNOWN: &str = "nvidia-l4";

fn row(class: &str) -> Option<&'static Datasheet> {
    CLASSES.binary_search_by(|sheet| sheet.class.cmp(class)).ok().map(|index| &CLASSES[index])
}

/// The row of `class`; of the longest class that begins `class` ("nvidia-h100-80gb-hbm3" is an "nvidia-h100-80gb");
/// else the maker's conservative row.
pub(super) fn of(class: &str) -> &'static Datasheet {
    let family = || {
        CLASSES
            .iter()
            .filter(|sheet| class.strip_prefix(sheet.class).is_some_and(|rest| rest.starts_with('-')))
            .max_by_key(|sheet| sheet.class.len())
    };
    let maker = || MAKERS.iter().find(|(prefix, _)| class.starts_with(prefix)).and_then(|(_, own)| row(own));
    row(class).or_else(family).or_else(maker).unwrap_or_else(|| row(UNKNOWN).expect("UNKNOWN names a row"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_makers_name_rows() {
        assert!(CLASSES.windows(2).all(|pair| pair[0].class < pair[1].class));
        for (_, own) in MAKERS {
            assert!(row(own).is_some(), "{own}");
        }
        assert!(row(UNKNOWN).is_some());
    }

    #[test]
    fn classes_resolve_from_exact_to_maker() {
        let table = [
            ("nvidia-h100-80gb", "nvidia-h100-80gb"),
            ("nvidia-h100-80gb-hbm3", "nvidia-h100-80gb"),
            ("nvidia-l40s", "nvidia-l40s"),
            ("nvidia-l4", "nvidia-l4"),
            ("nvidia-x900", "nvidia-l4"),
            ("amd-mi999", "amd-mi210"),
            ("tpu-v9", "tpu-v5e"),
            ("habana-gaudi9", "gaudi2"),
            ("", "nvidia-l4"),
            ("abacus", "nvidia-l4"),
        ];
        for (class, expected) in table {
            assert_eq!(of(class).class, expected, "{class}");
        }
    }
}
