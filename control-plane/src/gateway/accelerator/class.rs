//! The accelerators whose memory is known, by vendor and model.
//!
//! The set of classes is open: a model that is not here keeps its vendor's name for it, with unknown memory.

/// A model of accelerator.
#[derive(Debug)]
pub(super) struct Model {
    /// Vendor, the first word of the class; `tpu` for Google's.
    pub(super) vendor: &'static str,
    /// Model, the second word.
    pub(super) name: &'static str,
    /// Memory of one device in GiB. More than one: the class carries it as third word; the first is that of a name
    /// without memory.
    pub(super) memory_gib: &'static [u64],
}

const fn model(vendor: &'static str, name: &'static str, memory_gib: &'static [u64]) -> Model {
    Model { vendor, name, memory_gib }
}

const MODELS: &[Model] = &[
    model("nvidia", "k80", &[12]),
    model("nvidia", "p4", &[8]),
    model("nvidia", "p40", &[24]),
    model("nvidia", "p100", &[16]),
    model("nvidia", "v100", &[16, 32]),
    model("nvidia", "t4", &[16]),
    model("nvidia", "t4g", &[16]),
    model("nvidia", "a2", &[16]),
    model("nvidia", "a10", &[24]),
    model("nvidia", "a10g", &[24]),
    model("nvidia", "a16", &[16]),
    model("nvidia", "a30", &[24]),
    model("nvidia", "a40", &[48]),
    model("nvidia", "a100", &[40, 80]),
    model("nvidia", "a800", &[80, 40]),
    model("nvidia", "l4", &[24]),
    model("nvidia", "l20", &[48]),
    model("nvidia", "l40", &[48]),
    model("nvidia", "l40s", &[48]),
    model("nvidia", "h20", &[96]),
    model("nvidia", "h100", &[80, 94]),
    model("nvidia", "h200", &[141]),
    model("nvidia", "h800", &[80]),
    model("nvidia", "gh200", &[96]),
    model("nvidia", "b200", &[180]),
    model("nvidia", "b300", &[288]),
    model("nvidia", "gb200", &[186]),
    model("nvidia", "gb300", &[288]),
    model("amd", "mi210", &[64]),
    model("amd", "mi250", &[128]),
    model("amd", "mi250x", &[128]),
    model("amd", "mi300a", &[128]),
    model("amd", "mi300x", &[192]),
    model("amd", "mi308x", &[192]),
    model("amd", "mi325x", &[256]),
    model("amd", "mi350x", &[288]),
    model("amd", "mi355x", &[288]),
    model("intel", "gaudi", &[32]),
    model("intel", "gaudi2", &[96]),
    model("intel", "gaudi3", &[128]),
    model("intel", "flex140", &[6]),
    model("intel", "flex170", &[16]),
    model("intel", "max1100", &[48]),
    model("intel", "max1550", &[128]),
    model("tpu", "v4", &[32]),
    model("tpu", "v5e", &[16]),
    model("tpu", "v5p", &[95]),
    model("tpu", "v6e", &[32]),
    model("tpu", "v7x", &[192]),
    model("aws", "inferentia", &[8]),
    model("aws", "inferentia2", &[32]),
    model("aws", "trainium", &[32]),
    model("aws", "trainium2", &[96]),
];

/// The model with this name.
pub(super) fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name)
}

impl Model {
    /// The class of this model with so much memory; the memory counts where the model comes with several.
    pub(super) fn class(&self, gib: Option<u64>) -> (String, u64) {
        let gib = gib.filter(|_| self.memory_gib.len() > 1).unwrap_or(self.memory_gib[0]);
        let stem = format!("{}-{}", self.vendor, self.name);
        (if self.memory_gib.len() > 1 { format!("{stem}-{gib}gb") } else { stem }, gib)
    }

    /// The variant nearest to a measured memory, which is a little below what the vendor writes on the box.
    pub(super) fn nearest(&self, bytes: u64) -> Option<u64> {
        self.memory_gib.iter().copied().min_by_key(|gib| (gib << 30).abs_diff(bytes))
    }
}
