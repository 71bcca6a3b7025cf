//! Routes of the operator's own, for what stands beside Synapse on the same host names.

use bytes::Bytes;

use crate::inbound::Inbound;
use crate::reply::Reply;
use crate::upstream_address::UpstreamId;

/// What happens to a request of an extra route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtraTarget {
    /// It is forwarded.
    Proxy {
        /// To this upstream.
        upstream: UpstreamId,
        /// Without the route's path, so that `/app/x` arrives as `/x`.
        strip_prefix: bool,
        /// A WebSocket upgrade passes.
        websocket: bool,
    },
    /// It is answered as configured.
    Respond(Reply),
    /// GET and HEAD are sent to this URL, with the rest of the path appended; other methods are refused.
    Redirect(Bytes),
}

/// One route of the operator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraRoute {
    /// For this host only, in lower case; None for every host.
    pub host: Option<String>,
    /// The path prefix. Ends with `/` and covers all below, or is one exact path.
    pub path: String,
    /// What to do.
    pub target: ExtraTarget,
}

/// All extra routes, in the order of the file: the first that fits wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraRoutes(pub Vec<ExtraRoute>);

impl ExtraRoutes {
    /// The route of a request and what of the path follows the route's own.
    #[must_use]
    pub fn find<'a>(&self, inbound: &Inbound<'a>) -> Option<(&ExtraRoute, &'a str)> {
        self.0.iter().find_map(|route| {
            let rest = inbound.path.strip_prefix(route.path.as_str())?;
            let covered = rest.is_empty() || route.path.ends_with('/');
            let here = route.host.as_deref().is_none_or(|host| host.eq_ignore_ascii_case(inbound.host()));
            (covered && here).then_some((route, rest))
        })
    }
}
