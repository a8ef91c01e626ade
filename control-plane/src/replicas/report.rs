//! Decides what a replica that leads is sent: all at first, then what differs.
//!
//! ```text
//! states of all Gateways ─▶ Report (what was sent) ─▶ responses, each well below gRPC's limit
//! ```

use std::collections::{BTreeMap, VecDeque};

use prost::Message as _;
use proto::tier::v1::{FollowResponse, GatewayNodes};

use super::wire;
use crate::{api::NamespacedName, xds::GatewayState};

/// A response is ended once it has this many bytes; clients take 4 MiB.
const RESPONSE: usize = 1 << 20;

/// What was sent on one stream.
#[derive(Debug)]
pub(super) struct Report {
    replica: String,
    sent: BTreeMap<NamespacedName, GatewayNodes>,
    started: bool,
}

impl Report {
    /// Of this replica; nothing was sent.
    pub(super) fn of(replica: &str) -> Self {
        Self { replica: replica.to_owned(), sent: BTreeMap::new(), started: false }
    }

    /// What has to be sent so that `states` is known. The last response says that it is all.
    pub(super) fn observe(
        &mut self,
        states: impl IntoIterator<Item = (NamespacedName, GatewayState)>,
    ) -> VecDeque<FollowResponse> {
        let connected = states.into_iter().filter(|(_, state)| state.connected > 0);
        let next: BTreeMap<_, _> = connected
            .map(|(name, state)| {
                let message = wire::encode(&name, &state);
                (name, message)
            })
            .collect();
        let removed: Vec<_> =
            self.sent.keys().filter(|name| !next.contains_key(*name)).map(wire::gateway_name).collect();
        let changed = next.iter().filter(|(name, message)| self.sent.get(*name) != Some(message));
        let mut responses = self.split(changed.map(|(_, message)| message));
        let is_news = !responses.is_empty() || !removed.is_empty() || !self.started;
        if is_news {
            let mut last = responses.pop_back().unwrap_or_else(|| self.empty());
            (last.removed, last.synced) = (removed, true);
            responses.push_back(last);
        }
        (self.sent, self.started) = (next, true);
        responses
    }

    fn empty(&self) -> FollowResponse {
        FollowResponse { replica: self.replica.clone(), ..FollowResponse::default() }
    }

    fn split<'a>(&self, changed: impl Iterator<Item = &'a GatewayNodes>) -> VecDeque<FollowResponse> {
        let mut responses = VecDeque::new();
        let mut room = 0;
        for message in changed {
            if room == 0 {
                responses.push_back(self.empty());
                room = RESPONSE;
            }
            if let Some(last) = responses.back_mut() {
                last.changed.push(message.clone());
            }
            room = room.saturating_sub(message.encoded_len());
        }
        responses
    }
}

#[cfg(test)]
mod tests;
