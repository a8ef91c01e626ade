//! An admitted request.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::fence;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::oneshot;

use super::eviction::Place;
use super::gate::{Inner, now};
use super::settings::Eviction;
use super::shed::Shed;

/// An admitted request. Dropping it makes room, and lets go those that wait for it.
#[derive(Debug)]
pub struct Ticket {
    gate: Arc<Inner>,
    placed: bool,
    /// When it was admitted.
    since: Instant,
    /// Its place among those that may have to end, and how it is told.
    evictable: Option<(Place, Option<oneshot::Receiver<Shed>>)>,
    /// When it ended, where time is not the runtime's.
    ended: Option<Instant>,
}

impl Ticket {
    /// For a request that [`Inner::enter`] counted, at `since`.
    pub(super) fn entered(gate: &Arc<Inner>, since: Instant) -> Self {
        Self { gate: Arc::clone(gate), placed: false, since, evictable: None, ended: None }
    }

    /// The request is counted at its endpoint.
    pub fn placed(&mut self) {
        if !std::mem::replace(&mut self.placed, true) {
            self.gate.pending.fetch_sub(1, Relaxed);
        }
    }
}

impl Ticket {
    /// Ends it at `at`, for those whose time is not the runtime's.
    pub(crate) fn end(mut self, at: Instant) {
        self.ended = Some(at);
    }

    fn now(&self) -> Instant {
        self.ended.unwrap_or_else(now)
    }

    /// The request, of `priority`, runs at `endpoint`: it may have to end for a more important one, where the pool says so.
    pub fn runs(&mut self, priority: i32, endpoint: SocketAddr) {
        self.placed();
        if priority < 0 && self.gate.eviction() != Eviction::Off {
            let (tell, told) = oneshot::channel();
            let place = self.gate.evictable.lock().add(priority, endpoint, tell);
            self.evictable = Some((place, Some(told)));
        }
    }

    /// The response has begun.
    pub fn answers(&mut self) {
        if self.evictable.is_some() && self.gate.eviction() != Eviction::Any {
            self.stays();
        }
    }

    /// Ready when the request has to end.
    pub fn poll_evicted(&mut self, cx: &mut Context<'_>) -> Poll<Shed> {
        let Some((_, waits @ Some(_))) = &mut self.evictable else { return Poll::Pending };
        let Some(Poll::Ready(told)) = waits.as_mut().map(|told| Pin::new(told).poll(cx)) else {
            return Poll::Pending;
        };
        // It is told once.
        *waits = None;
        told.map_or(Poll::Pending, Poll::Ready)
    }

    /// It does not have to end for others any more.
    fn stays(&mut self) {
        let Some((place, _)) = self.evictable.take() else { return };
        let mut evictable = self.gate.evictable.lock();
        if !evictable.remove(&place) {
            evictable.gone(self.now());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let ran = self.placed;
        self.placed();
        self.stays();
        let in_flight = self.gate.in_flight.fetch_sub(1, Relaxed);
        let now = self.now();
        if ran {
            self.gate.residence.ended(now.saturating_duration_since(self.since), in_flight);
        }
        // Beside the fence of who begins to wait: one of the two sees the other.
        fence(SeqCst);
        if self.gate.waiting.load(Relaxed) > 0 {
            self.gate.dispatch(now);
        }
    }
}
