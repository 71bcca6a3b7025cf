//! What all tests stand on.

pub(crate) mod asked;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod gate;
pub(crate) mod gateway;
pub(crate) mod h2;
pub(crate) mod manager;
pub(crate) mod message;
pub(crate) mod metrics;
pub(crate) mod port;
pub(crate) mod redis;
pub(crate) mod switching;
pub(crate) mod told;
pub(crate) mod upstream;

use std::time::Duration;

/// How long anything may take that should happen at once. Long, because the machine may be busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
