//! One ext_proc call: DATA in, session, DATA out, all in the connection's own task.
//!
//! A request that has to wait for its turn waits here; nothing else of its call goes on meanwhile, but its end is seen.
//!
//! Replies are gathered while messages are at hand and sent as one piece of DATA. The next message is not read while
//! more than [`UNSENT`] bytes of replies wait for Envoy to open its window.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};

use super::decide::{self, Decision, Undecided, decide};
use super::grpc::{self, BadFrame, Code, Deframer, Frames};
use super::guards::Guards;
use super::lane::Lanes;
use super::message::{Event, Message};
use super::now;
use super::open::Open;
use super::recording::{Recording, Times};
use super::refused::Refused;
use super::session::{Next, Question, Seen, Session, Turn};
use crate::decisions::Asked;
use crate::flow::{Shed, Ticket, Waiting};
use crate::picker::explain::{Explanation, Want};
use crate::pool::Pool;
use crate::tokenizer::Counted;

/// gRPC metadata that names the pool of a stream: "namespace/name".
pub const POOL_METADATA: &str = "x-signalbox-pool";
/// What a message may have besides its body.
const OVERHEAD: usize = 1 << 20;
/// Replies that may wait for Envoy's window.
const UNSENT: usize = 256 * 1024;
/// What Envoy may send while a request waits. It sends nothing: the request has ended, and is not answered.
const UNASKED: usize = 1 << 20;

/// Serves one call of `ExternalProcessor/Process`.
pub(super) async fn process(
    lanes: &Lanes,
    named: Option<String>,
    received: RecvStream,
    mut respond: SendResponse<Frames>,
) -> Result<(), h2::Error> {
    let (pool, lane) = match lanes.of(named.as_deref()) {
        Ok(found) => found,
        Err(no_pool) => {
            lanes.metrics.unavailable(no_pool.reason());
            let response = grpc::failure(Code::Unavailable, &no_pool.to_string());
            return respond.send_response(response, true).map(drop);
        }
    };
    let send = respond.send_response(grpc::open(), false)?;
    let policy = &lanes.policy;
    let mut call = Call {
        session: Session::new(policy.body_limit)
            .reading(policy.read_answers > 0.0 && fastrand::f32() < policy.read_answers),
        deframer: Deframer::new(policy.body_limit + OVERHEAD),
        deadline: policy.decision_deadline,
        tenant_header: policy.fairness_header.as_ref().map(http::HeaderName::as_str),
        open: Open::count(&lane),
        guards: None,
        arrived: None,
        seed: fastrand::u64(..),
        counted: None,
        out: Frames::default(),
        unsent: 0,
        pool,
        received,
        send,
    };
    let ended = call.run().await;
    call.finish();
    let (code, message) = ended?;
    call.send_out()?;
    call.send.send_trailers(grpc::trailers(code, &message))
}

struct Call<'a> {
    session: Session,
    deframer: Deframer,
    deadline: std::time::Duration,
    tenant_header: Option<&'a str>,
    open: Open,
    guards: Option<Guards>,
    /// When the request was first to be decided.
    arrived: Option<Instant>,
    seed: u64,
    /// The tokens of its prompt, where they could be counted.
    counted: Option<Counted>,
    out: Frames,
    unsent: usize,
    pool: Arc<Pool>,
    received: RecvStream,
    send: SendStream<Frames>,
}

type End = (Code, String);

/// Why a call is over before Envoy ended it.
enum Over {
    /// It is told so.
    Ended(End),
    /// Envoy reset it.
    Reset(h2::Error),
}

/// What comes next of a call.
enum Came {
    Data(Result<Bytes, h2::Error>),
    /// Envoy sends no more.
    End,
    /// The request has to end for another one.
    Evicted(Shed),
}

impl Call<'_> {
    /// Until the stream ends; answers how. An error is a stream that Envoy reset.
    async fn run(&mut self) -> Result<End, h2::Error> {
        let mut turn = Turn::default();
        loop {
            let at = now();
            loop {
                let next = match self.deframer.message() {
                    Ok(None) => break,
                    Ok(Some(bytes)) => match self.on_message(&bytes, at, &mut turn).await {
                        Ok(next) => next,
                        Err(Over::Ended(end)) => return Ok(end),
                        Err(Over::Reset(error)) => return Err(error),
                    },
                    Err(BadFrame::Oversized) => {
                        self.too_large(at);
                        self.session.on_oversized(&mut turn)
                    }
                    Err(BadFrame::Compressed) => {
                        return Ok((Code::Unimplemented, "compressed messages are not read".to_owned()));
                    }
                };
                turn.replies.drain(..).for_each(|reply| reply.encode(&mut self.out));
                if next == Next::Finish {
                    return Ok((Code::Ok, String::new()));
                }
            }
            if self.unsent > UNSENT {
                self.send_out()?;
                self.drained().await?;
            }
            match self.read().await {
                Came::Data(data) => self.deframer.push(data?),
                Came::End => return Ok((Code::Ok, String::new())),
                Came::Evicted(shed) if self.evict(shed, &mut turn) == Next::Finish => {
                    return Ok((Code::Ok, String::new()));
                }
                Came::Evicted(_) => {}
            }
        }
    }

    /// Takes one message up to its replies.
    async fn on_message(&mut self, bytes: &Bytes, at: Instant, turn: &mut Turn) -> Result<Next, Over> {
        let Ok(message) = Message::decode(bytes, self.tenant_header) else {
            return Err(Over::Ended((Code::InvalidArgument, "not a ProcessingRequest".to_owned())));
        };
        if let Event::RequestBody(chunk) = &message.event {
            self.open.lane.metrics.body_bytes.inc_by(chunk.data.len() as u64);
        }
        let mut next = self.session.on(message, turn);
        if next == Next::Decide {
            self.arrived = Some(at);
            if let Some((counter, pending)) =
                decide::to_count(&self.pool, &self.open.lane, &self.session.question(), self.rng())
            {
                self.counted = Box::pin(counter.count(pending)).await;
            }
            next = match self.decide(None, now(), turn)? {
                Ok(next) => next,
                Err((waiting, asked)) => self.wait(waiting, &asked, turn).await?,
            };
        } else if next == Next::Finish && !self.open.decided {
            self.too_large(at);
        }
        turn.seen.drain(..).for_each(|seen| self.account(seen));
        if let Some(guards) = self.guards.as_mut().filter(|_| self.session.answers()) {
            guards.ticket.answers();
        }
        Ok(next)
    }

    /// Ends the request for a more important one.
    fn evict(&mut self, shed: Shed, turn: &mut Turn) -> Next {
        let refused = Refused::from(shed);
        if let Some(guards) = &mut self.guards {
            guards.refused(refused.reason);
        }
        tracing::debug!(pool = %self.pool.key(), reason = refused.reason, "ended");
        let next = self.session.evict(refused, turn);
        turn.replies.drain(..).for_each(|reply| reply.encode(&mut self.out));
        next
    }

    /// The same draws whenever it is asked again, so that a model's target is what it was.
    fn rng(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }

    /// Decides, or answers that the request has to wait.
    fn decide(
        &mut self,
        ticket: Option<Ticket>,
        at: Instant,
        turn: &mut Turn,
    ) -> Result<Result<Next, (Waiting, Box<Asked>)>, Over> {
        let lane = Arc::clone(&self.open.lane);
        let times = Times { arrived: self.arrived.unwrap_or(at), now: at };
        // The time in the queue is not the picker's to decide.
        let since = if ticket.is_some() { at } else { times.arrived };
        let question = Question { counted: self.counted.as_ref(), ..self.session.question() };
        let mut decision = decide(&self.pool, &lane, &question, ticket, times, &mut self.rng());
        let took = now().saturating_duration_since(since);
        let follow = match &decision {
            Ok(Decision::Picked(_, guards)) => guards.follow.as_ref(),
            _ => None,
        };
        if let Some(follow) = follow {
            follow.took(took);
        }
        if took > self.deadline && matches!(decision, Ok(Decision::Picked(..))) {
            let refused = Refused::deadline();
            if let Some(follow) = follow {
                follow.refused(refused.reason);
            }
            decision = Err(Undecided::Refused(refused));
        }
        let decided = match decision {
            Ok(Decision::Waits(waiting, asked)) => return Ok(Err((waiting, asked))),
            Ok(Decision::Picked(answer, guards)) => {
                lane.metrics.picked.inc();
                self.guards = Some(guards);
                Ok(self.session.decided(Ok(answer), turn))
            }
            Err(Undecided::Refused(refused)) => Ok(self.refuse(refused, turn)),
            Err(Undecided::Unavailable(message)) => {
                lane.metrics.refused("unavailable");
                Err(Over::Ended((Code::Unavailable, message)))
            }
        };
        self.open.decided = true;
        self.counted = None;
        lane.metrics.decision.observe(took.as_secs_f64());
        decided.map(Ok)
    }

    fn refuse(&mut self, refused: Refused, turn: &mut Turn) -> Next {
        self.open.decided = true;
        self.open.lane.metrics.refused(refused.reason);
        tracing::debug!(pool = %self.pool.key(), reason = refused.reason, "refused");
        self.session.decided(Err(refused), turn)
    }

    /// The body is larger than any that is read: what it asks for is not known.
    fn too_large(&mut self, at: Instant) {
        let refused = Refused::too_large(self.session.body_limit());
        self.open.decided = true;
        self.open.lane.metrics.refused(refused.reason);
        self.record(&Asked::default(), at, &refused);
    }

    /// Records a refusal that `decide` did not make.
    fn record(&self, asked: &Asked, at: Instant, refused: &Refused) {
        let times = Times { arrived: self.arrived.unwrap_or(at), now: at };
        let recording = Recording::of(&self.pool, &self.open.lane, self.session.question().head);
        recording.refused(|| asked.clone(), times, refused, Explanation::of(Want::Nothing));
    }

    /// Decides when the request's turn has come. Dropping this, and the end of the call, give up its place.
    async fn wait(&mut self, mut waiting: Waiting, asked: &Asked, turn: &mut Turn) -> Result<Next, Over> {
        loop {
            let ticket = match Box::pin(self.ticket(waiting)).await? {
                Ok(ticket) => ticket,
                Err(shed) => {
                    let refused = shed.into();
                    self.record(asked, now(), &refused);
                    return Ok(self.refuse(refused, turn));
                }
            };
            match self.decide(Some(ticket), now(), turn)? {
                Ok(next) => return Ok(next),
                Err((again, _)) => waiting = again,
            }
        }
    }

    /// Waits for the ticket, and for the end of the call.
    async fn ticket(&mut self, waiting: Waiting) -> Result<Result<Ticket, Shed>, Over> {
        let mut ticket = pin!(waiting.ticket());
        let mut unasked = 0;
        loop {
            tokio::select! {
                biased;
                ticket = &mut ticket => return Ok(ticket),
                data = self.read() => match data {
                    // Nothing ends for others before it is decided.
                    Came::End | Came::Evicted(_) => {
                        return Err(Over::Ended((Code::Ok, String::new())));
                    }
                    Came::Data(Err(error)) => return Err(Over::Reset(error)),
                    Came::Data(Ok(data)) => {
                        unasked += data.len();
                        if unasked > UNASKED {
                            let why = "more was sent while the request waited";
                            return Err(Over::Ended((Code::ResourceExhausted, why.to_owned())));
                        }
                        self.deframer.push(data);
                    }
                },
            }
        }
    }

    /// Tells the accounts what was seen.
    fn account(&mut self, seen: Seen) {
        if let Some(guards) = &mut self.guards {
            guards.account(seen, &self.open.lane, now());
        }
        if seen == Seen::Ended {
            self.finish();
        }
    }

    /// The request has ended. Where bodies are not sent here, the end of the stream is all that is seen of it.
    fn finish(&mut self) {
        if let Some(guards) = self.guards.take() {
            guards.finish(now().saturating_duration_since(self.arrived.unwrap_or_else(now)));
        }
    }

    /// What comes next. Replies are sent when there is nothing at hand.
    async fn read(&mut self) -> Came {
        let came = poll_fn(|cx| match self.received.poll_data(cx) {
            Poll::Ready(data) => Poll::Ready(data.map_or(Came::End, Came::Data)),
            Poll::Pending => {
                if let Err(error) = self.send_out() {
                    return Poll::Ready(Came::Data(Err(error)));
                }
                let guards = self.guards.as_mut();
                guards.map_or(Poll::Pending, |guards| guards.ticket.poll_evicted(cx).map(Came::Evicted))
            }
        });
        match came.await {
            Came::Data(Ok(data)) => {
                let released = self.received.flow_control().release_capacity(data.len());
                Came::Data(released.map(|()| data))
            }
            other => other,
        }
    }

    fn send_out(&mut self) -> Result<(), h2::Error> {
        if self.out.has_remaining() {
            self.unsent += self.out.remaining();
            self.send.send_data(std::mem::take(&mut self.out), false)?;
        }
        Ok(())
    }

    /// Waits until Envoy's window has taken all replies.
    async fn drained(&mut self) -> Result<(), h2::Error> {
        self.send.reserve_capacity(1);
        while self.send.capacity() == 0 {
            match poll_fn(|cx| self.send.poll_capacity(cx)).await {
                Some(capacity) => drop(capacity?),
                None => break,
            }
        }
        self.unsent = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
