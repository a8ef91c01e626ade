//! Decides when a Gateway that was acknowledged no longer counts as such: replicas and Envoys take a moment for a
//! change, and a status that turns for that long tells nobody anything.
//!
//! ```text
//! acknowledged ─┬─ of the same generation, not for less than a second ─▶ acknowledged still
//!               └─ refused, of another generation, or for longer ──────▶ not
//! ```

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::{api::NamespacedName, status::Facts};

/// How long an acknowledgement may take before the status says that it is awaited. An endpoint or route reaches all
/// replicas and their Envoys in about a tenth of it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The acknowledgements that count.
#[derive(Debug, Default)]
pub(super) struct Steady(BTreeMap<NamespacedName, Held>);

#[derive(Debug)]
struct Held {
    generation: i64,
    connected: usize,
    /// Since when it is not acknowledged.
    missing: Option<Instant>,
}

impl Steady {
    /// Takes what is true of a Gateway of this generation, and changes it to what is to be told; says when to look again.
    pub(super) fn settle(
        &mut self,
        gateway: &NamespacedName,
        generation: i64,
        facts: &mut Facts,
        now: Instant,
    ) -> Option<Instant> {
        if facts.acknowledged {
            let held = Held { generation, connected: facts.connected, missing: None };
            self.0.insert(gateway.clone(), held);
            return None;
        }
        let held = self.0.get_mut(gateway)?;
        let until = *held.missing.get_or_insert(now) + PATIENCE;
        if held.generation != generation || !facts.refusals.is_empty() || now >= until {
            self.0.remove(gateway);
            return None;
        }
        (facts.acknowledged, facts.connected) = (true, held.connected);
        Some(until)
    }

    /// Forgets the Gateways that are gone.
    pub(super) fn retain(&mut self, exists: impl Fn(&NamespacedName) -> bool) {
        self.0.retain(|gateway, _| exists(gateway));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Refusal;

    #[test]
    fn an_acknowledgement_lasts_a_second_unless_there_is_a_reason() {
        let start = Instant::now();
        let gateway = NamespacedName::new("ns", "gw");
        let facts = |acknowledged, connected, refused: bool| Facts {
            acknowledged,
            connected,
            refusals: refused.then(Refusal::default).into_iter().collect(),
            ..Facts::default()
        };
        let (yes, no, refused) = (facts(true, 2, false), facts(false, 0, false), facts(false, 2, true));
        // Steps of (milliseconds, generation, what is true), and what is told at the end.
        for (steps, told) in [
            (vec![(0, 1, &no)], false),
            (vec![(0, 1, &yes)], true),
            (vec![(0, 1, &yes), (10, 1, &no)], true),
            (vec![(0, 1, &yes), (10, 1, &no), (1009, 1, &no)], true),
            (vec![(0, 1, &yes), (10, 1, &no), (1010, 1, &no)], false),
            // Once told, it is not taken back.
            (vec![(0, 1, &yes), (10, 1, &no), (1010, 1, &no), (1020, 1, &no)], false),
            (vec![(0, 1, &yes), (10, 1, &no), (500, 1, &yes), (1400, 1, &no)], true),
            (vec![(0, 1, &yes), (10, 2, &no)], false),
            (vec![(0, 1, &yes), (10, 1, &refused)], false),
        ] {
            let mut steady = Steady::default();
            let mut last = Facts::default();
            for (at, generation, facts) in &steps {
                last = (*facts).clone();
                let now = start + Duration::from_millis(*at);
                let again = steady.settle(&gateway, *generation, &mut last, now);
                assert_eq!(again.is_some(), last.acknowledged && !facts.acknowledged);
            }
            assert_eq!(last.acknowledged, told, "{steps:?}");
            assert_eq!(last.connected == 2, told || last == refused, "{steps:?}");
        }
        let mut steady = Steady::default();
        steady.settle(&gateway, 1, &mut facts(true, 2, false), start);
        steady.retain(|_| false);
        assert_eq!(steady.settle(&gateway, 1, &mut facts(false, 0, false), start), None);
    }
}
