//! All that awaits, opens files and sockets, reads clocks or draws randomness.

pub mod access_log;
pub mod journal;
pub mod metrics;
pub mod rendezvous;
pub mod store;
