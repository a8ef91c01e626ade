//! One recorded decision, and what happened to its request afterwards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::outcome::Usage;
use crate::picker::Aimed;
use crate::picker::explain::{Explained, Explanation, How};

use super::Why;

/// Ids and names that clients choose are kept up to this many bytes.
const LONGEST: usize = 256;

/// What a request asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// What it does, as OpenTelemetry names it.
    pub operation: &'static str,
    /// The model in its body.
    pub model: String,
    /// The model that it was sent on with, where that is another.
    pub target: Option<String>,
    /// The InferenceObjective that applied.
    pub objective: Option<String>,
    /// Its priority.
    pub priority: i32,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// They are counted with the model's tokenizer; otherwise estimated from bytes.
    pub counted: bool,
    /// Output tokens expected.
    pub output_tokens: u32,
    /// The response is streamed.
    pub stream: bool,
    /// Bytes of its body.
    pub body_bytes: usize,
    /// Entries of the subset that it is limited to.
    pub subset: Option<usize>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Result {
    /// It got an endpoint.
    Picked {
        /// The choice, then fallbacks in order.
        endpoints: Vec<SocketAddr>,
        /// Who computes the prompt, where another endpoint does.
        prefiller: Option<String>,
    },
    /// It got none.
    Refused {
        /// The named reason.
        reason: &'static str,
        /// HTTP status.
        status: u16,
        /// What the client read.
        message: String,
    },
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its response was seen to end.
    Answered,
    /// Its stream ended after the response had begun. Where bodies are not sent here, Envoy does not tell whether the
    /// client got all of it.
    Ended,
    /// Its stream ended before: the client left, or the connection broke.
    Cut,
}

impl End {
    /// Its name in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Ended => "ended",
            Self::Cut => "cut",
        }
    }
}

/// What happened after the decision. Times count from it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Happened {
    /// How long the decision took.
    pub took: Option<Duration>,
    /// The endpoint that Envoy used.
    pub served: Option<SocketAddr>,
    /// The first byte of the response.
    pub first_byte: Option<Duration>,
    /// The status of an error of the endpoint; 0: it gave none.
    pub failed: Option<u16>,
    /// It was picked, and refused all the same for this reason.
    pub refused: Option<&'static str>,
    /// What the response said of itself.
    pub usage: Usage,
    /// The end.
    pub end: Option<(End, Duration)>,
}

/// One decision. Only what happened afterwards changes.
#[derive(Debug)]
pub struct Record {
    /// Why it is recorded.
    pub why: Why,
    /// `x-request-id`; empty when there was none.
    pub request_id: String,
    /// "namespace/name".
    pub pool: String,
    /// When it was decided.
    pub at: SystemTime,
    /// The same, to count from.
    pub decided: Instant,
    /// What was asked for.
    pub asked: Asked,
    /// Time in the queue.
    pub waited: Duration,
    /// What was decided.
    pub result: Result,
    /// What was optimised; None where nothing was picked from.
    pub aimed: Option<Aimed>,
    /// How the choice came about.
    pub how: Option<How>,
    endpoints: Vec<Explained>,
    /// Written by the request's stream.
    happened: Mutex<Happened>,
}

impl Record {
    /// A decision on request `request_id` of `pool`, made at `decided` after it had `waited`.
    #[must_use]
    pub fn new(
        why: Why,
        (request_id, pool): (&[u8], &str),
        asked: Asked,
        (decided, waited): (Instant, Duration),
        result: Result,
        explanation: Explanation,
    ) -> Self {
        Self {
            why,
            request_id: String::from_utf8_lossy(&request_id[..request_id.len().min(LONGEST)]).into_owned(),
            pool: pool.to_owned(),
            at: SystemTime::now(),
            decided,
            asked: Asked {
                model: cut(asked.model),
                target: asked.target.map(cut),
                objective: asked.objective.map(cut),
                ..asked
            },
            waited,
            result,
            aimed: explanation.aimed,
            how: explanation.how,
            endpoints: explanation.endpoints,
            happened: Mutex::default(),
        }
    }

    /// Every endpoint of the pool as the pick saw it: those that might be picked first, best first.
    #[must_use]
    pub fn endpoints(&self) -> &[Explained] {
        &self.endpoints
    }

    /// The endpoint that was picked.
    #[must_use]
    pub fn picked(&self) -> Option<&Explained> {
        let Result::Picked { endpoints, .. } = &self.result else { return None };
        self.endpoints.iter().find(|one| Some(&one.address) == endpoints.first())
    }

    /// Whether it is a refusal.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.result, Result::Refused { .. })
    }

    /// What happened so far.
    #[must_use]
    pub fn happened(&self) -> Happened {
        self.happened.lock().clone()
    }

    /// Bytes that it holds, nearly.
    pub(super) fn bytes(&self) -> usize {
        let endpoint = |one: &Explained| size_of::<Explained>() + one.pod.len() + one.accelerator.len();
        let aimed = self.aimed.as_ref().map_or(0, |aimed| aimed.required.len() + aimed.preferred.len());
        let result = match &self.result {
            Result::Picked { endpoints, .. } => endpoints.len() * size_of::<SocketAddr>(),
            Result::Refused { message, .. } => message.len(),
        };
        let asked = self.asked.model.len() + self.asked.target.as_ref().map_or(0, String::len);
        let endpoints: usize = self.endpoints.iter().map(endpoint).sum();
        size_of::<Self>() + self.request_id.len() + self.pool.len() + asked + aimed + result + endpoints
    }
}

fn cut(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(LONGEST));
    name
}

/// Writes down what happens to a recorded request; dropping it is the end.
#[derive(Debug)]
pub struct Follow(Arc<Record>);

impl Follow {
    pub(super) fn new(record: Arc<Record>) -> Self {
        Self(record)
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.0
    }

    /// The decision took so long.
    pub fn took(&self, took: Duration) {
        self.0.happened.lock().took = Some(took);
    }

    /// The client was told `reason` instead of getting the pick.
    pub fn refused(&self, reason: &'static str) {
        self.0.happened.lock().refused = Some(reason);
    }

    /// Envoy used this endpoint.
    pub fn served(&self, address: SocketAddr) {
        self.0.happened.lock().served = Some(address);
    }

    /// The first byte of the response came at `now`.
    pub fn first_byte(&self, now: Instant) {
        let since = now.saturating_duration_since(self.0.decided);
        self.0.happened.lock().first_byte.get_or_insert(since);
    }

    /// The response has this status, an error.
    pub fn failed(&self, status: u16) {
        self.0.happened.lock().failed.get_or_insert(status);
    }

    /// The response ended at `now`, and said `usage`.
    pub fn ended(&self, now: Instant, usage: Usage) {
        let since = now.saturating_duration_since(self.0.decided);
        let mut happened = self.0.happened.lock();
        happened.usage = usage;
        happened.end = Some((End::Answered, since));
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let now = tokio::time::Instant::now().into_std();
        let since = now.saturating_duration_since(self.0.decided);
        let mut happened = self.0.happened.lock();
        let end = if happened.first_byte.is_some() { End::Ended } else { End::Cut };
        happened.end.get_or_insert((end, since));
    }
}
