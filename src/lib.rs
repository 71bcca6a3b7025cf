#![doc = include_str!("ARCHITECTURE.md")]

pub mod headers;
pub mod inbound;
pub mod matrix;
pub mod problem;
pub mod quantity;
pub mod reply;
