//! Matrix Authentication Service (MAS): what it answers in Synapse's place, and who may ask what only it should ask.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rows::VERSIONS;
use super::section::service;
use crate::network::Network;
use crate::problem::Problems;
use crate::upstream_address::{UpstreamAddress, UpstreamId};

/// Matrix Authentication Service (MAS), to which Synapse leaves log-ins where `matrix_authentication_service` is enabled
/// in its configuration. `/login`, `/logout` and `/refresh` of the client-server API, in the versions `v3`, `r0`,
/// `unstable` and `api/v1` and with all that is below them, then go to MAS, and workers are sent what they serve beside
/// MAS. Unset by default: all of them go to Synapse. MAS's own pages are at a host name of their own, for which a route
/// in `extra_routes` can be written.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MasSection {
    /// Where MAS listens: `http://host:port` or `unix:/path`, the same as `endpoint` in Synapse's own section. The
    /// listener needs the resource `compat` and no `prefix`. MAS believes the client addresses that the gateway sends
    /// if the gateway is in its `trusted_proxies`, as private networks are by default. There is no default here.
    pub endpoint: String,
    /// Networks that may use `/_synapse/mas`, in CIDR notation: by default this host. Through it MAS creates, changes and
    /// removes users and devices. Others get 403; `[]` closes it, as suits where the `matrix.endpoint` of MAS leads to
    /// Synapse itself. Danger: behind a proxy that is not in `forwarding.trusted_proxies`, every client has the address
    /// of that proxy. Synapse also asks for the secret that it shares with MAS.
    pub mas_networks: Vec<Network>,
    /// The public URL of MAS exactly as MAS has it (`http.issuer`, else `http.public_base`), such as
    /// `https://auth.example.com/`: told to clients in `/.well-known/matrix/client` as
    /// `org.matrix.msc2965.authentication`. Unset, which is the default, it is not told; clients of today ask Synapse.
    pub issuer: Option<String>,
    /// The public URL at which people manage their account, such as `https://auth.example.com/account/`: told to clients
    /// beside `issuer`. Unset by default.
    pub account: Option<String>,
}

impl Default for MasSection {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            mas_networks: ["127.0.0.0/8", "::1"].iter().filter_map(|network| network.parse().ok()).collect(),
            issuer: None,
            account: None,
        }
    }
}

/// Where MAS is, and from where it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mas {
    /// Where it listens.
    pub endpoint: UpstreamId,
    networks: Vec<Network>,
}

impl MasSection {
    /// Checks the section but for its URLs, which are the business of the document that they are in. `upstream` takes an
    /// address into the list of upstreams, or says what is against it.
    pub fn build(
        self,
        mut upstream: impl FnMut(UpstreamAddress) -> Result<UpstreamId, String>,
        problems: &mut Problems,
    ) -> Option<Mas> {
        for (index, network) in self.mas_networks.iter().enumerate().filter(|(_, network)| network.is_everything()) {
            let message = format!("`{network}` opens `/_synapse/mas` to everybody");
            problems.warning(format!("mas.mas_networks[{index}]"), message, "list the addresses of MAS only");
        }
        if self.endpoint.is_empty() {
            problems.error("mas", "lacks `endpoint`", "write where MAS listens, such as http://127.0.0.1:8080/");
            return None;
        }
        let endpoint = service("mas.endpoint", &self.endpoint, &mut upstream, problems)?;
        Some(Mas { endpoint, networks: self.mas_networks })
    }
}

impl Mas {
    /// Whether MAS answers a path of the client-server API (its manual, "Compatibility layer").
    #[must_use]
    pub fn serves(path: &str) -> bool {
        let Some(rest) = path.strip_prefix("/_matrix/client/") else { return false };
        VERSIONS.iter().any(|version| {
            let endpoint = rest.strip_prefix(version).and_then(|rest| rest.strip_prefix('/'));
            matches!(endpoint.and_then(|rest| rest.split('/').next()), Some("login" | "logout" | "refresh"))
        })
    }

    /// Whether a client may use what only MAS should.
    #[must_use]
    pub fn admits(&self, client: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(client))
    }
}
