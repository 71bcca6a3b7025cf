//! What is written over a client's headers on the way to Synapse, and over Synapse's on the way back.
//!
//! This room knows header names and who may be believed; it knows neither paths nor upstreams.

mod cors;
mod forwarding;
mod section;

pub use cors::{Cors, CorsField};
pub use forwarding::{Client, Forwarding, is_stripped};
pub use section::{CorsSection, ForwardingSection};

#[cfg(test)]
mod tests;
