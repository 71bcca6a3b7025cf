//! All that awaits, opens files and sockets, reads clocks or draws randomness.

pub mod metrics;
