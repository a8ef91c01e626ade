//! The tier API between Signalbox's control plane and its endpoint pickers, and what pickers tell each other.
//!
//! The messages are generated from `signalbox/{tier,peers}/v1/*.proto` and committed; `UPDATE=1 cargo test -p
//! signalbox-proto` writes them anew, and the same test fails when they are out of date.

/// `signalbox.tier.v1`: pool snapshots, streamed from the control plane to pickers.
pub mod tier {
    /// Version 1 of the tier API.
    #[expect(
        missing_docs,
        unused_qualifications,
        clippy::all,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    pub mod v1 {
        include!("gen/signalbox.tier.v1.rs");
    }
}

/// `signalbox.peers.v1`: work in flight and prompts, streamed from picker to picker.
pub mod peers {
    /// Version 1 of what pickers tell each other.
    #[expect(
        missing_docs,
        unused_qualifications,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    pub mod v1 {
        include!("gen/signalbox.peers.v1.rs");
    }
}
