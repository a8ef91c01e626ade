//! What an engine tells about its KV cache.

/// Where a copy of a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// The accelerator's memory; also when the engine does not say.
    Gpu,
    /// The host's memory.
    Cpu,
    /// Anything else: disks, stores that engines share.
    Other,
}

impl Medium {
    /// Of the name in an event.
    #[must_use]
    pub fn of(name: Option<&str>) -> Self {
        match name {
            None => Self::Gpu,
            Some(name) if name.eq_ignore_ascii_case("gpu") => Self::Gpu,
            Some(name) if name.to_ascii_lowercase().starts_with("cpu") => Self::Cpu,
            Some(_) => Self::Other,
        }
    }

    /// Its bit in a set; none for what does not count.
    pub(super) fn bit(self) -> u8 {
        match self {
            Self::Gpu => 1,
            Self::Cpu => 2,
            Self::Other => 0,
        }
    }
}

/// Blocks that follow one another, and that the engine has from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The engine's names of the blocks.
    pub hashes: Vec<u64>,
    /// The block before the first; None at the beginning of a prompt.
    pub parent: Option<u64>,
    /// Token ids of all blocks; empty when a block that was told before is copied elsewhere.
    pub tokens: Vec<u32>,
    /// Tokens of one block.
    pub block_size: u32,
    /// Name of the LoRA adapter; empty for the base model.
    pub adapter: String,
    /// What else the blocks depend on, by block (see [`extra_of`](super::extra_of)); blocks beyond its end have nothing.
    pub extra: Vec<u64>,
    /// Where they are.
    pub medium: Medium,
}

/// One change of an engine's KV cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Blocks came.
    Stored(Stored),
    /// Blocks went.
    Removed {
        /// The engine's names of the blocks.
        hashes: Vec<u64>,
        /// Where they are no more.
        medium: Medium,
    },
    /// Everything went.
    Cleared,
}
