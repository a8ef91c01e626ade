//! Words of the configuration that several places share.

use clap::ValueEnum;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The controller name that GatewayClasses of ours carry.
pub const CONTROLLER_NAME: &str = "signalbox.dev/gateway-controller";
