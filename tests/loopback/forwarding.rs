//! What Synapse gets to see of a request, and the client of an answer.

mod addresses;
mod bodies;
mod headers;
mod persistence;
mod refusals;
mod routes;
mod targets;
mod upstreams;
