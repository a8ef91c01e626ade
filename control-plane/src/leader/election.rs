//! Who may take the Lease, and for how long it is held: a sans-IO state machine.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};

use super::now;

/// After this time without a renewal others may take the Lease.
const DURATION: Duration = Duration::from_secs(15);
/// After this time without a renewal the holder stops.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// Between two renewals.
const RENEW_EVERY: Duration = Duration::from_secs(3);

/// What to do with the Lease.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// Nothing, until the next look.
    Wait,
    /// Write this, provided that the Lease is as it was read.
    Write(LeaseSpec),
}

/// One replica's view.
#[derive(Debug)]
pub(super) struct Election {
    identity: String,
    /// When the Lease was last written as ours, counted from before the request.
    held_since: Option<Instant>,
    /// The Lease of another holder, and when it was first seen like this.
    other: Option<(Option<LeaseSpec>, Instant)>,
}

impl Election {
    pub(super) fn new(identity: &str) -> Self {
        Self { identity: identity.to_owned(), held_since: None, other: None }
    }

    /// Looks at the Lease.
    pub(super) fn decide(&mut self, lease: Option<&Lease>, now: Instant) -> Decision {
        let Some(lease) = lease else {
            self.held_since = None;
            return Decision::Write(self.taken(None));
        };
        let spec = lease.spec.as_ref();
        let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        if holder == self.identity {
            self.other = None;
            let due = self.held_since.is_none_or(|since| now.duration_since(since) >= RENEW_EVERY);
            return if due { Decision::Write(self.renewed(spec)) } else { Decision::Wait };
        }
        self.held_since = None;
        if holder.is_empty() {
            return Decision::Write(self.taken(spec));
        }
        if self.other.as_ref().is_none_or(|(seen, _)| seen.as_ref() != spec) {
            self.other = Some((spec.cloned(), now));
        }
        let since = self.other.as_ref().map_or(now, |(_, since)| *since);
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds).and_then(|s| u64::try_from(s).ok());
        let duration = seconds.map_or(DURATION, Duration::from_secs);
        match now.duration_since(since) > duration {
            true => Decision::Write(self.taken(spec)),
            false => Decision::Wait,
        }
    }

    /// The Lease was written as decided, by a request that was started at `started`.
    pub(super) fn holds(&mut self, started: Instant) {
        self.held_since = Some(started);
        self.other = None;
    }

    /// The Lease may be another's.
    pub(super) fn lose(&mut self) {
        self.held_since = None;
    }

    /// Whether this replica leads.
    pub(super) fn leads(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now < deadline)
    }

    /// When this replica stops unless it renews the Lease.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.held_since.map(|since| since + RENEW_WITHIN)
    }

    /// The Lease without a holder, if it is ours.
    pub(super) fn released(&self, lease: &Lease) -> Option<LeaseSpec> {
        let spec = lease.spec.as_ref()?;
        let ours = spec.holder_identity.as_deref() == Some(&self.identity);
        ours.then(|| LeaseSpec {
            holder_identity: None,
            lease_duration_seconds: Some(1),
            renew_time: Some(now()),
            ..spec.clone()
        })
    }

    fn taken(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let transitions =
            before.map_or(0, |spec| spec.lease_transitions.unwrap_or_default().saturating_add(1));
        LeaseSpec { acquire_time: Some(now()), lease_transitions: Some(transitions), ..self.renewed(before) }
    }

    fn renewed(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let seconds = i32::try_from(DURATION.as_secs()).expect("a few seconds fit");
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(seconds),
            renew_time: Some(now()),
            ..before.cloned().unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, transitions: i32) -> Lease {
        let spec = LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    fn holder(decision: &Decision) -> Option<(&str, i32)> {
        match decision {
            Decision::Wait => None,
            Decision::Write(spec) => Some((spec.holder_identity.as_deref()?, spec.lease_transitions?)),
        }
    }

    #[test]
    fn free_leases_are_taken_and_held_ones_wait() {
        let now = Instant::now();
        for (found, expected) in [
            (None, Some(("a", 0))),
            (Some(Lease::default()), Some(("a", 0))),
            (Some(lease("", 4)), Some(("a", 5))),
            (Some(lease("a", 4)), Some(("a", 4))),
            (Some(lease("b", 4)), None),
        ] {
            let decision = Election::new("a").decide(found.as_ref(), now);
            assert_eq!(holder(&decision), expected, "{found:?}");
        }
    }

    #[test]
    fn a_lease_that_does_not_change_is_taken_after_its_duration() {
        let (mut election, start) = (Election::new("a"), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for seconds in 0..16 {
            assert_eq!(election.decide(Some(&lease("b", 1)), at(seconds)), Decision::Wait);
        }
        // It changes: the time starts anew.
        assert_eq!(election.decide(Some(&lease("b", 2)), at(16)), Decision::Wait);
        assert_eq!(election.decide(Some(&lease("b", 2)), at(31)), Decision::Wait);
        assert_eq!(holder(&election.decide(Some(&lease("b", 2)), at(32))), Some(("a", 3)));
        assert!(!election.leads(at(32)), "nothing is held before it is written");
    }

    #[test]
    fn the_holder_renews_and_stops_before_others_may_take_over() {
        let (mut election, start) = (Election::new("a"), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        election.holds(at(0));
        assert_eq!(election.decide(Some(&lease("a", 1)), at(2)), Decision::Wait);
        assert_eq!(holder(&election.decide(Some(&lease("a", 1)), at(3))), Some(("a", 1)));
        assert!(election.leads(at(9)) && !election.leads(at(10)));
        election.holds(at(5));
        assert!(election.leads(at(14)) && !election.leads(at(15)));
        assert!(RENEW_WITHIN < DURATION);
    }

    #[test]
    fn a_lease_that_another_took_is_lost_at_once() {
        let (mut election, now) = (Election::new("a"), Instant::now());
        election.holds(now);
        assert_eq!(election.decide(Some(&lease("b", 2)), now), Decision::Wait);
        assert!(!election.leads(now));
        election.holds(now);
        assert!(matches!(election.decide(None, now), Decision::Write(_)));
        assert!(!election.leads(now));
    }

    #[test]
    fn only_an_own_lease_is_released() {
        let election = Election::new("a");
        let spec = election.released(&lease("a", 3)).unwrap();
        assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (None, Some(3)));
        assert_eq!(election.released(&lease("b", 3)), None);
    }
}
