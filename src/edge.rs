//! All that awaits, opens files and sockets, reads clocks or draws randomness.
//!
//! The edge carries decisions out and decides nothing itself: what a request means is [`crate::decide`]'s business.

#![expect(clippy::disallowed_methods, reason = "this is the part of the house that reads clocks")]

pub mod access_log;
mod accounts;
mod answer;
pub mod bind;
mod body;
pub mod certificates;
mod challenge;
mod connection;
mod context;
pub mod control;
mod descriptors;
mod exposition;
mod failure;
pub mod handover;
mod health;
mod housekeeping;
pub mod import;
mod inherited;
pub mod journal;
pub mod listener;
pub mod metrics;
mod operation;
mod placing;
mod pool;
mod proxy;
mod proxy_protocol;
mod question;
mod ready;
mod recognition;
mod record;
mod release;
pub mod rendezvous;
pub mod runtime;
pub mod server;
mod service_manager;
mod signals;
mod state;
pub mod store;
mod stream;
mod synapse_watch;
pub mod throttle;
pub mod tls;
mod versions;
pub mod watch;
mod writers;

#[cfg(test)]
mod fixture;
