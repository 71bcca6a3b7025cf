//! All that awaits, opens files and sockets, reads clocks or draws randomness.

#![expect(clippy::disallowed_methods, reason = "this is the part of the house that reads clocks")]

pub mod access_log;
pub mod bind;
pub mod certificates;
pub mod journal;
pub mod listener;
pub mod metrics;
mod proxy_protocol;
pub mod rendezvous;
pub mod store;
mod stream;
pub mod tls;
pub mod watch;

#[cfg(test)]
mod fixture;

pub use stream::arrival;
