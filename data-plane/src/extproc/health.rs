//! gRPC health (grpc.health.v1): whether Envoy and Kubernetes should ask this picker.
//!
//! `liveness` serves as long as the process does. Every other service serves while the pools are known and the picker
//! does not drain; their names are those that pickers of the field are probed with.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use tokio::sync::watch;

use super::grpc::{self, Code, Deframer, Frames};
use super::wire::{Fields, Writer};

const READINESS: [&str; 4] =
    ["", "readiness", "inference-extension", "envoy.service.ext_proc.v3.ExternalProcessor"];
const LIVENESS: &str = "liveness";

/// HealthCheckResponse.ServingStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// Ask.
    Serving = 1,
    /// Do not ask.
    NotServing = 2,
    /// No such service (only from Watch).
    ServiceUnknown = 3,
}

/// What is known about this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    synced: bool,
    draining: bool,
    closing: bool,
}

/// The picker's health; clones share it.
#[derive(Debug, Clone)]
pub struct Health(Arc<watch::Sender<State>>);

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }
}

impl Health {
    /// Tells whether the pools are known.
    pub fn set_synced(&self, synced: bool) {
        self.0.send_if_modified(|state| std::mem::replace(&mut state.synced, synced) != synced);
    }

    /// Tells gateways to ask elsewhere; whoever still asks is answered.
    pub fn drain(&self) {
        self.0.send_if_modified(|state| !std::mem::replace(&mut state.draining, true));
    }

    /// Tells servers to take nothing new and to finish what they have.
    pub fn close(&self) {
        self.0.send_modify(|state| (state.draining, state.closing) = (true, true));
    }

    /// Requests are answered.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().is_ready()
    }

    /// The status of a service.
    pub fn of(&self, service: &str) -> Serving {
        self.0.borrow().of(service)
    }

    /// Returns once servers are told to finish.
    pub async fn closing(&self) {
        let mut state = self.0.subscribe();
        // The sender lives as long as `self`.
        drop(state.wait_for(|state| state.closing).await);
    }
}

impl State {
    fn is_ready(self) -> bool {
        self.synced && !self.draining
    }

    fn of(self, service: &str) -> Serving {
        match service {
            LIVENESS => Serving::Serving,
            name if !READINESS.contains(&name) => Serving::ServiceUnknown,
            _ if self.is_ready() => Serving::Serving,
            _ => Serving::NotServing,
        }
    }
}

/// Serves one `Health/Check`.
pub(super) async fn check(
    health: &Health,
    mut received: RecvStream,
    mut respond: SendResponse<Frames>,
) -> Result<(), h2::Error> {
    let status = match service(&mut received).await {
        Some(service) => health.of(&service),
        None => return respond.send_response(bad_request(), true).map(drop),
    };
    if status == Serving::ServiceUnknown {
        return respond.send_response(grpc::failure(Code::NotFound, "no such service"), true).map(drop);
    }
    let mut send = respond.send_response(grpc::open(), false)?;
    send_status(&mut send, status)?;
    send.send_trailers(grpc::trailers(Code::Ok, ""))
}

/// Serves one `Health/Watch`: the status, and every change of it, until the servers close.
pub(super) async fn watch(
    health: &Health,
    mut received: RecvStream,
    mut respond: SendResponse<Frames>,
) -> Result<(), h2::Error> {
    let Some(service) = service(&mut received).await else {
        return respond.send_response(bad_request(), true).map(drop);
    };
    let mut state = health.0.subscribe();
    let mut send = respond.send_response(grpc::open(), false)?;
    let mut sent = None;
    loop {
        let now = *state.borrow_and_update();
        let status = now.of(&service);
        if sent.replace(status) != Some(status) {
            send_status(&mut send, status)?;
        }
        if now.closing {
            return send.send_trailers(grpc::trailers(Code::Ok, ""));
        }
        tokio::select! {
            changed = state.changed() => drop(changed),
            reset = poll_fn(|cx| send.poll_reset(cx)) => return reset.map(drop),
        }
    }
}

fn bad_request() -> http::Response<()> {
    grpc::failure(Code::InvalidArgument, "not a HealthCheckRequest")
}

fn send_status(send: &mut SendStream<Frames>, status: Serving) -> Result<(), h2::Error> {
    let mut w = Writer::with_tail(16, 0);
    w.number(1, status as u64);
    let mut frames = Frames::default();
    frames.extend([w.into_frame()]);
    send.send_data(frames, false)
}

/// The service that a HealthCheckRequest names.
async fn service(received: &mut RecvStream) -> Option<String> {
    let mut deframer = Deframer::new(1024);
    loop {
        if let Some(message) = deframer.message().ok()? {
            return name(&message);
        }
        let data = received.data().await?.ok()?;
        received.flow_control().release_capacity(data.len()).ok()?;
        deframer.push(data);
    }
}

fn name(message: &Bytes) -> Option<String> {
    let mut fields = Fields::of(message);
    let mut service = "";
    while let Some((tag, value)) = fields.field().ok()? {
        if tag == 1 {
            service = std::str::from_utf8(value.bytes()).ok()?;
        }
    }
    Some(service.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_serve_while_synced_and_not_draining() {
        let health = Health::default();
        let statuses = |h: &Health| [h.of(""), h.of("inference-extension"), h.of("liveness"), h.of("other")];
        let with = |ready| [ready, ready, Serving::Serving, Serving::ServiceUnknown];
        assert_eq!(statuses(&health), with(Serving::NotServing));
        health.set_synced(true);
        assert_eq!(statuses(&health), with(Serving::Serving));
        assert!(health.is_ready());
        health.drain();
        assert_eq!(statuses(&health), with(Serving::NotServing));
    }
}
