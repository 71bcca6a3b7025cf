//! How much and how long: what happens at each bound, and just below it.

mod bodies;
mod connections;
mod heads;
mod paces;
