//! From what all watches hear to batches: the one place where they come together.
//!
//! ```text
//! Heard ─▶ groups ─▶ coalesce ─▶ (all present resources listed, due, reducer free) ─▶ Batch
//! ```

use std::collections::BTreeSet;

use anyhow::Result;
use tokio::{sync::mpsc, time::Instant};

use super::{
    coalesce::{Coalescer, Edit, Window},
    groups::{Groups, Heard},
    state::SourceState,
    table::{Resource, TABLE},
};
use crate::{api::ObjectRef, source::Batch};

/// Edits of all kinds, held back until the first batch is whole.
struct Collector {
    groups: Groups,
    pending: Coalescer,
    /// Resources that have not been listed, nor found absent.
    missing: BTreeSet<String>,
    is_published: bool,
    state: SourceState,
}

impl Collector {
    fn hear(&mut self, resource: &Resource, heard: Heard, now: Instant) {
        if !self.is_published && matches!(heard, Heard::Absent | Heard::Listed(_)) {
            self.missing.remove(&resource.name());
        }
        if let Some(edit) = self.groups.hear(resource, heard) {
            self.note(&edit);
            self.pending.add(edit, now);
        }
    }

    /// Keeps the list of objects that cannot be read.
    fn note(&self, edit: &Edit) {
        match edit {
            Edit::Replace(kind, _, invalid) => {
                let still: BTreeSet<_> = invalid.iter().map(|(key, _)| key).collect();
                self.state.readable(|name| name.kind == *kind && !still.contains(&name.key));
                for (key, diagnostic) in invalid {
                    self.state.unreadable(&ObjectRef::new(*kind, key.clone()), diagnostic);
                }
            }
            Edit::Apply(object) => {
                self.state.readable(|name| name.kind == object.kind() && name.key == object.key());
            }
            Edit::Delete(gone) => self.state.readable(|name| name == gone),
            Edit::Invalid(name, diagnostic) => self.state.unreadable(name, diagnostic),
        }
    }

    /// When there is something to hand over.
    fn due(&self) -> Option<Instant> {
        self.pending.due().filter(|_| self.missing.is_empty())
    }

    fn take(&mut self) -> Batch {
        self.state.metrics.merged.inc_by(self.pending.take_merged());
        self.state.metrics.batches.inc();
        self.pending.take(!self.is_published)
    }
}

/// Hands batches to `out` until nobody hears any more, or nobody takes them.
pub(super) async fn collect(
    mut heard: mpsc::Receiver<(&'static Resource, Heard)>,
    out: mpsc::Sender<Batch>,
    window: Window,
    state: SourceState,
) -> Result<()> {
    let mut collector = Collector {
        groups: Groups::of(TABLE),
        pending: Coalescer::new(window),
        missing: TABLE.iter().map(Resource::name).collect(),
        is_published: false,
        state: state.clone(),
    };
    loop {
        let due = collector.due();
        let is_due = due.is_some_and(|due| due <= Instant::now());
        tokio::select! {
            // What is due goes first: a stream of changes must not hold it back.
            biased;
            permit = out.reserve(), if is_due => {
                permit?.send(collector.take());
                collector.is_published = true;
                state.publish();
            }
            next = heard.recv() => {
                let Some((resource, heard)) = next else { return Ok(()) };
                collector.hear(resource, heard, Instant::now());
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && !is_due => {}
        }
    }
}

#[cfg(test)]
mod tests;
