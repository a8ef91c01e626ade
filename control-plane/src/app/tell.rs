//! Tells others a value when it differs from what they were told before.

use tokio::sync::watch;

/// Tells `value`, unless it is what was told before. Whoever listens is woken by differences only.
pub(super) fn tell<T: PartialEq>(channel: &watch::Sender<T>, value: T) {
    channel.send_if_modified(|held| {
        let differs = *held != value;
        *held = value;
        differs
    });
}
