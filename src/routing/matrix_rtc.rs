//! Calls: the services of MatrixRTC that stand beside Synapse.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extra::{ExtraRoute, ExtraRoutes, ExtraTarget};
use super::section::service;
use crate::problem::Problems;
use crate::upstream_address::{UpstreamAddress, UpstreamId};

/// The services that Element Call and Element X need for calls (MatrixRTC with LiveKit), at the paths below `/livekit` at
/// which they are usually found, on every host name of a listener that serves `client`. A service that is not named here
/// has no path. Preflights are answered by the gateway, unless `cors.manage` is false; all else is between clients and
/// the services, their CORS headers included. Unset by default.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MatrixRtcSection {
    /// Where the service listens that lets users of Matrix into calls (`lk-jwt-service`): `http://host:port` or
    /// `unix:/path`. It gets what is asked below `/livekit/jwt/`, without that prefix, and clients are told of it in
    /// `/.well-known/matrix/client` (`org.matrix.msc4143.rtc_foci`), below `public_baseurl`, unless `well_known.client`
    /// names others. Unset by default.
    pub jwt_service: Option<String>,
    /// Where the LiveKit server listens for signalling: `http://host:port` or `unix:/path`. It gets what is asked below
    /// `/livekit/sfu/`, without that prefix, WebSocket connections included: `LIVEKIT_URL` of the other service is then
    /// `wss://` with the host of `public_baseurl` and `/livekit/sfu`. They are spoken over HTTP/1.1, which browsers choose
    /// for them by themselves. Sound and pictures do not pass here: LiveKit needs ports of its own for them. Unset by
    /// default.
    pub sfu: Option<String>,
}

impl MatrixRtcSection {
    /// Checks the section and makes its routes. `upstream` takes a name and an address into the list of upstreams, or
    /// says what is against it.
    pub fn build(
        self,
        mut upstream: impl FnMut(&str, UpstreamAddress) -> Result<UpstreamId, String>,
        problems: &mut Problems,
    ) -> Option<ExtraRoutes> {
        if self.jwt_service.is_none() && self.sfu.is_none() {
            problems.error("matrix_rtc", "names no service", "set `jwt_service` and `sfu`, or remove the section");
            return None;
        }
        let services =
            [("jwt_service", self.jwt_service, "/livekit/jwt/", false), ("sfu", self.sfu, "/livekit/sfu/", true)];
        let mut routes = Vec::new();
        for (key, address, path, websocket) in services {
            let Some(address) = address else { continue };
            let mut named = |address| upstream(key, address);
            let Some(upstream) = service(&format!("matrix_rtc.{key}"), &address, &mut named, problems) else {
                continue;
            };
            let target = ExtraTarget::Proxy { upstream, strip_prefix: true, websocket };
            routes.push(ExtraRoute { host: None, path: path.to_owned(), target });
        }
        Some(ExtraRoutes(routes))
    }
}
