//! `upstreams` as the operator writes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Upstream, Upstreams};
use crate::problem::Problems;

/// The processes of Synapse.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamsSection {
    /// Synapse's main process.
    pub main: UpstreamSection,
}

/// One process.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamSection {
    /// Where the process listens: `host:port`, or `unix:/path` for a Unix socket. A host name is resolved again every
    /// 30 s. The listener of Synapse needs `x_forwarded: true` (the default on Unix sockets) and should be reachable
    /// from this host only.
    pub address: String,
}

impl Default for UpstreamSection {
    fn default() -> Self {
        Self { address: "127.0.0.1:8008".to_owned() }
    }
}

impl UpstreamsSection {
    /// Checks the addresses.
    pub fn build(self, problems: &mut Problems) -> Option<Upstreams> {
        match self.main.address.parse() {
            Ok(address) => Some(Upstreams::new(Upstream { name: "main".to_owned(), address })),
            Err(error) => {
                let message = format!("`{}` is not an address: {error}", self.main.address);
                problems.error(
                    "upstreams.main.address",
                    message,
                    "write 127.0.0.1:8008 or unix:/run/matrix-synapse/main.sock",
                );
                None
            }
        }
    }
}
