//! CPU time of this thread, so that what else runs on the machine is not measured.

use std::time::Duration;

use criterion::Bencher;
use nix::time::{ClockId, clock_gettime};

/// Measures `routine` by CPU time.
pub(crate) fn iter<T>(bencher: &mut Bencher<'_>, mut routine: impl FnMut() -> T) {
    bencher.iter_custom(|count| {
        let start = now();
        for _ in 0..count {
            std::hint::black_box(routine());
        }
        now() - start
    });
}

fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every Linux has this clock").into()
}
