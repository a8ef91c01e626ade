//! Decides when the leader may write statuses: once it has heard of the other replicas' Envoys. Before, it would deny
//! what the leader before it had found.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::tell::tell;

/// Says whether to write: while `leader` and `informed` are true. Runs until `cancel`.
///
/// # Errors
/// When one of those it hears is gone.
pub(super) async fn run(
    mut leader: watch::Receiver<bool>,
    mut informed: watch::Receiver<bool>,
    writes: watch::Sender<bool>,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let may = *leader.borrow_and_update() && *informed.borrow_and_update();
        tell(&writes, may);
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            changed = leader.changed() => changed?,
            changed = informed.changed() => changed?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn statuses_are_written_by_an_informed_leader() {
        let (leader, leader_heard) = watch::channel(false);
        let (informed, informed_heard) = watch::channel(false);
        let (writes, mut heard) = watch::channel(false);
        let cancel = CancellationToken::new();
        let gate = run(leader_heard, informed_heard, writes, cancel.clone());
        let script = async {
            for (leads, knows, expected) in [
                (true, false, false),
                (true, true, true),
                (false, true, false),
                (false, false, false),
                (true, true, true),
                (true, false, false),
            ] {
                leader.send_replace(leads);
                informed.send_replace(knows);
                let settled = heard.wait_for(|writes| *writes == expected);
                assert!(settled.await.is_ok());
                // Nothing else follows from it.
                tokio::task::yield_now().await;
                assert_eq!(*heard.borrow(), expected, "{leads} {knows}");
            }
            cancel.cancel();
        };
        let (ended, ()) = tokio::join!(gate, script);
        assert!(ended.is_ok());
    }
}
