#![doc = include_str!("ARCHITECTURE.md")]

pub mod class;
#[cfg(feature = "edge")]
pub mod edge;
pub mod headers;
pub mod inbound;
pub mod limits;
pub mod matrix;
pub mod observe;
pub mod problem;
pub mod quantity;
pub mod rendezvous;
pub mod reply;
pub mod routing;
pub mod upstream;
pub mod upstream_address;
pub mod well_known;
