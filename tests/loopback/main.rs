//! The real binary between clients and upstreams of the test's own, on the loopback interface. All bytes on both sides
//! are the test's, so what is asserted is what others get to see.
//!
//! Every gateway, upstream and port belongs to one test. Nothing sleeps to wait for something: every wait is for an
//! event, and has a deadline.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test ends at the first thing that is not as it should be"
)]
#![expect(clippy::disallowed_methods, reason = "a test measures how long something takes")]

mod cli;
mod control;
mod cors_errors;
mod drain;
mod exposure;
mod forwarding;
mod handover;
mod imports;
mod limits;
mod listeners;
mod observing;
mod reload;
mod rendezvous;
mod rendezvous_msc4108;
mod rendezvous_msc4388;
mod rendezvous_races;
mod rendezvous_stores;
mod retry;
mod routes;
mod service_manager;
mod services;
mod support;
mod synapse;
mod tls;
mod versions;
mod workers;
