//! What the gateway says about itself and about requests, and what it keeps to itself.

mod access_log;
mod health;
mod metrics;
mod secrets;

const VERSIONS: &str = "/_matrix/client/versions";
const UPLOAD: &str = "/_matrix/media/v3/upload";
const RENDEZVOUS: &str = "/_matrix/client/unstable/org.matrix.msc3886/rendezvous";
