//! All groups of the process, and what of them is kept over restarts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Profile;
use super::calibration::Calibration;
use super::group::{Group, GroupKey, SavedGroup};
use super::usual::Usual;

/// Groups beyond this are dropped when no endpoint uses them: those that were sampled longest ago first.
const MOST: usize = 1024;

/// What was learned, as it is kept in a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Sorted by key.
    pub groups: Vec<SavedGroup>,
}

/// The groups. Not on the path of requests: endpoints hold theirs.
#[derive(Debug)]
pub struct Book {
    epoch: Instant,
    learns: bool,
    /// Guards the maps only.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    groups: BTreeMap<GroupKey, Arc<Group>>,
    usual: BTreeMap<String, Arc<Usual>>,
    restored: BTreeMap<GroupKey, SavedGroup>,
}

impl Book {
    /// An empty book. `epoch` is the time from which ages count.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        Self { epoch, learns: true, inner: Mutex::default() }
    }

    /// One that keeps to seeds.
    #[must_use]
    pub fn frozen(epoch: Instant) -> Self {
        Self { learns: false, ..Self::new(epoch) }
    }

    /// What is known of an endpoint of kind `key`, whose seed is `seed` while nothing better is.
    #[must_use]
    pub fn calibration(&self, key: &GroupKey, seed: Profile) -> Arc<Calibration> {
        let usual = self.usual(&key.model);
        let mut inner = self.inner.lock();
        let Inner { groups, restored, .. } = &mut *inner;
        let group = groups.entry(key.clone()).or_insert_with(|| {
            let (seed, samples) =
                restored.remove(key).map_or((seed, 0.0), |saved| (saved.profile, saved.samples));
            Arc::new(Group::new(key.clone(), seed, samples))
        });
        let calibration = Calibration::new(Arc::clone(group), usual, self.epoch, self.learns);
        trim(groups);
        Arc::new(calibration)
    }

    /// How long answers of `model` are.
    #[must_use]
    pub fn usual(&self, model: &str) -> Arc<Usual> {
        let mut inner = self.inner.lock();
        if inner.usual.len() >= MOST {
            inner.usual.retain(|_, usual| Arc::strong_count(usual) > 1);
        }
        Arc::clone(inner.usual.entry(model.to_owned()).or_default())
    }

    /// What was learned so far.
    #[must_use]
    pub fn learned(&self) -> Learned {
        let inner = self.inner.lock();
        let mut groups: BTreeMap<_, _> = inner.restored.clone();
        for group in
            inner.groups.values().filter(|group| group.samples().iter().any(|samples| *samples > 0.0))
        {
            groups.insert(group.key.clone(), group.saved());
        }
        Learned { groups: groups.into_values().take(MOST).collect() }
    }

    /// Takes over what another process learned, for groups that do not exist yet. Profiles that mean nothing are left
    /// out; answers how many.
    pub fn restore(&self, learned: Learned) -> usize {
        let mut inner = self.inner.lock();
        let all = learned.groups.len();
        let valid: Vec<SavedGroup> =
            learned.groups.into_iter().filter(|group| is_valid(&group.profile)).take(MOST).collect();
        let ignored = all - valid.len();
        inner.restored.extend(valid.into_iter().map(|group| (group.key.clone(), group)));
        ignored
    }
}

fn trim(groups: &mut BTreeMap<GroupKey, Arc<Group>>) {
    while groups.len() > MOST {
        let unused = groups.iter().filter(|(_, group)| Arc::strong_count(group) == 1);
        let Some(key) = unused.min_by_key(|(_, group)| group.sampled_at()).map(|(key, _)| key.clone()) else {
            return;
        };
        groups.remove(&key);
    }
}

fn is_valid(profile: &Profile) -> bool {
    let Profile { prefill_tokens_per_s, overhead_s, itl_s, itl_per_request_s, useful_batch } = *profile;
    [prefill_tokens_per_s, overhead_s, itl_s, itl_per_request_s, useful_batch]
        .into_iter()
        .all(|value| value.is_finite() && value > 0.0)
}
