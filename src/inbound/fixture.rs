//! What the tests of several rooms have in common: a request on its way in.

use super::{Arrival, HeadBounds, Scheme, Serve};

/// Bounds that no ordinary request comes near.
pub(crate) const BOUNDS: HeadBounds = HeadBounds { target: 8192, head: 65536, fields: 100 };

/// A stranger on a listener for everything, over TLS.
pub(crate) fn arrival() -> Arrival {
    Arrival {
        listener: "[::]:443".to_owned(),
        scheme: Scheme::Https,
        serve: Serve::ALL,
        port: Some(443),
        peer: Some([192, 0, 2, 1].into()),
        trusted: false,
        redirect_https: None,
        acme_webroot: None,
    }
}
