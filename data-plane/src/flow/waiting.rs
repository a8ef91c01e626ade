//! A request that waits. Dropping it leaves the queue.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::gate::{Inner, now};
use super::queue::Key;
use super::request::Admission;
use super::shed::Shed;
use super::ticket::Ticket;

/// A place in the queue.
#[derive(Debug)]
pub struct Waiting {
    gate: Arc<Inner>,
    key: Key,
    answer: oneshot::Receiver<Result<Ticket, Shed>>,
    until: Instant,
    answered: bool,
}

impl Waiting {
    pub(super) fn new(
        gate: Arc<Inner>,
        key: Key,
        answer: oneshot::Receiver<Result<Ticket, Shed>>,
        until: Instant,
    ) -> Self {
        Self { gate, key, answer, until, answered: false }
    }

    /// The answer, if it is there already.
    pub(super) fn into_admission(mut self) -> Admission {
        match self.answer.try_recv() {
            Err(_) => Admission::Waits(self),
            Ok(answer) => {
                self.answered = true;
                answer.map_or_else(Admission::Shed, Admission::Admitted)
            }
        }
    }

    /// What it is told by `now`, for those who look themselves; None while it waits.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Result<Ticket, Shed>> {
        let told = match self.answer.try_recv() {
            Ok(answer) => Some(answer),
            Err(_) if now < self.until => None,
            Err(_) => match self.gate.due(&self.key, now) {
                Ok(until) => {
                    self.until = until;
                    None
                }
                Err(shed) => shed.map(Err),
            },
        };
        self.answered |= told.is_some();
        told
    }

    /// Waits for the ticket.
    ///
    /// # Errors
    /// The request is shed.
    pub async fn ticket(mut self) -> Result<Ticket, Shed> {
        loop {
            tokio::select! {
                biased;
                answer = &mut self.answer => {
                    self.answered = true;
                    return answer.unwrap_or(Err(Shed::ShuttingDown));
                }
                () = sleep_until(self.until.into()) => match self.gate.due(&self.key, now()) {
                    Ok(until) => self.until = until,
                    Err(Some(shed)) => {
                        self.answered = true;
                        return Err(shed);
                    }
                    Err(None) => {
                        // It is being sent.
                        self.answered = true;
                        return (&mut self.answer).await.unwrap_or(Err(Shed::ShuttingDown));
                    }
                },
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.answered {
            self.gate.leave(&self.key, now());
        }
    }
}
