//! Pools: snapshots from the control plane, and live load per endpoint.
