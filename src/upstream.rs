//! The processes that requests are forwarded to.
//!
//! This room knows names and addresses; opening connections, resolving names and watching health is the edge's.

mod section;

pub use section::{UpstreamSection, UpstreamsSection};

use crate::upstream_address::{UpstreamAddress, UpstreamId};

/// One process that requests are forwarded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// As in the configuration and in the access log.
    pub name: String,
    /// Where it listens.
    pub address: UpstreamAddress,
}

/// All upstreams: Synapse's main process first, then those of the operator's own routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstreams(Vec<Upstream>);

impl Upstreams {
    /// Synapse's main process.
    pub const MAIN: UpstreamId = UpstreamId(0);

    /// Starts the list with the main process.
    #[must_use]
    pub fn new(main: Upstream) -> Self {
        Self(vec![main])
    }

    /// Adds an upstream; one at the same address is shared.
    pub fn add(&mut self, upstream: Upstream) -> UpstreamId {
        let known = self.0.iter().position(|other| other.address == upstream.address);
        UpstreamId(known.unwrap_or_else(|| {
            self.0.push(upstream);
            self.0.len() - 1
        }))
    }

    /// The upstreams by their ids.
    #[must_use]
    pub fn as_slice(&self) -> &[Upstream] {
        &self.0
    }

    /// The upstream of an id from [`Upstreams::add`].
    #[must_use]
    pub fn name(&self, id: UpstreamId) -> &str {
        self.0.get(id.0).map_or("unknown", |upstream| upstream.name.as_str())
    }
}
