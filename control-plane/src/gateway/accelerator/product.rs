//! From a product's name, in whatever spelling, to its class.
//!
//! ```text
//! "NVIDIA-H100-80GB-HBM3"  "nvidia-h100-80gb"  "h100"  ─▶ words ─▶ model of the table ─▶ nvidia-h100-80gb
//! "Tesla-T4"  "t4" ─▶ nvidia-t4         "NVIDIA-Future-1" ─▶ nvidia-future-1 (not in the table)
//! ```

use super::class;

/// Words that vendors add without changing what the device can do.
const DECORATION: [&str; 19] = [
    "accelerator",
    "corporation",
    "device",
    "gpu",
    "hbm",
    "hbm2",
    "hbm2e",
    "hbm3",
    "hbm3e",
    "instinct",
    "mega",
    "oam",
    "pcie",
    "podslice",
    "shared",
    "slice",
    "tesla",
    "tm",
    "sxm",
];

/// A product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Product {
    class: String,
    memory_bytes: u64,
}

impl Product {
    /// Reads a product's name. `vendor` is put in front of a name that is not known and does not name it;
    /// `memory_bytes` is what was measured.
    pub(super) fn read(text: &str, vendor: Option<&str>, memory_bytes: Option<u64>) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        // The product label of a sliced device: `NVIDIA-A100-SXM4-40GB-MIG-1g.5gb`. The memory is then the slice's.
        if let Some((whole, profile)) = text.split_once("-mig-") {
            let mut product = Self::slice_of(Self::read(whole, vendor, None), profile);
            product.memory_bytes = memory_bytes.unwrap_or(product.memory_bytes);
            return Some(product);
        }
        let words: Vec<&str> =
            text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let plain: Vec<&str> = words.iter().copied().filter(|word| !is_decoration(word)).collect();
        if plain.is_empty() {
            return None;
        }
        if let Some(tpu) = tpu(&plain) {
            return Some(Self::known(tpu, None, memory_bytes));
        }
        let pairs = plain.windows(2).map(|pair| pair.concat());
        let singles = plain.iter().map(|word| (*word).to_owned());
        if let Some(model) = singles.chain(pairs).find_map(|name| class::find(&name)) {
            let written = plain.iter().find_map(|word| gib(word));
            // The NVL form of the H100 has more memory and rarely says so.
            let nvl = (model.name == "h100" && plain.contains(&"nvl")).then_some(94);
            return Some(Self::known(model, written.or(nvl), memory_bytes));
        }
        let stem = plain.join("-");
        let class = match vendor {
            Some(vendor) if plain[0] != vendor => format!("{vendor}-{stem}"),
            _ => stem,
        };
        let written = plain.iter().find_map(|word| gib(word)).map(|gib| gib << 30);
        Some(Self { class, memory_bytes: memory_bytes.or(written).unwrap_or_default() })
    }

    /// A slice of a product (MIG), by its profile, such as `1g.10gb`.
    pub(super) fn slice_of(product: Option<Self>, profile: &str) -> Self {
        let whole = product.map_or_else(|| "nvidia".to_owned(), |product| product.class);
        let memory = profile.split(['.', '+']).find_map(gib).unwrap_or_default() << 30;
        let class = if whole.contains("-mig-") { whole } else { format!("{whole}-mig-{profile}") };
        Self { class, memory_bytes: memory }
    }

    fn known(model: &class::Model, written: Option<u64>, measured: Option<u64>) -> Self {
        let (class, gib) = model.class(written.or_else(|| measured.and_then(|bytes| model.nearest(bytes))));
        Self { class, memory_bytes: measured.unwrap_or(gib << 30) }
    }

    /// The class.
    pub(super) fn class(&self) -> &str {
        &self.class
    }

    /// Memory of one device; 0 when unknown.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// The first word of the class.
    pub(super) fn vendor(&self) -> &str {
        self.class.split('-').next().unwrap_or_default()
    }
}

fn is_decoration(word: &str) -> bool {
    let socket = word.strip_prefix("sxm").is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_digit()));
    socket || DECORATION.contains(&word)
}

/// Google writes `tpu-v5-lite-podslice` for v5e, `tpu-v5p-slice`, `tpu7x`.
fn tpu(words: &[&str]) -> Option<&'static class::Model> {
    let at = words.iter().position(|word| word.starts_with("tpu"))?;
    let joined = match words[at].strip_prefix("tpu") {
        Some("") => (*words.get(at + 1)?).to_owned(),
        Some(rest) => format!("v{}", rest.trim_start_matches('v')),
        None => return None,
    };
    let name = if joined == "v5" && words.contains(&"lite") { "v5e" } else { joined.as_str() };
    class::find(name).filter(|model| model.vendor == "tpu")
}

/// Memory in GiB of a word such as `80gb`.
fn gib(word: &str) -> Option<u64> {
    let digits = word.strip_suffix("gib").or_else(|| word.strip_suffix("gb"))?;
    digits.parse().ok()
}
